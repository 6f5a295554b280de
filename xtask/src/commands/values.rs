//! The values of a chart, and what people write to change them: which keys there are. It does not know what a value may be; that is for the
//! chart's schema.

use serde_json::Value;

/// Objects of Kubernetes, of which a chart's file shows some keys and takes all.
const KUBERNETES: [&str; 6] =
    ["affinity", "nodeSelector", "podSecurityContext", "resources", "securityContext", "updateStrategy"];

/// A file of values.
pub(crate) struct Values(Value);

impl Values {
    /// Reads a file of values.
    ///
    /// # Errors
    /// When it is not YAML.
    pub(crate) fn read(yaml: &str) -> Result<Self, serde_saphyr::Error> {
        serde_saphyr::from_str(yaml).map(Self)
    }

    /// Whether there is such a value, or one below which anything may stand: where the chart has an empty map, a list, or an object of
    /// Kubernetes.
    pub(crate) fn has(&self, path: &str) -> bool {
        let (mut at, mut parent) = (&self.0, "");
        for part in path.split('.') {
            let (key, is_of_list) = part.split_once('[').map_or((part, false), |(key, _)| (key, true));
            let is_open = at.as_object().is_some_and(serde_json::Map::is_empty) || at.is_array() || KUBERNETES.contains(&parent);
            match at.get(key) {
                Some(value) if is_of_list => return value.is_array(),
                Some(value) => (at, parent) = (value, key),
                None => return is_open,
            }
        }
        true
    }

    /// Whether the path begins as a value does.
    pub(crate) fn begins(&self, path: &str) -> bool {
        path.split('.').next().is_some_and(|first| self.0.get(first).is_some())
    }

    /// The values that are not only there for those below them.
    pub(crate) fn leaves(&self) -> Vec<String> {
        let mut found = Vec::new();
        leaves("", &self.0, &mut found);
        found
    }
}

fn leaves(above: &str, value: &Value, found: &mut Vec<String>) {
    match value.as_object() {
        Some(map) if !map.is_empty() => {
            for (key, value) in map {
                let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
                leaves(&path, value, found);
            }
        }
        Some(_) | None => found.push(above.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "agent:\n  runtime: auto  # z\n  labels: {}\n  tolerations:\n    - operator: Exists\n  resources:\n    limits: {memory: 1Mi}\n\
                        collector:\n  tls:\n    http: false\nextraObjects: []\n";

    #[test]
    fn leaves_are_what_the_file_says_and_not_what_it_says_it_in() {
        let expected = [
            "agent.labels",
            "agent.resources.limits.memory",
            "agent.runtime",
            "agent.tolerations",
            "collector.tls.http",
            "extraObjects",
        ];
        let mut leaves = Values::read(YAML).unwrap().leaves();
        leaves.sort();
        assert_eq!(leaves, expected);
    }

    #[test]
    fn below_lists_empty_maps_and_objects_of_kubernetes_anything_may_stand() {
        let values = Values::read(YAML).unwrap();
        for path in [
            "agent.runtime",
            "agent.labels.team",
            "agent.tolerations[0].key",
            "agent.resources.requests",
            "collector.tls",
            "extraObjects[0]",
        ] {
            assert!(values.has(path), "{path}");
        }
        for path in ["agent.run", "runtime", "agent.runtime.x", "agent.runtime[0]", "collector.tls.https", "server.image"] {
            assert!(!values.has(path), "{path}");
        }
    }
}
