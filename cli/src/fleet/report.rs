//! Reports pulls by OTLP as an agent does: the whole state while they run, the outcome, and the trace. When something is due is decided here;
//! queue, retries and threads are those of [`agent::teller`].

use std::{collections::BTreeMap, ffi::OsString, io, time::Duration};

use agent::{
    config::{InvalidError, OtlpArgs, Route},
    teller::Teller,
};
use clap::Parser;
use lifecycle::{
    pull::{Node, Pull, PullId},
    time::Timestamp,
};

/// Longest wait for the receiver when all pulls have ended.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);
/// A pull that changes is told this often.
const PROGRESS: Duration = Duration::from_secs(1);
/// And this often while nothing changes: receivers take the silence of 90 s for the end of whoever reports.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Variables that name a receiver. Without any of them, and without `--otlp`, nothing is reported.
const RECEIVERS: [&str; 5] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "PULLTRACE_OTLP_ENDPOINTS",
    "PULLTRACE_SERVER_URL",
];
/// Variables that name the protocol; without them it follows from the port.
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL"];
/// The port of OTLP over HTTP.
const HTTP_PORT: &str = ":4318";

/// Reads the variables by the agent's own rules.
#[derive(Debug, Parser)]
struct Variables {
    #[command(flatten)]
    otlp: OtlpArgs,
}

