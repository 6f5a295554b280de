//! Leaves in a request only what its sender may say: in our scope, where nodes are spoken for, only what is of its own node. Everything
//! else, known here or not, is passed on byte for byte. Who the sender is, is found elsewhere.

use std::borrow::Cow;

use super::{
    DecodeError, Signal,
    trim::{is_ours, unless_emptied},
    view::{Malformed, Value, fields, repeated, rewritten},
};
use crate::{names, pull::NodeName};

/// What of a request was left, and what was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own<'a> {
    /// The request without what is of other nodes; borrowed if there was nothing of the kind.
    pub request: Cow<'a, [u8]>,
    /// Log records, spans or data points that were taken out.
    pub taken_out: u64,
}

/// Takes out what is said in our scope of other nodes than this one, or of no node.
///
/// # Errors
/// When the bytes are not the signal's request.
pub fn only_of<'a>(signal: Signal, request: &'a [u8], node: &NodeName) -> Result<Own<'a>, DecodeError> {
    let mut taken_out = 0;
    // All three requests are built alike: resources = 1; of each resource = 1, scopes = 2; of each scope = 1, records = 2.
    let left = rewritten(request, 1, |of_resource| {
        let own = is_of(of_resource, node)?;
        let left = rewritten(of_resource, 2, |of_scope| {
            if own || !is_ours(of_scope)? {
                return Ok(Some(Cow::Borrowed(of_scope)));
            }
            taken_out += count(signal, of_scope)?;
            Ok(None)
        })?;
        unless_emptied(left, 2)
    });
    match left {
        Ok(request) => Ok(Own { request, taken_out }),
        Err(Malformed(problem)) => Err(DecodeError::Protobuf { signal, problem }),
    }
}

/// Whether every resource that stands here names this node; readers differ in which of several they believe.
fn is_of(of_resource: &[u8], node: &NodeName) -> Result<bool, Malformed> {
    let mut named = false;
    for resource in repeated(of_resource, 1) {
        for attribute in repeated(resource?, 1) {
            // KeyValue: key = 1, value = 2; AnyValue: string_value = 1.
            let attribute = attribute?;
            if !repeated(attribute, 1).any(|key| key == Ok(names::NODE_NAME.as_bytes())) {
                continue;
            }
            for value in repeated(attribute, 2) {
                for field in fields(value?) {
                    match field? {
                        (1, Value::Bytes(name)) if name == node.as_str().as_bytes() => named = true,
                        _ => return Ok(false),
                    }
                }
            }
        }
    }
    Ok(named)
}

/// How much a scope says: records, spans, or the data points of metrics.
fn count(signal: Signal, of_scope: &[u8]) -> Result<u64, Malformed> {
    let mut found = 0;
    for record in repeated(of_scope, 2) {
        let record = record?;
        match signal {
            Signal::Logs | Signal::Traces => found += 1,
            Signal::Metrics => found += super::decode::points(record)?,
        }
    }
    Ok(found)
}
