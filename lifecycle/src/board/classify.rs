//! What an error text of kubelet or containerd means: one of the closed set of classes. Pure words in, class out; the text itself is kept
//! by whoever asked. Names inside the text (images, addresses, paths) do not count, so that a repository called `timeout` means nothing.

use crate::pull::ErrorClass;

/// Phrases in lowercase; the first row with one of them in the text decides, so what is more exact stands first.
const PHRASES: [(ErrorClass, &[&str]); 15] = [
    (
        ErrorClass::InvalidImageName,
        &["couldn't parse image name", "invalid reference format", "invalidimagename", "failed to apply default image tag"],
    ),
    (
        ErrorClass::PlatformMismatch,
        &["no match for platform", "no matching manifest for", "does not provide the specified platform", "exec format error"],
    ),
    (ErrorClass::NoSpace, &["no space left on device", "disk quota exceeded"]),
    (
        ErrorClass::DigestMismatch,
        &[
            "unexpected commit digest",
            "unexpected commit size",
            "failed size validation",
            "short read: expected",
            "digest mismatch",
            "layer verification failed for digest",
        ],
    ),
    (
        ErrorClass::Signature,
        &["signaturevalidationfailed", "signature validation", "signature verification", "source image rejected"],
    ),
    (
        ErrorClass::RateLimited,
        &["429 too many requests", "toomanyrequests", "too many requests", "pull qps exceeded", "pull rate limit"],
    ),
    (
        ErrorClass::Unauthorized,
        &[
            "401 unauthorized",
            "pull access denied",
            "insufficient_scope",
            "authorization failed",
            "authentication required",
            "no basic auth credentials",
            "unauthorized",
        ],
    ),
    (ErrorClass::Forbidden, &["403 forbidden", "denied: ", "forbidden", "permission_denied"]),
    (ErrorClass::Dns, &["dial tcp: lookup", "no such host", "server misbehaving", "failure in name resolution"]),
    (
        ErrorClass::Timeout,
        &[
            "tls handshake timeout",
            "i/o timeout",
            "deadline exceeded",
            "deadlineexceeded",
            "client.timeout",
            "no progress in",
            "timed out",
        ],
    ),
    (ErrorClass::Tls, &["x509:", "tls: ", "certificate", "server gave http response to https client"]),
    (
        ErrorClass::RegistryUnavailable,
        &[
            "registryunavailable",
            "500 internal server error",
            "502 bad gateway",
            "503 service unavailable",
            "504 gateway time",
            "unexpected status code 5",
        ],
    ),
    (
        ErrorClass::Unpack,
        &[
            "failed to extract layer",
            "failed to unpack layer",
            "failed to prepare extraction",
            "failed to apply layer",
            "wrong diff id",
        ],
    ),
    (
        ErrorClass::Connection,
        &[
            "connection refused",
            "connection reset",
            "broken pipe",
            "no route to host",
            "network is unreachable",
            "unexpected eof",
            ": eof",
        ],
    ),
    (
        ErrorClass::NotFound,
        &["not found", "notfound", "manifest unknown", "manifest_unknown", "name unknown", "unknown blob", "does not exist"],
    ),
];

/// Phrases that say that the runtime itself was not there.
const NO_RUNTIME: [&str; 4] =
    ["containerd.sock: connect:", "transport is closing", "error reading from server: eof", "desc = connection error"];

/// The class of an error text; [`ErrorClass::Other`] where no phrase of it is known.
pub fn classify(text: &str) -> ErrorClass {
    let text = text.to_lowercase();
    if NO_RUNTIME.iter().any(|phrase| text.contains(phrase)) {
        return ErrorClass::RuntimeUnavailable;
    }
    let said = without_names(&text);
    let row = PHRASES.iter().find(|(_, phrases)| phrases.iter().any(|phrase| said.contains(phrase)));
    match row {
        Some((class, _)) => *class,
        None if said.contains("context canceled") || said.contains("code = canceled") => ErrorClass::Canceled,
        None => ErrorClass::Other,
    }
}

