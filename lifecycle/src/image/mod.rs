//! Image references and content digests, parsed once at the edge.
//!
//! [`ImageRef`] follows the grammar of `distribution/reference` with Docker's normalisation (docker.io and `library/` expansion);
//! [`Digest`] follows the OCI image specification, section "Digests", with registered algorithms held to their exact length.

mod digest;

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use thiserror::Error;

pub(crate) use self::digest::hex;
use self::digest::is_hex;
pub use self::digest::{Digest, ParseDigestError};

/// The registry that an unqualified name means.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The old name of [`DEFAULT_REGISTRY`], rewritten as Docker does.
const LEGACY_REGISTRY: &str = "index.docker.io";
/// The namespace on the default registry that a name without one means.
const OFFICIAL: &str = "library";
/// Longest repository path, in bytes (`RepositoryNameTotalLengthMax`).
const MAX_REPOSITORY: usize = 255;
/// Longest tag, in bytes.
const MAX_TAG: usize = 128;
/// Longest text that is looked at, in bytes: registry, repository, tag and a sha512 digest fit into it several times.
const MAX_REFERENCE: usize = 4096;

/// A full name of an image: registry, repository, and a tag or digest or both.
///
/// Always normalised: `nginx` is `docker.io/library/nginx:latest`. A reference without tag and digest means the tag `latest`, except when
/// it was built by [`ImageRef::repository_only`], which says that the tag is not known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::module_name_repetitions, reason = "the name that the whole field uses")]
pub struct ImageRef {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl ImageRef {
    /// A name of which only the registry's host and the repository are known, as containerd's `distribution.source` labels tell it.
    ///
    /// # Errors
    /// When the two do not form a valid name.
    pub fn repository_only(registry: &str, repository: &str) -> Result<Self, ParseImageRefError> {
        let mut parsed: Self = format!("{registry}/{repository}").parse()?;
        if parsed.digest.is_some() || repository.contains(':') {
            return Err(ParseImageRefError::Format);
        }
        parsed.tag = None;
        Ok(parsed)
    }

    /// Host, and port if there is one, of the registry.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The registry's host alone, which is all that containerd's labels keep of it.
    pub fn registry_host(&self) -> &str {
        let end = self.registry.rfind(']').map_or(0, |bracket| bracket + 1);
        self.registry[end..].find(':').map_or(&self.registry, |colon| &self.registry[..end + colon])
    }

    /// Path of the repository on its registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if one is known.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if the reference pins one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Whether both are of one repository, as far as containerd's labels tell: they keep the registry's host and drop its port.
    pub fn is_same_repository(&self, other: &Self) -> bool {
        (self.registry_host(), self.repository()) == (other.registry_host(), other.repository())
    }

    /// Whether tag or digest say which image of the repository is meant.
    pub fn is_exact(&self) -> bool {
        self.tag.is_some() || self.digest.is_some()
    }

    /// Whether this text is how it is written.
    pub fn is_written(&self, text: &str) -> bool {
        let parts = [
            ("", Some(self.registry.as_str())),
            ("/", Some(&self.repository)),
            (":", self.tag.as_deref()),
            ("@", self.digest.as_ref().map(Digest::as_str)),
        ];
        let mut said = parts.into_iter().filter_map(|(mark, part)| Some((mark, part?)));
        said.try_fold(text, |rest, (mark, part)| rest.strip_prefix(mark)?.strip_prefix(part)) == Some("")
    }

    /// The shortest form that people write: without `docker.io/library/`.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let short = full.strip_prefix("docker.io/").unwrap_or(&full);
        short.strip_prefix("library/").unwrap_or(short).to_owned()
    }
}

