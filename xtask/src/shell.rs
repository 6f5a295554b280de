//! The repository as a place: where it is, how cargo is started in it, and how xtask speaks. It starts programs and says what came of
//! them; which programs, and why, is the business of its neighbours.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};

/// Where the repository is and where cargo puts what it builds.
pub(crate) struct Repo {
    /// The folder with the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, wherever the user's configuration has put it.
    pub(crate) target: PathBuf,
}

impl Repo {
    /// The repository this xtask belongs to.
    ///
    /// # Errors
    /// When not started through cargo, or when cargo cannot read the workspace.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").context("start xtask through cargo: `cargo xtask ...`")?;
        let root = PathBuf::from(manifest).parent().context("xtask lies in the repository's root")?.to_path_buf();
        let metadata = output(Command::new(cargo()).current_dir(&root).args(["metadata", "--no-deps", "--format-version", "1"]))?;
        let metadata: serde_json::Value = serde_json::from_str(&metadata).context("cargo metadata is JSON")?;
        let target = metadata["target_directory"].as_str().context("cargo metadata names the target directory")?;
        Ok(Self { target: PathBuf::from(target), root })
    }

    /// `cargo ARGS...` in the root, so that `.cargo/config.toml` applies.
    pub(crate) fn cargo(&self, args: &[&str]) -> Command {
        let mut command = Command::new(cargo());
        command.current_dir(&self.root).args(args);
        command
    }
}

/// The cargo that started xtask.
fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// One line to stdout. That a reader has gone away (`| head`) is no reason to stop working.
pub(crate) fn say(line: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{}", line.as_ref()).and_then(|()| out.flush()));
}

/// Why xtask failed, as one sentence on stderr.
pub(crate) fn complain(error: &anyhow::Error) {
    drop(writeln!(std::io::stderr(), "xtask: {error:#}"));
}

/// Runs a program to its end with our own stdout and stderr.
///
/// # Errors
/// When it cannot be started or does not succeed; the error names the command line.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", shown(command)))?;
    ensure!(status.success(), "{} ended with {status}", shown(command));
    Ok(())
}

/// Runs a program and returns its stdout.
///
/// # Errors
/// As [`run`]; the error carries the program's stderr.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", shown(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}\n{}", shown(command), output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} writes text", shown(command)))
}

/// Runs one named step and says how long it took.
///
/// # Errors
/// Those of the step, with its name.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    say(format!("== {name}"));
    let began = Instant::now();
    let result = work();
    let verdict = if result.is_ok() { "ok" } else { "FAILED" };
    say(format!("== {name}: {verdict} in {:.1} s", began.elapsed().as_secs_f64()));
    result.with_context(|| format!("step `{name}`"))
}

/// A command line as a person would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
