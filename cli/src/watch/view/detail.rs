//! One pull in full: the sentence, the error with what helps, all bytes, whose it is, its layers, its tries, and what happened when.

use std::time::Duration;

use lifecycle::{explain, time::Timestamp};
use ratatui::{
    style::Modifier,
    text::{Line, Span},
};

use super::{
    super::{
        detail::{Attempt, Host, Layer, Moment, Whole, short},
        model::{Model, Opened},
        pull::{Pull, State},
        table::Entry,
        text::{head, short_time, wrapped},
    },
    bar::{Parts, bar, spark},
    look::{Look, Role},
    phases::{phases, waits},
    table::{elapsed, parts, whole},
    words,
};

/// Cells of the names of things.
const NAME: usize = 10;
/// Most cells of a layer's bar.
const LAYER_BAR: usize = 40;

/// Everything that is known of it.
pub(super) fn lines(model: &Model, opened: &Opened, width: usize, look: Look) -> Vec<Line<'static>> {
    let entry = model.table.get(opened.id);
    let whole = opened.detail.as_ref().map(|detail| &detail.whole);
    let Some(pull) = entry.map(|entry| &entry.pull).or(whole.map(|whole| &whole.pull)) else {
        return vec![Line::from("The collector has forgotten this pull. Esc goes back.")];
    };
    let page = Page { width, look };
    let mut lines = page.title(pull);
    if entry.is_none() {
        lines.push(words("The collector has forgotten this pull; this is how it was last.", Role::Waiting, look).into());
    }
    if let Some(trouble) = &opened.trouble {
        lines.extend(page.wrapped("stale", &format!("The rest could not be asked for: {trouble}"), Role::Bad));
    }
    lines.extend(page.errors(model, pull, whole));
    lines.push(page.bytes(pull));
    lines.extend(entry.map(|entry| page.pace(model, entry)));
    lines.extend(page.facts(pull, whole));
    let Some(whole) = whole else {
        lines.push(words("Asking for its layers ...", Role::Faint, look).into());
        return lines;
    };
    lines.extend(page.added_up(model, whole));
    lines.extend(whole.host.as_ref().and_then(|host| page.host(host)));
    lines.extend(page.layers(model, whole));
    lines.extend(page.attempts(whole));
    lines.extend(page.timeline(whole));
    lines
}

/// The answer as it came.
pub(super) fn json(opened: &Opened, width: usize, look: Look) -> Vec<Line<'static>> {
    match (&opened.detail, &opened.trouble) {
        (Some(detail), _) => detail.json.iter().flat_map(|line| broken(line, width)).collect(),
        (None, Some(trouble)) => vec![words(trouble.clone(), Role::Bad, look).into()],
        (None, None) => vec![words("Asking for it ...", Role::Faint, look).into()],
    }
}

/// A line of JSON, on as many lines of the screen as it needs.
fn broken(line: &str, width: usize) -> Vec<Line<'static>> {
    let letters: Vec<char> = line.chars().collect();
    letters.chunks(width.max(1)).map(|part| Line::from(part.iter().collect::<String>())).collect()
}

/// How wide, and how it looks.
#[derive(Clone, Copy)]
struct Page {
    width: usize,
    look: Look,
}

