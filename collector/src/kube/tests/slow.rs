//! An API that is slow: lists of many pages, and watches on which nothing comes although they stand.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

/// Pods of the long list. One in a hundred has no image yet.
const PODS: usize = 15_000;
/// How long a page of it takes.
const PER_PAGE: Duration = Duration::from_secs(1);

/// The page of the long list that a query asks for, its place, and the number of its pods.
fn page(query: &str) -> (Answer, usize) {
    let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
    let limit: usize = value("limit").expect("a list is asked for in pages").parse().unwrap();
    let from: usize = value("continue").map_or(0, |place| place.parse().unwrap());
    let to = PODS.min(from + limit);
    let items: Vec<_> = (from..to).map(|n| pod(&format!("pod-{n}"), n % 100 > 0)).collect();
    let place = if to < PODS { json!(to.to_string()) } else { Value::Null };
    let metadata = json!({ "resourceVersion": "1", "continue": place });
    (whole(200, &json!({ "apiVersion": "v1", "kind": "PodList", "metadata": metadata, "items": items })), to)
}

#[tokio::test(start_paused = true)]
async fn of_a_list_that_comes_slowly_every_page_is_known_at_once_and_only_pods_that_wait_are_kept() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let counted = counted.clone();
        async move {
            let query = request.uri().query().unwrap_or_default().to_owned();
            let is_pods = request.uri().path().ends_with("/pods");
            if query.contains("watch=true") {
                return std::future::pending().await;
            }
            if !is_pods {
                return Ok::<_, Infallible>(whole(
                    200,
                    &json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "1" }, "items": [] }),
                ));
            }
            tokio::time::sleep(PER_PAGE).await;
            let (page, to) = page(&query);
            counted.store(to, Ordering::Relaxed);
            Ok(page)
        }
    });
    let keeper = Keeper::start(Limits::default(), 1, Metrics::new(&[]), std::future::pending());
    let told = keeper.clone();
    let _task = tokio::spawn(async move { watch(Client::new(service, "default"), &[], &told).await });
    let begin = Instant::now();
    let mut most_behind = 0;
    while known(&keeper).len() < PODS / 100 {
        tokio::time::sleep(PER_PAGE / 4).await;
        let waiting = sent.load(Ordering::Relaxed).div_ceil(100);
        most_behind = most_behind.max(waiting.saturating_sub(known(&keeper).len()));
        assert!(begin.elapsed() < PER_PAGE * 100, "{} of {}", known(&keeper).len(), PODS / 100);
    }
    assert!(begin.elapsed() >= PER_PAGE * u32::try_from(PODS).unwrap() / PAGE);
    let in_a_page = usize::try_from(PAGE).unwrap().div_ceil(100);
    assert!(most_behind <= in_a_page * 2, "{most_behind} are held back");
    let names: std::collections::BTreeSet<_> = known(&keeper).into_iter().map(|(name, _)| name).collect();
    assert!(names.iter().all(|name| name.ends_with("00") || name == "pod-0") && names.len() == PODS / 100);
}

/// An API over a socket that begins to answer requests with this in them, and then says nothing. Counts those about pods.
async fn mute(about: &'static str) -> (http::Uri, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {
                    if !head.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
                    let line = text.lines().next().unwrap();
                    if line.contains(about) {
                        counted.fetch_add(usize::from(line.contains("/pods?")), Ordering::Relaxed);
                        let begun = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
                        stream.write_all(begun).await.unwrap();
                        continue;
                    }
                    let list = r#"{"apiVersion":"v1","kind":"List","metadata":{"resourceVersion":"1"},"items":[]}"#;
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{list}",
                        list.len()
                    );
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (url, asked)
}

#[tokio::test(start_paused = true)]
async fn a_list_or_a_watch_of_which_nothing_comes_is_given_up_and_begun_anew() {
    for about in ["limit=", "watch=true"] {
        let (url, asked) = mute(about).await;
        let keeper = Keeper::start(Limits::default(), 1, Metrics::new(&[]), std::future::pending());
        let (client, told) = (client(kube::Config::new(url)).unwrap(), keeper.clone());
        let task = tokio::spawn(async move { watch(client, &[], &told).await });
        eventually("it is asked", || asked.load(Ordering::Relaxed) == 1).await;
        let begin = Instant::now();
        let again = async {
            while asked.load(Ordering::Relaxed) < 2 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        assert!(tokio::time::timeout(READ_TIMEOUT * 2, again).await.is_ok(), "{about} is waited for without end");
        assert!(begin.elapsed() > READ_TIMEOUT - Duration::from_secs(20), "{about} {:?}", begin.elapsed());
        task.abort();
    }
}
