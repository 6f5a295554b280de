//! Whole screens, as letters: what is on them is compared with files in `snapshots/`, which a person has looked at. With `SNAPSHOTS=write` they are
//! written anew, and git shows what changed.

use std::{path::PathBuf, time::Duration};

use ratatui::{Terminal, backend::TestBackend, style::Color};

use super::*;
use crate::watch::{
    detail::Detail,
    filter::Filter,
    keys::Key,
    model::{Effect, Link, Message, News},
};

const COLOURFUL: Look = Look { colours: Colours::Many, shapes: true };

/// A table that is told things, one after the other.
struct Scene {
    model: Model,
    now: Duration,
}

impl Scene {
    fn new(width: u16, height: u16) -> Self {
        let model = Model::new("http://127.0.0.1:8080".to_owned(), (width, height));
        let mut scene = Self { model, now: Duration::from_secs(100) };
        scene.tell(Message::News(News::Open("2026-01-01T00:10:00Z".parse_time())));
        scene
    }

    fn tell(&mut self, message: Message) -> Option<Effect> {
        self.model.update(message, self.now)
    }

    fn pull(&mut self, number: u128, json: &str) {
        let told = event(number, json);
        self.tell(Message::News(News::Pull(Box::new(serde_json::from_str(&told).unwrap()))));
    }

    fn synced(mut self) -> Self {
        self.tell(Message::News(News::Synced));
        self.pass(1);
        self
    }

    /// Seconds pass, and the collector is heard.
    fn pass(&mut self, seconds: u64) -> Option<Effect> {
        self.now += Duration::from_secs(seconds);
        self.tell(Message::Tick(Some(self.now)))
    }

    fn keys(&mut self, keys: &[Key]) -> Option<Effect> {
        keys.iter().map(|key| self.tell(Message::Key(*key))).last().flatten()
    }

    fn typed(&mut self, text: &str) {
        self.keys(&text.chars().map(Key::Char).collect::<Vec<_>>());
    }

    fn terminal(&mut self, look: Look) -> Terminal<TestBackend> {
        let (width, height) = self.model.size;
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let mut most = 0;
        terminal.draw(|frame| most = super::frame(&self.model, look, frame)).unwrap();
        self.model.hold(most);
        terminal
    }

    fn drawn(&mut self, look: Look) -> String {
        let terminal = self.terminal(look);
        let buffer = terminal.backend().buffer();
        let lines = buffer.content.chunks(usize::from(buffer.area.width));
        lines.map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned() + "\n").collect()
    }
}

trait ParseTime {
    fn parse_time(&self) -> Option<lifecycle::time::Timestamp>;
}

impl ParseTime for str {
    fn parse_time(&self) -> Option<lifecycle::time::Timestamp> {
        lifecycle::time::Timestamp::parse_rfc3339(self)
    }
}

