//! One pull on one line: its state, image, node and sentence.

use std::fmt;

use serde::Deserialize;

/// What the collector says of a pull, as far as a line needs it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pull {
    pub(crate) id: String,
    node_name: String,
    image_ref: Option<String>,
    image_digest: Option<String>,
    phase: String,
    outcome: Option<String>,
    wait: Option<Wait>,
    #[serde(default)]
    stale: bool,
    summary: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Wait {
    kind: String,
}

impl Pull {
    /// One word: how it ended, what it waits for, or its phase.
    pub(crate) fn state(&self) -> &str {
        match (&self.outcome, self.stale, &self.wait) {
            (Some(outcome), ..) => outcome,
            (None, true, _) => "stale",
            (None, false, Some(wait)) => &wait.kind,
            (None, false, None) => &self.phase,
        }
    }
}

impl fmt::Display for Pull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = self.image_ref.as_ref().or(self.image_digest.as_ref()).map_or("(name not known yet)", String::as_str);
        let line = format!("{:<13} {image}  {}  {}", self.state(), self.node_name, self.summary);
        f.write_str(&line.replace(char::is_control, " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_state_image_node_and_sentence_and_cannot_drive_a_terminal() {
        let json = r#"{"id":"1","nodeName":"n1","phase":"downloading","wait":{"kind":"stalled"},"summary":"Stalled.\u001b[2J"}"#;
        let pull: Pull = serde_json::from_str(json).unwrap();
        assert_eq!(pull.to_string(), "stalled       (name not known yet)  n1  Stalled. [2J");
    }

    #[test]
    fn the_state_is_the_most_telling_word() {
        let state = |more: &str| {
            let json = format!(r#"{{"id":"1","nodeName":"n1","phase":"unpacking","summary":""{more}}}"#);
            serde_json::from_str::<Pull>(&json).unwrap().state().to_owned()
        };
        assert_eq!(state(""), "unpacking");
        assert_eq!(state(r#","stale":true,"wait":{"kind":"stalled"}"#), "stale");
        assert_eq!(state(r#","stale":false,"outcome":"ready""#), "ready");
    }
}
