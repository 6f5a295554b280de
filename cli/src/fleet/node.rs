//! Who speaks for the pulls of a host: its name, and what stays the same when the name does not.

use std::{ffi::OsString, fs, path::Path};

use lifecycle::{
    pull::{Node, NodeName, ParseNodeNameError, PullId},
    time::Timestamp,
};
use thiserror::Error;

/// Where systemd and D-Bus keep what names the machine.
const MACHINE_IDS: [&str; 2] = ["etc/machine-id", "var/lib/dbus/machine-id"];
/// Keeps our derivation of the machine's id apart from those of others.
const RECIPE: &str = "pulltrace-machine/1";

/// The host cannot go by the name that it was given.
#[derive(Debug, Error)]
#[error("PULLTRACE_NODE_NAME: {name:?} cannot be the name of this host: {problem}")]
pub(crate) struct NodeError {
    name: String,
    problem: ParseNodeNameError,
}

/// What stays the same of the machine whose files are below `root`: a hash of its id, because the id itself is to stay on the machine
/// (machine-id(5)). Empty if it has none.
pub(crate) fn machine_uid(root: &Path) -> String {
    let ids = MACHINE_IDS.into_iter().filter_map(|file| fs::read_to_string(root.join(file)).ok());
    let id = ids.map(|text| text.trim().to_owned()).find(|id| !id.is_empty());
    id.map_or_else(String::new, |id| PullId::derive(&id, RECIPE, "", Timestamp::EPOCH).to_string())
}

/// This host, as the operator wants it named: by `PULLTRACE_NODE_NAME`, `PULLTRACE_NODE_UID` and `PULLTRACE_CLUSTER_NAME`, as agents are.
///
/// # Errors
/// When it cannot go by that name.
pub(crate) fn speaker(found: Node, variable: impl Fn(&str) -> Option<OsString>) -> Result<Node, NodeError> {
    let given = |name: &str| {
        let value = variable(name)?.into_string().ok()?.trim().to_owned();
        (!value.is_empty()).then_some(value)
    };
    let name = given("PULLTRACE_NODE_NAME").map(|name| match name.parse::<NodeName>() {
        Ok(parsed) => Ok(parsed),
        Err(problem) => Err(NodeError { name, problem }),
    });
    let name = name.transpose()?.unwrap_or(found.name);
    let uid = given("PULLTRACE_NODE_UID").unwrap_or(found.uid);
    let uid = if uid.is_empty() { name.to_string() } else { uid };
    Ok(Node { name, uid, cluster: given("PULLTRACE_CLUSTER_NAME").unwrap_or(found.cluster), ..found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::node;

    fn told(variables: &[(&str, &str)], found: Node) -> Result<Node, NodeError> {
        speaker(found, |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn a_machine_is_known_by_a_hash_of_its_id_and_not_by_the_id() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(machine_uid(root.path()), "");
        let id = "0123456789abcdef0123456789abcdef";
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::write(root.path().join(MACHINE_IDS[0]), format!("{id}\n")).unwrap();
        let uid = machine_uid(root.path());
        assert_eq!((uid.len(), uid == id, uid == machine_uid(root.path())), (32, false, true));
    }

    #[test]
    fn what_the_operator_says_counts_before_what_was_found() {
        let found = told(&[("PULLTRACE_NODE_NAME", " ")], node()).unwrap();
        assert_eq!((found.name.as_str(), found.uid.as_str(), found.cluster.as_str()), ("edge-1", "machine", ""));
        let variables = [("PULLTRACE_NODE_NAME", "till-7"), ("PULLTRACE_NODE_UID", "u"), ("PULLTRACE_CLUSTER_NAME", "shops")];
        let given = told(&variables, node()).unwrap();
        assert_eq!((given.name.as_str(), given.uid.as_str(), given.cluster.as_str()), ("till-7", "u", "shops"));
        let nameless = told(&[], Node { uid: String::new(), ..node() }).unwrap();
        assert_eq!(nameless.uid, "edge-1", "a machine without an id goes by its name");
    }

    #[test]
    fn a_name_that_cannot_be_one_is_told() {
        let error = told(&[("PULLTRACE_NODE_NAME", "a b")], node()).unwrap_err().to_string();
        assert!(error.starts_with("PULLTRACE_NODE_NAME: \"a b\" cannot be the name of this host: "), "{error}");
    }
}
