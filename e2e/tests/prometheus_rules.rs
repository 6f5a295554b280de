//! Everything that is asked of Prometheus runs there and has an answer: each panel and variable of the dashboards, each recording rule, and each
//! alert in the scene that it is about. The time that an alert waits is for promtool's tests; here its expression must come true.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use e2e::clock;
use e2e::host::Host;
use e2e::prometheus::{Job, Prometheus, Release};
use e2e::promql::{self, Asked};
use e2e::pulltrace::{Agent, Collector};
use e2e::scene::api::Api;
use e2e::scene::catalog;
use e2e::scene::player::Player;
use e2e::simulated::Simulated;
use e2e::swarm::{Habit, Swarm};
use e2e::tools::{Need, Tools};
use serde_json::Value;

/// An agent is taken for silent after 90 s, and missed after 120; rules are evaluated every 30.
const LIMIT: Duration = Duration::from_secs(240);
/// Between two rounds of questions.
const PAUSE: Duration = Duration::from_secs(2);
/// Rounds between two disturbances.
const DISTURB_EVERY: u32 = 10;
/// Nodes of the scenes that are about many.
const NODES: usize = 20;

/// What real agents see.
const REAL: [&str; 3] = ["demo", "failed", "cached"];

/// Each alert with a label of what its scene does: the alert must name that.
const ALERTS: [(&str, &str, &str); 13] = [
    ("PulltraceImagePullStalled", "node", "stalled-"),
    ("PulltracePullSlow", "registry", "far.example.org"),
    ("PulltracePullFailing", "class", "unauthorized"),
    ("PulltraceRegistryRateLimited", "registry", "hub.example.net"),
    ("PulltraceRegistryErrorRatio", "registry", "flaky.example.net"),
    ("PulltraceNodePullStorm", "node", "storm-"),
    ("PulltraceNodeDiskBound", "node", "disk-bound-"),
    ("PulltracePullQueueLong", "node", "queue-"),
    ("PulltraceRolloutWillMissDeadline", "workload", "checkout"),
    ("PulltraceImageRepullChurn", "registry", "mirror.example.org"),
    ("PulltraceAgentDown", "node", "agent-away-"),
    ("PulltraceAgentLagging", "node", "late-"),
    ("PulltraceCorrelationDegraded", "cluster", "test"),
];

/// A question, and what one of the series of its answer must have.
struct Question {
    asked: Asked,
    label: Option<(&'static str, &'static str)>,
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn rules() -> PathBuf {
    repository("rules/pulltrace-rules.yaml")
}

/// A real agent beside a simulated containerd.
fn real_agent(scenario: &'static str, collector: &Collector) -> (Simulated, Agent) {
    let containerd = Simulated::start(scenario);
    let agent = containerd.watched(&format!("{scenario}-real"), &collector.endpoint());
    (containerd, agent)
}

/// A thread that plays all scenes; ends when this is dropped.
struct Playing {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Playing {
    fn start(collector: &Collector, api: Api) -> Self {
        let mut player = Player::new(&catalog::SCENES, NODES, &collector.otlp_url("/v1/logs"), &api, clock::now());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                let told = player.tick(&api, clock::now());
                assert_eq!(told, Ok(()), "the collector takes what is told");
                clock::pause(Duration::from_secs(1));
            }
        });
        Self { stop, thread: Some(thread) }
    }

    fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.thread.take().map(JoinHandle::join);
    }
}

/// A cluster in which everything happens that is asked about. Fields are in the order in which they end.
struct Cluster {
    playing: Playing,
    _readers: Swarm,
    agents: Vec<(Simulated, Agent)>,
    collector: Collector,
    _behind: Collector,
}

impl Cluster {
    fn start() -> Self {
        let api = Api::start();
        let (kubeconfig, behind) = (api.kubeconfig(), Collector::start(&[]));
        let sinks = format!("{},http://127.0.0.1:9", behind.endpoint());
        let env = [("PULLTRACE_KUBERNETES", "on"), ("KUBECONFIG", &*kubeconfig), ("PULLTRACE_FORWARD_OTLP_ENDPOINT", &*sinks)];
        let collector = Collector::start(&env);
        let agents = REAL.map(|scenario| real_agent(scenario, &collector)).into();
        let readers = Swarm::connect(collector.http_port(), "/api/v1/events", false, Habit::Reads, 2);
        let playing = Playing::start(&collector, api);
        Self { playing, _readers: readers, agents, collector, _behind: behind }
    }

    fn jobs(&self) -> [Job; 2] {
        let cluster = || ("cluster", "test".to_owned());
        let agent = |(number, (_, agent)): (usize, &(Simulated, Agent))| {
            (agent.metrics_address(), vec![cluster(), ("node", format!("real-{number}"))])
        };
        let collector = vec![(self.collector.metrics_address(), vec![cluster()])];
        let agents = self.agents.iter().enumerate().map(agent).collect();
        [Job { name: "pulltrace-collector", targets: collector }, Job { name: "pulltrace-agent", targets: agents }]
    }

    /// A request that is no OTLP, and a containerd that is killed in the middle of an answer.
    fn disturb(&mut self) {
        // It is refused, which is what it is for.
        ureq::post(&self.collector.otlp_url("/v1/logs")).content_type("application/json").send("{").ok();
        let (first, _) = &mut self.agents[0];
        first.freeze();
        clock::pause(PAUSE);
        first.crash();
    }
}

