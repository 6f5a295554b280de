//! The terminal around the model: takes it and gives it back whatever happens, reads keys, lets time pass, draws. Keys are answered at once, everything
//! else at most [`FRAME`] by [`FRAME`].

use std::{
    io::{self, BufWriter, Stdout},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
    layout::{Position, Rect},
};
use rustix::termios::tcgetattr;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    INTERRUPTED, WatchError,
    asker::{Asker, Question},
    feed::Feed,
    filter::Filter,
    keys::Key,
    model::{Effect, Message, Model},
    view::{self, Look},
};
use crate::client::Client;

/// Between two pictures, unless a key was pressed.
const FRAME: Duration = Duration::from_millis(250);
/// Bytes of a picture that are written at once.
const PICTURE: usize = 64 * 1024;
/// How long the process may take to end when it is asked to, and between two looks whether its terminal is there.
const GRACE: Duration = Duration::from_secs(1);
/// Most news that are taken before the next picture, so that a key never waits long.
const MAX_NEWS: usize = 8192;

/// Shows pulls until a key, a signal or an error ends it.
pub(super) fn run(client: Client, filter: &str, look: Look) -> Result<(), WatchError> {
    // Whoever is not answered at first is told so as by every other command.
    client.text("/api/v1/summary")?;
    let (client, begin) = (Arc::new(client), Instant::now());
    let stopped = on_signals().map_err(WatchError::Start)?;
    let asker = Asker::start(client.clone()).map_err(WatchError::Start)?;
    let feed = Feed::start(client.clone(), begin).map_err(WatchError::Start)?;
    let mut screen = Screen::take().map_err(WatchError::Terminal)?;
    let size = screen.terminal.size().map_err(WatchError::Terminal)?;
    let mut model = Model::new(client.url().to_owned(), (size.width, size.height));
    model.show(Filter::read(filter));
    let mut shell = Shell { client, begin, asker, feed, model };
    let mut next = Duration::ZERO;
    loop {
        let effects = shell.turn(next).map_err(WatchError::Terminal)??;
        for effect in effects {
            match effect {
                Effect::Quit => return Ok(()),
                Effect::Interrupt => return Err(WatchError::Interrupted),
                Effect::Redraw => screen.clear().map_err(WatchError::Terminal)?,
                Effect::Ask(id) => shell.asker.ask(Question::Pull(id)),
                Effect::Count => shell.asker.ask(Question::Agents),
                Effect::Reconnect => {
                    shell.feed = Feed::start(shell.client.clone(), begin).map_err(WatchError::Start)?;
                }
            }
        }
        if stopped.load(Ordering::Relaxed) {
            return Err(WatchError::Interrupted);
        }
        let mut most = 0;
        screen.terminal.draw(|frame| most = view::frame(&shell.model, look, frame)).map_err(WatchError::Terminal)?;
        shell.model.hold(most);
        next = begin.elapsed() + FRAME;
    }
}

struct Shell {
    client: Arc<Client>,
    begin: Instant,
    asker: Asker,
    feed: Feed,
    model: Model,
}

impl Shell {
    /// Waits for a key or until `next`, and tells the model all that happened by then.
    fn turn(&mut self, next: Duration) -> io::Result<Result<Vec<Effect>, WatchError>> {
        let mut effects = Vec::new();
        let mut wait = next.saturating_sub(self.begin.elapsed());
        while event::poll(wait)? {
            wait = Duration::ZERO;
            if let Some(message) = message(&event::read()?) {
                effects.extend(self.model.update(message, self.begin.elapsed()));
            }
        }
        for _ in 0..MAX_NEWS {
            match self.feed.next() {
                Ok(Some(news)) => effects.extend(self.model.update(Message::News(news), self.begin.elapsed())),
                Ok(None) => break,
                Err(_) => return Ok(Err(WatchError::Reader)),
            }
        }
        while let Some(answer) = self.asker.next() {
            effects.extend(self.model.update(answer, self.begin.elapsed()));
        }
        effects.extend(self.model.update(Message::Tick(self.feed.heard()), self.begin.elapsed()));
        Ok(Ok(effects))
    }
}

