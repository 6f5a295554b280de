//! A pull is one trace, sent once: shown with a stock OpenTelemetry Collector as the receiver, behind the collector and in its place.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::clock::{self, Seconds};
use e2e::containerd::Containerd;
use e2e::follow::{Follow, ended, id};
use e2e::image::{self, Form, Image};
use e2e::link::Link;
use e2e::on_containerd;
use e2e::otlp_sink::{Sink, Span};
use e2e::pulltrace::{Agent, Collector};
use e2e::registry::Registry;
use e2e::tools::{Need, Tools, Version};
use e2e::truth::Truth;

/// How far a span's time may be from containerd's own, where no event tells it.
const BY_ASKING: Seconds = 1.2;

fn a_pull_is_one_trace_that_is_sent_once(test: &str, version: Version) {
    let needs = [Need::Root, Need::Containerd(version), Need::Registry, Need::Pulltrace, Need::Otelcol];
    let Some(tools) = Tools::find(test, &needs) else { return };
    let registry = Registry::start(&tools);
    let link = Link::start(registry.port());
    link.set_rate(Some(2_000_000));
    let containerd = Containerd::start(&tools, version);
    containerd.map("slow.test", link.port());
    let truth = Truth::watch(&containerd);
    let (behind, instead) = (Sink::start(&tools), Sink::start(&tools));
    let collector = Collector::start(&[("PULLTRACE_FORWARD_OTLP_ENDPOINT", &behind.grpc_endpoint())]);
    let with_collector = Agent::start("with", &containerd.socket(), &collector.endpoint(), &[]);
    let without = Agent::start("without", &containerd.socket(), &instead.grpc_endpoint(), &[]);
    with_collector.until_ready();
    without.until_ready();
    let image = image::push(&registry, "team/trace:v1", &image::layers(70, &[4, 2]), Form::OciIndex);
    containerd.pull("slow.test/team/trace:v1").wait().expect("the pull succeeds");
    let mut follow = Follow::default();
    let pulls = follow.until(&collector, "the outcome", Duration::from_secs(5), |p| p.iter().any(|p| ended(p, "ready")));
    let sinks = [&behind, &instead];
    let traces =
        sinks.map(|sink| clock::until("the trace", Duration::from_secs(10), || Some(sink.spans()).filter(|s| !s.is_empty())));
    traces.iter().for_each(|spans| is_the_trace_of(spans, &image, &truth));
    // Later requests would double a trace: the next trace shows that the connection lives and nothing more came of the first.
    containerd.pull("slow.test/team/trace:v1").wait().expect("pulling again succeeds");
    for (sink, spans) in sinks.iter().zip(&traces) {
        let of_first = |all: &[Span]| all.iter().filter(|s| s.trace_id == spans[0].trace_id).count();
        let all = clock::until("a later trace", Duration::from_secs(10), || {
            Some(sink.spans()).filter(|all| all.iter().any(|s| s.trace_id != spans[0].trace_id))
        });
        assert_eq!(of_first(&all), spans.len(), "the trace came again");
    }
    assert_eq!(behind.spans()[0].trace_id, id(&pulls[0]), "the trace id is the pull's id");
    assert_eq!(behind.spans()[0].trace_id, instead.spans()[0].trace_id, "two agents on one containerd know the same pull");
}

on_containerd!(a_pull_is_one_trace_that_is_sent_once: V1_7, V2_4);

fn is_the_trace_of(spans: &[Span], image: &Image, truth: &Truth) {
    let one = |values: BTreeSet<String>| values.len() == 1;
    assert!(one(spans.iter().map(|s| s.trace_id.clone()).collect()), "one trace: {spans:#?}");
    assert!(one(spans.iter().map(|s| s.request.to_string()).collect()), "in one request: {spans:#?}");
    assert_eq!(spans.iter().map(|s| &s.span_id).collect::<BTreeSet<_>>().len(), spans.len(), "span ids differ");
    let named = |name: &str| spans.iter().filter(|s| s.name == name).collect::<Vec<_>>();
    let roots = named("pull image");
    assert_eq!((roots.len(), named("resolve image").len()), (1, 1), "{spans:#?}");
    let root = roots[0];
    assert_eq!(root.text("container.image.name").map(|n| n.contains("team/trace")), Some(true), "{root:#?}");
    assert!(root.parent_id.is_empty() && spans.iter().filter(|s| s.parent_id.is_empty()).count() == 1, "one root");
    let ids: BTreeSet<&str> = spans.iter().map(|s| s.span_id.as_str()).collect();
    for span in spans.iter().filter(|s| s.name != "pull image") {
        assert!(ids.contains(span.parent_id.as_str()), "a parent that is not in the trace: {span:#?}");
        assert!(
            span.start >= root.start - 0.001 && span.end <= root.end + 0.001 && span.start <= span.end,
            "{span:#?} {root:#?}"
        );
    }
    let (downloads, unpacks) = (named("download layer"), named("unpack layer"));
    assert_eq!((downloads.len(), unpacks.len()), (image.layers.len(), image.layers.len()), "{spans:#?}");
    for (layer, real) in image.layers.iter().zip(truth.layers(image)) {
        let of = |spans: &[&Span]| {
            let mut found = spans.iter().filter(|s| s.text("pulltrace.layer.digest") == Some(&layer.digest));
            let span = (*found.next().unwrap_or_else(|| panic!("no span of {} in {spans:#?}", layer.digest))).clone();
            assert!(found.next().is_none(), "two spans of {}", layer.digest);
            span
        };
        let (download, unpack) = (of(&downloads), of(&unpacks));
        assert_eq!(download.integer("pulltrace.layer.size").and_then(|n| u64::try_from(n).ok()), Some(layer.size));
        for (told, known) in [(download.start, real.opened), (download.end, real.committed), (unpack.end, real.unpack_ended)] {
            let known = known.expect("containerd told it");
            assert!((told - known).abs() <= BY_ASKING, "off by {:.3} s: {download:#?} {unpack:#?} {real:?}", told - known);
        }
    }
}