impl FromStr for ImageRef {
    type Err = ParseImageRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ParseImageRefError::Empty);
        }
        if text.len() > MAX_REFERENCE {
            return Err(ParseImageRefError::TooLong);
        }
        if is_hex(text) && text.len() == 64 {
            return Err(ParseImageRefError::BareId);
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse()?)),
            None => (text, None),
        };
        let (registry, rest) = split_registry(name);
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) => (path, Some(check_tag(tag)?)),
            None => (rest, None),
        };
        check_registry(registry)?;
        check_repository(path)?;
        let repository =
            if registry == DEFAULT_REGISTRY && !path.contains('/') { format!("{OFFICIAL}/{path}") } else { path.to_owned() };
        if repository.len() > MAX_REPOSITORY {
            return Err(ParseImageRefError::TooLong);
        }
        let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl Serialize for ImageRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a text is no image reference.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseImageRefError {
    /// Nothing was given.
    #[error("an image reference must not be empty")]
    Empty,
    /// Longer than the grammar allows.
    #[error("the repository name is longer than {MAX_REPOSITORY} characters, or the reference than {MAX_REFERENCE}")]
    TooLong,
    /// 64 hexadecimal digits name an image by its id, not by a reference.
    #[error("64 hexadecimal digits are an image id, not a reference")]
    BareId,
    /// Repository names have no capitals.
    #[error("the repository name must be lowercase")]
    Uppercase,
    /// Anything else that does not match the grammar.
    #[error("not of the form [registry[:port]/]repository[:tag][@digest]")]
    Format,
    /// The part behind `@`.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),
}

/// `splitDockerDomain`: the first component is a registry only if it looks like a host.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((LEGACY_REGISTRY, rest)) => (DEFAULT_REGISTRY, rest),
        Some((first, rest))
            if first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_REGISTRY, name),
    }
}

fn check_registry(registry: &str) -> Result<(), ParseImageRefError> {
    let (host, port) = if registry.starts_with('[') {
        let end = registry.find(']').ok_or(ParseImageRefError::Format)?;
        let (host, rest) = registry.split_at(end + 1);
        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or(ParseImageRefError::Format)?) };
        (host, port)
    } else {
        match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        }
    };
    let host_ok = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(address) => !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => host.split('.').all(|component| {
            let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
            edge(component.bytes().next())
                && edge(component.bytes().last())
                && component.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        }),
    };
    let port_ok = port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    if host_ok && port_ok { Ok(()) } else { Err(ParseImageRefError::Format) }
}

/// Path components of lowercase letters and digits, separated inside by `.`, `_`, `__` or any number of `-`.
fn check_repository(path: &str) -> Result<(), ParseImageRefError> {
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(ParseImageRefError::Uppercase);
    }
    if path.split('/').all(is_path_component) { Ok(()) } else { Err(ParseImageRefError::Format) }
}

fn is_path_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let separators = component.split(|c: char| c.is_ascii() && alphanumeric(c as u8)).filter(|s| !s.is_empty());
    let ends_ok = [component.bytes().next(), component.bytes().last()].iter().all(|b| b.is_some_and(alphanumeric));
    ends_ok && separators.into_iter().all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