/// What the terminal says, as far as it means something.
fn message(event: &Event) -> Option<Message> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => key_of(key).map(Message::Key),
        Event::Resize(width, height) => Some(Message::Resize(*width, *height)),
        Event::Key(_) | Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_) => None,
    }
}

fn key_of(key: &KeyEvent) -> Option<Key> {
    const NAMED: [(KeyCode, Key); 12] = [
        (KeyCode::Up, Key::Up),
        (KeyCode::Down, Key::Down),
        (KeyCode::Left, Key::Left),
        (KeyCode::Right, Key::Right),
        (KeyCode::PageUp, Key::PageUp),
        (KeyCode::PageDown, Key::PageDown),
        (KeyCode::Home, Key::Home),
        (KeyCode::End, Key::End),
        (KeyCode::Enter, Key::Enter),
        (KeyCode::Esc, Key::Esc),
        (KeyCode::Backspace, Key::Backspace),
        (KeyCode::Tab, Key::Right),
    ];
    if let KeyCode::Char(letter) = key.code {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        return Some(if control { Key::Ctrl(letter.to_ascii_lowercase()) } else { Key::Char(letter) });
    }
    NAMED.into_iter().find(|(code, _)| *code == key.code).map(|(_, key)| key)
}

/// The terminal while it is ours. Dropped, and before a panic is told, it is as it was.
struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    fn take() -> io::Result<Self> {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            told(panic);
        }));
        enable_raw_mode()?;
        let mut output = BufWriter::with_capacity(PICTURE, io::stdout());
        let entered = execute!(output, EnterAlternateScreen).and_then(|()| Terminal::new(CrosstermBackend::new(output)));
        Ok(Self { terminal: entered.inspect_err(|_| give_back())? })
    }

    /// The next picture is drawn whole. Unlike `Terminal::clear` it asks the terminal nothing, which would have to be waited for.
    fn clear(&mut self) -> io::Result<()> {
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size)))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Whatever of it fails: there is nothing else to do, and nobody to tell.
fn give_back() {
    _ = disable_raw_mode();
    _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
}

/// Is set when somebody asks the process to end. If it then does not, or if its terminal is gone, the process is ended here: to read keys of a terminal
/// that is gone never comes back.
fn on_signals() -> io::Result<Arc<AtomicBool>> {
    let stopped = Arc::new(AtomicBool::new(false));
    let told = stopped.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let (mut terminate, mut hangup, mut interrupt) = {
        let _entered = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?, signal(SignalKind::interrupt())?)
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            while tcgetattr(io::stdin()).is_ok() {
                tokio::select! {
                    _ = terminate.recv() => break,
                    _ = hangup.recv() => break,
                    _ = interrupt.recv() => break,
                    () = tokio::time::sleep(GRACE) => {}
                }
            }
            told.store(true, Ordering::Relaxed);
            tokio::time::sleep(GRACE).await;
        });
        give_back();
        process::exit(INTERRUPTED.into());
    })?;
    Ok(stopped)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Set for the process that panics.
    const PANICS: &str = "WATCH_TEST_PANICS";

    #[test]
    fn a_panic_is_told_on_a_terminal_that_was_given_back() {
        if std::env::var_os(PANICS).is_some() {
            let _screen = Screen::take().unwrap();
            panic!("this is why");
        }
        let own = std::env::current_exe().unwrap();
        let name = "watch::shell::tests::a_panic_is_told_on_a_terminal_that_was_given_back";
        let itself = format!("{} --exact {name} --nocapture; stty -a", own.display());
        let output =
            Command::new("script").args(["-qec", &itself, "/dev/null"]).env(PANICS, "1").stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let at = |wanted: &str| text.find(wanted).unwrap_or_else(|| panic!("{wanted:?} is missing in {text}"));
        assert!(at("\x1b[?1049h") < at("\x1b[?1049l") && at("\x1b[?1049l") < at("this is why"), "{text}");
        assert!(text.contains(" icanon") && text.contains(" echo "), "{text}");
    }
}
