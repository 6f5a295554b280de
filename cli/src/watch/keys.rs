//! What keys do. The keys themselves, as a terminal sends them, are the business of [`super::shell`]; what they are called for people, of
//! [`super::view`].

use super::{
    filter::{Filter, MAX_TEXT},
    model::{Effect, Model, Screen},
    table::Sort,
    text::plain,
};

/// A key, whatever terminal it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Ctrl(char),
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Esc,
    Backspace,
}

/// A line that is being typed.
#[derive(Debug)]
pub(super) struct Prompt {
    pub(super) kind: Asked,
    pub(super) text: String,
    /// The filter before, for Esc.
    before: Filter,
}

/// What a line is typed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Which pulls are shown; holds while it is typed.
    Filter,
    /// Where to go.
    Jump,
}

/// The letter of each order; with Shift, as heads of columns begin with it.
const SORTS: [(char, Sort); 9] = [
    ('0', Sort::Need),
    ('S', Sort::State),
    ('I', Sort::Image),
    ('W', Sort::Workload),
    ('N', Sort::Node),
    ('P', Sort::Progress),
    ('R', Sort::Rate),
    ('E', Sort::Eta),
    ('T', Sort::Time),
];

impl Model {
    /// A key was pressed.
    pub(super) fn key(&mut self, key: Key) -> Option<Effect> {
        if key == Key::Ctrl('c') {
            return Some(Effect::Interrupt);
        } else if key == Key::Ctrl('l') {
            return Some(Effect::Redraw);
        } else if self.prompt.is_some() {
            self.typed(key);
        } else if key == Key::Char('q') {
            return Some(Effect::Quit);
        } else if key == Key::Char('p') {
            self.pause();
        } else {
            match &self.screen {
                Screen::Table | Screen::Pull(_) | Screen::Json(_) if key == Key::Char('?') => self.screen = Screen::Help(0),
                Screen::Table => self.in_table(key),
                Screen::Pull(_) => self.in_pull(key),
                Screen::Json(_) => self.in_json(key),
                Screen::Help(_) => self.in_help(key),
            }
        }
        self.ask()
    }

    fn in_table(&mut self, key: Key) {
        let (page, last) = (self.height().saturating_sub(1).max(1), self.table.rows().len().saturating_sub(1));
        match key {
            Key::Up | Key::Ctrl('p') => self.go(self.cursor.saturating_sub(1)),
            Key::Down | Key::Ctrl('n') => self.go(self.cursor + 1),
            Key::PageUp => self.go(self.cursor.saturating_sub(page)),
            Key::PageDown | Key::Char(' ') => self.go(self.cursor + page),
            Key::Home | Key::Char('g') => {
                self.selected = None;
                self.follow();
            }
            Key::End | Key::Char('G') => self.go(last),
            Key::Right => self.aside += 1,
            Key::Left => self.aside = 0,
            Key::Enter => self.open(Screen::Pull),
            Key::Char('j') => self.open(Screen::Json),
            Key::Char('/') => self.prompt(Asked::Filter, self.table.filtered().text().to_owned()),
            Key::Char(':') => self.prompt(Asked::Jump, String::new()),
            Key::Char('n') => self.jump(),
            Key::Char('f') => {
                self.order.finished = !self.order.finished;
                self.say(if self.order.finished { "finished pulls are shown" } else { "finished pulls are hidden" });
                self.arrange();
            }
            Key::Esc if !self.table.filtered().is_empty() => self.show(Filter::default()),
            Key::Char(letter) => self.sort(letter),
            Key::Ctrl(_) | Key::Esc | Key::Backspace => {}
        }
    }

    /// The same letter again turns the order round.
    fn sort(&mut self, letter: char) {
        if let Some((_, sort)) = SORTS.into_iter().find(|(of, _)| *of == letter) {
            self.order.reversed = self.order.sort == sort && !self.order.reversed;
            self.order.sort = sort;
            self.arrange();
        }
    }

    /// Selects the row at this place, or the last.
    fn go(&mut self, to: usize) {
        let rows = self.table.rows();
        self.selected = rows.get(to.min(rows.len().saturating_sub(1))).copied();
        self.follow();
    }

    fn open(&mut self, screen: impl FnOnce(super::model::Opened) -> Screen) {
        if let Some(id) = self.current() {
            self.selected = Some(id);
            self.screen = screen(self.opened(id, None, false));
        }
    }