impl Page {
    fn title(self, pull: &Pull) -> Vec<Line<'static>> {
        let (sign, role) = self.look.state(pull.state());
        let bold = self.look.style(Role::Neutral).add_modifier(Modifier::BOLD);
        let mut lines = vec![Line::from(vec![
            words(format!("{sign} {}  ", pull.state().word()), role, self.look),
            Span::styled(head(&pull.image(), self.width.saturating_sub(16)), bold),
        ])];
        lines.extend(wrapped(&pull.summary, self.width).into_iter().map(Line::from));
        lines.push(Line::default());
        lines
    }

    /// Text beside a name, on as many lines as it needs.
    fn wrapped(self, name: &'static str, text: &str, role: Role) -> Vec<Line<'static>> {
        let parts = wrapped(text, self.width.saturating_sub(NAME + 1)).into_iter().enumerate();
        let name = |at| if at == 0 { name } else { "" };
        parts.map(|(at, part)| self.named(name(at), vec![words(part, role, self.look)])).collect()
    }

    fn named(self, name: &str, what: Vec<Span<'static>>) -> Line<'static> {
        let mut spans = vec![words(format!("{name:<NAME$}"), Role::Faint, self.look)];
        spans.extend(what);
        Line::from(spans)
    }

    fn errors(self, model: &Model, pull: &Pull, whole: Option<&Whole>) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        if let Some(error) = &pull.error {
            lines.extend(self.wrapped("error", error, Role::Bad));
        }
        if let Some(class) = &pull.error_class {
            lines.extend(self.wrapped("class", &class.replace('_', " "), Role::Neutral));
        }
        if let Some(hint) = whole.and_then(|whole| whole.error_hint.as_ref()) {
            lines.extend(self.wrapped("hint", hint, Role::Good));
        }
        let again = whole.and_then(|whole| whole.next_retry_at).zip(model.clock.now(model.now));
        if let Some((again, now)) = again.filter(|(again, now)| again > now) {
            lines.extend(self.wrapped("again", &format!("in about {}", explain::time(again.since(now))), Role::Neutral));
        }
        lines
    }

    fn bytes(self, pull: &Pull) -> Line<'static> {
        let all = pull
            .total_bytes
            .map_or_else(|| "?".to_owned(), |all| explain::size(all) + if pull.total_known { "" } else { " or more" });
        let mut said = format!("  {} of {all}", explain::size(pull.downloaded_bytes));
        if pull.cached_bytes > 0 {
            said += &format!(", {} were here", explain::size(pull.cached_bytes));
        }
        let percent = match (pull.state(), pull.percent) {
            (State::Ready, _) => "100 %".to_owned(),
            (_, Some(percent)) => format!("{} %", whole(percent)),
            (_, None) => String::new(),
        };
        let cells = self.width.saturating_sub(NAME + said.len() + 8).clamp(8, 50);
        let mut spans = bar(parts(pull), cells, Role::Fetching, self.look);
        spans.push(Span::raw(format!(" {percent:>5}{said}")));
        self.named("bytes", spans)
    }

    fn pace(self, model: &Model, entry: &Entry) -> Line<'static> {
        let pull = &entry.pull;
        let rates: Vec<u64> = entry.trail.last(24, model.now.as_secs()).collect();
        let mut said = if pull.speed() > 0 { explain::speed(pull.speed()) } else { "-".to_owned() };
        if let (true, Some(eta)) = (pull.state().is_running(), pull.eta_seconds) {
            said += &format!(", about {} left", explain::time(Duration::try_from_secs_f64(eta).unwrap_or_default()));
        }
        let took = if pull.state().is_running() { "for" } else { "took" };
        said += &format!(", {took} {}", explain::time(elapsed(model, entry)));
        if let Some(attempt) = pull.attempt.filter(|attempt| *attempt > 1) {
            said += &format!(", asked for {attempt} times");
        }
        self.named("speed", vec![Span::raw(said + "  "), words(spark(rates.into_iter(), self.look), Role::Fetching, self.look)])
    }

    fn facts(self, pull: &Pull, whole: Option<&Whole>) -> Vec<Line<'static>> {
        let cluster = whole.and_then(|whole| whole.cluster.as_ref()).map_or_else(String::new, |cluster| format!(" in {cluster}"));
        let runtime = whole.and_then(|whole| whole.runtime.as_ref()).map_or_else(String::new, |runtime| format!(", {runtime}"));
        let namespace = whole.and_then(|whole| whole.containerd_namespace.as_ref());
        let namespace = namespace.map_or_else(String::new, |namespace| format!(", namespace {namespace}"));
        let mut lines = self.wrapped("node", &format!("{}{cluster}{runtime}{namespace}", pull.node), Role::Neutral);
        for (at, pod) in pull.pods.iter().enumerate() {
            let of =
                pod.workload.as_ref().map_or_else(String::new, |workload| format!(" of {} {}", workload.kind, workload.name));
            let name = if at == 0 { "pods" } else { "" };
            lines.extend(self.wrapped(
                name,
                &format!("{}/{} ({}){of}", pod.namespace, pod.pod_name, pod.container),
                Role::Neutral,
            ));
        }
        if let Some(digest) = whole.and_then(|whole| whole.image_digest.as_ref()) {
            let size =
                whole.and_then(|whole| whole.size_bytes).map_or_else(String::new, |size| format!(", {}", explain::size(size)));
            lines.extend(self.wrapped("image", &format!("{digest}{size}"), Role::Neutral));
        }
        lines.extend(self.wrapped("trace id", &pull.id.to_string(), Role::Neutral));
        lines
    }

    fn added_up(self, model: &Model, whole: &Whole) -> Vec<Line<'static>> {
        let now = whole.pull.updated_at() + since_told(model, &whole.pull);
        let phases = phases(whole, now).map(|said| self.wrapped("phases", &said, Role::Neutral));
        let waits = waits(whole, now).map(|said| self.wrapped("waits", &said, Role::Waiting));
        phases.into_iter().chain(waits).flatten().collect()
    }

    fn host(self, host: &Host) -> Option<Line<'static>> {
        let percent = |name: &str, value: Option<u8>| value.map(|value| format!("{name} {value} %"));
        let said: Vec<String> = [
            host.network_bytes_per_sec.map(|rate| format!("network {}", explain::speed(rate))),
            percent("disk busy", host.disk_busy),
            percent("waits for disk", host.io_pressure.as_ref().map(|pressure| pressure.some)),
            percent("for memory", host.memory_pressure.as_ref().map(|pressure| pressure.some)),
            percent("for CPU", host.cpu_pressure),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!said.is_empty()).then(|| self.named("load", vec![Span::raw(head(&said.join(", "), self.width.saturating_sub(NAME)))]))
    }

    fn heading(self, text: String) -> [Line<'static>; 2] {
        let bold = self.look.style(Role::Neutral).add_modifier(Modifier::BOLD);
        [Line::default(), Line::from(Span::styled(text, bold))]
    }

    /// Those that were here are one line.
    fn layers(self, model: &Model, whole: &Whole) -> Vec<Line<'static>> {
        let (here, others): (Vec<_>, Vec<_>) = whole.layers.iter().partition(|layer| layer.state == "cached");
        if whole.layers.is_empty() {
            return Vec::new();
        }
        let mut lines = self.heading(format!("Layers: {} of {} done", whole.pull.layers_done, whole.layers.len())).to_vec();
        if !here.is_empty() {
            let bytes = here.iter().map(|layer| layer.total_bytes).sum();
            let said = format!("{:<NAME$}{} of them were here, {}", "cached", here.len(), explain::size(bytes));
            lines.push(words(said, Role::Faint, self.look).into());
        }
        let since = since_told(model, &whole.pull);
        lines.extend(others.into_iter().map(|layer| self.layer(layer, &whole.pull, since)));
        lines
    }

    fn layer(self, layer: &Layer, pull: &Pull, since: Duration) -> Line<'static> {
        let role = match layer.state.as_str() {
            "downloading" => Role::Fetching,
            "unpacking" => Role::Unpacking,
            "ready" | "downloaded" => Role::Good,
            "failed" => Role::Bad,
            _ => Role::Faint,
        };
        let now = if pull.state().is_running() { pull.updated_at() + since } else { pull.updated_at() };
        let took =
            |start: Option<Timestamp>, end: Option<Timestamp>| start.map(|start| short_time(end.unwrap_or(now).since(start)));
        let fetched = took(layer.started_at, layer.completed_at).map(|took| format!(" fetch {took}"));
        let unpacked = took(layer.unpack_started_at, layer.unpack_completed_at).map(|took| format!(", unpack {took}"));
        let done = match layer.state.as_str() {
            "ready" | "downloaded" | "unpacking" => layer.total_bytes,
            _ => layer.downloaded_bytes,
        };
        let times = fetched.unwrap_or_default() + &unpacked.unwrap_or_default();
        let sizes = format!("{:>8} of {:<8}", explain::size(done), explain::size(layer.total_bytes));
        let cells = self.width.saturating_sub(NAME + 13 + 21 + 24).clamp(6, LAYER_BAR);
        let mut spans = vec![words(format!("{:<NAME$}{:<13}", layer.short(), layer.state), role, self.look)];
        spans.extend(bar(Parts { done, all: layer.total_bytes, cached: 0, is_open: false }, cells, role, self.look));
        spans.extend([Span::raw(format!(" {sizes}")), words(times, Role::Faint, self.look)]);
        Line::from(spans)
    }

    /// Nothing where there was one try only.
    fn attempts(self, whole: &Whole) -> Vec<Line<'static>> {
        if whole.attempts.len() < 2 {
            return Vec::new();
        }
        let mut lines = self.heading(format!("Tries: {}", whole.attempts.len())).to_vec();
        lines.extend(whole.attempts.iter().map(|attempt| self.attempt(attempt, whole)));
        lines
    }

    fn attempt(self, attempt: &Attempt, whole: &Whole) -> Line<'static> {
        let sign = if attempt.current { self.look.pick("▸", ">") } else { " " };
        let number = attempt.attempt.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let when = when(attempt.started_at, whole);
        let took = attempt.completed_at.map_or_else(String::new, |end| short_time(end.since(attempt.started_at)));
        let outcome = attempt.outcome.as_deref().unwrap_or("runs");
        let said =
            format!("{sign}{number:>3} {when:>9}  {outcome:<9}{took:>7}  {}", attempt.error.as_deref().unwrap_or_default());
        let role = if attempt.outcome.as_deref() == Some("failed") { Role::Bad } else { Role::Neutral };
        words(head(&said, self.width), role, self.look).into()
    }

    fn timeline(self, whole: &Whole) -> Vec<Line<'static>> {
        if whole.timeline.is_empty() {
            return Vec::new();
        }
        let mut lines = self.heading(format!("What happened since {}", whole.pull.started_at)).to_vec();
        lines.extend(whole.timeline.iter().map(|moment| {
            let said = format!("{:>9}  {}", when(moment.at, whole), happened(moment));
            words(head(&said, self.width), Role::Neutral, self.look).into()
        }));
        lines
    }
}

