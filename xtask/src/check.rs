//! `cargo xtask check`: everything that can be said about the code without running it. Stops at the first step that fails; what needs
//! running is in `test`.

use crate::shell::{self, Repo, step};
use crate::{protoc, tidy, vocab};

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
        let mut cargo = repo.cargo(&["doc", "--workspace", "--all-features", "--no-deps"]);
        shell::run(cargo.env("RUSTDOCFLAGS", "--deny warnings"))
    })?;
    step("tidy", || tidy::run(repo))?;
    step("vocab", || vocab::run(repo))
}
