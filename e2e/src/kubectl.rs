//! `kubectl`, as whoever a kubeconfig names.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The program and a kubeconfig.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    config: PathBuf,
}

impl Kubectl {
    pub(crate) fn new(program: PathBuf, config: PathBuf) -> Self {
        Self { program, config }
    }

    /// The kubeconfig.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Runs it with this on its standard input; what it says.
    ///
    /// # Panics
    /// When it fails; the message says why.
    #[track_caller]
    pub fn run(&self, args: &[&str], input: &str) -> String {
        self.attempt(args, input).unwrap_or_else(|error| panic!("kubectl {args:?}: {error}"))
    }

    /// As [`Self::run`].
    ///
    /// # Errors
    /// What it says on its standard error.
    pub fn attempt(&self, args: &[&str], input: &str) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        // Neither configuration nor cache of whoever runs this.
        command.arg("--kubeconfig").arg(&self.config).args(args).env("HOME", "/nonexistent");
        said(command, input)
    }
}

/// Runs a program to its end with this on its standard input.
///
/// # Errors
/// What it says when it fails.
pub(crate) fn said(mut command: Command, input: &str) -> Result<String, String> {
    let mut run = || -> std::io::Result<Output> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        // One that reads nothing is none to write to.
        child.stdin.take().map(|mut pipe| pipe.write_all(input.as_bytes()));
        child.wait_with_output()
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match run() {
        Ok(out) if out.status.success() => Ok(text(&out.stdout)),
        Ok(out) => Err(text(&out.stderr) + &text(&out.stdout)),
        Err(error) => Err(error.to_string()),
    }
}
