//! The table: heads of columns, one line for every pull on the screen, and the selected one in words below.

use std::time::Duration;

use lifecycle::explain;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
    text::{Line, Span},
};

use super::{
    super::{
        model::{Link, Model},
        pull::{Pull, State},
        table::Entry,
        text::{head, short_time, tail, width},
    },
    bar::{Parts, bar, spark},
    columns::{Column, Placed, placed},
    foot,
    look::{Look, Role},
    words,
};

/// Cells of a progress column that are no bar.
const PERCENT: usize = 5;

/// Draws heads, rows and the selected pull.
pub(super) fn draw(model: &Model, area: Rect, look: Look, buffer: &mut Buffer) {
    let (columns, hidden) = placed(usize::from(area.width), model.aside);
    heads(model, &columns, hidden, area, look, buffer);
    let rows = model.table.rows();
    let (top, bottom) = (area.y + 1, area.bottom() - 2);
    for (y, at) in (top..bottom).zip(model.top..) {
        let Some(entry) = rows.get(at).and_then(|id| model.table.get(*id)) else { break };
        buffer.set_line(area.x, y, &row(model, entry, &columns, look), area.width);
        if at == model.cursor {
            buffer.set_style(Rect { y, height: 1, ..area }, Style::reset().add_modifier(Modifier::REVERSED));
        }
    }
    if rows.is_empty() {
        for (y, line) in (top + 1..bottom).zip(nothing(model)) {
            buffer.set_line(area.x, y, &words(line, Role::Neutral, look).into(), area.width);
        }
    }
    if let Some(entry) = model.current().and_then(|id| model.table.get(id)) {
        for (y, line) in (bottom..).zip(foot::selected(entry, usize::from(area.width), look)) {
            buffer.set_line(area.x, y, &line, area.width);
        }
    }
}

fn heads(model: &Model, columns: &[Placed], hidden: usize, area: Rect, look: Look, buffer: &mut Buffer) {
    let mut spans = Vec::new();
    for (at, (column, cells)) in columns.iter().enumerate() {
        let is_sorted = column.sort() == Some(model.order.sort);
        let arrow = match (is_sorted, model.order.reversed) {
            (false, _) => "",
            (true, false) => look.pick("▼", "v"),
            (true, true) => look.pick("▲", "^"),
        };
        let room = cells.saturating_sub(width(arrow)).max(1);
        let title = if room == 1 { column.title().chars().take(1).collect() } else { head(column.title(), room) };
        let base = if is_sorted { Style::new().add_modifier(Modifier::BOLD) } else { look.style(Role::Faint) };
        let letters = title.char_indices().nth(1).map_or(title.len(), |(at, _)| at);
        let (first, rest) = title.split_at(letters);
        let underlined = if column.sort().is_some() { base.add_modifier(Modifier::UNDERLINED) } else { base };
        let words = vec![Span::styled(first.to_owned(), underlined), Span::styled(format!("{rest}{arrow}"), base)];
        spans.extend(placed_in(words, *cells, column.is_right()));
        let is_last = at + 1 == columns.len();
        spans.extend((!is_last).then(|| Span::raw(" ")));
    }
    let taken = super::cells(&spans);
    let more = format!("{}{hidden}", look.pick("→", "+"));
    if hidden > 0 && taken + width(&more) < usize::from(area.width) {
        spans.push(words(format!(" {more}"), Role::Faint, look));
    }
    buffer.set_line(area.x, area.y, &Line::from(spans), area.width);
}

fn row(model: &Model, entry: &Entry, columns: &[Placed], look: Look) -> Line<'static> {
    let mut spans = Vec::with_capacity(columns.len() * 4);
    for (at, (column, cells)) in columns.iter().enumerate() {
        if at > 0 {
            spans.push(Span::raw(" "));
        }
        let content = cell(model, entry, *column, *cells, look);
        spans.extend(placed_in(content, *cells, column.is_right()));
    }
    Line::from(spans)
}

/// Fills a column's cells with its words, at their left or right end.
fn placed_in(mut words: Vec<Span<'static>>, cells: usize, right: bool) -> Vec<Span<'static>> {
    let gap = Span::raw(" ".repeat(cells.saturating_sub(super::cells(&words))));
    words.insert(if right { 0 } else { words.len() }, gap);
    words
}

fn cell(model: &Model, entry: &Entry, column: Column, cells: usize, look: Look) -> Vec<Span<'static>> {
    let (pull, state) = (&entry.pull, entry.pull.state());
    let text = |text: String| vec![Span::raw(text)];
    match column {
        Column::State => {
            let (sign, role) = look.state(state);
            let word = if cells > 2 { format!("{sign} {}", state.word()) } else { sign.to_owned() };
            vec![words(word, role, look)]
        }
        Column::Image => text(tail(&pull.familiar(), cells)),
        Column::Workload => text(match pull.whose() {
            None => String::new(),
            Some((name, 0)) => tail(name, cells),
            Some((name, others)) => {
                let more = format!(" +{others}");
                tail(name, cells.saturating_sub(more.len())) + &more
            }
        }),
        Column::Node => text(tail(&pull.node, cells)),
        Column::Progress => progress(pull, state, cells, look),
        Column::Speed => {
            let rates: Vec<u64> = entry.trail.last(cells, model.now.as_secs()).collect();
            vec![words(spark(rates.into_iter(), look), if state.is_running() { Role::Fetching } else { Role::Faint }, look)]
        }
        Column::Rate => text(Some(pull.speed()).filter(|rate| *rate > 0).map_or_else(String::new, explain::speed)),
        Column::Eta => text(eta(pull, state)),
        Column::Time => text(short_time(elapsed(model, entry))),
        Column::Why => text(head(&why(pull, state), cells)),
    }
}

