//! The page at `/` and what it needs, as `cargo xtask ui` built it, embedded; without that build a plain page without a build of its own,
//! which says so. What a page does lies in `collector/ui`; here is only how its files travel.
//!
//! Files whose name carries a hash of what is in them (`assets/`) never change and are kept for ever; the others are asked for again each time
//! and have a tag. Compression was done by the build (`.br`); who reads only gzip gets it from the layer around the router. Nothing here knows
//! below which path the page is served: all its addresses are relative.

use std::borrow::Cow;

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use rust_embed::RustEmbed;

use super::{Problem, answer};

/// What a page may do: run and show what comes from here, ask here, and nothing else.
macro_rules! policy {
    ($ancestors:literal) => {
        concat!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; ",
            "base-uri 'none'; form-action 'none'; frame-ancestors ",
            $ancestors
        )
    };
}

/// The policy of the page.
const POLICY: &str = policy!("'none'");
/// The policy of the widget, which is there to be put into other pages. It shows and changes nothing.
const OPEN_POLICY: &str = policy!("*");

/// The page of those who have not built one.
const PLAIN: [(&str, &[u8]); 4] = [
    ("index.html", include_bytes!("page/plain/index.html")),
    ("page.js", include_bytes!("page/plain/page.js")),
    ("page.css", include_bytes!("page/plain/page.css")),
    ("icon.svg", include_bytes!("page/plain/icon.svg")),
];

/// What the build left.
#[derive(RustEmbed)]
#[folder = "ui/dist/"]
struct Built;

/// The files of a page by their path.
#[derive(Clone, Copy, Debug)]
struct Files(fn(&str) -> Option<Cow<'static, [u8]>>);

/// The page's paths.
pub(super) fn router() -> Router {
    routes(match Built::get("index.html") {
        Some(_) => Files(|path| Built::get(path).map(|file| file.data)),
        None => Files(|path| PLAIN.iter().find(|(name, _)| *name == path).map(|(_, bytes)| Cow::Borrowed(*bytes))),
    })
}

fn routes(files: Files) -> Router {
    Router::new()
        .route("/", get(async |State(files): State<Files>, headers| files.answer("index.html", &headers)))
        .route(
            "/embed/pod/{namespace}/{pod}",
            get(async |State(files): State<Files>, headers| files.answer("embed.html", &headers)),
        )
        .route(
            "/assets/{file}",
            get(async |State(files): State<Files>, Path(file): Path<String>, headers| {
                files.answer(&format!("assets/{file}"), &headers)
            }),
        )
        .route(
            "/{file}",
            get(async |State(files): State<Files>, Path(file): Path<String>, headers| files.answer(&file, &headers)),
        )
        .with_state(files)
}

impl Files {
    /// One file, compressed if the asker reads that, or that he has it.
    fn answer(self, path: &str, asked: &HeaderMap) -> Response {
        let Some((media_type, plain)) = media_type(path).zip((self.0)(path)) else {
            return Problem::NotFound("there is nothing at this path".to_owned()).into_response();
        };
        let tag = answer::tag_of(&plain);
        let caching = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
        let policy = if path == "embed.html" { OPEN_POLICY } else { POLICY };
        let mut response = if answer::is_known(asked, &tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else if let Some(compressed) = answer::reads(asked, "br").then(|| (self.0)(&format!("{path}.br"))).flatten() {
            ([(header::CONTENT_ENCODING, "br")], compressed).into_response()
        } else {
            plain.into_response()
        };
        let mut say = |name: HeaderName, value: HeaderValue| response.headers_mut().insert(name, value);
        say(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        say(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        say(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        say(header::VARY, HeaderValue::from_static("accept-encoding"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            say(header::ETAG, tag);
        }
        response
    }
}

/// What kind of file it is; others are not served.
fn media_type(path: &str) -> Option<&'static str> {
    match path.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    const PAGE: Files = Files(|path| match path {
        "index.html" | "embed.html" => Some(Cow::Borrowed(b"<p>page")),
        "assets/a-1.js" => Some(Cow::Borrowed(b"script")),
        "assets/a-1.js.br" => Some(Cow::Borrowed(b"small")),
        "secret" => Some(Cow::Borrowed(b"no page")),
        _ => None,
    });

    async fn ask(files: Files, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        let response = routes(files).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn a_file_whose_name_tells_its_content_is_kept_for_ever_and_comes_compressed() {
        let (status, headers, body) = ask(PAGE, "/assets/a-1.js", &[("accept-encoding", "gzip, br")]).await;
        assert_eq!((status, &*body), (StatusCode::OK, "small"));
        assert_eq!(headers["content-encoding"], "br");
        assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
        assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable");
        let (_, headers, body) = ask(PAGE, "/assets/a-1.js", &[]).await;
        assert_eq!((headers.get("content-encoding"), &*body), (None, "script"));
    }

    #[tokio::test]
    async fn the_page_itself_is_asked_for_again_and_told_unchanged_by_its_tag() {
        let (_, headers, _) = ask(PAGE, "/", &[]).await;
        assert_eq!(headers["cache-control"], "no-cache");
        let (status, _, body) = ask(PAGE, "/", &[("if-none-match", headers["etag"].to_str().unwrap())]).await;
        assert_eq!((status, &*body), (StatusCode::NOT_MODIFIED, ""));
    }

    #[tokio::test]
    async fn only_the_widget_may_stand_in_another_page_and_nothing_runs_that_is_not_ours() {
        let policy = async |path| ask(PAGE, path, &[]).await.1["content-security-policy"].to_str().unwrap().to_owned();
        let (page, widget) = (policy("/").await, policy("/embed/pod/shop/web-1").await);
        assert!(page.ends_with("frame-ancestors 'none'") && widget.ends_with("frame-ancestors *"), "{page} {widget}");
        assert!([page, widget].iter().all(|policy| policy.starts_with("default-src 'none'") && !policy.contains("unsafe")));
    }

    #[tokio::test]
    async fn what_is_no_part_of_a_page_is_not_there() {
        for path in ["/secret", "/assets/none.js", "/assets/a-1.js.br", "/..%2fCargo.toml"] {
            assert_eq!(ask(PAGE, path, &[]).await.0, StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn there_is_a_page_in_every_build() {
        let response = router().oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}
