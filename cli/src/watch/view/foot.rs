//! The lines at the bottom: the selected pull in words, which has no room in its row, and what can be pressed, or what is being typed.

use ratatui::{
    style::Modifier,
    text::{Line, Span},
};

use super::{
    super::{
        keys::Asked,
        model::{Model, Screen},
        table::Entry,
        text::{head, plain, tail},
    },
    look::{Look, Role},
    words,
};

/// Most of a name that is told of a pod, in cells.
const NAME: usize = 40;

/// The selected pull: its whole name and whose it is, and its sentence.
pub(super) fn selected(entry: &Entry, width: usize, look: Look) -> [Line<'static>; 2] {
    let pull = &entry.pull;
    let mut whose = format!(" on {}", pull.node);
    if let Some(pod) = pull.pods.first() {
        whose += &format!(" for {}/{}", pod.namespace, tail(&pod.pod_name, NAME));
        if let Some(workload) = &pod.workload {
            whose += &format!(" of {} {}", workload.kind, workload.name);
        }
        if pull.pods.len() > 1 {
            whose += &format!(" and {} more", pull.pods.len() - 1);
        }
    }
    let image = tail(&pull.image(), width * 2 / 3);
    let room = width.saturating_sub(super::super::text::width(&image));
    [
        Line::from(vec![
            Span::styled(image, look.style(Role::Neutral).add_modifier(Modifier::BOLD)),
            words(head(&whose, room), Role::Faint, look),
        ]),
        Line::from(Span::raw(head(&pull.summary, width))),
    ]
}

/// What can be pressed; or what is being typed; or a short word.
pub(super) fn keys(model: &Model, width: usize, look: Look) -> Line<'static> {
    if let Some(prompt) = &model.prompt {
        let (sign, hint) = match prompt.kind {
            Asked::Filter => ("/", "  Enter keeps, Esc undoes; node:gpu* state:stalled -ns:test text"),
            Asked::Jump => (":", "  a row's number, or text of a row; Enter goes there"),
        };
        let typed = tail(&plain(&prompt.text), width.saturating_sub(3));
        let room = width.saturating_sub(super::super::text::width(&typed) + 2);
        let cursor = Span::styled(" ", look.style(Role::Neutral).add_modifier(Modifier::REVERSED));
        return Line::from(vec![Span::raw(format!("{sign}{typed}")), cursor, words(head(hint, room), Role::Faint, look)]);
    }
    if let Some((word, _)) = &model.notice {
        return Line::from(words(head(word, width), Role::Waiting, look));
    }
    let hints: &[(&str, &str)] = match &model.screen {
        Screen::Table => &[
            ("?", "help"),
            ("q", "quit"),
            ("/", "filter"),
            (":", "jump"),
            ("Enter", "open"),
            ("j", "JSON"),
            ("p", "pause"),
            ("f", "ended"),
            ("←→", "more"),
            ("Shift+letter", "sort"),
        ],
        Screen::Pull(_) => &[("Esc", "back"), ("↑↓", "scroll"), ("j", "JSON"), ("p", "pause"), ("?", "help"), ("q", "quit")],
        Screen::Json(_) => &[("Esc", "back"), ("↑↓", "scroll"), ("?", "help"), ("q", "quit")],
        Screen::Help(_) => &[("Esc", "back"), ("↑↓", "scroll"), ("q", "quit")],
    };
    let mut spans = Vec::new();
    let mut left = width;
    for (key, word) in hints {
        let key = match (*key, look.shapes) {
            ("←→", false) => "left/right",
            ("↑↓", false) => "up/down",
            (key, _) => key,
        };
        let taken = super::super::text::width(key) + word.len() + 3;
        if taken > left + 2 {
            break;
        }
        left = left.saturating_sub(taken);
        spans.push(Span::styled(key.to_owned(), look.style(Role::Neutral).add_modifier(Modifier::BOLD)));
        spans.push(words(format!(" {word}  "), Role::Faint, look));
    }
    Line::from(spans)
}
