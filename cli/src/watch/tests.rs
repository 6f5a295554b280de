//! How the table behaves while things happen: what stays selected, in which order rows stand, what a pause and a new connection do. How it looks is
//! held by the tests of [`super::view`].

use std::time::Duration;

use lifecycle::{pull::PullId, time::Timestamp};

use super::{
    keys::Key,
    model::{Effect, Message, Model, News, Screen},
};

struct World {
    model: Model,
    now: Duration,
}

impl World {
    /// Connected, with as many pulls as given, which began one second after the other.
    fn with(pulls: u128) -> Self {
        let mut world = Self { model: Model::new(String::new(), (80, 24)), now: Duration::from_secs(50) };
        world.news(News::Open(Timestamp::parse_rfc3339("2026-01-01T00:20:00Z")));
        (1..=pulls).for_each(|number| world.pull(number, r#""phase":"downloading""#));
        world.news(News::Synced);
        world.pass(1);
        world
    }

    fn tell(&mut self, message: Message) -> Option<Effect> {
        self.model.update(message, self.now)
    }

    fn news(&mut self, news: News) {
        self.tell(Message::News(news));
    }

    fn pull(&mut self, number: u128, json: &str) {
        let at = format!("2026-01-01T00:{:02}:{:02}Z", number / 60, number % 60);
        let told = format!(
            r#"{{"timestamp":"2026-01-01T00:20:00Z","pull":{{"id":"{number:032x}","nodeName":"n{number}","imageRef":"ghcr.io/a/b:{number}",
            "summary":"s","startedAt":"{at}","updatedAt":"2026-01-01T00:19:00Z",{json}}}}}"#
        );
        self.news(News::Pull(Box::new(serde_json::from_str(&told).unwrap())));
    }

    fn pass(&mut self, seconds: u64) -> Option<Effect> {
        self.now += Duration::from_secs(seconds);
        self.tell(Message::Tick(Some(self.now)))
    }

    fn keys(&mut self, keys: &[Key]) -> Option<Effect> {
        keys.iter().map(|key| self.tell(Message::Key(*key))).last().flatten()
    }

    fn typed(&mut self, text: &str) -> Option<Effect> {
        self.keys(&text.chars().map(Key::Char).collect::<Vec<_>>())
    }

    /// The numbers of the rows.
    fn rows(&self) -> Vec<u128> {
        self.model.table.rows().iter().map(number).collect()
    }

    fn selected(&self) -> u128 {
        number(&self.model.current().unwrap())
    }
}

fn number(id: &PullId) -> u128 {
    u128::from_be_bytes(*id.as_bytes())
}

