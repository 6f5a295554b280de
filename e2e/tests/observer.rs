//! What the agent does to the containerd that it observes: it only reads, and a traced containerd does not fill with spans of it. The
//! witness is containerd itself, by its count of the calls it served and by the spans it made.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::clock;
use e2e::containerd::{Containerd, Extra};
use e2e::image::{self, Form};
use e2e::link::Link;
use e2e::on_containerd;
use e2e::otlp_sink::Sink;
use e2e::pulltrace::{Agent, Collector, free_address};
use e2e::registry::Registry;
use e2e::site::reference;
use e2e::tools::{Need, Tools, Version};

/// Every call that the agent may make: each only reads.
const READS: [&str; 11] = [
    "containerd.services.namespaces.v1.Namespaces/List",
    "containerd.services.leases.v1.Leases/List",
    "containerd.services.leases.v1.Leases/ListResources",
    "containerd.services.content.v1.Content/ListStatuses",
    "containerd.services.content.v1.Content/Info",
    "containerd.services.content.v1.Content/Read",
    "containerd.services.images.v1.Images/List",
    "containerd.services.images.v1.Images/Get",
    "containerd.services.snapshots.v1.Snapshots/Stat",
    "containerd.services.events.v1.Events/Subscribe",
    "containerd.services.introspection.v1.Introspection/Server",
];

/// And these, of services with one harmless call more.
const ASKS: [&str; 2] =
    ["containerd.services.introspection.v1.Introspection/Plugins", "containerd.services.version.v1.Version/Version"];

/// The call by which the agent finds pulls.
const LIST: &str = "containerd.services.leases.v1.Leases/List";

/// How long the agent looks on while nothing happens.
const QUIET: Duration = Duration::from_secs(3);

fn the_agent_makes_only_calls_that_read(test: &str, version: Version) {
    let needs = [Need::Root, Need::Containerd(version), Need::Registry, Need::Pulltrace];
    let Some(tools) = Tools::find(test, &needs) else { return };
    let metrics = free_address();
    let play = Play::set(&tools, version, Extra { metrics: Some(metrics.clone()), ..Extra::default() });
    play.act();
    // `ctr` was not used and CRI is another service, so whatever else was served was the agent's.
    let served = served(&metrics);
    let own: BTreeMap<_, _> = served.iter().filter(|(method, _)| !method.starts_with("runtime.v1")).collect();
    let forbidden: Vec<_> = own.keys().filter(|m| !READS.contains(&m.as_str()) && !ASKS.contains(&m.as_str())).collect();
    assert!(forbidden.is_empty(), "calls that are no reading: {forbidden:?} of {own:#?}");
    for needed in ["Leases/ListResources", "Content/ListStatuses", "Content/Read"] {
        assert!(own.keys().any(|m| m.ends_with(needed)), "the count does not see the agent at work: {own:#?}");
    }
}

on_containerd!(the_agent_makes_only_calls_that_read: V1_6, V1_7, V2_1, V2_4);

fn while_nothing_but_bytes_comes_only_the_downloads_are_asked_for(test: &str, version: Version) {
    let needs = [Need::Root, Need::Containerd(version), Need::Registry, Need::Pulltrace];
    let Some(tools) = Tools::find(test, &needs) else { return };
    let metrics = free_address();
    let play = Play::set(&tools, version, Extra { metrics: Some(metrics.clone()), ..Extra::default() });
    let image = image::push(&play.registry, "team/long:v1", &image::layers(97, &[40]), Form::OciIndex);
    let pull = play.containerd.pull(&reference(&image));
    play.collector.until_pull("bytes", Duration::from_secs(10), |pull| pull["downloadedBytes"].as_u64() > Some(4_000_000));
    let count = || {
        let served = served(&metrics);
        [LIST, "containerd.services.content.v1.Content/ListStatuses"].map(|method| served.get(method).copied().unwrap_or(0.0))
    };
    let [lists, statuses] = count();
    let after = clock::until("looks at the downloads", Duration::from_secs(10), || {
        let [lists, looks] = count();
        (looks >= statuses + 4.0).then_some(lists)
    });
    assert!(after <= lists + 1.0, "{} lists of leases during four looks, and nothing was written", after - lists);
    pull.cancel();
}

on_containerd!(while_nothing_but_bytes_comes_only_the_downloads_are_asked_for: V1_6, V1_7, V2_1, V2_4);

