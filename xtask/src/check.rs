//! `cargo xtask check`: everything that can be said about the code without running it. Stops at the first step that fails; what needs
//! running is in `test`.

use crate::shell::{self, Repo, step};
use crate::{dashboards, protoc, tidy, vocab};

/// All steps, each with its seconds.
///
/// # Errors
/// Those of the first step that fails.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<()> {
    protoc::install(repo)?;
    step("fmt", || shell::run(&mut repo.cargo(&["fmt", "--all", "--check"])))?;
    step("clippy", || {
        shell::run(&mut repo.cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "--deny", "warnings"]))
    })?;
    step("doc", || {
        let mut cargo = repo.cargo(&["doc", "--workspace", "--all-features", "--no-deps", "--document-private-items"]);
        // The rooms are written for those who live in them, so private ones are shown too, and a link into one leads somewhere.
        shell::run(cargo.env("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private_intra_doc_links"))
    })?;
    step("tidy", || tidy::run(repo))?;
    step("vocab", || vocab::run(repo))?;
    step("dashboards", || dashboards::run(repo))
}