fn event(number: u128, json: &str) -> String {
    format!(r#"{{"timestamp":"2026-01-01T00:10:00Z","pull":{}}}"#, pull(number, json))
}

fn pull(number: u128, json: &str) -> String {
    let times = r#""startedAt":"2026-01-01T00:09:40Z","updatedAt":"2026-01-01T00:10:00Z""#;
    format!(r#"{{"id":"{number:032x}","summary":"Says what is up.",{times},{json}}}"#)
}

const WEB: &str = r#""pods":[{"namespace":"shop","podName":"web-7d4f8b6c9-x2k9p","container":"app","image":"i","workload":{"kind":"Deployment","name":"web"}},
    {"namespace":"shop","podName":"mail-0","container":"app","image":"i","workload":{"kind":"StatefulSet","name":"mail"}}]"#;

/// One pull in every state.
fn busy(width: u16, height: u16) -> Scene {
    let mut scene = Scene::new(width, height);
    let sized = r#""totalBytes":104857600,"totalKnown":true,"cachedBytes":52428800"#;
    for (number, json) in [
        (1, format!(r#""nodeName":"gpu-1","imageRef":"ghcr.io/team/model:7","phase":"downloading","downloadedBytes":52428800,"bytesPerSec":9800000,"etaSeconds":8.4,"percent":50.0,"layerCount":7,"layersDone":3,{sized},{WEB}"#)),
        (2, format!(r#""nodeName":"gpu-2","imageRef":"docker.io/library/nginx:1.27","phase":"unpacking","downloadedBytes":104857600,"percent":100.0,"layerCount":7,"layersDone":3,{sized}"#)),
        (3, format!(r#""nodeName":"worker-with-a-very-long-name.example.internal","imageRef":"registry.example.com/platform/payment/gateway:2026.11.1","phase":"downloading","wait":{{"kind":"stalled"}},"stalledSince":"2026-01-01T00:09:50Z","downloadedBytes":31457280,"percent":30.0,{sized},"pods":[]"#)),
        (4, r#""nodeName":"edge-1","imageRef":"hub.example.net/library/redis:9","phase":"resolving","outcome":"failed","error":"429 Too Many Requests","errorClass":"rate_limited","completedAt":"2026-01-01T00:09:41Z","attempt":3"#.to_owned()),
        (5, r#""nodeName":"edge-1","phase":"downloading","downloadedBytes":12582912,"bytesPerSec":1200000,"imageDigest":"sha256:8ce1b34f33efb657a6a4e785b3889c898e5300e586abed4e74d41d6475847a23""#.to_owned()),
        (6, r#""nodeName":"edge-2","imageRef":"ghcr.io/team/queued:1","phase":"queued""#.to_owned()),
        (7, format!(r#""nodeName":"edge-2","imageRef":"ghcr.io/team/slot:1","phase":"downloading","wait":{{"kind":"download_slot"}},"percent":0.0,{sized}"#)),
        (8, format!(r#""nodeName":"edge-3","imageRef":"ghcr.io/team/ready:1","phase":"unpacking","outcome":"ready","percent":100.0,"downloadedBytes":104857600,"completedAt":"2026-01-01T00:09:50Z",{sized}"#)),
        (9, format!(r#""nodeName":"edge-3","imageRef":"ghcr.io/team/stale:1","phase":"downloading","stale":true,"downloadedBytes":99000000,"percent":94.4,{sized}"#)),
        (10, r#""nodeName":"edge-4","imageRef":"ghcr.io/team/there:1","phase":"unpacking","outcome":"ready","percent":100.0,"cachedBytes":52428800,"totalBytes":0,"totalKnown":true,"completedAt":"2026-01-01T00:09:40Z""#.to_owned()),
    ] {
        scene.pull(number, &json);
    }
    scene.synced()
}

fn detail() -> Box<Detail> {
    let layer = |n: u32, state: &str, done: u64, times: &str| {
        format!(
            r#"{{"pullId":"x","digest":"sha256:{n}{n}{n}{n}{n}{n}aa","state":"{state}","totalBytes":41943040,"downloadedBytes":{done}{times}}}"#
        )
    };
    let layers = [
        layer(1, "cached", 0, ""),
        layer(2, "cached", 0, ""),
        layer(
            3,
            "ready",
            41_943_040,
            r#","startedAt":"2026-01-01T00:09:41Z","completedAt":"2026-01-01T00:09:45Z","unpackStartedAt":"2026-01-01T00:09:45Z","unpackCompletedAt":"2026-01-01T00:09:48Z""#,
        ),
        layer(4, "downloading", 10_485_760, r#","startedAt":"2026-01-01T00:09:41Z""#),
        layer(5, "queued", 0, ""),
    ];
    let moments = r#"{"at":"2026-01-01T00:09:38Z","what":"image_wanted","source":"kubelet","pod":{"namespace":"shop","podName":"web-1","container":"app"}},
        {"at":"2026-01-01T00:09:40Z","what":"resolving","source":"record"},{"at":"2026-01-01T00:09:50Z","what":"wait_started","source":"inferred","wait":"stalled"},
        {"at":"2026-01-01T00:09:45Z","what":"layer_completed","source":"event","layer":"sha256:333333aa"}"#;
    let attempts = r#"{"pullId":"y","current":false,"attempt":1,"startedAt":"2026-01-01T00:09:10Z","completedAt":"2026-01-01T00:09:20Z","outcome":"failed","error":"connection reset by peer"},
        {"pullId":"x","current":true,"attempt":2,"startedAt":"2026-01-01T00:09:40Z"}"#;
    let json = format!(
        r#""nodeName":"gpu-1","cluster":"prod","runtime":"containerd 2.1.4","containerdNamespace":"k8s.io","imageRef":"ghcr.io/team/model:7","phase":"downloading",
        "totalBytes":104857600,"totalKnown":true,"percent":50.0,"layerCount":5,"layersDone":3,"sizeBytes":209715200,"host":{{"diskBusy":12,"ioPressure":{{"some":4,"full":1}}}},
        "error":"unexpected \u001b[2Jstatus","errorClass":"registry_unavailable","errorHint":"Try later.","nextRetryAt":"2026-01-01T00:10:30Z",
        "layers":[{}],"attempts":[{attempts}],"timeline":[{moments}]"#,
        layers.join(",")
    );
    Box::new(Detail::read(&pull(1, &json)).unwrap())
}

fn opened(width: u16, height: u16) -> Scene {
    let mut scene = busy(width, height);
    scene.typed("/image:model");
    assert!(matches!(scene.keys(&[Key::Enter, Key::Enter]), Some(Effect::Ask(_))));
    let id = scene.model.current().unwrap();
    scene.tell(Message::Answer(id, Ok(detail())));
    scene
}

/// Compares with what a person has looked at.
fn is(name: &str, drawn: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/watch/view/snapshots").join(format!("{name}.txt"));
    if std::env::var("SNAPSHOTS").is_ok_and(|wish| wish == "write") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, drawn).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(known == drawn, "{name} looks different now:\n{drawn}\nbefore:\n{known}");
}

#[test]
fn a_busy_cluster_on_a_small_and_a_large_screen() {
    is("busy-80x24", &busy(80, 24).drawn(COLOURFUL));
    is("busy-200x50", &busy(200, 50).drawn(COLOURFUL));
    let mut aside = busy(80, 24);
    aside.keys(&[Key::Right]);
    is("columns-80x24", &aside.drawn(COLOURFUL));
}

#[test]
fn terminals_without_shapes_get_letters_and_nothing_else() {
    let drawn = busy(80, 24).drawn(Look { colours: Colours::None, shapes: false });
    is("ascii-80x24", &drawn);
    assert!(drawn.is_ascii(), "{drawn}");
}

#[test]
fn an_empty_cluster_says_who_is_heard_and_what_to_do() {
    let mut scene = Scene::new(80, 24).synced();
    assert_eq!(scene.pass(10), Some(Effect::Count));
    scene.tell(Message::Agents(3));
    is("empty-80x24", &scene.drawn(COLOURFUL));
    is("empty-200x50", &{
        scene.tell(Message::Resize(200, 50));
        scene.drawn(COLOURFUL)
    });
}

#[test]
fn a_pull_in_full() {
    is("pull-80x24", &opened(80, 24).drawn(COLOURFUL));
    is("pull-200x50", &opened(200, 50).drawn(COLOURFUL));
    let mut end = opened(80, 24);
    end.keys(&[Key::End]);
    is("pull-end-80x24", &end.drawn(COLOURFUL));
    end.keys(&[Key::Up]);
    assert_ne!(end.drawn(COLOURFUL), opened(80, 24).drawn(COLOURFUL), "one line up from the end is not the begin");
}

#[test]
fn a_pull_as_json_and_back() {
    let mut scene = opened(80, 24);
    let before = scene.drawn(COLOURFUL);
    scene.keys(&[Key::Char('j')]);
    is("json-80x24", &scene.drawn(COLOURFUL));
    scene.keys(&[Key::Esc]);
    assert_eq!(scene.drawn(COLOURFUL), before);
}

#[test]
fn help_on_small_and_large_screens() {
    for (width, height) in [(80, 24), (200, 50)] {
        let mut scene = busy(width, height);
        scene.keys(&[Key::Char('?')]);
        is(&format!("help-{width}x{height}"), &scene.drawn(COLOURFUL));
    }
}

#[test]
fn a_filter_holds_while_it_is_typed() {
    let mut scene = busy(80, 24);
    scene.typed("/node:edge* -state:ready");
    is("filter-80x24", &scene.drawn(COLOURFUL));
    scene.keys(&[Key::Esc]);
    assert_eq!(scene.drawn(COLOURFUL), busy(80, 24).drawn(COLOURFUL), "Esc undoes it");
    scene.typed("/nowhere");
    scene.keys(&[Key::Enter]);
    assert!(scene.drawn(COLOURFUL).contains("No pull fits the filter; 10 do not."));
}

#[test]
fn narrow_screens_show_less_and_tiny_ones_say_so() {
    is("busy-40x10", &busy(40, 10).drawn(COLOURFUL));
    assert!(busy(39, 10).drawn(COLOURFUL).starts_with("Too small: 40 x 9 at least"));
    for (width, height) in [(1, 1), (40, 9), (61, 9), (300, 10), (40, 200)] {
        busy(width, height).drawn(COLOURFUL);
        opened(width, height).drawn(COLOURFUL);
    }
}

#[test]
fn failing_everything() {
    let mut scene = Scene::new(80, 24);
    let classes = ["not_found", "unauthorized", "rate_limited", "tls", "no_space"];
    for (number, class) in (1..).zip(classes) {
        scene.pull(number, &format!(r#""nodeName":"n{number}","imageRef":"ghcr.io/a/b:{number}","phase":"resolving","outcome":"failed","error":"no","errorClass":"{class}","completedAt":"2026-01-01T00:09:59Z""#));
    }
    let mut scene = scene.synced();
    is("failing-80x24", &scene.drawn(COLOURFUL));
    scene.tell(Message::Resize(200, 50));
    is("failing-200x50", &scene.drawn(COLOURFUL));
}

#[test]
fn nothing_is_shown_as_if_it_were_live_when_it_is_not() {
    let mut scene = busy(80, 24);
    scene.tell(Message::News(News::Broken("cannot reach the collector".to_owned(), Duration::from_secs(4))));
    scene.now += Duration::from_secs(3);
    scene.tell(Message::Tick(None));
    is("broken-80x24", &scene.drawn(COLOURFUL));
    scene.tell(Message::News(News::Open(None)));
    assert!(scene.drawn(COLOURFUL).contains("● live"));
    scene.now += Duration::from_secs(30);
    scene.tell(Message::Tick(None));
    assert!(scene.drawn(COLOURFUL).contains("! no word for 30s"));
    scene.now += Duration::from_secs(30);
    assert_eq!(scene.tell(Message::Tick(None)), Some(Effect::Reconnect));
    assert!(matches!(scene.model.link, Link::Broken { .. }));
}

#[test]
fn without_colours_there_are_none() {
    let terminal = busy(80, 24).terminal(Look { colours: Colours::None, shapes: true });
    assert!(terminal.backend().buffer().content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    let terminal = busy(80, 24).terminal(COLOURFUL);
    assert!(terminal.backend().buffer().content.iter().any(|cell| cell.fg != Color::Reset));
}

#[test]
fn a_filter_from_the_command_line_holds_for_what_comes() {
    let mut scene = Scene::new(80, 24);
    scene.model.show(Filter::read("node:n1"));
    for number in 1..4 {
        scene.pull(number, &format!(r#""nodeName":"n{number}","phase":"queued""#));
    }
    assert_eq!(scene.synced().model.table.rows().len(), 1);
}