/// Everything that the dashboards ask.
fn of_dashboards() -> Vec<Question> {
    let files = fs::read_dir(repository("dashboards")).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    files.sort();
    assert_eq!(files.is_empty(), !repository("dashboards").exists(), "a folder for dashboards has some");
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("a dashboard can be read");
        serde_json::from_str::<Value>(&text).expect("a dashboard is JSON")
    };
    let asked = files.iter().flat_map(|path| promql::of_dashboard(&read(path)));
    // Where no folder lies on a block device, no agent finds a disk.
    let can_be = |asked: &Asked| Host::has_disk() || !asked.expression.contains("pulltrace_host_disk_");
    asked.filter(can_be).map(|asked| Question { asked, label: None }).collect()
}

/// Every rule as Prometheus has read it.
fn of_rules(prometheus: &Prometheus) -> Vec<Question> {
    let answer = prometheus.get("/api/v1/rules", &[]).expect("prometheus answers");
    let groups = answer["groups"].as_array().cloned().unwrap_or_default();
    let rules: Vec<Value> = groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect();
    let places: BTreeMap<_, _> = ALERTS.iter().map(|(name, label, value)| (*name, (*label, *value))).collect();
    let mut alerts = 0;
    let questions: Vec<Question> = rules
        .iter()
        .map(|rule| {
            let name = rule["name"].as_str().expect("a rule has a name");
            let is_alert = rule["type"] == "alerting";
            alerts += usize::from(is_alert);
            let label = is_alert.then(|| *places.get(name).unwrap_or_else(|| panic!("{name} has no scene in this test")));
            let expression = if is_alert { rule["query"].as_str().unwrap_or_default() } else { name };
            Question { asked: Asked { by: name.to_owned(), expression: expression.to_owned() }, label }
        })
        .collect();
    assert_eq!(alerts, ALERTS.len(), "every alert of this test is in the rules");
    questions
}

/// Why a question has no answer yet.
fn unanswered(prometheus: &Prometheus, question: &Question) -> Option<String> {
    let series = match prometheus.query(&question.asked.expression) {
        Ok(series) => series,
        Err(why) => return Some(why),
    };
    // What is no number is shown as nothing.
    let fits = |series: &Value| {
        series["value"][1] != "NaN"
            && question
                .label
                .is_none_or(|(label, value)| series["metric"][label].as_str().is_some_and(|is| is.starts_with(value)))
    };
    match series.iter().any(fits) {
        true => None,
        false if series.is_empty() => Some("nothing".to_owned()),
        false => Some(format!("only {series:?}")),
    }
}

/// Asks until everything was answered once.
fn ask(cluster: &mut Cluster, prometheus: &[(Release, Prometheus)]) {
    let mut open: Vec<(usize, Question)> = Vec::new();
    for (number, (_, prometheus)) in prometheus.iter().enumerate() {
        open.extend(of_dashboards().into_iter().chain(of_rules(prometheus)).map(|question| (number, question)));
    }
    let begun = Instant::now();
    for round in 0.. {
        if round % DISTURB_EVERY == 0 {
            cluster.disturb();
        }
        let mut why = Vec::new();
        open.retain(|(number, question)| {
            let (release, prometheus) = &prometheus[*number];
            let answer = unanswered(prometheus, question);
            why.extend(answer.iter().map(|answer| {
                let Asked { by, expression } = &question.asked;
                format!("Prometheus {release}: {by}: {answer}\n    {expression}")
            }));
            answer.is_some()
        });
        if open.is_empty() {
            return;
        }
        assert!(!cluster.playing.is_over(), "the scenes go on");
        assert!(begun.elapsed() < LIMIT, "{} without an answer:\n{}", why.len(), why.join("\n"));
        clock::pause(PAUSE);
    }
}

#[test]
fn every_panel_rule_and_alert_has_an_answer_in_a_cluster_where_everything_happens() {
    let test = "every_panel_rule_and_alert_has_an_answer_in_a_cluster_where_everything_happens";
    let needs = [Need::Prometheus(Release::V2), Need::Prometheus(Release::V3), Need::Pulltrace, Need::Simulated];
    let Some(tools) = Tools::find(test, &needs) else { return };
    let mut cluster = Cluster::start();
    let started = Release::ALL.map(|release| (release, Prometheus::start(&tools, release, None, &cluster.jobs(), &[rules()])));
    ask(&mut cluster, &started);
    for (release, prometheus) in &started {
        let answer = prometheus.get("/api/v1/rules", &[]).expect("prometheus answers");
        let groups = answer["groups"].as_array().cloned().unwrap_or_default();
        for rule in groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()) {
            assert_eq!(rule["health"], "ok", "Prometheus {release}: {rule}");
        }
    }
    cluster.collector.has_not_panicked();
}

#[test]
fn promtool_agrees_when_each_alert_speaks_and_what_it_says() {
    let test = "promtool_agrees_when_each_alert_speaks_and_what_it_says";
    let Some(tools) = Tools::find(test, &[Need::Promtool]) else { return };
    for (args, file) in [(["check", "rules"], rules()), (["test", "rules"], repository("rules/pulltrace-rules.test.yaml"))] {
        let said = Command::new(tools.program("promtool")).args(args).arg(&file).output().expect("promtool starts");
        let words = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "promtool {args:?}: {words}");
    }
}
