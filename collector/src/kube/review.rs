//! Asks the API server whose a token is: one `TokenReview`, and nothing is remembered of it here.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::{Api, Client, api::PostParams};

/// Where a projected token says for which node it was made.
const NODE: &str = "authentication.kubernetes.io/node-name";

/// What the API server says of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reviewed {
    /// Whose it is; `None` if it is nobody's.
    pub(crate) user: Option<String>,
    /// Those of the audiences that were asked about for which it is meant.
    pub(crate) audiences: Vec<String>,
    /// The node of the pod for which it was made.
    pub(crate) node: Option<String>,
}

/// Asks about tokens; cheap to clone.
#[derive(Clone)]
pub(crate) struct Reviewer(Api<TokenReview>);

impl std::fmt::Debug for Reviewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reviewer")
    }
}

impl Reviewer {
    pub(crate) fn new(client: Client) -> Self {
        Self(Api::all(client))
    }

    /// Whose this token is.
    ///
    /// # Errors
    /// When the API server does not say; what is missing, where it is a permission.
    pub(crate) async fn review(&self, token: &str, audience: &str) -> Result<Reviewed, String> {
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: Some(vec![audience.to_owned()]) };
        let asked = self.0.create(&PostParams::default(), &TokenReview { spec, ..TokenReview::default() }).await;
        let status = asked.map_err(|error| told(&error))?.status.unwrap_or_default();
        if let Some(error) = status.error.filter(|_| status.authenticated != Some(true)) {
            tracing::debug!(error, "the token of an agent is not valid");
        }
        let user = status.user.filter(|_| status.authenticated == Some(true)).unwrap_or_default();
        let node = user.extra.and_then(|mut extra| extra.remove(NODE)).and_then(|names| match <[String; 1]>::try_from(names) {
            Ok([name]) => Some(name),
            Err(_) => None,
        });
        Ok(Reviewed { user: user.username, audiences: status.audiences.unwrap_or_default(), node })
    }
}

fn told(error: &kube::Error) -> String {
    let is_forbidden = matches!(error, kube::Error::Api(status) if status.code == 403);
    let missing = if is_forbidden { "a permission is missing: create tokenreviews of authentication.k8s.io: " } else { "" };
    format!("{missing}{error}")
}
