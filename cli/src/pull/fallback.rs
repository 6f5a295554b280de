//! Plain `docker pull`, for when the Engine's interface cannot be reached from here: its output goes where ours would, and its code is ours.

use std::{os::unix::process::ExitStatusExt as _, process::ExitCode};

use tokio::process::Command;

use super::exit::Exit;

/// Runs `docker pull` for one image after the other; ends with the code of the first that failed.
pub(super) async fn run(images: &[String], platform: Option<&str>, quiet: bool) -> Result<ExitCode, Exit> {
    let mut code = 0;
    for image in images {
        let mut command = Command::new("docker");
        command.arg("pull").args(platform.iter().flat_map(|platform| ["--platform", platform])).args(quiet.then_some("--quiet"));
        // Behind this nothing is an option, however it is spelled.
        let status = command.args(["--", image]).status().await.map_err(Exit::NoDocker)?;
        let this = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
        if code == 0 {
            code = u8::try_from(this).unwrap_or(1);
        }
    }
    Ok(ExitCode::from(code))
}
