//! The gRPC services, one file each, and what they share: how a call is answered, refused and scoped to a containerd namespace.
//!
//! Only reading is answered; every other method is UNIMPLEMENTED, with a word that says so. Codes and texts are those of the real thing.

mod content;
mod events;
mod images;
mod introspection;
mod leases;
mod namespaces;
mod snapshots;
mod version;

use std::{pin::Pin, sync::Arc};

use futures_util::Stream;
use http::{Request, Response};
use hyper::body::Incoming;
use lifecycle::time::Timestamp;
use tonic::{Status, body::Body, server::Grpc};
use tonic_prost::ProstCodec;

use super::{filter::Filters, shared::Shared, world::store::Labels};

/// An answer in pieces.
type Pieces<A> = Pin<Box<dyn Stream<Item = Result<A, Status>> + Send>>;

/// A call that was not answered yet.
pub(super) struct Call {
    shared: Arc<Shared>,
    request: Request<Incoming>,
}

impl Call {
    /// Finds the method that a request is for and answers it.
    pub(super) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok()).unwrap_or_default();
        shared.note(&path, traceparent);
        // It fails only when the simulation ends, and then there is no answer either.
        _ = shared.held.subscribe().wait_for(|held| held.is_empty() || !path.starts_with(held.as_str())).await;
        let call = Self { shared, request };
        let (service, method) = path.split_once('/').unwrap_or((&path, ""));
        match service {
            "containerd.services.content.v1.Content" => content::answer(method, call).await,
            "containerd.services.events.v1.Events" => events::answer(method, call).await,
            "containerd.services.images.v1.Images" => images::answer(method, call).await,
            "containerd.services.introspection.v1.Introspection" => introspection::answer(method, call).await,
            "containerd.services.leases.v1.Leases" => leases::answer(method, call).await,
            "containerd.services.namespaces.v1.Namespaces" => namespaces::answer(method, call).await,
            "containerd.services.snapshots.v1.Snapshots" => snapshots::answer(method, call).await,
            "containerd.services.version.v1.Version" => version::answer(method, call).await,
            unknown => Status::unimplemented(format!("unknown service {unknown}")).into_http(),
        }
    }

    /// Answers with one message.
    async fn unary<Q, A>(self, read: impl Fn(&Shared, &tonic::Request<Q>) -> Result<A, Status> + Clone) -> Response<Body>
    where
        Q: prost::Message + Default + Send + 'static,
        A: prost::Message + Send + 'static,
    {
        let shared = self.shared;
        let service = tower::service_fn(|request: tonic::Request<Q>| {
            let answer = read(&shared, &request).map(tonic::Response::new);
            async move { answer }
        });
        Grpc::new(ProstCodec::<A, Q>::default()).unary(service, self.request).await
    }

    /// Answers with several messages.
    async fn pieces<Q, A>(self, read: impl Fn(&Shared, &tonic::Request<Q>) -> Result<Vec<A>, Status>) -> Response<Body>
    where
        Q: prost::Message + Default + Send + 'static,
        A: prost::Message + Send + 'static,
    {
        let shared = self.shared;
        let service = tower::service_fn(|request: tonic::Request<Q>| {
            let answer = read(&shared, &request).map(|pieces| {
                let pieces: Pieces<A> = Box::pin(tokio_stream::iter(pieces.into_iter().map(Ok)));
                tonic::Response::new(pieces)
            });
            async move { answer }
        });
        Grpc::new(ProstCodec::<A, Q>::default()).server_streaming(service, self.request).await
    }

    /// Refuses a method that exists but is not for readers, or that does not exist.
    fn refuse(&self) -> Response<Body> {
        let path = self.request.uri().path();
        Status::unimplemented(format!("the simulated containerd only answers what reads; {path} is not answered")).into_http()
    }
}

/// The containerd namespace of a call.
fn namespace<Q>(request: &tonic::Request<Q>) -> Result<&str, Status> {
    let header = request.metadata().get("containerd-namespace").and_then(|value| value.to_str().ok());
    header
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Status::failed_precondition("namespace is required: failed precondition"))
}

/// The filters of a call.
fn parse_filters(filters: &[String]) -> Result<Filters, Status> {
    Filters::parse(filters).map_err(|error| Status::invalid_argument(format!("{error}: invalid argument")))
}

/// A time as protobuf has it.
pub(super) fn proto_time(at: Timestamp) -> prost_types::Timestamp {
    let seconds = i64::try_from(at.as_nanos() / 1_000_000_000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(at.as_nanos() % 1_000_000_000).unwrap_or_default();
    prost_types::Timestamp { seconds, nanos }
}

/// Labels as protobuf has them.
fn proto_labels(labels: &Labels) -> std::collections::HashMap<String, String> {
    labels.clone().into_iter().collect()
}

/// A number of bytes as protobuf has it.
fn proto_size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