fn check_tag(tag: &str) -> Result<String, ParseImageRefError> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let ok = (1..=MAX_TAG).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-');
    if ok { Ok(tag.to_owned()) } else { Err(ParseImageRefError::Format) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[track_caller]
    fn reads_as(text: &str, expected: &str) {
        assert_eq!(text.parse::<ImageRef>().map(|r| r.to_string()).as_deref(), Ok(expected), "{text}");
    }

    #[test]
    fn short_names_are_expanded_as_docker_does() {
        reads_as("nginx", "docker.io/library/nginx:latest");
        reads_as("nginx:1.27", "docker.io/library/nginx:1.27");
        reads_as("team/app", "docker.io/team/app:latest");
        reads_as("index.docker.io/nginx", "docker.io/library/nginx:latest");
        reads_as("docker.io/nginx", "docker.io/library/nginx:latest");
        reads_as("localhost/app", "localhost/app:latest");
        reads_as("library", "docker.io/library/library:latest");
    }

    #[test]
    fn registries_may_have_ports_and_be_addresses() {
        reads_as("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c");
        reads_as("ghcr.io/Org/app".to_lowercase().as_str(), "ghcr.io/org/app:latest");
        reads_as("[2001:db8::1]:5000/app", "[2001:db8::1]:5000/app:latest");
        reads_as("Registry.Example.COM/app", "Registry.Example.COM/app:latest");
        reads_as("host:8080", "docker.io/library/host:8080");
    }

    #[test]
    fn tags_and_digests_may_stand_together() {
        reads_as(&format!("a/b@sha256:{HASH}"), &format!("docker.io/a/b@sha256:{HASH}"));
        reads_as(&format!("q.io/a:v1@sha256:{HASH}"), &format!("q.io/a:v1@sha256:{HASH}"));
    }

    #[test]
    fn what_the_grammar_forbids_is_refused_with_its_reason() {
        let error = |text: &str| text.parse::<ImageRef>().expect_err(text);
        assert_eq!(error(""), ParseImageRefError::Empty);
        assert_eq!(error("Nginx"), ParseImageRefError::Uppercase);
        assert_eq!(error("ghcr.io/Org/app"), ParseImageRefError::Uppercase);
        assert_eq!(error(HASH), ParseImageRefError::BareId);
        let long = format!("a/{}", "b".repeat(254));
        assert_eq!(error(&long), ParseImageRefError::TooLong);
        for text in [
            "a//b",
            "-a",
            "a-",
            "a:",
            "a:-x",
            "a___b",
            "a..b",
            "/a",
            "a/",
            "q.io/",
            ".io/a",
            "q.io:x/a",
            "[::1/a",
            "a b",
            "a\u{202e}b",
        ] {
            assert_eq!(error(text), ParseImageRefError::Format, "{text}");
        }
        assert!(matches!(error("a@sha256:zz"), ParseImageRefError::Digest(_)));
    }

    #[test]
    fn a_name_from_labels_has_no_tag() {
        let name = ImageRef::repository_only("ghcr.io", "team/app").expect("valid");
        assert_eq!((name.to_string().as_str(), name.is_exact()), ("ghcr.io/team/app", false));
        assert!(ImageRef::repository_only("ghcr.io", "team/app:v1").is_err());
    }

    #[test]
    fn familiar_names_leave_out_what_docker_adds() {
        assert_eq!("nginx".parse::<ImageRef>().map(|r| r.familiar()).as_deref(), Ok("nginx:latest"));
        assert_eq!("ghcr.io/a/b:1".parse::<ImageRef>().map(|r| r.familiar()).as_deref(), Ok("ghcr.io/a/b:1"));
    }

    proptest! {
        #[test]
        fn parsing_any_text_never_panics(text in "\\PC{0,200}") {
            drop(text.parse::<ImageRef>());
        }

        #[test]
        fn what_was_parsed_is_written_so_that_it_reads_the_same(
            registry in "([a-z0-9]{1,8}\\.){1,3}[a-z]{2,4}(:[0-9]{1,5})?",
            path in "[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,5}){0,3}",
            tag in proptest::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
        ) {
            let text = match &tag { Some(tag) => format!("{registry}/{path}:{tag}"), None => format!("{registry}/{path}") };
            let parsed: ImageRef = text.parse().expect("of the grammar");
            prop_assert_eq!(parsed.registry(), registry.as_str());
            prop_assert_eq!(parsed.repository(), path.as_str());
            prop_assert_eq!(parsed.to_string().parse::<ImageRef>(), Ok(parsed));
        }

        #[test]
        fn it_is_known_how_a_name_is_written(
            tag in proptest::option::of("[a-z]{1,3}"),
            hash in proptest::option::of("[0-9a-f]{64}"),
            other in "(:[a-z]{1,3}|/|@|x)?",
        ) {
            let tag = tag.map_or_else(String::new, |tag| format!(":{tag}"));
            let digest = hash.map_or_else(String::new, |hash| format!("@sha256:{hash}"));
            for name in ["nginx", "docker.io/library/nginx", "r.io:5000/a/b"] {
                let text = format!("{name}{tag}{digest}");
                let parsed: ImageRef = text.parse().expect("of the grammar");
                let written = parsed.to_string();
                prop_assert!(parsed.is_written(&written));
                for said in [text, format!("{written}{other}"), written[..written.len() - 1].to_owned()] {
                    prop_assert_eq!(parsed.is_written(&said), said == written, "{}", said);
                }
            }
        }

        #[test]
        fn whatever_is_accepted_is_written_so_that_it_reads_the_same(text in "[a-zA-Z0-9:/@._\\-\\[\\]]{1,60}") {
            if let Ok(parsed) = text.parse::<ImageRef>() {
                prop_assert_eq!(parsed.to_string().parse::<ImageRef>(), Ok(parsed));
            }
        }
    }
}
