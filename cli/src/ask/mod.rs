//! Questions about the images of a cluster: of its pods, workloads, nodes and images, why one waits, and whether all are there. What is known
//! is asked of the collector ([`crate::client`]); what there shall be, of Kubernetes ([`crate::cluster`]). Nothing is changed.

pub(crate) mod answers;
pub(crate) mod doctor;
mod look;
pub(crate) mod plan;
mod rows;
mod say;
mod table;
pub(crate) mod wait;
pub(crate) mod why;

use std::{
    io,
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use clap::{Args, Subcommand};
use thiserror::Error;

pub(crate) use self::say::{Format, yaml};
use self::{look::Subject, say::line};
use crate::{
    client::{Client, ClientError},
    clock::Clock,
    cluster::Kind,
    server::{Called, Scope, Server},
};

/// What is no pull changes without an event; it is looked for this often.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Changes that come together are shown together.
const TOGETHER: Duration = Duration::from_millis(500);

/// The commands that ask.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what the start of a pod waits for, container by container
    #[command(visible_alias = "po", alias = "pods")]
    Pod(Question),
    /// Show how far the pods of a Deployment are with their images
    #[command(visible_alias = "deployment", alias = "deployments")]
    Deploy(Question),
    /// Show how far the pods of a StatefulSet are with their images
    #[command(visible_alias = "sts", alias = "statefulsets")]
    Statefulset(Question),
    /// Show how far the pods of a DaemonSet are with their images
    #[command(visible_alias = "ds", alias = "daemonsets")]
    Daemonset(Question),
    /// Show how far the pods of a Job are with their images
    #[command(alias = "jobs")]
    Job(Question),
    /// Show what is pulled on a node, or how the agents of all are
    #[command(alias = "nodes")]
    Node(Question),
    /// Show on which nodes an image is pulled, or was
    #[command(alias = "images")]
    Image(Question),
    /// Say what a pod or a pull waits for, with evidence, what helps and when it is tried again
    Why(why::Options),
    /// Wait until all pods of a workload have their images; ends at once when one is not to be had
    Wait(wait::Options),
    /// Look at everything that Pulltrace needs, and say what to do about what is missing
    Doctor(doctor::Options),
}

/// What is asked, and how the answer is shown.
#[derive(Debug, Args)]
pub(crate) struct Question {
    /// Its name; without, all of them are listed
    name: Option<String>,
    #[command(flatten)]
    scope: Scope,
    /// Go on showing what changes, until interrupted
    #[arg(short, long)]
    watch: bool,
    /// How to show it; else as a table
    #[arg(short, long, value_enum, value_name = "HOW")]
    output: Option<Format>,
    #[command(flatten)]
    server: Server,
}

/// What is shown when nothing is asked.
#[derive(Debug, Args)]
pub(crate) struct Overview {
    /// Go on showing what changes, until interrupted
    #[arg(short, long)]
    watch: bool,
    /// How to show it; else as a table
    #[arg(short, long, value_enum, value_name = "HOW")]
    output: Option<Format>,
    #[command(flatten)]
    scope: Scope,
    #[command(flatten)]
    pub(crate) server: Server,
}

/// What cannot be asked.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    #[error("{0:?} is no name that Kubernetes would give")]
    Name(String),
    #[error("one {0} has one namespace: leave out its name, or --all-namespaces")]
    Everywhere(&'static str),
    #[error("{0:?} is neither a pod nor KIND/NAME with pod, deployment, statefulset, daemonset, job or pull")]
    Target(String),
    #[error("{0}")]
    Unknown(String),
}

impl AskError {
    /// The exit code, as the contract lists them.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Name(_) | Self::Everywhere(_) | Self::Target(_) => 2,
            Self::Unknown(_) => 3,
        }
    }
}

/// Answers.
pub(crate) fn run(command: &Command, called: Called) -> anyhow::Result<()> {
    match command {
        Command::Pod(question) => about(Subject::Pods(Kind::Pod), question, called),
        Command::Deploy(question) => about(Subject::Pods(Kind::Deployment), question, called),
        Command::Statefulset(question) => about(Subject::Pods(Kind::StatefulSet), question, called),
        Command::Daemonset(question) => about(Subject::Pods(Kind::DaemonSet), question, called),
        Command::Job(question) => about(Subject::Pods(Kind::Job), question, called),
        Command::Node(question) => about(Subject::Nodes, question, called),
        Command::Image(question) => about(Subject::Images, question, called),
        Command::Why(options) => why::run(options, called),
        Command::Wait(options) => wait::run(options, called),
        Command::Doctor(options) => doctor::run(options, called),
    }
}

/// The words of a command line, with `KIND/NAME` in the place of the command as two words: `deploy/web` is `deploy web`.
pub(crate) fn split(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut words: Vec<String> = words.collect();
    let kinds = ["node", "nodes", "no", "image", "images"];
    let first = words.get(1).and_then(|word| word.split_once('/'));
    let is_kind = |kind: &str| Kind::by_word(kind).is_some() || kinds.contains(&kind);
    if let Some((kind, name)) = first.filter(|(kind, _)| is_kind(kind)).map(|(kind, name)| (kind.to_owned(), name.to_owned())) {
        words.splice(1..2, [kind.split('.').next().unwrap_or_default().to_owned(), name]);
    }
    words
}

