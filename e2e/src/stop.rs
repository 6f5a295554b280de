//! How a program that a person watches is asked to end, and how it waits without missing that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use crate::clock;

/// Whether a person wants it to end.
#[derive(Clone, Debug)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Set by the first Ctrl-C, TERM or HUP. The second one ends the program at once; its children die with it.
    ///
    /// # Panics
    /// When signals cannot be listened to.
    #[must_use]
    pub fn on_signals() -> Self {
        let stop = Self(Arc::default());
        let set = stop.clone();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime needs only memory");
            runtime.block_on(async {
                for _ in 0..2 {
                    one_signal().await;
                    if set.0.swap(true, Ordering::AcqRel) {
                        std::process::exit(130);
                    }
                }
            });
        });
        stop
    }

    /// Whether it is to end.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Lets time pass, less if it is to end.
    pub fn rest(&self, time: Duration) {
        let begin = Instant::now();
        while !self.is_set() && begin.elapsed() < time {
            clock::pause(Duration::from_millis(50));
        }
    }
}

async fn one_signal() {
    let listen = |kind| signal(kind).expect("signals can be listened to");
    let (mut int, mut term, mut hup) =
        (listen(SignalKind::interrupt()), listen(SignalKind::terminate()), listen(SignalKind::hangup()));
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
        _ = hup.recv() => {}
    }
}
