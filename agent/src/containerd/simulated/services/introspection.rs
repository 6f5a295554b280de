//! Introspection: who answers, and the two plugins that somebody who watches pulls asks about.

use containerd_client::{
    services::v1::{Plugin, PluginsRequest, PluginsResponse, ServerResponse},
    types::Platform,
};
use http::Response;
use tonic::{Request, Status, body::Body};

use super::{Call, parse_filters};
use crate::containerd::simulated::{events::SNAPSHOTTER, image::ARCHITECTURE, personality::Personality, shared::Shared};

pub(super) async fn answer(method: &str, call: Call) -> Response<Body> {
    match method {
        "Plugins" => call.unary(plugins).await,
        "Server" => call.unary(server).await,
        _ => call.refuse(),
    }
}

fn server(shared: &Shared, _request: &Request<()>) -> Result<ServerResponse, Status> {
    Ok(ServerResponse { uuid: shared.uuid.clone(), pid: shared.pid(), ..ServerResponse::default() })
}

fn plugins(shared: &Shared, request: &Request<PluginsRequest>) -> Result<PluginsResponse, Status> {
    let filters = parse_filters(&request.get_ref().filters)?;
    let mut plugins = all_plugins(&shared.root, shared.look(|simulation| simulation.personality()));
    plugins.retain(|plugin| {
        filters.pass(|path| match path {
            ["type"] => Some(plugin.r#type.clone()),
            ["id"] => Some(plugin.id.clone()),
            ["capabilities"] => Some(plugin.capabilities.join(",")),
            _ => None,
        })
    });
    Ok(PluginsResponse { plugins })
}

fn all_plugins(root: &str, personality: Personality) -> Vec<Plugin> {
    let plugin = |kind: &str, id: &str, folder: &str| Plugin {
        r#type: kind.to_owned(),
        id: id.to_owned(),
        exports: [("root".to_owned(), format!("{root}/{folder}"))].into(),
        ..Plugin::default()
    };
    let content = plugin("io.containerd.content.v1", "content", "io.containerd.content.v1.content");
    let mut snapshotter = plugin("io.containerd.snapshotter.v1", SNAPSHOTTER, "io.containerd.snapshotter.v1.overlayfs");
    snapshotter.platforms =
        vec![Platform { os: "linux".to_owned(), architecture: ARCHITECTURE.to_owned(), ..Platform::default() }];
    snapshotter.capabilities = personality.snapshotter_capabilities().iter().map(|&name| name.to_owned()).collect();
    vec![content, snapshotter]
}