/// The exit code, as the contract lists them, for what goes wrong here; `None` for errors of others.
pub(crate) fn exit_code(error: &anyhow::Error) -> Option<u8> {
    let of_ask = error.downcast_ref::<AskError>().map(AskError::code);
    of_ask.or_else(|| error.downcast_ref::<wait::WaitError>().map(wait::WaitError::code))
}

/// Answers a question about this subject.
fn about(subject: Subject, question: &Question, called: Called) -> anyhow::Result<()> {
    let name = question.name.as_deref();
    if let Some(name) = name
        && subject.has_namespace()
    {
        checked(name)?;
        if question.scope.all_namespaces {
            return Err(AskError::Everywhere(subject.word()).into());
        }
    }
    let server = &question.server;
    let namespace = if subject.has_namespace() { namespace(server, &question.scope, called)? } else { None };
    let client = server.client(called)?;
    follow(&client, question.output.unwrap_or_default(), question.watch, |client| {
        look::look(client, subject, name, namespace.as_deref(), Clock::start().now())
    })
}

/// Shows the pulls that run.
pub(crate) fn overview(overview: &Overview, called: Called) -> anyhow::Result<()> {
    // Whoever asks for nothing wants to see everything, unless one namespace is named.
    let namespace = overview.scope.namespace.as_deref().filter(|_| !overview.scope.all_namespaces);
    let client = overview.server.client(called)?;
    if !overview.watch {
        line(&mut io::stderr().lock(), &look::summary(&client)?)?;
    }
    follow(&client, overview.output.unwrap_or_default(), overview.watch, |client| look::running(client, namespace))
}

/// The namespace that is meant, as one that can stand in an address; `None` for all.
fn namespace(server: &Server, scope: &Scope, called: Called) -> anyhow::Result<Option<String>> {
    let namespace = server.namespace(scope, called).map_err(ClientError::from)?;
    namespace.as_deref().map(checked).transpose()?;
    Ok(namespace)
}

/// A name that can stand in an address.
pub(crate) fn checked(name: &str) -> Result<&str, AskError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    let is_name = !name.is_empty() && name.len() <= 253 && name.chars().all(is_plain) && !name.starts_with('.');
    if is_name { Ok(name) } else { Err(AskError::Name(name.to_owned())) }
}

/// Shows an answer, and if it is wanted what changes of it.
fn follow(
    client: &Client,
    format: Format,
    watch: bool,
    look: impl Fn(&Client) -> anyhow::Result<look::Answer>,
) -> anyhow::Result<()> {
    let mut speaker = say::Speaker::new(io::stdout().lock(), format, watch);
    let answer = look(client)?;
    if answer.table.is_empty() && !watch && matches!(format, Format::Table | Format::Wide) {
        line(&mut io::stderr().lock(), &answer.nothing)?;
    }
    speaker.say(&answer.json, answer.table)?;
    if !watch {
        return Ok(());
    }
    // One is enough to know that something changed.
    let (sender, changes) = sync_channel(1);
    let listener = client.clone();
    thread::spawn(move || listen(&listener, &sender));
    loop {
        match changes.recv_timeout(LOOK_AGAIN) {
            // Let others come that belong together; then one is waiting, or none.
            Ok(Ok(())) => drop(changes.recv_timeout(TOGETHER)),
            Ok(Err(error)) => return Err(error.into()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        match look(client) {
            Ok(answer) => speaker.say(&answer.json, answer.table)?,
            // What is gone may come back, and is not worth the end of a watch.
            Err(error) if error.is::<AskError>() || is_missing(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn is_missing(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(ClientError::Status { status: 404, .. }))
}

/// Tells of every event of the collector, until nobody listens. A stream that ends is opened once more where it ended.
fn listen(client: &Client, changes: &SyncSender<Result<(), ClientError>>) {
    let mut last_id = None;
    loop {
        match client.events(last_id.as_deref()) {
            Ok(events) => {
                for event in events {
                    last_id = event.id.or(last_id);
                    // A full channel says already that something changed.
                    drop(changes.try_send(Ok(())));
                }
            }
            Err(error) => {
                drop(changes.send(Err(error)));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_and_name_may_be_one_word() {
        let of = |words: &[&str]| split(words.iter().map(ToString::to_string)).join(" ");
        assert_eq!(of(&["pulltrace", "deploy/web", "-w"]), "pulltrace deploy web -w");
        assert_eq!(of(&["pulltrace", "deployment.apps/web"]), "pulltrace deployment web");
        assert_eq!(of(&["pulltrace", "image/nginx"]), "pulltrace image nginx");
        assert_eq!(of(&["pulltrace", "pull", "a/b"]), "pulltrace pull a/b");
        assert_eq!(of(&["pulltrace", "why", "deploy/web"]), "pulltrace why deploy/web");
        assert_eq!(of(&["pulltrace"]), "pulltrace");
    }

    #[test]
    fn only_names_of_kubernetes_come_into_addresses() {
        for name in ["", "a/b", "..", "a b", "a?b", "ä"] {
            assert!(checked(name).is_err(), "{name}");
        }
        assert!(checked("web-7c9-x2.y_z").is_ok());
    }
}
