//! One pull on one line: its state, image, node and sentence.

use std::fmt;

use crate::ask::answers::Pull;

impl fmt::Display for Pull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = self.name().unwrap_or("(name not known yet)");
        let line = format!("{:<13} {image}  {}  {}", self.state(), self.node_name, self.summary);
        f.write_str(&line.replace(char::is_control, " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(more: &str) -> Pull {
        let times = r#""startedAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:01Z""#;
        serde_json::from_str(&format!(r#"{{"id":"1","nodeName":"n1",{times}{more}}}"#)).unwrap()
    }

    #[test]
    fn a_line_has_state_image_node_and_sentence_and_cannot_drive_a_terminal() {
        let pull = pull(
            r#","phase":"downloading","wait":{"kind":"stalled","since":"2026-01-01T00:00:00Z"},"summary":"Stalled.\u001b[2J""#,
        );
        assert_eq!(pull.to_string(), "stalled       (name not known yet)  n1  Stalled. [2J");
    }

    #[test]
    fn the_state_is_the_most_telling_word() {
        let state = |more: &str| pull(&format!(r#","phase":"unpacking","summary":""{more}"#)).state().to_owned();
        assert_eq!(state(""), "unpacking");
        assert_eq!(state(r#","stale":true,"wait":{"kind":"stalled","since":"2026-01-01T00:00:00Z"}"#), "stale");
        assert_eq!(state(r#","stale":false,"outcome":"ready""#), "ready");
    }
}
