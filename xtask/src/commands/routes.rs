//! The paths of the API that documents name, held against those that the collector's code has. What is asked and answered there is for its OpenAPI
//! document and tests.

use std::collections::BTreeSet;

/// Where all paths begin.
const BEGIN: &str = "/api/v1/";

/// Every path in a text, each once; what is behind `?` is no part of it.
pub(crate) fn paths(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '{' | '}' | '-' | '_' | '.');
    let found = text.match_indices(BEGIN).map(|(at, _)| {
        let rest = &text[at..];
        rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())].trim_end_matches(['.', '/'])
    });
    // `/api/v1/*` speaks of all of them.
    found.filter(|path| path.len() >= BEGIN.len()).collect()
}

/// Whether a path is one of the code's, in which `{...}` stands for any part.
pub(crate) fn exists(path: &str, routes: &BTreeSet<&str>) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    routes.iter().any(|route| {
        let route: Vec<&str> = route.split('/').collect();
        route.len() == parts.len() && route.iter().zip(&parts).all(|(route, part)| route.starts_with('{') || route == part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_exists_whatever_stands_for_its_parts() {
        let routes = BTreeSet::from(["/api/v1/pulls", "/api/v1/pulls/{id}", "/api/v1/pods/{namespace}/{pod}"]);
        let text = "`GET /api/v1/pulls?active=true`, /api/v1/pulls/{id}. http://c:8080/api/v1/pods/NAMESPACE/POD and `/api/v1/*`, `/api/v1`.";
        let found = paths(text);
        assert_eq!(found, BTreeSet::from(["/api/v1/pods/NAMESPACE/POD", "/api/v1/pulls", "/api/v1/pulls/{id}"]));
        assert!(found.iter().all(|path| exists(path, &routes)));
        assert!(!exists("/api/v1/pull", &routes) && !exists("/api/v1/pods/x", &routes));
    }
}
