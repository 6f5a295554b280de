//! `logs`: the log of pulls for people, or as it is for machines. It shows that of the machine and that of the user together, because whoever
//! asks at night does not know which of the two a timer wrote to.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    thread,
    time::Duration,
};

use clap::ValueEnum;
use lifecycle::{image::ImageRef, time::Timestamp};
use serde::Deserialize;
use thiserror::Error;

use super::{follow::Follower, usual};

/// Who follows looks this often. Two files are looked at, so that costs next to nothing and works on every file system.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What `logs` is told on the command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// At most so many lines of what was
    #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
    lines: usize,
    /// Go on with what is written from now on, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Lines for people, or the JSON that is in the file
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// This log, and not those of the machine and of the user
    #[arg(long, value_name = "PATH")]
    log_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Why there is nothing to show.
#[derive(Debug, Error)]
pub(crate) enum LogsError {
    #[error("there is no log yet: looked for {0}; `pulltrace pull` writes it")]
    Nothing(String),
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

impl LogsError {
    /// As the contract lists it.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Nothing(_) => 3,
            Self::Read { .. } | Self::Output(_) => 1,
        }
    }
}

/// One line of the file, as far as people want it.
#[derive(Deserialize)]
struct Line {
    timestamp: String,
    pull: LoggedPull,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoggedPull {
    image_ref: Option<String>,
    phase: String,
    outcome: Option<String>,
    wait: Option<Wait>,
    percent: Option<f64>,
    summary: String,
    error_hint: Option<String>,
}

#[derive(Deserialize)]
struct Wait {
    kind: String,
}

/// Writes what was, and what comes if that is wanted; then it ends only with an error.
pub(crate) fn run(
    options: &Options,
    variable: impl Fn(&str) -> Option<OsString>,
    output: &mut impl Write,
    messages: &mut impl Write,
) -> Result<(), LogsError> {
    let paths = options.log_file.clone().map_or_else(|| usual(variable), |path| vec![path]);
    let (mut logs, mut lines) = (Vec::new(), Vec::new());
    for path in &paths {
        let read = |source| LogsError::Read { path: path.display().to_string(), source };
        let (follower, old) = Follower::open(path, options.lines).map_err(read)?;
        logs.push((path, follower));
        lines.extend(old);
    }
    if !logs.iter().any(|(_, log)| log.is_there()) {
        let looked: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        let nothing = LogsError::Nothing(looked.join(", "));
        if !options.follow {
            return Err(nothing);
        }
        writeln!(messages, "pulltrace: {nothing}; waiting for it")?;
    }
    // Of several logs: by time; one alone stays as it is.
    if logs.iter().filter(|(_, log)| log.is_there()).count() > 1 {
        lines.sort_by_cached_key(|line| time_of(line));
    }
    lines.drain(..lines.len().saturating_sub(options.lines));
    write_all(&lines, options.output, output)?;
    if !options.follow {
        return Ok(());
    }
    loop {
        pause();
        for (path, log) in &mut logs {
            let read = |source| LogsError::Read { path: path.display().to_string(), source };
            write_all(&log.poll().map_err(read)?, options.output, output)?;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "other processes write, on file systems of which not all tell when")]
fn pause() {
    thread::sleep(LOOK_EVERY);
}

fn write_all(lines: &[String], format: Output, output: &mut impl Write) -> io::Result<()> {
    for line in lines {
        let line = match format {
            Output::Text => text(line),
            Output::Json => serde_json::from_str::<serde::de::IgnoredAny>(line).ok().map(|_| line.clone()),
        };
        // A line that somebody could not finish is left out.
        if let Some(line) = line {
            writeln!(output, "{line}")?;
        }
    }
    output.flush()
}

/// When a line was written; what is no line of ours comes first.
fn time_of(line: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(&serde_json::from_str::<Line>(line).ok()?.timestamp)
}

/// A line for people: when, how it stands, how much is there, of which image, and the sentence.
fn text(line: &str) -> Option<String> {
    let Line { timestamp, pull } = serde_json::from_str(line).ok()?;
    let state = pull.outcome.or(pull.wait.map(|wait| wait.kind)).unwrap_or(pull.phase);
    let percent = pull.percent.map_or_else(String::new, |percent| format!("{percent:.0}%"));
    let image = pull
        .image_ref
        .map_or_else(|| "(name not known)".to_owned(), |image| image.parse().map_or(image, |image: ImageRef| image.familiar()));
    let hint = pull.error_hint.map_or_else(String::new, |hint| format!(" {hint}"));
    // Whole seconds of UTC, as clocks on the wall have them.
    let time = timestamp.get(..19).map_or(timestamp.clone(), |time| format!("{}Z", time.replace('T', " ")));
    let line = format!("{time}  {state:<11} {percent:>4}  {image}  {}{hint}", pull.summary);
    Some(line.replace(char::is_control, " "))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn event(second: u32, more: &str) -> String {
        format!(
            r#"{{"schemaVersion":"v1","timestamp":"2026-11-22T03:00:{second:02}.123Z","type":"pull.progress","nodeName":"n","pull":{{"imageRef":"docker.io/library/nginx:1.27","phase":"downloading","percent":41.6,"summary":"Downloading.",{more}"id":"1"}}}}"#
        )
    }

    fn options(path: Option<PathBuf>, lines: usize, output: Output) -> Options {
        Options { lines, follow: false, output, log_file: path }
    }

    fn shown(options: &Options, home: &str) -> Result<String, LogsError> {
        let mut output = Vec::new();
        let variable = |name: &str| (name == "XDG_STATE_HOME").then(|| home.into());
        run(options, variable, &mut output, &mut io::sink()).map(|()| String::from_utf8(output).unwrap())
    }

    #[test]
    fn a_line_for_people_has_time_state_share_image_and_sentence_and_cannot_drive_a_terminal() {
        assert_eq!(text(&event(7, "")).unwrap(), "2026-11-22 03:00:07Z  downloading  42%  nginx:1.27  Downloading.");
        let failed =
            event(7, r#""outcome":"failed","percent":null,"errorHint":"Log in.\u001b[2J","#).replace("\"percent\":41.6,", "");
        assert_eq!(text(&failed).unwrap(), "2026-11-22 03:00:07Z  failed            nginx:1.27  Downloading. Log in. [2J");
        assert!(text(&event(7, r#""wait":{"kind":"stalled"},"#)).unwrap().contains("  stalled "));
    }

    #[test]
    fn a_half_line_of_somebody_who_was_killed_spoils_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pull.log");
        fs::write(&path, format!("{}\n{}\n{}\n", event(1, ""), &event(2, "")[..50], event(3, ""))).unwrap();
        let text = shown(&options(Some(path.clone()), 10, Output::Text), "").unwrap();
        assert_eq!(text.lines().count(), 2);
        assert_eq!(shown(&options(Some(path), 10, Output::Json), "").unwrap(), format!("{}\n{}\n", event(1, ""), event(3, "")));
    }

    #[test]
    fn without_a_log_it_says_where_it_looked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none.log");
        let error = shown(&options(Some(path.clone()), 10, Output::Text), "").unwrap_err().to_string();
        assert_eq!(error, format!("there is no log yet: looked for {}; `pulltrace pull` writes it", path.display()));
    }

    #[test]
    fn only_so_many_lines_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pull.log");
        fs::write(&path, (0..9).map(|n| event(n, "") + "\n").collect::<String>()).unwrap();
        let text = shown(&options(Some(path), 2, Output::Text), "").unwrap();
        assert!(text.starts_with("2026-11-22 03:00:07Z") && text.lines().count() == 2, "{text}");
    }
}
