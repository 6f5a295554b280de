//! Content: what was committed, and what is being written. Layers have no bytes to read.

use containerd_client::services::v1::{
    Info, InfoRequest, InfoResponse, ListContentRequest, ListContentResponse, ListStatusesRequest, ListStatusesResponse,
    ReadContentRequest, ReadContentResponse, StatusRequest, StatusResponse,
};
use http::Response;
use lifecycle::image::Digest;
use tonic::{Request, Status, body::Body};

use super::{Call, namespace, parse_filters, proto_labels, proto_size, proto_time};
use crate::containerd::simulated::{
    filter::label,
    shared::Shared,
    world::store::{Content, Ingest},
};

/// Most entries in one piece of a list.
const PIECE_ENTRIES: usize = 100;
/// Most bytes in one piece of content.
const PIECE_BYTES: usize = 1 << 20;

pub(super) async fn answer(method: &str, call: Call) -> Response<Body> {
    match method {
        "Info" => call.unary(info).await,
        "List" => call.pieces(list).await,
        "ListStatuses" => call.unary(list_statuses).await,
        "Read" => call.pieces(read).await,
        "Status" => call.unary(status).await,
        _ => call.refuse(),
    }
}

fn info(shared: &Shared, request: &Request<InfoRequest>) -> Result<InfoResponse, Status> {
    let digest = &request.get_ref().digest;
    if digest.parse::<Digest>().is_err() {
        return Err(Status::invalid_argument(format!("{digest:?} failed validation")));
    }
    let namespace = namespace(request)?;
    let found = shared.look(|simulation| simulation.store(namespace).content.get(digest).map(proto_info));
    found.map(|info| InfoResponse { info: Some(info) }).ok_or_else(|| not_found(digest))
}

fn list(shared: &Shared, request: &Request<ListContentRequest>) -> Result<Vec<ListContentResponse>, Status> {
    let (namespace, filters) = (namespace(request)?, parse_filters(&request.get_ref().filters)?);
    let found: Vec<_> = shared.look(|simulation| {
        let content = simulation.store(namespace).content.iter();
        let passing = content.filter(|(digest, content)| {
            filters.pass(|path| match path {
                ["digest"] => Some((*digest).clone()),
                ["labels", name @ ..] => label(&content.labels, name),
                _ => None,
            })
        });
        passing.map(|(_, content)| proto_info(content)).collect()
    });
    Ok(found.chunks(PIECE_ENTRIES).map(|info| ListContentResponse { info: info.to_vec() }).collect())
}

fn list_statuses(shared: &Shared, request: &Request<ListStatusesRequest>) -> Result<ListStatusesResponse, Status> {
    let (namespace, filters) = (namespace(request)?, parse_filters(&request.get_ref().filters)?);
    let statuses = shared.look(|simulation| {
        let ingests = simulation.store(namespace).ingests.iter();
        let passing = ingests.filter(|(reference, _)| filters.pass(|path| (path == ["ref"]).then(|| (*reference).clone())));
        passing.map(|(reference, ingest)| proto_status(reference, ingest)).collect()
    });
    Ok(ListStatusesResponse { statuses })
}

fn status(shared: &Shared, request: &Request<StatusRequest>) -> Result<StatusResponse, Status> {
    let reference = &request.get_ref().r#ref;
    let problem = |problem: &str| format!("could not get status for ref {reference:?}: {problem}");
    let namespace = namespace(request).map_err(|status| Status::failed_precondition(problem(status.message())))?;
    let found =
        shared.look(|simulation| simulation.store(namespace).ingests.get(reference).map(|found| proto_status(reference, found)));
    found
        .map(|status| StatusResponse { status: Some(status) })
        .ok_or_else(|| Status::not_found(problem(&format!("reference {reference}: not found"))))
}

fn read(shared: &Shared, request: &Request<ReadContentRequest>) -> Result<Vec<ReadContentResponse>, Status> {
    let ReadContentRequest { digest, offset, size } = request.get_ref();
    if digest.parse::<Digest>().is_err() {
        return Err(Status::invalid_argument(format!("{digest}: invalid checksum digest format")));
    }
    let namespace = namespace(request)?;
    let found = shared.look(|simulation| simulation.store(namespace).content.get(digest).map(|content| content.bytes.clone()));
    let bytes = found
        .ok_or_else(|| not_found(digest))?
        .ok_or_else(|| Status::unimplemented("the layers of the simulated containerd have no bytes"))?;
    let start = usize::try_from(*offset).ok().filter(|start| *start <= bytes.len());
    let start = start.ok_or_else(|| Status::out_of_range("read past object length"))?;
    // A size of 0 means everything up to the end.
    let end = match usize::try_from(*size) {
        Ok(0) | Err(_) => bytes.len(),
        Ok(size) => start.saturating_add(size).min(bytes.len()),
    };
    let pieces = bytes[start..end].chunks(PIECE_BYTES).enumerate();
    Ok(pieces
        .map(|(i, data)| ReadContentResponse { offset: proto_size((start + i * PIECE_BYTES) as u64), data: data.to_vec() })
        .collect())
}

fn not_found(digest: &str) -> Status {
    Status::not_found(format!("content digest {digest}: not found"))
}

fn proto_info(content: &Content) -> Info {
    Info {
        digest: content.blob.digest.to_string(),
        size: proto_size(content.blob.size),
        created_at: Some(proto_time(content.created_at)),
        updated_at: Some(proto_time(content.updated_at)),
        labels: proto_labels(&content.labels),
    }
}

fn proto_status(reference: &str, ingest: &Ingest) -> containerd_client::services::v1::Status {
    containerd_client::services::v1::Status {
        started_at: Some(proto_time(ingest.started_at)),
        updated_at: Some(proto_time(ingest.updated_at)),
        r#ref: reference.to_owned(),
        offset: proto_size(ingest.offset),
        total: proto_size(ingest.total),
        // The local store never tells it.
        expected: String::new(),
    }
}