/// Where to report: to `given`, and as the environment says; nowhere if neither names a receiver, or `given` is `none`.
///
/// # Errors
/// For the first value that cannot be used.
pub(super) fn routes(
    given: Option<&str>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Vec<Route>>, InvalidError> {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    let mut arguments = vec!["pulltrace"];
    match given {
        Some("none") => return Ok(None),
        Some(given) => {
            let (protocol, url) = match given.split_once('=') {
                Some((protocol, url)) if !protocol.contains(':') => (Some(protocol), url),
                Some(_) | None => (None, given),
            };
            let usual = || url.trim_end_matches('/').ends_with(HTTP_PORT).then_some("http/protobuf");
            let by_port = || if PROTOCOLS.iter().any(|name| is_set(name)) { None } else { usual() };
            arguments.extend(["--otlp-endpoint", url]);
            arguments.extend(protocol.or_else(by_port).into_iter().flat_map(|protocol| ["--otlp-protocol", protocol]));
        }
        None if !RECEIVERS.iter().any(|name| is_set(name)) => return Ok(None),
        None => {}
    }
    // Every flag is ours and every value a text, so the parser has nothing to object to but what the check below says better.
    let Ok(Variables { otlp }) = Variables::try_parse_from(arguments) else { return Ok(None) };
    otlp.routes().map(Some)
}

/// Tells the receivers how pulls stand.
#[derive(Debug)]
pub(super) struct Reporter {
    teller: Teller,
    told: BTreeMap<PullId, Pull>,
}

impl Reporter {
    pub(super) fn start(routes: Vec<Route>, node: Node, now: Timestamp) -> io::Result<Self> {
        Ok(Self { teller: Teller::start(routes, node, env!("CARGO_PKG_VERSION"), now)?, told: BTreeMap::new() })
    }

    /// Takes in how a pull stands; never waits.
    pub(super) fn show(&mut self, pull: &Pull) {
        let before = self.told.get(&pull.id);
        if is_due(before, pull) {
            // Also what only shows that somebody is still there is news to the receiver.
            let sequence = before.map_or(pull.sequence, |before| pull.sequence.max(before.sequence + 1));
            let pull = Pull { sequence, ..pull.clone() };
            self.teller.pull(before.is_none(), pull.clone());
            self.told.insert(pull.id, pull);
        }
    }

    /// Waits until everything has arrived, but not for long; a sentence if it did not.
    pub(super) fn end(self) -> Option<String> {
        let troubles = self.teller.end(FAREWELL).err()?;
        let why = troubles.into_iter().collect::<Vec<_>>().join("; ");
        let why = if why.is_empty() { format!("no answer within {} s", FAREWELL.as_secs()) } else { why };
        Some(format!("not everything was reported by OTLP: {why}").replace(char::is_control, " "))
    }
}

fn is_due(before: Option<&Pull>, pull: &Pull) -> bool {
    let Some(before) = before else { return true };
    if before.ending.is_some() {
        return false;
    }
    let passed = pull.observed_at.since(before.observed_at);
    let turned = (before.phase, &before.wait) != (pull.phase, &pull.wait);
    pull.ending.is_some() || turned || (passed >= PROGRESS && has_changed(before, pull)) || passed >= SIGN_OF_LIFE
}

fn has_changed(before: &Pull, pull: &Pull) -> bool {
    Pull { sequence: pull.sequence, observed_at: pull.observed_at, ..before.clone() } != *pull
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use lifecycle::pull::{Outcome, Phase};

    use super::*;
    use crate::log::tests::{START, ended, node, pull};

    fn origins(given: Option<&str>, variables: &[(&str, &str)]) -> Option<Vec<String>> {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        let routes = routes(given, variable).unwrap()?;
        let protocol = |route: &Route| if format!("{route:?}").contains("protocol: Grpc") { "grpc" } else { "http" };
        Some(routes.iter().map(|route| format!("{} {}", protocol(route), route.endpoint.origin())).collect())
    }

    #[test]
    fn nothing_is_reported_unless_somebody_names_a_receiver() {
        assert_eq!(origins(None, &[]), None);
        assert_eq!(origins(None, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), None);
        assert_eq!(origins(Some("none"), &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317")]), None);
    }

    #[test]
    fn the_protocol_follows_from_the_port_unless_it_is_said() {
        assert_eq!(origins(Some("http://c:4317"), &[]).unwrap(), ["grpc http://c:4317"]);
        assert_eq!(origins(Some("http://c:4318/"), &[]).unwrap(), ["http http://c:4318"]);
        assert_eq!(origins(Some("http/protobuf=https://c"), &[]).unwrap(), ["http https://c"]);
        assert_eq!(origins(Some("grpc=http://c:4318"), &[]).unwrap(), ["grpc http://c:4318"]);
    }

    #[test]
    fn a_receiver_that_cannot_be_one_is_told_without_its_secret() {
        let told = |given| routes(Some(given), |_| None).unwrap_err().to_string();
        assert!(told("c:4317").contains("OTEL_EXPORTER_OTLP_ENDPOINT=\"c:4317\""));
        assert!(!told("http://user:hunter2@c:4317").contains("hunter2"));
        assert!(told("pigeon=http://c").contains("pigeon"));
    }

    #[test]
    fn a_pull_is_told_when_it_turns_and_ends_once_a_second_while_it_changes_and_now_and_then_else() {
        let at = |millis: u64, pull: Pull| Pull { observed_at: START + Duration::from_millis(millis), ..pull };
        let before = at(0, pull(10));
        assert!(is_due(None, &before));
        let due = |pull: Pull| is_due(Some(&before), &pull);
        assert!(!due(at(999, pull(20))) && due(at(1_000, pull(20))));
        assert!(!due(at(14_999, pull(10))) && due(at(15_000, pull(10))));
        assert!(due(at(1, Pull { phase: Phase::Unpacking, ..pull(10) })));
        assert!(due(at(1, ended(Outcome::Ready))));
        assert!(!is_due(Some(&ended(Outcome::Ready)), &ended(Outcome::Ready)), "an end is told once");
    }

    #[test]
    fn a_receiver_that_is_away_costs_a_sentence_and_no_more() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let routes = routes(Some(&format!("http/protobuf=http://{address}")), |_| None).unwrap().unwrap();
        let mut reporter = Reporter::start(routes, node(), START).unwrap();
        reporter.show(&pull(0));
        reporter.show(&ended(Outcome::Ready));
        let told = reporter.end().unwrap();
        assert!(told.starts_with(&format!("not everything was reported by OTLP: http://{address}: cannot connect")), "{told}");
    }
}
