//! Leases and what they keep: the grouping key of pulls.

use containerd_client::services::v1::{
    Lease, ListRequest, ListResourcesRequest, ListResourcesResponse, ListResponse, Resource as ProtoResource,
};
use http::Response;
use tonic::{Request, Status, body::Body};

use super::{Call, namespace, parse_filters, proto_labels, proto_time};
use crate::containerd::simulated::{events::SNAPSHOTTER, filter::label, shared::Shared, world::store::Resource};

pub(super) async fn answer(method: &str, call: Call) -> Response<Body> {
    match method {
        "List" => call.unary(list).await,
        "ListResources" => call.unary(list_resources).await,
        _ => call.refuse(),
    }
}

fn list(shared: &Shared, request: &Request<ListRequest>) -> Result<ListResponse, Status> {
    let (namespace, filters) = (namespace(request)?, parse_filters(&request.get_ref().filters)?);
    let leases = shared.look(|simulation| {
        let leases = simulation.store(namespace).leases.iter();
        let passing = leases.filter(|(id, lease)| {
            filters.pass(|path| match path {
                ["id"] => Some((*id).clone()),
                ["labels", name @ ..] => label(&lease.labels, name),
                _ => None,
            })
        });
        let proto = passing.map(|(id, lease)| Lease {
            id: id.clone(),
            created_at: Some(proto_time(lease.created_at)),
            labels: proto_labels(&lease.labels),
        });
        proto.collect()
    });
    Ok(ListResponse { leases })
}

fn list_resources(shared: &Shared, request: &Request<ListResourcesRequest>) -> Result<ListResourcesResponse, Status> {
    let (namespace, id) = (namespace(request)?, &request.get_ref().id);
    let found = shared.look(|simulation| {
        let lease = simulation.store(namespace).leases.get(id)?;
        Some(lease.resources.iter().map(proto_resource).collect())
    });
    found
        .map(|resources| ListResourcesResponse { resources })
        .ok_or_else(|| Status::not_found(format!("lease {id:?}: not found")))
}

fn proto_resource(resource: &Resource) -> ProtoResource {
    let (kind, id) = match resource {
        Resource::Content(digest) => ("content".to_owned(), digest),
        Resource::Ingest(reference) => ("ingests".to_owned(), reference),
        Resource::Snapshot(name) => (format!("snapshots/{SNAPSHOTTER}"), name),
    };
    ProtoResource { id: id.clone(), r#type: kind }
}
