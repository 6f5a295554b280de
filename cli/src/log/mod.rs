//! The log of pulls: what `pulltrace pull` leaves behind on the machine, for whoever asks later or follows meanwhile.
//!
//! The file holds JSON Lines in PullEvent form ([`events`]), because machines read it too; `pulltrace logs` ([`show`]) makes lines for people of
//! them. How the file is written and turned over stands in [`mod@file`]. Nothing about the log ever stops a pull.

mod events;
mod file;
mod follow;
mod show;

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use lifecycle::pull::Node;

use self::{events::Events, file::LogFile};
use crate::pull::picture::{Picture, Surface};

pub(crate) use self::{
    events::{Events as PullEvents, end_of},
    show::{LogsError, Options as LogsOptions, run as logs},
};

/// Where the log of the machine is.
const OF_THE_MACHINE: &str = "/var/log/pulltrace/pull.log";
/// Where that of a user is, below the folder for what programs remember.
const OF_A_USER: &str = "pulltrace/pull.log";

/// Which log is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// That of the machine if it can be written to, else that of the user.
    #[default]
    Usual,
    /// This file.
    File(PathBuf),
    /// None.
    Off,
}

impl From<OsString> for Choice {
    /// A path, or `none`.
    fn from(text: OsString) -> Self {
        if text == "none" { Self::Off } else { Self::File(text.into()) }
    }
}

/// The usual places, that of the machine first. `variable` asks the environment.
fn usual(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let folder = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let of_a_user = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")));
    [Some(OF_THE_MACHINE.into()), of_a_user.map(|folder| folder.join(OF_A_USER))].into_iter().flatten().collect()
}

/// Writes down what is shown of pulls.
#[derive(Debug)]
pub(crate) struct Log {
    file: LogFile,
    events: Events,
    /// Why it is not whole, once that is so.
    trouble: Option<String>,
}

impl Log {
    /// Opens the chosen log for pulls on this node: `None` if none is wanted.
    ///
    /// # Errors
    /// With a sentence for the user when no file can be written to; the pull goes on without.
    pub(crate) fn open(choice: &Choice, node: Node, variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<Self>, String> {
        let places = match choice {
            Choice::Off => return Ok(None),
            Choice::File(path) => vec![path.clone()],
            Choice::Usual => usual(variable),
        };
        let mut refusals = Vec::new();
        for path in places {
            match LogFile::open(&path) {
                Ok(file) => return Ok(Some(Self { file, events: Events::new(node), trouble: None })),
                Err(error) => refusals.push(refusal(&path, &error)),
            }
        }
        Err(format!("this pull leaves no log: {}; --log-file names another place, or none", refusals.join(", ")))
    }
}

impl Surface for Log {
    /// Never fails: a log that cannot be written is no reason to end a pull.
    fn show(&mut self, pictures: &[Picture]) -> io::Result<()> {
        for line in pictures.iter().flat_map(|picture| self.events.lines(&picture.pull)) {
            if let Err(error) = self.file.append(&line) {
                self.trouble = Some(format!("lines of the log are missing: {}", refusal(self.file.path(), &error)));
            }
        }
        Ok(())
    }

    fn end(&mut self, pictures: &[Picture]) -> io::Result<()> {
        self.show(pictures)
    }