#[test]
fn the_selected_pull_stays_selected_wherever_its_row_goes() {
    let mut world = World::with(5);
    assert_eq!((world.rows(), world.selected()), (vec![5, 4, 3, 2, 1], 5), "the newest first");
    world.keys(&[Key::Down, Key::Down]);
    assert_eq!(world.selected(), 3);
    world.pull(9, r#""phase":"downloading","wait":{"kind":"stalled"}"#);
    world.pull(1, r#""phase":"unpacking","outcome":"failed""#);
    world.pass(1);
    assert_eq!((world.rows(), world.selected()), (vec![1, 9, 5, 4, 3, 2], 3));
    world.typed("I");
    assert_eq!((world.rows(), world.selected()), (vec![1, 2, 3, 4, 5, 9], 3));
}

#[test]
fn a_selected_pull_that_is_gone_leaves_its_place_to_the_next() {
    let mut world = World::with(5);
    world.keys(&[Key::Down, Key::Down]);
    world.news(News::Removed(world.model.current().unwrap()));
    world.pass(1);
    assert_eq!((world.rows(), world.selected()), (vec![5, 4, 2, 1], 2));
    world.keys(&[Key::End]);
    world.news(News::Removed(world.model.current().unwrap()));
    world.pass(1);
    assert_eq!(world.selected(), 2, "of the last row nothing is behind it");
}

#[test]
fn whoever_selected_nothing_sees_whatever_is_first() {
    let mut world = World::with(3);
    world.pull(7, r#""phase":"downloading","wait":{"kind":"stalled"}"#);
    world.pass(1);
    assert_eq!((world.selected(), world.model.top), (7, 0));
    world.keys(&[Key::End, Key::Home]);
    world.pull(8, r#""phase":"unpacking","outcome":"failed""#);
    world.pass(1);
    assert_eq!(world.selected(), 8);
}

#[test]
fn the_selected_row_is_always_on_the_screen() {
    let mut world = World::with(100);
    for keys in [Key::End, Key::PageUp, Key::Up, Key::Home, Key::PageDown, Key::PageDown, Key::Down] {
        world.keys(&[keys]);
        let (top, height) = (world.model.top, world.model.height());
        assert!((top..top + height).contains(&world.model.cursor), "{keys:?}: {} is not in {top} + {height}", world.model.cursor);
    }
    world.tell(Message::Resize(80, 10));
    assert_eq!(world.model.height(), 4);
    assert!(world.model.cursor < world.model.top + 4);
}

#[test]
fn rows_move_once_a_second_and_equal_ones_never() {
    let mut world = World::with(4);
    world.typed("R");
    let before = world.rows();
    for _ in 0..3 {
        world.pull(1, r#""phase":"downloading","bytesPerSec":9000000"#);
        world.tell(Message::Tick(None));
        assert_eq!(world.rows(), before, "within a second nothing moves");
    }
    world.pass(1);
    assert_eq!(world.rows(), [1, 4, 3, 2], "those that stand still keep their order");
    world.typed("R");
    assert_eq!(world.rows(), [4, 3, 2, 1], "turned round, and equal ones as before");
}

#[test]
fn every_order_can_be_had_by_its_letter() {
    let mut world = World::with(3);
    world.pull(1, r#""phase":"unpacking","percent":100.0,"etaSeconds":3.0"#);
    world.pull(2, r#""phase":"downloading","percent":20.0,"bytesPerSec":5,"etaSeconds":70.0,"pods":[{"namespace":"a","podName":"p","container":"c"}]"#);
    for (letter, first) in [("S", 3), ("I", 1), ("W", 2), ("N", 1), ("P", 1), ("R", 2), ("E", 1), ("T", 1), ("0", 3)] {
        world.typed(letter);
        assert_eq!(world.rows()[0], first, "{letter}");
    }
}

#[test]
fn a_failure_that_was_tried_again_or_is_old_does_not_need_anybody() {
    let mut world = World::with(2);
    let again = |number: u32| format!(r#""phase":"resolving","nodeName":"x","imageRef":"i:1","attempt":{number}"#);
    let failed = |number| format!(r#"{},"outcome":"failed""#, again(number));
    let put = |world: &mut World, number: u128, json: &str| {
        let told = format!(
            r#"{{"timestamp":"2026-01-01T00:20:00Z","pull":{{"id":"{number:032x}","summary":"s","startedAt":"2026-01-01T00:{number}:00Z","updatedAt":"2026-01-01T00:19:00Z",{json}}}}}"#
        );
        world.news(News::Pull(Box::new(serde_json::from_str(&told).unwrap())));
    };
    put(&mut world, 11, &failed(1));
    put(&mut world, 12, &failed(2));
    world.pass(1);
    assert_eq!((world.rows(), world.model.sums().failing), (vec![12, 2, 1, 11], 1), "the last try counts");
    put(&mut world, 13, &again(3));
    world.pass(1);
    assert_eq!((world.rows(), world.model.sums().failing), (vec![13, 2, 1, 12, 11], 0), "a try that runs is no failure yet");
    put(&mut world, 13, &failed(3));
    world.pass(1);
    assert_eq!(world.model.sums().failing, 1);
    world.now += Duration::from_secs(700);
    world.news(News::Open(None));
    world.pass(1);
    assert_eq!(world.model.sums().failing, 0, "ten minutes later");
}

#[test]
fn a_pause_holds_the_picture_and_what_came_is_there_afterwards() {
    let mut world = World::with(3);
    world.typed("p");
    world.pull(2, r#""phase":"unpacking","outcome":"ready""#);
    world.pull(4, r#""phase":"downloading""#);
    world.news(News::Removed(world.model.table.rows()[0]));
    world.pass(5);
    assert_eq!((world.rows(), world.model.sums().active), (vec![3, 2, 1], 3));
    assert_eq!(world.model.paused.as_ref().map(|pause| pause.later.len()), Some(3));
    world.typed("p");
    assert_eq!((world.rows(), world.model.sums().active), (vec![4, 1, 2], 2));
}

#[test]
fn a_new_connection_forgets_what_it_was_not_told_of_also_while_paused() {
    for pause in [false, true] {
        let mut world = World::with(3);
        if pause {
            world.typed("p");
        }
        world.pull(3, r#""phase":"unpacking""#);
        world.news(News::Broken("gone".to_owned(), Duration::from_secs(1)));
        world.news(News::Open(None));
        world.pull(2, r#""phase":"unpacking""#);
        if !pause {
            assert_eq!(world.model.table.len(), 3, "until all was told nothing is forgotten");
        }
        world.news(News::Synced);
        if pause {
            world.typed("p");
        }
        world.pass(1);
        assert_eq!(world.rows(), [2], "paused: {pause}");
    }
}

#[test]
fn a_connection_that_goes_on_where_it_was_forgets_nothing() {
    let mut world = World::with(3);
    world.news(News::Broken("gone".to_owned(), Duration::from_secs(1)));
    world.news(News::Open(None));
    world.pull(4, r#""phase":"downloading""#);
    world.pass(1);
    assert_eq!(world.rows(), [4, 3, 2, 1]);
}

#[test]
fn a_jump_finds_numbers_texts_and_ids() {
    let mut world = World::with(30);
    let mut to = |text: &str| {
        world.typed(text);
        world.keys(&[Key::Enter]);
        world.selected()
    };
    assert_eq!(to(":3"), 28, "the third row");
    assert_eq!(to(":node:n7"), 7);
    assert_eq!(to(":b:12"), 12);
    assert_eq!(to(":0000000000000000000000000000000a"), 10);
    assert_eq!(to(":nowhere"), 10);
    assert!(world.model.notice.is_some());
    world.typed(":n1");
    world.keys(&[Key::Enter]);
    let first = world.selected();
    world.typed("n");
    assert_ne!(world.selected(), first, "n goes on");
}

#[test]
fn finished_pulls_can_be_hidden_but_not_what_failed_just_now() {
    let mut world = World::with(2);
    world.pull(1, r#""phase":"unpacking","outcome":"ready""#);
    world.pull(3, r#""phase":"resolving","outcome":"failed""#);
    world.typed("f");
    assert_eq!(world.rows(), [3, 2]);
    world.typed("f");
    assert_eq!(world.rows(), [3, 2, 1]);
}

#[test]
fn an_open_pull_is_asked_for_again_when_it_changed_and_at_most_once_a_second() {
    let mut world = World::with(2);
    assert!(matches!(world.keys(&[Key::Enter]), Some(Effect::Ask(id)) if number(&id) == 2));
    assert_eq!(world.tell(Message::Tick(None)), None);
    world.pull(1, r#""phase":"unpacking""#);
    assert_eq!(world.pass(2), None, "another one changed");
    world.pull(2, r#""phase":"unpacking""#);
    assert!(matches!(world.pass(1), Some(Effect::Ask(_))));
    world.pull(2, r#""phase":"unpacking""#);
    assert_eq!(world.tell(Message::Tick(None)), None, "not so soon");
    assert!(matches!(world.pass(1), Some(Effect::Ask(_))));
    world.tell(Message::Answer(world.model.current().unwrap(), Err("no".to_owned())));
    assert!(matches!(&world.model.screen, Screen::Pull(opened) if opened.trouble.is_some()));
    world.keys(&[Key::Esc]);
    assert!(matches!(world.model.screen, Screen::Table));
}

#[test]
fn keys_that_end_it() {
    assert_eq!(World::with(1).typed("q"), Some(Effect::Quit));
    assert_eq!(World::with(1).keys(&[Key::Ctrl('c')]), Some(Effect::Interrupt));
    let mut typing = World::with(1);
    assert_eq!(typing.typed("/q"), None, "a letter of the filter");
    assert_eq!(typing.keys(&[Key::Ctrl('c')]), Some(Effect::Interrupt));
}
