//! How things look: colours that can be read on light and on dark, shapes that suffice without colours, and letters for terminals that have no
//! shapes.

use ratatui::style::{Color, Modifier, Style};

use super::super::pull::State;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Look {
    pub(in super::super) colours: Colours,
    /// Whether it shows more than ASCII.
    pub(in super::super) shapes: bool,
}

/// Which colours there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Colours {
    /// None are wanted (`NO_COLOR`).
    None,
    /// The sixteen of the terminal's theme.
    Sixteen,
    /// The 256 of xterm, of which those are used that stand out from black and from white alike.
    Many,
}

/// What something means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing to do.
    Neutral,
    /// Beside the matter.
    Faint,
    /// Bytes come.
    Fetching,
    /// Layers are unpacked.
    Unpacking,
    Good,
    /// Waits.
    Waiting,
    Bad,
}

impl Look {
    /// The style of a meaning.
    pub(super) fn style(self, role: Role) -> Style {
        let plain = Style::new();
        let colour = |sixteen, many| match self.colours {
            Colours::None => plain,
            Colours::Sixteen => plain.fg(sixteen),
            Colours::Many => plain.fg(Color::Indexed(many)),
        };
        match role {
            Role::Neutral => plain,
            Role::Faint => plain.add_modifier(Modifier::DIM),
            Role::Fetching => colour(Color::Blue, 33),
            Role::Unpacking => colour(Color::Magenta, 134),
            Role::Good => colour(Color::Green, 28),
            Role::Waiting => colour(Color::Yellow, 130).add_modifier(Modifier::BOLD),
            Role::Bad => colour(Color::Red, 160).add_modifier(Modifier::BOLD),
        }
    }

    /// Shape and meaning of a state.
    pub(super) const fn state(self, state: State) -> (&'static str, Role) {
        let (shape, letter, role) = match state {
            State::Queued => ("○", "o", Role::Neutral),
            State::Resolving => ("◎", "o", Role::Neutral),
            State::Downloading => ("●", ">", Role::Fetching),
            State::Unpacking => ("◐", "u", Role::Unpacking),
            State::Ready => ("✓", "+", Role::Good),
            State::Stalled => ("◷", "!", Role::Waiting),
            State::Retrying | State::Layer | State::Slot | State::Waiting => ("◷", "w", Role::Waiting),
            State::Failed => ("✗", "x", Role::Bad),
            State::Canceled => ("–", "-", Role::Neutral),
            State::Lost | State::Stale => ("?", "?", Role::Faint),
        };
        (if self.shapes { shape } else { letter }, role)
    }

    /// The first of these, or the second where there are no shapes.
    pub(super) const fn pick<T: Copy>(self, shape: T, letter: T) -> T {
        if self.shapes { shape } else { letter }
    }
}
