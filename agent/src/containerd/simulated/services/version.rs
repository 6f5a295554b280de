//! The version of the containerd that is played, and a revision that says that it is played.

use containerd_client::services::v1::VersionResponse;
use http::Response;
use tonic::{Request, Status, body::Body};

use super::Call;
use crate::containerd::simulated::shared::Shared;

pub(super) async fn answer(method: &str, call: Call) -> Response<Body> {
    match method {
        "Version" => call.unary(version).await,
        _ => call.refuse(),
    }
}

fn version(shared: &Shared, _request: &Request<()>) -> Result<VersionResponse, Status> {
    let version = shared.look(|simulation| simulation.personality().version());
    Ok(VersionResponse { version: version.to_owned(), revision: "simulated".to_owned() })
}