/// How long ago a pull was told of, so that what goes on goes on.
fn since_told(model: &Model, pull: &Pull) -> Duration {
    model.table.get(pull.id).map_or(Duration::ZERO, |entry| model.clock.since(entry.told, model.now))
}

/// How long after the pull's begin, `+1.2 s`; or before it.
fn when(at: Timestamp, whole: &Whole) -> String {
    let begin = whole.pull.started_at;
    let sign = if at < begin { '-' } else { '+' };
    let apart = at.distance(begin);
    if apart < Duration::from_secs(10) {
        return format!("{sign}{:.1} s", apart.as_secs_f64());
    }
    format!("{sign}{}", explain::time(apart))
}

/// A moment in words.
fn happened(moment: &Moment) -> String {
    let layer = moment.layer.as_deref().map_or("a layer", short);
    let whom = moment.pod.as_ref().map(|pod| format!("{}/{} ({})", pod.namespace, pod.pod_name, pod.container));
    let whom = whom.as_deref().unwrap_or("a container");
    let wait = moment.wait.as_deref().unwrap_or("something").replace('_', " ");
    let said = match moment.what.as_str() {
        "image_wanted" => format!("{whom} wants the image"),
        "queued" => "queued in the kubelet".to_owned(),
        "resolving" => "pull begins; asks for the manifest".to_owned(),
        "downloading" => "downloading begins".to_owned(),
        "layer_started" => format!("layer {layer}: download begins"),
        "wait_started" => format!("waits: {wait}"),
        "wait_completed" => format!("waits no more: {wait}"),
        "layer_completed" => format!("layer {layer}: fetched"),
        "unpacking" => "every byte is here; unpacking".to_owned(),
        "layer_unpack_started" => format!("layer {layer}: unpacking begins"),
        "layer_unpack_completed" => format!("layer {layer}: unpacked"),
        "image_there" => format!("{whom} has the image"),
        other => other.replace('_', " "),
    };
    match moment.source.as_deref() {
        Some(source @ ("inferred" | "kubelet")) => format!("{said}  [{source}]"),
        _ => said,
    }
}
