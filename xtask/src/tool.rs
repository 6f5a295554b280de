//! Programs of others that checks use where they are: in the folder that `e2e/tools.sh` fills, else on the `PATH`. Whoever lacks one says so
//! by the word that [`crate::test`] counts.

use std::path::PathBuf;
use std::process::Command;

/// The program's path, or its name if the `PATH` has it; none where it is not installed or does not start.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let own = folder().map(|folder| folder.join("bin").join(name));
    own.into_iter().chain([PathBuf::from(name)]).find(|program| {
        // Output is read and thrown away: what it says about its version is nobody's business here.
        Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
    })
}

/// Where the tools are, as `e2e/tools.sh` has it.
fn folder() -> Option<PathBuf> {
    let given = std::env::var_os("PULLTRACE_TOOLS").map(PathBuf::from);
    given.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/pulltrace-tools")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_the_path_is_found_and_what_is_nowhere_is_not() {
        assert!(find("cargo").is_some());
        assert_eq!(find("pulltrace-no-such-tool"), None);
    }
}