    fn in_pull(&mut self, key: Key) {
        let Screen::Pull(opened) = &mut self.screen else { return };
        if is_back(key) {
            self.screen = Screen::Table;
        } else if key == Key::Char('j') {
            let (id, detail) = (opened.id, opened.detail.take());
            self.screen = Screen::Json(self.opened(id, detail, true));
        } else {
            scroll(&mut opened.scroll, key, self.size.1);
        }
    }

    fn in_json(&mut self, key: Key) {
        let Screen::Json(opened) = &mut self.screen else { return };
        if !is_back(key) && key != Key::Char('j') {
            scroll(&mut opened.scroll, key, self.size.1);
        } else if opened.is_above {
            let (id, detail) = (opened.id, opened.detail.take());
            self.screen = Screen::Pull(self.opened(id, detail, false));
        } else {
            self.screen = Screen::Table;
        }
    }

    fn in_help(&mut self, key: Key) {
        let Screen::Help(lines) = &mut self.screen else { return };
        if is_back(key) || key == Key::Char('?') {
            self.screen = Screen::Table;
        } else {
            scroll(lines, key, self.size.1);
        }
    }

    fn prompt(&mut self, kind: Asked, text: String) {
        self.prompt = Some(Prompt { kind, text, before: self.table.filtered().clone() });
    }

    /// A key for the line that is being typed.
    fn typed(&mut self, key: Key) {
        let Some(mut prompt) = self.prompt.take() else { return };
        match key {
            Key::Enter if prompt.kind == Asked::Jump => {
                if let "q" | "quit" = prompt.text.trim() {
                    self.say("q alone ends the program");
                } else {
                    self.sought = prompt.text.trim().to_lowercase();
                    self.jump();
                }
                return;
            }
            Key::Enter => return,
            Key::Esc if prompt.kind == Asked::Filter => return self.show(prompt.before),
            Key::Esc => return,
            Key::Backspace => drop(prompt.text.pop()),
            Key::Ctrl('u') => prompt.text.clear(),
            Key::Ctrl('w') => {
                let kept = prompt.text.trim_end().rfind(' ').map_or(0, |at| at + 1);
                prompt.text.truncate(kept);
            }
            Key::Char(letter) if prompt.text.chars().count() < MAX_TEXT => prompt.text.push_str(&plain(&letter.to_string())),
            Key::Up => self.go(self.cursor.saturating_sub(1)),
            Key::Down => self.go(self.cursor + 1),
            Key::Char(_) | Key::Ctrl(_) | Key::Left | Key::Right | Key::PageUp | Key::PageDown | Key::Home | Key::End => {}
        }
        if prompt.kind == Asked::Filter && prompt.text.trim() != self.table.filtered().text() {
            self.show(Filter::read(&prompt.text));
        }
        self.prompt = Some(prompt);
    }

    /// Selects the row of this number, or the next one whose id begins so or that has this text.
    fn jump(&mut self) {
        let rows = self.table.rows();
        if self.sought.is_empty() || rows.is_empty() {
            return;
        }
        let number = self.sought.parse::<usize>().ok().filter(|number| (1..=rows.len()).contains(number));
        let wanted = Filter::read(&self.sought);
        let places = (self.cursor + 1..rows.len()).chain(0..=self.cursor);
        let found = number.map(|number| number - 1).or_else(|| {
            let mut places = places.filter(|at| self.table.get(rows[*at]).is_some_and(|entry| wanted.fits(&entry.pull)));
            places.next()
        });
        match found {
            Some(at) => self.go(at),
            None => self.say(format!("no row has {:?}", self.sought)),
        }
    }
}

const fn is_back(key: Key) -> bool {
    matches!(key, Key::Esc | Key::Backspace)
}

/// The view holds it to what there is.
fn scroll(lines: &mut usize, key: Key, height: u16) {
    let page = usize::from(height.saturating_sub(3).max(1));
    *lines = match key {
        Key::Up => lines.saturating_sub(1),
        Key::Down | Key::Enter => lines.saturating_add(1),
        Key::PageUp => lines.saturating_sub(page),
        Key::PageDown | Key::Char(' ') => lines.saturating_add(page),
        Key::Home | Key::Char('g') => 0,
        Key::End | Key::Char('G') => usize::MAX,
        Key::Char(_) | Key::Ctrl(_) | Key::Left | Key::Right | Key::Esc | Key::Backspace => *lines,
    };
}