/// The text without what is not language: quoted single words, and words with a slash other than `i/o`. The colon behind one stays.
fn without_names(text: &str) -> String {
    let is_name = |word: &str| {
        let bare = word.trim_end_matches([':', ',', '.']);
        let quoted = bare.len() > 1 && bare.starts_with('"') && bare.ends_with('"');
        quoted || (bare.contains('/') && bare != "i/o")
    };
    let keep = |word: &str| match is_name(word) {
        true => if word.ends_with(':') { ":" } else { "" }.to_owned(),
        false => word.to_owned(),
    };
    text.split_whitespace().map(keep).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As kubelet, containerd 1.6 to 2.x and Docker's Engine 28 write them.
    const SAID: [(ErrorClass, &str); 32] = [
        (
            ErrorClass::NotFound,
            r#"rpc error: code = NotFound desc = failed to pull and unpack image "docker.io/library/nope:1": failed to resolve reference "docker.io/library/nope:1": docker.io/library/nope:1: not found"#,
        ),
        (
            ErrorClass::NotFound,
            r#"failed to resolve reference "r.io/a:1": unexpected status from HEAD request to https://r.io/v2/a/manifests/1: 404 Not Found"#,
        ),
        (
            ErrorClass::Unauthorized,
            r#"failed to pull and unpack image "docker.io/team/x:1": failed to resolve reference "docker.io/team/x:1": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed"#,
        ),
        (
            ErrorClass::Unauthorized,
            "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://r.io/token: 401 Unauthorized",
        ),
        (ErrorClass::NotFound, "error pulling image configuration: download failed after attempts=1: unknown blob"),
        (ErrorClass::Forbidden, "unexpected status from HEAD request to https://r.io/v2/a/manifests/1: 403 Forbidden"),
        (
            ErrorClass::RateLimited,
            "httpReadSeeker: failed open: unexpected status code https://r.io/v2/a/blobs/sha256:00: 429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit.",
        ),
        (ErrorClass::RateLimited, "pull QPS exceeded"),
        (ErrorClass::RegistryUnavailable, "unexpected status from HEAD request to https://r.io/v2/: 503 Service Unavailable"),
        (ErrorClass::RegistryUnavailable, "RegistryUnavailable: the registry is away"),
        (
            ErrorClass::Dns,
            r#"failed to do request: Head "https://no.example/v2/a/manifests/1": dial tcp: lookup no.example on 10.0.0.10:53: no such host"#,
        ),
        (ErrorClass::Dns, r#"Head "https://no.example/v2/": dial tcp: lookup no.example: i/o timeout"#),
        (
            ErrorClass::Tls,
            r#"failed to do request: Head "https://r.io/v2/a": tls: failed to verify certificate: x509: certificate signed by unknown authority"#,
        ),
        (ErrorClass::Tls, r#"Head "https://10.0.0.1:5000/v2/a": http: server gave HTTP response to HTTPS client"#),
        (ErrorClass::Timeout, r#"Head "https://r.io/v2/a": net/http: TLS handshake timeout"#),
        (ErrorClass::Timeout, r#"Head "https://r.io/v2/a": dial tcp 10.0.0.1:443: i/o timeout"#),
        (ErrorClass::Timeout, "rpc error: code = DeadlineExceeded desc = context deadline exceeded"),
        (ErrorClass::Connection, r#"Head "https://r.io/v2/a": dial tcp 10.0.0.1:443: connect: connection refused"#),
        (ErrorClass::Connection, "failed to copy: read tcp 10.0.0.2:5->10.0.0.1:443: read: connection reset by peer"),
        (ErrorClass::Connection, r#"Head "https://r.io/v2/a": EOF"#),
        (
            ErrorClass::DigestMismatch,
            r#"failed commit on ref "layer-sha256:00": unexpected commit digest sha256:11, expected sha256:00: failed precondition"#,
        ),
        (
            ErrorClass::DigestMismatch,
            "filesystem layer verification failed for digest sha256:6999462c651192bc3dd71752837ffa4bb1dba30183da58a880f55d9eaf1a3cae",
        ),
        (ErrorClass::Unauthorized, r#"Head "http://r.io/v2/team/app/manifests/v1": no basic auth credentials"#),
        (
            ErrorClass::NoSpace,
            r#"failed to extract layer (application/x sha256:00) to overlayfs as "extract-1 sha256:00": write /a/b: no space left on device"#,
        ),
        (
            ErrorClass::Unpack,
            r#"failed to extract layer sha256:00: mount callback failed on /tmp/m: archive/tar: invalid tar header"#,
        ),
        (
            ErrorClass::PlatformMismatch,
            r#"failed to pull and unpack image "r.io/a:1": no match for platform in manifest sha256:00: not found"#,
        ),
        (
            ErrorClass::InvalidImageName,
            r#"Failed to apply default image tag "UPPER/x": couldn't parse image name "UPPER/x": invalid reference format: repository name must be lowercase"#,
        ),
        (ErrorClass::Signature, "SignatureValidationFailed: image was refused by policy"),
        (ErrorClass::Canceled, "rpc error: code = Canceled desc = context canceled"),
        (
            ErrorClass::RuntimeUnavailable,
            r#"rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial unix /run/containerd/containerd.sock: connect: connection refused""#,
        ),
        (ErrorClass::Other, "rpc error: code = Unknown desc = something new"),
        (ErrorClass::Other, ""),
    ];

    #[test]
    fn every_message_that_was_seen_has_its_class() {
        for (class, text) in SAID {
            assert_eq!(classify(text), class, "{text}");
        }
    }

    #[test]
    fn every_class_that_a_text_can_have_is_among_the_messages() {
        for class in ErrorClass::ALL {
            assert!(SAID.iter().any(|(said, _)| *said == class), "{class:?}");
        }
    }

    #[test]
    fn names_of_images_and_hosts_decide_nothing() {
        let text = r#"failed to resolve reference "forbidden:tls": timeout.example/unauthorized/certificate:429: not found"#;
        assert_eq!(classify(text), ErrorClass::NotFound);
    }
}
