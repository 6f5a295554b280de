//! `pulltrace watch` on a terminal, against a real collector: it shows what is pulled as it happens, comes back to a collector that was away, and gives
//! the terminal back however it ends. How its screens look is held by its own tests.

use std::time::Duration;

use e2e::clock;
use e2e::pulltrace::Collector;
use e2e::scene::api::Api;
use e2e::scene::catalog;
use e2e::scene::player::Player;
use e2e::terminal::Terminal;
use e2e::tools::{Need, Tools, built};
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(20);

/// A collector with pulls; none where it is not built.
fn stage(test: &str) -> Option<Collector> {
    Tools::find(test, &[Need::Pulltrace, Need::CommandLine])?;
    let collector = Collector::start(&[]);
    play(&collector);
    Some(collector)
}

/// A scene of pulls, told once.
fn play(collector: &Collector) {
    let api = Api::start();
    let scenes = [catalog::named("usual").expect("there is such a scene")];
    let mut player = Player::new(&scenes, 4, &collector.otlp_url("/v1/logs"), &api, clock::now());
    for second in 0..3 {
        player.tick(&api, clock::now() + f64::from(second)).expect("the collector takes reports");
    }
}

fn watch(collector: &Collector, env: &[(&str, &str)]) -> Terminal {
    Terminal::start(&built("pulltrace"), &["watch", "--server", &collector.url("")], env, (80, 24))
}

#[track_caller]
fn ends_with(mut terminal: Terminal, code: i32) {
    assert_eq!(terminal.exit_code(SOON), Some(code));
    clock::until("the first screen, the cursor and the echo", SOON, || terminal.is_as_before().then_some(()));
}

#[test]
fn it_shows_pulls_opens_one_and_gives_the_terminal_back() {
    let Some(collector) = stage("it_shows_pulls_opens_one_and_gives_the_terminal_back") else { return };
    let mut terminal = watch(&collector, &[]);
    terminal.until("live", SOON);
    terminal.until("usual-0", SOON);
    terminal.keys("\r");
    terminal.until("trace id", SOON);
    terminal.keys("G");
    terminal.until("asks for the manifest", SOON);
    terminal.keys("j");
    terminal.until("\"pullId\"", SOON);
    terminal.keys("\x1b");
    terminal.until("trace id", SOON);
    terminal.keys("q");
    ends_with(terminal, 0);
}

#[test]
fn however_it_ends_the_terminal_is_as_it_was() {
    let Some(collector) = stage("however_it_ends_the_terminal_is_as_it_was") else { return };
    for signal in [None, Some(Signal::TERM), Some(Signal::HUP), Some(Signal::INT)] {
        let mut terminal = watch(&collector, &[("NO_COLOR", "1")]);
        terminal.until("live", SOON);
        match signal {
            None => terminal.keys("\x03"),
            Some(signal) => terminal.signal(signal),
        }
        ends_with(terminal, 130);
    }
}

#[test]
fn a_terminal_that_changes_its_size_is_drawn_anew() {
    let Some(collector) = stage("a_terminal_that_changes_its_size_is_drawn_anew") else { return };
    let mut terminal = watch(&collector, &[]);
    terminal.until("usual-0", SOON);
    terminal.resize(30, 5);
    terminal.until("Too small", SOON);
    terminal.resize(160, 40);
    terminal.until("orkload", SOON);
    terminal.keys("q");
    ends_with(terminal, 0);
}

#[test]
fn a_collector_that_goes_away_is_said_and_found_again() {
    let Some(mut collector) = stage("a_collector_that_goes_away_is_said_and_found_again") else { return };
    let mut terminal = watch(&collector, &[]);
    terminal.until("usual-0", SOON);
    collector.kill9();
    terminal.until("data is", SOON);
    collector.restart();
    terminal.until("live", SOON);
    // The new one knows nothing of what the old one knew, and what it does not know is not shown.
    terminal.until("No pulls", SOON);
    play(&collector);
    terminal.until("usual-0", SOON);
    terminal.keys("q");
    ends_with(terminal, 0);
}

#[test]
fn terminals_that_cannot_place_a_cursor_and_collectors_that_are_not_there_are_errors() {
    let Some(collector) = stage("terminals_that_cannot_place_a_cursor_and_collectors_that_are_not_there_are_errors") else {
        return;
    };
    let mut dumb = watch(&collector, &[("TERM", "dumb")]);
    dumb.until("pulltrace ls --follow", SOON);
    assert_eq!(dumb.exit_code(SOON), Some(2));
    assert!(!dumb.is_taken());
    let program = built("pulltrace");
    let mut nobody = Terminal::start(&program, &["top", "--server", "http://127.0.0.1:9"], &[], (80, 24));
    nobody.until("cannot reach the collector", SOON);
    assert_eq!(nobody.exit_code(SOON), Some(6));
    assert!(!nobody.is_taken());
}
