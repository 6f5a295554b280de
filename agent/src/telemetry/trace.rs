//! Spans about the agent itself, for who looks into the agent: what it asks containerd and how long that takes. Off unless an endpoint of
//! its own is given, and never mixed with what is said about pulls.
//!
//! There is no loop: only spans of this crate's questions to containerd are recorded, what delivers them makes none, and it runs with
//! telemetry suppressed. No thread and no timer either: spans gather for a moment after the first one has come.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use lifecycle::wire::Signal;
use opentelemetry::{Context, KeyValue, context::FutureExt as _, trace::TracerProvider as _};
use opentelemetry_proto::{
    tonic::collector::trace::v1::ExportTraceServiceRequest,
    transform::{common::tonic::ResourceAttributesWithSchema, trace::tonic::group_spans_by_resource_and_scope},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SdkTracerProvider, Span, SpanData, SpanProcessor},
};
use otlp::{Client, Endpoint};
use prost::Message as _;
use tokio::sync::Notify;
use tracing_subscriber::{
    Layer as _, Registry,
    filter::{LevelFilter, filter_fn},
};

use crate::logging::Layer;

/// Spans that wait at once; further ones are dropped, and how many is said in the log.
const MAX_SPANS: usize = 2_048;
/// How long spans gather before they go out together.
const GATHER: Duration = Duration::from_secs(2);

/// The agent's own spans, on their way to an endpoint of their own.
#[derive(Debug)]
pub struct SelfTracing {
    endpoint: Endpoint,
    provider: SdkTracerProvider,
    resource: ResourceAttributesWithSchema,
    pile: Arc<Pile>,
}

/// Spans that have ended and wait.
#[derive(Debug, Default)]
struct Pile {
    spans: Mutex<(Vec<SpanData>, u64)>,
    filled: Notify,
}

/// Puts what has ended on the pile.
#[derive(Debug)]
struct Collector(Arc<Pile>);

impl SelfTracing {
    /// For this endpoint; nothing is recorded before [`layer`](Self::layer) is part of the log.
    pub fn new(endpoint: Endpoint, node: &str) -> Self {
        let about = [
            KeyValue::new("service.name", "pulltrace-agent"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("k8s.node.name", node.to_owned()),
        ];
        let resource = Resource::builder_empty().with_attributes(about).build();
        let pile = Arc::<Pile>::default();
        let attributes = ResourceAttributesWithSchema::from(&resource);
        let provider =
            SdkTracerProvider::builder().with_resource(resource).with_span_processor(Collector(Arc::clone(&pile))).build();
        Self { endpoint, provider, resource: attributes, pile }
    }

    /// What records the spans.
    pub fn layer(&self) -> Layer {
        let ours = filter_fn(|about| about.is_span() && about.target().starts_with(env!("CARGO_CRATE_NAME")));
        tracing_opentelemetry::layer::<Registry>()
            .with_tracer(self.provider.tracer("pulltrace-agent"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_filter(ours.with_max_level_hint(LevelFilter::DEBUG))
            .boxed()
    }

    /// Sends what has ended, for ever. What the endpoint does not take is lost: nobody waits for it.
    pub async fn deliver(self) {
        let client = Client::new(self.endpoint);
        let resource = &self.resource;
        let work = async {
            loop {
                self.pile.filled.notified().await;
                tokio::time::sleep(GATHER).await;
                let (spans, dropped) = self.pile.take();
                if dropped > 0 {
                    tracing::warn!(dropped, "too many spans about the agent itself");
                }
                let resource_spans = group_spans_by_resource_and_scope(spans, resource);
                let request = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
                if let Err(error) = client.send(Signal::Traces, Bytes::from(request)).await {
                    tracing::debug!(%error, "spans about the agent itself were not taken");
                }
            }
        };
        work.with_context(Context::map_current(Context::with_telemetry_suppressed)).await;
    }
}

impl Pile {
    fn add(&self, span: SpanData) {
        let (spans, dropped) = &mut *self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.len() < MAX_SPANS {
            spans.push(span);
        } else {
            *dropped += 1;
        }
        self.filled.notify_one();
    }

    /// Everything, and how many there was no room for.
    fn take(&self) -> (Vec<SpanData>, u64) {
        mem::take(&mut *self.spans.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SpanProcessor for Collector {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.add(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use lifecycle::wire;
    use otlp::Protocol;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn tracing() -> SelfTracing {
        SelfTracing::new(Endpoint::parse("http://127.0.0.1:1", Protocol::Grpc).expect("an endpoint"), "n1")
    }

    #[test]
    fn only_our_own_spans_are_recorded_and_they_say_whose_they_are() {
        let own = tracing();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(own.layer()), || {
            let outer = tracing::debug_span!("survey").entered();
            tracing::debug_span!("call", otel.name = "Leases/List", otel.kind = "client").in_scope(|| tracing::info!("not this"));
            tracing::debug_span!(target: "h2::client", "frame").in_scope(|| ());
            tracing::trace_span!("detail").in_scope(|| ());
            drop(outer);
        });
        let (spans, dropped) = own.pile.take();
        let names: Vec<_> = spans.iter().map(|span| span.name.as_ref()).collect();
        assert_eq!((names, dropped), (vec!["Leases/List", "survey"], 0));
        assert_eq!(spans[0].parent_span_id, spans[1].span_context.span_id());
        assert_eq!(spans[0].events.len(), 0);
        let resource_spans = group_spans_by_resource_and_scope(spans, &own.resource);
        let request = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let decoded = wire::decode(Signal::Traces, &request).expect("OTLP");
        assert_eq!((decoded.accepted, decoded.rejected.total()), (2, 0));
        let shown = wire::to_json(Signal::Traces, &request).expect("OTLP").to_string();
        assert!(shown.contains("pulltrace-agent") && shown.contains("n1"), "{shown}");
    }

    #[test]
    fn what_runs_with_telemetry_suppressed_is_not_recorded() {
        let own = tracing();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(own.layer()), || {
            let suppressed = Context::enter_telemetry_suppressed_scope();
            tracing::debug_span!("export").in_scope(|| ());
            drop(suppressed);
        });
        assert_eq!(own.pile.take().0.len(), 0);
    }

    #[test]
    fn more_spans_than_there_is_room_for_are_dropped_and_counted() {
        let own = tracing();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(own.layer()), || {
            (0..MAX_SPANS + 3).for_each(|_| tracing::debug_span!("call").in_scope(|| ()));
        });
        let (spans, dropped) = own.pile.take();
        assert_eq!((spans.len(), dropped), (MAX_SPANS, 3));
    }
}