    fn remarks(&mut self) -> Vec<String> {
        self.trouble.take().into_iter().collect()
    }
}

fn refusal(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be written: {error}", path.display()).replace(char::is_control, " ")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{fs, time::Duration};

    use lifecycle::{
        image::Digest,
        pull::{Ending, Host, Interval, Layer, LayerState, Outcome, Phase, Pull, PullId, TimingSource},
        time::Timestamp,
    };

    use super::*;

    /// When the pull of the tests begins.
    pub(crate) const START: Timestamp = Timestamp::from_millis(1_763_780_400_000);

    pub(crate) fn node() -> Node {
        Node {
            name: "edge-1".parse().unwrap(),
            uid: "machine".into(),
            cluster: String::new(),
            runtime_name: "docker".into(),
            runtime_version: "28.0.1".into(),
        }
    }

    /// A pull of one layer of 1,000 bytes, so many of which are here.
    pub(crate) fn pull(fetched: u64) -> Pull {
        let layer = Layer {
            digest: Digest::of(b"layer"),
            media_type: "".into(),
            size: 1_000,
            fetched,
            cached: false,
            lazy: false,
            state: LayerState::Downloading,
            download: Interval::default(),
            unpack: Interval::default(),
        };
        Pull {
            id: PullId::derive("machine", "docker", "nginx", START),
            sequence: 1,
            namespace: "docker".into(),
            image: "nginx:1.27".parse().ok(),
            digest: None,
            snapshotter: String::new(),
            phase: Phase::Downloading,
            wait: None,
            waits: Vec::new(),
            ending: None,
            started_at: START,
            resolved_at: Some(START),
            observed_at: START,
            total_known: true,
            bytes_per_sec: None,
            eta: None,
            host: Host::default(),
            layers: vec![layer],
        }
    }

    /// The same, when it has ended after four seconds.
    pub(crate) fn ended(outcome: Outcome) -> Pull {
        let at = START + Duration::from_secs(4);
        let ready = outcome == Outcome::Ready;
        let mut pull = pull(if ready { 1_000 } else { 300 });
        pull.layers[0].state = if ready { LayerState::Ready } else { LayerState::Failed };
        Pull { ending: Some(Ending { outcome, at, source: TimingSource::Event }), observed_at: at, sequence: 9, ..pull }
    }

    pub(crate) fn picture(pull: Pull) -> Picture {
        Picture { asked: "nginx:1.27".into(), pull, unpacked: Vec::new(), doing: Vec::new() }
    }

    fn usual_of(variables: &[(&str, &str)]) -> Vec<PathBuf> {
        usual(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn the_users_log_is_where_programs_remember_things() {
        let second = |variables: &[(&str, &str)]| usual_of(variables).get(1).map(|path| path.display().to_string());
        assert_eq!(second(&[("HOME", "/h")]).as_deref(), Some("/h/.local/state/pulltrace/pull.log"));
        assert_eq!(second(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")]).as_deref(), Some("/s/pulltrace/pull.log"));
        assert_eq!(second(&[("HOME", "/h"), ("XDG_STATE_HOME", "here")]).as_deref(), Some("/h/.local/state/pulltrace/pull.log"));
        assert_eq!(usual_of(&[]), [Path::new(OF_THE_MACHINE)]);
    }

    #[test]
    fn what_is_shown_is_written_down_in_the_chosen_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my.log");
        let mut log = Log::open(&path.clone().into_os_string().into(), node(), |_| None).unwrap().unwrap();
        log.show(&[picture(pull(0))]).unwrap();
        log.end(&[picture(ended(Outcome::Ready))]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("pull.started") && text.contains("pull.completed"), "{text}");
        assert_eq!(log.remarks(), [""; 0]);
    }

    #[test]
    fn a_full_disk_is_a_message_and_a_place_that_cannot_be_written_to_another() {
        let mut log = Log::open(&Choice::File("/dev/full".into()), node(), |_| None).unwrap().unwrap();
        log.show(&[picture(pull(0))]).unwrap();
        assert!(log.remarks()[0].starts_with("lines of the log are missing: /dev/full cannot be written: "));
        let error = Log::open(&Choice::File("/dev/null/pull.log".into()), node(), |_| None).unwrap_err();
        assert!(error.starts_with("this pull leaves no log: /dev/null/pull.log cannot be written: "), "{error}");
    }

    #[test]
    fn no_log_is_written_if_none_is_wanted() {
        assert!(Log::open(&OsString::from("none").into(), node(), |_| None).unwrap().is_none());
    }
}
