//! What the user may do in the cluster, as the API server says when it is asked.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, api::PostParams};

use super::{Cluster, ClusterError};

/// One thing that somebody may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Right {
    pub(crate) verb: &'static str,
    pub(crate) group: &'static str,
    /// With its subresource, as roles write it.
    pub(crate) resource: &'static str,
    /// What goes without it.
    pub(crate) purpose: &'static str,
    /// Whether it is needed where Pulltrace is installed; else where the workloads are.
    pub(crate) at_home: bool,
}

/// All that the commands need; `docs/cli.md` has it as roles.
pub(crate) const NEEDED: [Right; 4] = [
    Right { verb: "list", group: "", resource: "pods", purpose: "to find the collector", at_home: true },
    Right { verb: "create", group: "", resource: "pods/portforward", purpose: "to reach the collector", at_home: true },
    Right { verb: "list", group: "", resource: "pods", purpose: "for `wait`", at_home: false },
    Right { verb: "get", group: "apps", resource: "deployments", purpose: "for `wait`", at_home: false },
];

impl Cluster {
    /// The version of the API server.
    pub(crate) fn version(&self) -> Result<String, ClusterError> {
        let version = self.0.runtime.block_on(self.client()?.apiserver_version());
        Ok(version.map_err(|error| self.error(&error, ("get", "/version", ""), "the cluster"))?.git_version)
    }

    /// Whether the user may do this in a namespace.
    pub(crate) fn may(&self, right: Right, namespace: &str) -> Result<bool, ClusterError> {
        let api: Api<SelfSubjectAccessReview> = Api::all(self.client()?.clone());
        let (resource, subresource) = right.resource.split_once('/').map_or((right.resource, None), |(of, sub)| (of, Some(sub)));
        let attributes = ResourceAttributes {
            namespace: Some(namespace.to_owned()),
            verb: Some(right.verb.to_owned()),
            group: Some(right.group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: subresource.map(str::to_owned),
            ..ResourceAttributes::default()
        };
        let spec =
            SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..SelfSubjectAccessReviewSpec::default() };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let answer = self.0.runtime.block_on(api.create(&PostParams::default(), &review));
        let wish = ("create", "selfsubjectaccessreviews", "authorization.k8s.io");
        let answer = answer.map_err(|error| self.error(&error, wish, "the cluster"))?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}
