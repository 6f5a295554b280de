//! The agent's mouth without its eyes, for a program that sees pulls by itself and tells of them in the agent's dialect: what it hands in is
//! collapsed, kept and retried by [`crate::export`] on a thread of its own, so that nothing that the receiver does holds the program up.
//!
//! It sends no heartbeat, because it comes and goes: nobody is to miss it, and two on one node do not contradict each other.

use std::{
    collections::BTreeSet,
    fmt, io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use lifecycle::{
    pull::{Node, Pull},
    time::Timestamp,
    wire::Signal,
};
use tokio::sync::oneshot;

use crate::{
    config::Route,
    export::{self, Outbox},
    telemetry::Telemetry,
};

/// Tells of the pulls of one node.
pub struct Teller {
    outbox: Arc<Outbox>,
    /// Ends the thread when everything was delivered, or after so long.
    end: oneshot::Sender<Duration>,
    /// Whether everything was delivered.
    thread: JoinHandle<bool>,
}

impl Teller {
    /// Begins, with nothing to say. Metrics go nowhere: those of a program that lives for one pull add up to nothing.
    ///
    /// # Errors
    /// When the machine gives no thread or no runtime.
    pub fn start(mut routes: Vec<Route>, node: Node, version: &'static str, now: Timestamp) -> io::Result<Self> {
        routes.iter_mut().for_each(|route| _ = route.signals.remove(&Signal::Metrics));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outbox = Arc::new(Outbox::new(&routes));
        let (end, ending) = oneshot::channel();
        let filled = Arc::clone(&outbox);
        let deliver = move || {
            let delivered = runtime.block_on(async {
                let telemetry = Arc::new(Telemetry::new(now, Instant::now()));
                let deliveries = export::start(&routes, &filled, move || node.clone(), version, &telemetry);
                let within = ending.await.unwrap_or_default();
                filled.hurry();
                let delivered = tokio::time::timeout(within, filled.emptied()).await.is_ok();
                drop(deliveries);
                delivered
            });
            // A name that is still being looked up is not waited for.
            runtime.shutdown_background();
            delivered
        };
        let thread = thread::Builder::new().name("teller".into()).spawn(deliver)?;
        Ok(Self { outbox, end, thread })
    }

    /// Takes in a pull's whole state; `first` if it is its first. Never waits.
    pub fn pull(&self, first: bool, pull: Pull) {
        self.outbox.pull(first, pull);
    }

    /// What stands in the way of delivery now, in a sentence for each receiver and reason. Names receivers and holds no secret.
    pub fn troubles(&self) -> BTreeSet<String> {
        self.outbox.troubles()
    }

    /// Waits until everything was delivered, for no longer than `within`; says what stands in the way if it was not.
    ///
    /// # Errors
    /// With the reasons, as [`Self::troubles`] has them; empty if the receiver was only too slow.
    pub fn end(self, within: Duration) -> Result<(), BTreeSet<String>> {
        let Self { outbox, end, thread } = self;
        // If the thread is gone there is nobody to wait for.
        let asked = end.send(within).is_ok();
        let delivered = thread.join().unwrap_or(false);
        let troubles = outbox.troubles();
        if asked && delivered && troubles.is_empty() { Ok(()) } else { Err(troubles) }
    }
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Teller").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use lifecycle::pull::{Outcome, PullId};
    use otlp::{Endpoint, Protocol};

    use super::*;
    use crate::export::tests::{Receiver, node, pull, route};

    const SOON: Duration = Duration::from_secs(20);

    fn teller(routes: Vec<Route>) -> Teller {
        Teller::start(routes, node(), "1", Timestamp::EPOCH).unwrap()
    }

    async fn end(teller: Teller) -> Result<(), BTreeSet<String>> {
        tokio::task::spawn_blocking(|| teller.end(SOON)).await.unwrap()
    }

    fn ended(n: u64) -> (PullId, Pull) {
        let pull = pull(n, 9, Some(Outcome::Ready));
        (pull.id, pull)
    }

    #[tokio::test]
    async fn what_it_is_told_has_arrived_when_it_ends() {
        let receiver = Receiver::start(|_, _| 200).await;
        let teller = teller(vec![route(receiver.endpoint(), &Signal::ALL)]);
        let (id, pull) = ended(1);
        teller.pull(false, pull);
        assert_eq!(end(teller).await, Ok(()));
        assert_eq!(receiver.taken(), [id]);
        let mut paths: Vec<_> = receiver.asked().into_iter().map(|(asked, _)| asked.path).collect();
        paths.sort();
        assert_eq!(paths, ["/v1/logs", "/v1/traces"], "no heartbeat and no numbers");
    }

    #[tokio::test]
    async fn a_receiver_that_comes_back_gets_the_outcome_at_once_whatever_pause_was_due() {
        // Nine failures make a pause of up to 30 s.
        let receiver = Receiver::start(|asked, _| if asked < 9 { 503 } else { 200 }).await;
        let teller = teller(vec![route(receiver.endpoint(), &[Signal::Logs])]);
        let (id, pull) = ended(1);
        teller.pull(false, pull);
        assert_eq!(end(teller).await, Ok(()));
        assert_eq!(receiver.taken(), [id]);
    }

    #[test]
    fn a_receiver_that_is_away_is_named_and_waited_for_no_longer_than_allowed() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let endpoint = Endpoint::parse(&format!("http://{address}"), Protocol::HttpProtobuf).unwrap();
        let teller = teller(vec![route(endpoint, &[Signal::Logs])]);
        teller.pull(false, ended(1).1);
        let troubles = teller.end(Duration::from_millis(50)).unwrap_err();
        assert!(troubles.iter().all(|trouble| trouble.starts_with(&format!("http://{address}: cannot connect"))), "{troubles:?}");
    }

    #[tokio::test]
    async fn a_receiver_that_takes_no_reports_is_named() {
        let receiver = Receiver::start(|_, _| 404).await;
        let teller = teller(vec![route(receiver.endpoint(), &[Signal::Logs])]);
        teller.pull(false, ended(1).1);
        let told = BTreeSet::from([format!("{}: the receiver does not take logs", receiver.endpoint().origin())]);
        assert_eq!(end(teller).await, Err(told));
    }
}
