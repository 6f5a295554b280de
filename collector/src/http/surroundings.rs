//! `GET /api/v1/ui`: what the page has to know beside pulls, which does not change while the collector runs: its version, the cluster's name, where
//! the dashboards are. It says nothing that the configuration does not say on purpose.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Problem, Site, answer::written, query::Asked};
use crate::Config;

/// What the page is told about its surroundings.
#[derive(Clone, Debug, Default, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Surroundings {
    /// The collector's version.
    version: &'static str,
    /// Name of the cluster, if one was configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    /// Where Grafana is, without a slash at its end, if it was configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    grafana_url: Option<String>,
    /// How long ended pulls are kept, seconds.
    history_seconds: u64,
}

impl Surroundings {
    pub(crate) fn new(config: &Config) -> Arc<Self> {
        Arc::new(Self {
            version: env!("CARGO_PKG_VERSION"),
            cluster: Some(config.cluster_name.clone()).filter(|name| !name.is_empty()),
            grafana_url: config.grafana_url.clone(),
            history_seconds: config.history_ttl.as_secs(),
        })
    }
}

/// `GET /api/v1/ui`.
pub(super) async fn surroundings(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    Asked::read(&uri, &[])?;
    let surroundings = site.surroundings.clone();
    site.answer(headers, move |_| written(&*surroundings)).await
}
