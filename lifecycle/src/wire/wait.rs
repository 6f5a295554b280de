//! The spans that the collector adds to the trace of a pull: one for each container that waited for it, told once, when its wait is over.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind},
};
use prost::Message;

use super::{
    MAX_MESSAGE, SCHEMA_URL,
    attribute::{Attributes, resource, scope},
    encode::SAMPLED,
    root_span,
    span::error_status,
};
use crate::{
    image::ImageRef,
    names,
    pull::{Failure, Node, PullId, TimingSource},
    time::Timestamp,
};

/// Role from which the ids of these spans are made. It never changes.
const ROLE: &str = "container";

/// One container that waited for one pull.
#[derive(Clone, Copy, Debug)]
pub struct ImageWait<'a> {
    /// The pull.
    pub pull: PullId,
    /// Whether an agent tells of the pull, so that its trace has a root.
    pub has_root: bool,
    /// Namespace of the pod.
    pub namespace: &'a str,
    /// Name of the pod.
    pub pod: &'a str,
    /// Uid of the pod.
    pub uid: &'a str,
    /// Name of the container, or of the volume.
    pub container: &'a str,
    /// Kind and name of who made the pod.
    pub workload: Option<(&'a str, &'a str)>,
    /// The image.
    pub image: Option<&'a ImageRef>,
    /// When the kubelet asked for the image.
    pub from: Timestamp,
    /// When the image was there, or was not to be had.
    pub until: Timestamp,
    /// Why it was not to be had.
    pub failure: Option<&'a Failure>,
}

/// These waits on one node, each a span `wait for image`, as the bytes of one `ExportTraceServiceRequest`. The same wait has the same id
/// whoever tells it.
pub fn image_waits<'a>(node: &Node, version: &str, waits: impl IntoIterator<Item = ImageWait<'a>>) -> Vec<u8> {
    let spans = waits.into_iter().map(|wait| span(&wait)).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, schema_url: SCHEMA_URL.to_owned() }];
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource(node, version)), scope_spans, schema_url: SCHEMA_URL.to_owned() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn span(wait: &ImageWait<'_>) -> Span {
    let mut attributes = Attributes::default();
    for (name, text) in [
        (names::NAMESPACE_NAME, wait.namespace),
        (names::POD_NAME, wait.pod),
        (names::POD_UID, wait.uid),
        (names::CONTAINER_NAME, wait.container),
    ] {
        attributes.text(name, text);
    }
    if let Some((kind, name)) = wait.workload {
        attributes.text(names::WORKLOAD_KIND, kind);
        attributes.text(names::WORKLOAD_NAME, name);
    }
    if let Some(image) = wait.image {
        attributes.image(image);
    }
    attributes.whole(names::TIMING_SOURCE, TimingSource::Event.as_str());
    if let Some(failure) = wait.failure {
        attributes.whole(names::ERROR_TYPE, failure.class.as_str());
    }
    let parent = if wait.has_root { root_span(wait.pull).as_bytes().to_vec() } else { Vec::new() };
    // Names hold no blanks, so no two containers have one role.
    let role = format!("{ROLE} {} {} {} {}", wait.namespace, wait.pod, wait.uid, wait.container);
    Span {
        trace_id: wait.pull.as_bytes().to_vec(),
        span_id: wait.pull.span(&role, None).as_bytes().to_vec(),
        parent_span_id: parent,
        flags: SAMPLED,
        name: names::SPAN_WAIT_IMAGE.to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: wait.from.as_nanos(),
        end_time_unix_nano: wait.until.max(wait.from).as_nanos(),
        attributes: attributes.into_vec(),
        status: wait.failure.map(|failure| error_status(failure, MAX_MESSAGE)),
        ..Span::default()
    }
}
