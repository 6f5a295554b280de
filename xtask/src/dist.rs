//! `cargo xtask dist`: the programs as they are shipped, shown to be what they should be. Each is one static file that needs nothing of the
//! machine it runs on: it asks for no loader, and it starts in a folder that holds nothing else. Beside them go the completions and the manual
//! pages that the command line writes about itself. How programs are built is the business of `build`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::build::{self, Profile, SHIPPED};
use crate::shell::{self, Repo, say, step};

/// Largest agent that is shipped, bytes: it is copied to every node.
const AGENT_GATE: u64 = 6 << 20;
/// Type of the program header that names a loader (elf(5), `PT_INTERP`).
const INTERPRETER: u32 = 3;

/// The shells for which there are completions, and the files that they look for.
const SHELLS: [(&str, &str); 4] =
    [("bash", "pulltrace.bash"), ("zsh", "_pulltrace"), ("fish", "pulltrace.fish"), ("powershell", "pulltrace.ps1")];

/// Builds what is shipped, proves it and says how large it is.
///
/// # Errors
/// When it cannot be built, is not static, does not start, or is too large.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<()> {
    let folder = step("release build", || build::binaries(repo, Profile::Release))?;
    step("static, and alone in an empty root", || {
        SHIPPED.iter().try_for_each(|(_, program)| prove(repo, &folder.join(program)))
    })?;
    step("completions and manual pages", || beside(&folder))
}

/// Has the command line write `completions/` and `man/` beside itself.
fn beside(folder: &Path) -> anyhow::Result<()> {
    let program = folder.join("pulltrace");
    let (completions, man) = (folder.join("completions"), folder.join("man"));
    for made in [&completions, &man] {
        drop(fs::remove_dir_all(made));
        fs::create_dir_all(made).with_context(|| format!("cannot create {}", made.display()))?;
    }
    for (shell, file) in SHELLS {
        let script = shell::output(Command::new(&program).args(["completions", shell]))?;
        fs::write(completions.join(file), script).with_context(|| format!("cannot write {file}"))?;
    }
    shell::output(Command::new(&program).arg("man").arg(&man))?;
    let pages = fs::read_dir(&man).with_context(|| format!("cannot read {}", man.display()))?.count();
    ensure!(pages > 1, "{} wrote no manual pages", program.display());
    say(format!("{} completions and {pages} manual pages", SHELLS.len()));
    Ok(())
}

/// One program: static, running alone, and its size.
fn prove(repo: &Repo, path: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let header = Header::of(&bytes).with_context(|| format!("{name} is no program of 64 bits"))?;
    ensure!(header.is_static, "{name} asks for a loader: it is not static");
    let said = alone(repo, path)?;
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    ensure!(*name != *"pulltrace-agent" || size <= AGENT_GATE, "{name} has {size} bytes, {AGENT_GATE} are allowed");
    say(format!("{name:<20} {:>8.2} MiB  static; {said}", mebibytes(size)));
    Ok(())
}

/// Runs the program where there is no other file, and returns what it says about its version.
fn alone(repo: &Repo, path: &Path) -> anyhow::Result<String> {
    let root = repo.target.join("dist-root");
    drop(fs::remove_dir_all(&root));
    fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
    fs::copy(path, root.join("program")).with_context(|| format!("cannot copy {}", path.display()))?;
    // As root, chroot(8) will do; others need a user namespace, which some systems do not give.
    let (mut as_root, mut as_user) = (Command::new("chroot"), Command::new("unshare"));
    as_root.arg(&root);
    as_user.args(["--map-root-user", "--root"]).arg(&root);
    let mut problems = Vec::new();
    for command in [&mut as_root, &mut as_user] {
        match shell::output(command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").args(["/program", "--version"])) {
            Ok(said) => return Ok(format!("alone it says: {}", said.trim())),
            Err(problem) => problems.push(format!("{problem:#}")),
        }
    }
    bail!("{} does not run in an empty root: {}", path.display(), problems.join("; "))
}

/// What the headers of a program say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// It asks for no loader.
    pub(crate) is_static: bool,
    /// For which machines it is, as elf(5) numbers them in `e_machine`.
    pub(crate) machine: usize,
}

impl Header {
    /// Of a 64-bit little-endian ELF program, as elf(5) has it; `None` if it is no such program.
    pub(crate) fn of(elf: &[u8]) -> Option<Self> {
        let number = |at: usize, length: usize| {
            let bytes = elf.get(at..at.checked_add(length)?)?;
            bytes.iter().rev().try_fold(0_usize, |number, byte| number.checked_mul(256)?.checked_add(usize::from(*byte)))
        };
        if !elf.starts_with(b"\x7fELF\x02\x01") {
            return None;
        }
        let machine = number(0x12, 2)?;
        let (table, length, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
        for header in 0..count {
            let at = table.checked_add(header.checked_mul(length)?)?;
            if number(at, 4)? == usize::try_from(INTERPRETER).ok()? {
                return Some(Self { is_static: false, machine });
            }
        }
        (count > 0).then_some(Self { is_static: true, machine })
    }
}

/// For people; exact far beyond any size a program has.
fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0
}

/// A file for this machine with these program headers behind its own, each of eight bytes.
#[cfg(test)]
pub(crate) fn elf(machine: u8, types: &[u8]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01".to_vec();
    file.resize(0x40, 0);
    (file[0x12], file[0x20], file[0x36]) = (machine, 0x40, 8);
    file[0x38] = u8::try_from(types.len()).expect("a few headers");
    types.iter().for_each(|kind| file.extend([*kind, 0, 0, 0, 9, 9, 9, 9]));
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_names_a_loader_is_not_static() {
        assert_eq!(Header::of(&elf(62, &[6, 1, 1])), Some(Header { is_static: true, machine: 62 }));
        assert_eq!(Header::of(&elf(183, &[6, 3, 1])), Some(Header { is_static: false, machine: 183 }));
    }

    #[test]
    fn what_is_no_program_is_neither() {
        assert_eq!([&b""[..], b"#!/bin/sh\n", b"\x7fELF\x01\x01"].map(Header::of), [None; 3]);
        assert_eq!(Header::of(&elf(62, &[6, 1])[..0x44]), None, "cut off");
        assert_eq!(Header::of(&elf(62, &[])), None);
    }

    #[test]
    fn this_test_is_a_program() {
        let this = std::env::current_exe().and_then(fs::read).unwrap();
        assert!(Header::of(&this).is_some());
    }
}
