//! The two lines at the top: where the pulls come from and whether they are true now; what they all come to, and which of them are shown.

use lifecycle::explain;
use ratatui::{
    style::Modifier,
    text::{Line, Span},
};

use super::{
    super::{
        model::{Link, Model, SILENT},
        table::Sort,
        text::{head, plain, short_time},
    },
    bar::spark,
    ends,
    look::{Look, Role},
    words,
};

/// Cells of the sparkline of all pulls.
const SPARK: usize = 16;

/// Where the pulls come from, and how old they are.
pub(super) fn server(model: &Model, width: usize, look: Look) -> Line<'static> {
    let name = Span::raw("Pulltrace ").style(look.style(Role::Neutral).add_modifier(Modifier::BOLD));
    let right = link(model, width, look);
    ends(vec![name, words(plain(&model.server), Role::Faint, look)], right, width)
}

/// Never silent about the age of what is shown.
fn link(model: &Model, width: usize, look: Look) -> Vec<Span<'static>> {
    let age = short_time(model.silence());
    if let Some(pause) = &model.paused {
        let (since, changed) = (short_time(model.now.saturating_sub(pause.since)), pause.later.len());
        return vec![words(format!("{} paused {since}, {changed} changed; p goes on", look.pick("‖", "=")), Role::Waiting, look)];
    }
    match &model.link {
        Link::Connecting => vec![words("connecting ...", Role::Waiting, look)],
        Link::Live if model.synced => vec![words(format!("{} live", look.pick("●", "*")), Role::Good, look)],
        Link::Live => vec![words("reading ...", Role::Waiting, look)],
        Link::Silent => {
            let words_of = format!("! no word for {age} (there is one every {} s)", SILENT.as_secs() - 5);
            vec![words(words_of, Role::Waiting, look)]
        }
        Link::Broken { why, again } => {
            let again = short_time(again.saturating_sub(model.now));
            let said = format!("! data is {age} old; again in {again}: {}", plain(why));
            vec![words(head(&said, width.saturating_sub(18)), Role::Bad, look)]
        }
    }
}

/// All pulls in a few numbers, and what is shown of them.
pub(super) fn sums(model: &Model, width: usize, look: Look) -> Line<'static> {
    let sums = model.sums();
    let mut left = Vec::new();
    for (count, word, role) in [
        (sums.active, "active", Role::Fetching),
        (sums.stalled, "stalled", Role::Waiting),
        (sums.failing, "failing", Role::Bad),
        (sums.ended, "ended", Role::Faint),
    ] {
        let role = if count == 0 { Role::Faint } else { role };
        left.extend([words(count.to_string(), role, look), words(format!(" {word}  "), Role::Faint, look)]);
    }
    left.push(Span::raw(explain::speed(sums.speed)));
    let mut right = shown(model, look);
    let taken = super::cells(&left) + super::cells(&right);
    if let Some(total) = model.total.as_ref().filter(|_| taken + SPARK + 3 < width) {
        let line = spark(total.last(SPARK, model.now.as_secs()).collect::<Vec<_>>().into_iter(), look);
        left.extend([Span::raw(" "), words(line, Role::Fetching, look)]);
    }
    if taken + 1 > width {
        let room = width.saturating_sub(super::cells(&left) + 1);
        right = super::cut(Line::from(right), room).spans;
    }
    ends(left, right, width)
}

fn shown(model: &Model, look: Look) -> Vec<Span<'static>> {
    let (rows, all, filter) = (model.table.rows().len(), model.table.len(), model.table.filtered());
    let mut said = Vec::new();
    if rows != all {
        said.push(words(format!("{rows} of {all} shown"), Role::Neutral, look));
    }
    if !filter.is_empty() {
        said.push(words(format!("  /{}", head(&plain(filter.text()), 30)), Role::Waiting, look));
    }
    if model.order.sort == Sort::Need && model.order.reversed {
        said.push(words("  reversed", Role::Faint, look));
    }
    let (refused, unreadable) = (model.table.refused(), model.unreadable);
    if refused > 0 {
        said.push(words(format!("  no room for {refused}"), Role::Bad, look));
    }
    if unreadable > 0 {
        said.push(words(format!("  {unreadable} events unreadable"), Role::Bad, look));
    }
    said
}
