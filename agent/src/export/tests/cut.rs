//! Ways to a receiver on which bytes vanish in one direction, without either end hearing of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, tcp},
};

use super::*;

/// Where bytes vanish.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lost {
    /// On the way to the receiver.
    Requests,
    /// On the way back.
    Answers,
}

/// Passes on connections. Those that stand when it is cut lose what travels in one direction; later ones lose nothing.
struct Way {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    cut: Arc<AtomicBool>,
}

impl Way {
    async fn to(receiver: SocketAddr, lost: Lost) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (connections, cut) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (made, is_cut) = (Arc::clone(&connections), Arc::clone(&cut));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                made.fetch_add(1, Ordering::Relaxed);
                let far = TcpStream::connect(receiver).await.expect("the receiver is there");
                let stood = !is_cut.load(Ordering::Relaxed);
                let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                let loses = |direction| (stood && lost == direction).then(|| Arc::clone(&is_cut));
                tokio::spawn(pass(near_read, far_write, loses(Lost::Requests)));
                tokio::spawn(pass(far_read, near_write, loses(Lost::Answers)));
            }
        });
        Self { address, connections, cut }
    }
}

/// One direction. When it is cut, also the end of the connection is not heard of.
async fn pass(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, cut: Option<Arc<AtomicBool>>) {
    let mut buffer = vec![0; 16 * 1024];
    let is_cut = || cut.as_ref().is_some_and(|cut| cut.load(Ordering::Relaxed));
    while let Ok(read) = from.read(&mut buffer).await {
        if is_cut() && read == 0 {
            std::future::pending::<()>().await;
        }
        if read == 0 || (!is_cut() && to.write_all(&buffer[..read]).await.is_err()) {
            break;
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_in_one_direction_is_left_for_another_and_nothing_is_lost() {
    // The default is ten seconds.
    let patience = Duration::from_secs(1);
    for lost in [Lost::Requests, Lost::Answers] {
        let receiver = Receiver::start(|_, _| 200).await;
        let way = Way::to(receiver.address, lost).await;
        let endpoint = Endpoint::parse(&format!("http://{}", way.address), Protocol::HttpProtobuf).expect("a URL");
        let (outbox, _tasks) = begin(&[route(endpoint.with_timeout(patience), &[Signal::Logs])]);
        let before = end(&outbox, 1..=1);
        emptied(&outbox).await;
        assert_eq!((receiver.taken(), way.connections.load(Ordering::Relaxed)), (before.clone(), 1));
        way.cut.store(true, Ordering::Relaxed);
        let begun = std::time::Instant::now();
        let after = end(&outbox, 2..=100);
        emptied(&outbox).await;
        assert!(begun.elapsed() >= patience, "the one that stood is tried first");
        assert!(way.connections.load(Ordering::Relaxed) >= 2, "{lost:?}");
        // What arrived and was not answered comes once more, as it was.
        let mut taken = receiver.taken().split_off(1);
        match lost {
            Lost::Requests => assert_eq!(taken, after),
            Lost::Answers => {
                assert_eq!(taken.split_off(after.len()), after);
                assert_eq!(taken, after);
            }
        }
        tokio::time::timeout(patience, outbox.recovered()).await.expect("whoever answers again may be another one");
    }
}