fn a_traced_containerd_makes_no_span_for_its_observer(test: &str, version: Version) {
    let needs = [Need::Root, Need::Containerd(version), Need::Registry, Need::Otelcol, Need::Pulltrace];
    let Some(tools) = Tools::find(test, &needs) else { return };
    let sink = Sink::start(&tools);
    let play = Play::set(&tools, version, Extra { spans: Some(sink.http_endpoint()), ..Extra::default() });
    // Calls without our trace context are the proof that spans would be seen: `ctr` lists the leases as the agent does. It asks
    // who is there, too; how often is seen from a second time. 1.7 makes spans for pulls, and for calls of anybody none.
    let of_calls = usize::from(version != Version::V1_7);
    let list = |lists: usize, pulls: usize| {
        play.containerd.ctr(&["--namespace", "k8s.io", "leases", "list"]);
        clock::until("the spans of what is traced", Duration::from_secs(20), || {
            let names = names(&sink);
            let pulled: usize = names.iter().filter(|(name, _)| name.ends_with("PullImage")).map(|(_, count)| count).sum();
            (names.get(LIST).copied().unwrap_or(0) >= lists && pulled >= pulls).then_some(names)
        })
    };
    let before = list(of_calls, 0);
    play.act();
    let after = list(2 * of_calls, 2);
    for read in READS.iter().chain(&ASKS) {
        let count = |names: &BTreeMap<String, usize>| names.get(*read).copied().unwrap_or(0);
        assert_eq!(count(&after), 2 * count(&before), "spans of the observer: {read} in {after:#?}");
    }
}

on_containerd!(a_traced_containerd_makes_no_span_for_its_observer: V1_7, V2_1, V2_4);

/// An agent on a containerd that has something more than usual. Fields are in the order in which they end.
struct Play {
    agent: Agent,
    collector: Collector,
    containerd: Containerd,
    _link: Link,
    registry: Registry,
}

impl Play {
    fn set(tools: &Tools, version: Version, extra: Extra) -> Self {
        let registry = Registry::start(tools);
        let link = Link::start(registry.port());
        link.set_rate(Some(4_000_000));
        let containerd = Containerd::with(tools, version, extra);
        containerd.map(e2e::site::REGISTRY, link.port());
        let collector = Collector::start(&[]);
        let agent = Agent::start("node-1", &containerd.socket(), &collector.endpoint(), &[]);
        agent.until_ready();
        Self { agent, collector, containerd, _link: link, registry }
    }

    /// A pull, a canceled one, and quiet: everything that an agent asks for.
    fn act(&self) {
        let image = image::push(&self.registry, "team/seen:v1", &image::layers(90, &[4, 2]), Form::OciIndex);
        self.containerd.pull(&reference(&image)).wait().expect("the pull succeeds");
        self.collector.until_pull("the outcome", Duration::from_secs(10), |pull| pull["outcome"] == "ready");
        let other = image::push(&self.registry, "team/seen:v2", &image::layers(95, &[12]), Form::OciIndex);
        let pull = self.containerd.pull(&reference(&other));
        self.collector.until_pull("the second", Duration::from_secs(10), |pull| {
            pull["downloadedBytes"].as_u64() > Some(0) && pull["outcome"].is_null()
        });
        pull.cancel();
        self.collector.until_pull("the cancellation", Duration::from_secs(10), |pull| pull["outcome"] == "canceled");
        clock::pause(QUIET);
        assert!(self.agent.is_ready());
    }
}

/// How often containerd served each gRPC method, by its own count (`grpc_server_started_total`).
fn served(metrics: &str) -> BTreeMap<String, f64> {
    let url = format!("http://{metrics}/v1/metrics");
    let text = ureq::get(&url).call().and_then(|mut a| a.body_mut().read_to_string()).expect("containerd's metrics answer");
    let label = |line: &str, name: &str| Some(line.split_once(&format!("{name}=\""))?.1.split_once('"')?.0.to_owned());
    let sample = |line: &str| {
        line.strip_prefix("grpc_server_started_total{")?;
        let count: f64 = line.rsplit_once(' ')?.1.parse().ok()?;
        Some((format!("{}/{}", label(line, "grpc_service")?, label(line, "grpc_method")?), count))
    };
    text.lines().filter_map(sample).filter(|(_, count)| *count > 0.0).collect()
}

/// How many spans of each name arrived.
fn names(sink: &Sink) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    sink.spans().into_iter().for_each(|s| *names.entry(s.name).or_default() += 1);
    names
}
