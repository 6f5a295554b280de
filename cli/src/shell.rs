//! What shells and manuals want of this program: completions, for `kubectl` too, and man pages. All of it is made from the commands
//! themselves, so that it cannot say anything else than they do.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use crate::client::ClientError;

/// How `kubectl` calls what completes for a plugin.
pub(crate) const COMPLETER: &str = "kubectl_complete-";
/// Tells `kubectl` to complete no names of files.
const NO_FILES: &str = ":4";

/// For which shell.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell that reads them
    shell: Shell,
}

/// Where they go.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Folder for one page for each command; without, the page of all goes to standard output
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Writes a script of completions.
pub(crate) fn completions(options: &Completions, mut command: Command) -> Result<(), ClientError> {
    let mut script = Vec::new();
    generate(options.shell, &mut command, "pulltrace", &mut script);
    Ok(io::stdout().write_all(&script)?)
}

/// Writes man pages.
pub(crate) fn man(options: &Man, command: Command) -> Result<(), ClientError> {
    match &options.folder {
        None => Ok(clap_mangen::Man::new(command).render(&mut io::stdout())?),
        Some(folder) => Ok(pages(folder, command)?),
    }
}

fn pages(folder: &Path, command: Command) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command.disable_help_subcommand(true), folder)
}

/// Answers `kubectl`, which asks what may stand in the place of the last of these words.
pub(crate) fn kubectl_complete(command: &Command, words: &[String], output: &mut impl Write) -> io::Result<()> {
    for candidate in candidates(command, words) {
        writeln!(output, "{candidate}")?;
    }
    writeln!(output, "{NO_FILES}")
}

fn candidates(command: &Command, words: &[String]) -> Vec<String> {
    let (begin, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut here = command;
    for word in before {
        here = here.find_subcommand(word).unwrap_or(here);
    }
    let flag = before.last().and_then(|word| word.strip_prefix("--"));
    let asked = flag.and_then(|flag| here.get_arguments().find(|argument| argument.get_long() == Some(flag)));
    let mut all: Vec<String> = match asked.filter(|argument| argument.get_action().takes_values()) {
        Some(argument) => argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect(),
        None if begin.starts_with('-') => {
            let flags =
                here.get_arguments().filter(|argument| !argument.is_hide_set()).filter_map(|argument| argument.get_long());
            flags.map(|flag| format!("--{flag}")).collect()
        }
        None => {
            here.get_subcommands().filter(|command| !command.is_hide_set()).map(|command| command.get_name().to_owned()).collect()
        }
    };
    all.retain(|candidate| candidate.starts_with(begin));
    all
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction};

    use super::*;

    fn command() -> Command {
        let output = Arg::new("output").long("output").value_parser(["json", "yaml"]);
        let watch = Arg::new("watch").long("watch").action(ArgAction::SetTrue);
        let pod = Command::new("pod").about("Pods").arg(output).arg(watch);
        Command::new("pulltrace").subcommand(pod).subcommand(Command::new("plan")).subcommand(Command::new("node"))
    }

    fn complete(words: &[&str]) -> Vec<String> {
        candidates(&command(), &words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn kubectl_is_told_commands_flags_and_values_that_begin_so() {
        assert_eq!(complete(&["p"]), ["pod", "plan"]);
        assert_eq!(complete(&["pod", "--w"]), ["--watch"]);
        assert_eq!(complete(&["pod", "--output", ""]), ["json", "yaml"]);
        assert_eq!(complete(&["pod", "--watch", "--o"]), ["--output"]);
        assert_eq!(complete(&[]), ["pod", "plan", "node"]);
        let mut said = Vec::new();
        kubectl_complete(&command(), &["n".to_owned()], &mut said).unwrap();
        assert_eq!(String::from_utf8(said).unwrap(), "node\n:4\n");
    }

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        pages(folder.path(), command()).unwrap();
        let page = |name: &str| fs::read_to_string(folder.path().join(name).with_extension("1")).unwrap();
        assert!(page("pulltrace-pod").contains("Pods"), "{}", page("pulltrace-pod"));
        assert!(page("pulltrace").contains("Pods"), "{}", page("pulltrace"));
    }
}
