//! Events: a subscription gets what happens from now on, of all namespaces.
//!
//! As with the real thing the response headers come only with the first event. Unlike the real thing the queue of a subscriber is
//! bounded: one that does not read loses its stream, with a word that says so.

use std::sync::Arc;

use containerd_client::{services::v1::SubscribeRequest, types::Envelope};
use futures_util::{StreamExt, stream};
use http::Response;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tonic::{Request, Status, body::Body, server::Grpc};
use tonic_prost::ProstCodec;

use super::{Call, Pieces};
use crate::containerd::simulated::{events::Event, filter::Filters, shared::Shared};

pub(super) async fn answer(method: &str, call: Call) -> Response<Body> {
    match method {
        "Subscribe" => {
            let (shared, request) = (call.shared, call.request);
            let service = tower::service_fn(|request: Request<SubscribeRequest>| subscribe(Arc::clone(&shared), request));
            Grpc::new(ProstCodec::<Envelope, SubscribeRequest>::default()).server_streaming(service, request).await
        }
        _ => call.refuse(),
    }
}

async fn subscribe(shared: Arc<Shared>, request: Request<SubscribeRequest>) -> Result<tonic::Response<Pieces<Envelope>>, Status> {
    let filters = Filters::parse(&request.get_ref().filters)
        .map_err(|error| Status::unknown(format!("subscription error: failed parsing subscription filters: {error}")))?;
    let personality = shared.look(|simulation| simulation.personality());
    let passing = stream::unfold((shared.subscribe(), filters), move |(mut queue, filters)| async move {
        let event = next(&mut queue, &filters).await?;
        Some((event.map(|event| event.envelope(personality)), (queue, filters)))
    });
    let mut passing = Box::pin(passing.peekable());
    passing.as_mut().peek().await;
    Ok(tonic::Response::new(passing))
}

/// The next event that passes; none when there will be no more.
async fn next(queue: &mut Receiver<Arc<Event>>, filters: &Filters) -> Option<Result<Arc<Event>, Status>> {
    loop {
        match queue.recv().await {
            Ok(event) if filters.pass(|path| event.field(path)) => return Some(Ok(event)),
            Ok(_) => {}
            Err(RecvError::Lagged(lost)) => {
                return Some(Err(Status::resource_exhausted(format!("the subscriber did not read, {lost} events were lost"))));
            }
            Err(RecvError::Closed) => return None,
        }
    }
}