/// How long a pull took, or has taken by now.
pub(super) fn elapsed(model: &Model, entry: &Entry) -> Duration {
    entry.pull.elapsed(model.clock.since(entry.told, model.paused.as_ref().map_or(model.now, |pause| pause.since)))
}

/// A bar and how much of it; or what became of the pull.
fn progress(pull: &Pull, state: State, cells: usize, look: Look) -> Vec<Span<'static>> {
    let end = |text: String, role| vec![words(head(&text, cells), role, look)];
    match state {
        State::Ready if pull.is_cached() => return end("was there".to_owned(), Role::Faint),
        State::Ready => return end(explain::size(pull.downloaded_bytes), Role::Faint),
        State::Failed => {
            let class = pull.error_class.as_deref().unwrap_or("failed").replace('_', " ");
            return end(class, Role::Bad);
        }
        State::Queued | State::Resolving => return Vec::new(),
        State::Canceled | State::Lost if pull.total_bytes.is_none() => return Vec::new(),
        State::Unpacking => {
            let said = format!("{}/{}", pull.layers_done, pull.layer_count);
            let parts = Parts { done: pull.layers_done.into(), all: pull.layer_count.into(), cached: 0, is_open: false };
            let mut spans = bar(parts, cells - PERCENT, Role::Unpacking, look);
            spans.push(Span::raw(format!("{said:>PERCENT$}")));
            return spans;
        }
        State::Stalled
        | State::Retrying
        | State::Layer
        | State::Slot
        | State::Waiting
        | State::Stale
        | State::Downloading
        | State::Lost
        | State::Canceled => {}
    }
    let role = look.state(state).1;
    if !pull.total_known {
        let said = format!("{} of ?", explain::size(pull.downloaded_bytes));
        return end(said, Role::Neutral);
    }
    let mut spans = bar(parts(pull), cells - PERCENT, if role == Role::Neutral { Role::Faint } else { role }, look);
    let percent = pull.percent.map_or_else(String::new, |percent| format!("{}%", whole(percent)));
    spans.push(Span::raw(format!("{percent:>PERCENT$}")));
    spans
}

/// The bytes of a pull.
pub(super) fn parts(pull: &Pull) -> Parts {
    let to_fetch = pull.total_bytes.unwrap_or(pull.downloaded_bytes);
    Parts {
        cached: pull.cached_bytes,
        done: pull.downloaded_bytes,
        all: pull.cached_bytes.saturating_add(to_fetch),
        is_open: !pull.total_known,
    }
}

/// Rounded down, and never the whole: that is for those that are ready.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage lies between 0 and 100")]
pub(super) const fn whole(percent: f64) -> u8 {
    let whole = percent as u8;
    if whole > 99 { 99 } else { whole }
}

fn eta(pull: &Pull, state: State) -> String {
    let time = |seconds: f64| short_time(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    match (pull.eta_seconds, pull.eta_low_seconds) {
        (Some(eta), _) if state.is_running() => format!("~{}", time(eta)),
        (None, Some(low)) if state.is_running() => format!(">{}", time(low)),
        (Some(_) | None, _) => String::new(),
    }
}

/// What it waits for, or the error; nothing where all is well.
fn why(pull: &Pull, state: State) -> String {
    match (&pull.error, state) {
        (Some(error), _) => error.to_string(),
        (None, State::Failed | State::Lost | State::Stale) => pull.summary.to_string(),
        (None, state) if state.is_waiting() || state == State::Queued => pull.summary.to_string(),
        (None, _) => String::new(),
    }
}

/// What to say where there is no row.
fn nothing(model: &Model) -> Vec<String> {
    if !model.table.filtered().is_empty() {
        return vec![format!("  No pull fits the filter; {} do not. Esc shows all.", model.table.len())];
    }
    if model.table.len() > 0 {
        return vec!["  No pull runs now. f shows those that have finished.".to_owned()];
    }
    match (&model.link, model.synced) {
        (Link::Connecting | Link::Broken { .. }, _) => vec!["  Nothing is known yet; the collector does not answer.".to_owned()],
        (Link::Live | Link::Silent, false) => Vec::new(),
        (Link::Live | Link::Silent, true) => {
            let agents = match model.agents {
                None => "No pulls, and nothing is known of agents.".to_owned(),
                Some(0) => "No pulls, and no agent is heard: is one running, and does it send here?".to_owned(),
                Some(1) => "No pulls; 1 agent is heard.".to_owned(),
                Some(agents) => format!("No pulls; {agents} agents are heard."),
            };
            vec![format!("  {agents}"), "  Pull an image on one of its nodes, and it appears here.".to_owned()]
        }
    }
}
