//! What must hold for any bytes that a decoder is given: it returns, and what it takes it can say again. Run by the fuzz targets beside, and by
//! `lifecycle`'s tests over the corpus.

use lifecycle::{
    image::{Digest, ImageRef},
    pull::{NodeName, PullId},
    wire::{self, Event, Said, Signal, encode},
};

/// What a target is run with.
type Target = fn(&[u8]);

/// Every target by name.
pub(crate) const TARGETS: [(&str, Target); 5] =
    [("protobuf", protobuf), ("json", json), ("answer", answer), ("compact", compact), ("names", names)];

/// Requests in protobuf, of whichever signal.
pub(crate) fn protobuf(bytes: &[u8]) {
    let node: NodeName = "node-1".parse().expect("a name");
    for signal in Signal::ALL {
        drop(wire::to_json(signal, bytes));
        let Ok(decoded) = wire::decode(signal, bytes) else { continue };
        said_again(&decoded.reports);
        let Ok(own) = wire::only_of(signal, bytes, &node) else { continue };
        let left = wire::decode(signal, &own.request).expect("what is left of a request is one");
        let of_others = |said: &Said| match said {
            Said::Pull(report) => report.node.name != node,
            Said::Node(report) => report.node.name != node,
        };
        assert!(!left.reports.iter().any(of_others), "a report of another node is left");
        assert!(wire::only_of(signal, &own.request, &node).expect("the same request").taken_out == 0);
    }
    if let Ok(trimmed) = wire::without_progress(bytes) {
        assert!(trimmed.len() <= bytes.len());
        assert_eq!(wire::without_progress(&trimmed).expect("what is left of a request is one"), trimmed);
    }
}

/// Requests in JSON, of whichever signal.
pub(crate) fn json(bytes: &[u8]) {
    for signal in Signal::ALL {
        let Ok(request) = wire::transcode_json(signal, bytes) else { continue };
        let decoded = wire::decode(signal, &request).expect("what was made of JSON is a request");
        said_again(&decoded.reports);
        assert_eq!(wire::decode_json(signal, bytes).expect("read before"), decoded);
    }
}

/// Answers of receivers, and what they say of errors.
pub(crate) fn answer(bytes: &[u8]) {
    if let Ok(partial) = wire::parse_response(bytes) {
        let again = wire::parse_response(&wire::response(partial.rejected, &partial.message));
        assert_eq!(again.expect("our own answer").rejected, partial.rejected);
    }
    if let Ok(status) = wire::Status::decode(bytes) {
        drop(status.to_json());
        let again = wire::Status::decode(&status.encode()).expect("our own status");
        assert_eq!((again.code, again.message), (status.code, status.message));
    }
}

/// Pulls as an agent keeps them in its queue.
pub(crate) fn compact(bytes: &[u8]) {
    if let Some(pull) = wire::restore(bytes) {
        assert_eq!(wire::restore(&wire::shrink(&pull)), Some(pull));
    }
}

/// Names of images, digests, nodes and pulls: what is taken reads the same when it is said.
pub(crate) fn names(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(image) = text.parse::<ImageRef>() {
        assert_eq!(image.to_string().parse::<ImageRef>().as_ref(), Ok(&image), "{text:?}");
        assert!(!image.to_string().contains(['\0', '\u{202e}', '<', ' ']), "{text:?}");
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.as_str(), text);
        assert!(!text.contains(['/', '\0']) && !text.contains(".."), "{text:?}");
    }
    if let Ok(node) = text.parse::<NodeName>() {
        assert_eq!(node.as_str(), text);
    }
    if let Ok(pull) = text.parse::<PullId>() {
        assert_eq!(pull.to_string(), text.to_ascii_lowercase());
    }
}

/// What was taken from a request is what one says who says it again.
fn said_again(reports: &[Said]) {
    for said in reports {
        let request = match said {
            Said::Pull(report) => encode::pulls(&report.node, "0", [(Event::Progress, &report.pull)]),
            Said::Node(report) => encode::node(report),
        };
        let again = wire::decode(Signal::Logs, &request).expect("our own request");
        assert_eq!(again.reports.first(), Some(said), "{}", again.rejected.message());
    }
}
