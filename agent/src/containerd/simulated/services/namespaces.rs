//! The containerd namespaces that exist. These calls need no namespace themselves.

use containerd_client::services::v1::{
    GetNamespaceRequest, GetNamespaceResponse, ListNamespacesRequest, ListNamespacesResponse, Namespace,
};
use http::Response;
use tonic::{Request, Status, body::Body};

use super::Call;
use crate::containerd::simulated::shared::Shared;

pub(super) async fn answer(method: &str, call: Call) -> Response<Body> {
    match method {
        "Get" => call.unary(get).await,
        "List" => call.unary(list).await,
        _ => call.refuse(),
    }
}

fn get(shared: &Shared, request: &Request<GetNamespaceRequest>) -> Result<GetNamespaceResponse, Status> {
    let wanted = &request.get_ref().name;
    if shared.look(|simulation| simulation.namespaces().any(|name| name == wanted)) {
        return Ok(GetNamespaceResponse { namespace: Some(Namespace { name: wanted.clone(), ..Namespace::default() }) });
    }
    Err(Status::not_found(format!("namespace {wanted:?}: not found")))
}

fn list(shared: &Shared, _request: &Request<ListNamespacesRequest>) -> Result<ListNamespacesResponse, Status> {
    let namespaces = shared.look(|simulation| {
        simulation.namespaces().map(|name| Namespace { name: name.clone(), ..Namespace::default() }).collect()
    });
    Ok(ListNamespacesResponse { namespaces })
}
