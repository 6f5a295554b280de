//! The protobuf compiler that comes with the repository: a vendored one is put beside the build, where `xtask/protoc` (cargo's `PROTOC`,
//! see `.cargo/config.toml`) finds it, so that a fresh machine needs nothing installed and a bare `cargo build` works afterwards.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::shell::Repo;

/// Puts `bin/protoc` and the well-known types in `include/` into `target/protoc` unless they are there already.
///
/// # Errors
/// When no compiler is vendored for this machine's kind (then install one: `xtask/protoc` also takes it from `PATH`), or when
/// copying fails.
pub(crate) fn install(repo: &Repo) -> anyhow::Result<()> {
    let home = repo.root.join("target/protoc");
    let binary = protoc_bin_vendored::protoc_bin_path().context("no protoc is vendored for this machine: install protoc")?;
    let include = protoc_bin_vendored::include_path().context("no protoc is vendored for this machine: install protoc")?;
    place(&binary, &home.join("bin/protoc"))?;
    place_all(&include, &home.join("include"))
}

/// Every file below `from` to the same place below `to`.
fn place_all(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            place_all(&entry.path(), &target)?;
        } else {
            place(&entry.path(), &target)?;
        }
    }
    Ok(())
}

/// One file, permissions included; whole or not at all, because another build may be executing the old one.
fn place(from: &Path, to: &Path) -> anyhow::Result<()> {
    let size = fs::metadata(from).with_context(|| format!("cannot read {}", from.display()))?.len();
    if fs::metadata(to).is_ok_and(|there| there.len() == size) {
        return Ok(());
    }
    let folder = to.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let fresh = to.with_extension(format!("new-{}", std::process::id()));
    fs::copy(from, &fresh).with_context(|| format!("cannot write {}", fresh.display()))?;
    fs::rename(&fresh, to).with_context(|| format!("cannot write {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_lands_where_the_wrapper_looks_and_runs() {
        let root = tempfile::tempdir().unwrap();
        let repo = Repo { root: root.path().to_path_buf(), target: root.path().join("elsewhere") };
        install(&repo).unwrap();
        install(&repo).unwrap();
        let home = root.path().join("target/protoc");
        let version = std::process::Command::new(home.join("bin/protoc")).arg("--version").output().unwrap();
        assert!(String::from_utf8(version.stdout).unwrap().starts_with("libprotoc"));
        assert!(home.join("include/google/protobuf/timestamp.proto").is_file());
    }

    #[test]
    fn a_half_written_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("whole"), folder.path().join("there/half"));
        fs::write(&from, "whole").unwrap();
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(&to, "who").unwrap();
        place(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "whole");
    }
}
