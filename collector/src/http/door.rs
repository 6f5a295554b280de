//! The door of the API: who may read, and one line in the log about each who came. Page and probes stand before it.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::Problem;
use crate::{auth::Guard, proxies::Proxies, serve::Peer};

/// Who may read: whoever shows a token, and whoever a trusted proxy names; everyone if neither is set.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    tokens: Guard,
    proxies: Proxies,
}

/// Who asks; stands among the extensions of every request that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reader {
    /// The address, behind trusted proxies; `None` where there is no connection.
    pub(super) client: Option<IpAddr>,
    /// The name that a trusted proxy gave.
    pub(super) user: Option<String>,
}

impl Door {
    pub(crate) const fn new(tokens: Guard, proxies: Proxies) -> Self {
        Self { tokens, proxies }
    }

    /// Lets a request in, or says why not.
    fn admit(&self, request: &Request) -> Result<Reader, Problem> {
        let (peer, headers) = (request.extensions().get::<Peer>().map(|peer| peer.0), request.headers());
        let client = peer.map(|peer| self.proxies.client(peer, headers));
        let user = peer.and_then(|peer| self.proxies.user(peer, headers)).map(ToOwned::to_owned);
        match (&self.tokens, &user) {
            (_, Some(_)) => {}
            (Guard::Everyone, None) if !self.proxies.is_empty() => {
                return Err(Problem::Forbidden("only what comes through the proxy that knows people is answered"));
            }
            (tokens, None) => tokens.admit(headers).map_err(Problem::Denied)?,
        }
        Ok(Reader { client, user })
    }
}

/// Lets in who may read, and notes that.
pub(super) async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let (client, user, response) = match door.admit(&request) {
        Ok(reader) => {
            request.extensions_mut().insert(reader.clone());
            (reader.client, reader.user, next.run(request).await)
        }
        Err(problem) => (request.extensions().get::<Peer>().map(|peer| peer.0), None, problem.into_response()),
    };
    let status = response.status().as_u16();
    tracing::debug!(%method, path, status, user, client = client.map(tracing::field::display), "asked");
    response
}
