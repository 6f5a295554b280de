//! OTLP/HTTP: statuses, their reasons and delays, and answers that are not OTLP's.

use std::time::Duration;

use bytes::Bytes;
use lifecycle::wire::{self, Signal};
use otlp::{Client, Compression, Headers, MAX_ANSWER, Protocol, SendError, Sent};

use super::receiver::{Answer, BRIEF, Receiver, unzipped};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

async fn answered(
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: impl Into<Bytes>,
) -> Result<Sent, SendError> {
    let body = body.into();
    let receiver = Receiver::start(move |_| Answer::http(status, headers, body.clone())).await;
    receiver.client(Protocol::HttpProtobuf).send(Signal::Logs, Bytes::from_static(b"request")).await
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent_with_path_and_headers() {
    let receiver = Receiver::start(|_| Answer::http(200, &[PROTOBUF], "")).await;
    let headers = Headers::default().with_bearer("abc").unwrap();
    let client = Client::new(receiver.endpoint(Protocol::HttpProtobuf).with_headers(headers));
    for (n, signal) in Signal::ALL.into_iter().enumerate() {
        assert_eq!(client.send(signal, Bytes::from_static(b"request")).await, Ok(Sent::default()));
        let (parts, body) = receiver.request(n);
        assert_eq!((parts.method.as_str(), parts.uri.path(), body.as_ref()), ("POST", signal.http_path(), b"request".as_slice()));
        assert_eq!(parts.headers["content-type"], "application/x-protobuf");
        assert_eq!(parts.headers["authorization"], "Bearer abc");
        assert!(!parts.headers.contains_key("content-encoding"));
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_compressed_request_says_so_and_can_be_read() {
    let receiver = Receiver::start(|_| Answer::http(200, &[PROTOBUF], "")).await;
    let client = Client::new(receiver.endpoint(Protocol::HttpProtobuf).with_compression(Compression::Gzip));
    let request = Bytes::from(vec![7; 100_000]);
    assert_eq!(client.send(Signal::Logs, request.clone()).await, Ok(Sent::default()));
    let (parts, body) = receiver.request(0);
    assert_eq!(parts.headers["content-encoding"], "gzip");
    assert!(body.len() < 1_000 && unzipped(&body) == request);
}

#[tokio::test]
async fn a_partial_success_says_what_was_not_taken() {
    let sent = answered(200, &[PROTOBUF], wire::response(2, "too long")).await;
    assert_eq!(sent, Ok(Sent { rejected: 2, message: "too long".into() }));
}

#[tokio::test]
async fn only_the_statuses_of_the_specification_are_tried_again() {
    for (status, again) in
        [(400, false), (401, false), (413, false), (500, false), (429, true), (502, true), (503, true), (504, true)]
    {
        let error = answered(status, &[], "why").await.unwrap_err();
        assert_eq!(error.retryable(), again, "{status}");
        assert_eq!(error, SendError::Http { status, message: "why".into(), retry_after: None });
    }
}

#[tokio::test]
async fn a_path_that_is_not_there_is_a_signal_that_is_not_taken() {
    let error = answered(404, &[], "why").await.unwrap_err();
    assert_eq!(error, SendError::Unsupported { signal: Signal::Logs, known: false });
    assert!(!error.retryable());
}

#[tokio::test]
async fn a_busy_receiver_says_when_to_come_back() {
    let error = answered(429, &[("retry-after", "3")], "").await.unwrap_err();
    assert_eq!((error.retryable(), error.retry_after()), (true, Some(Duration::from_secs(3))));
    assert_eq!(error.to_string(), "refused with HTTP status 429: Too Many Requests");
    let dated = answered(503, &[("retry-after", "Fri, 31 Dec 2100 23:59:59 GMT")], "").await.unwrap_err();
    assert_eq!((dated.retryable(), dated.retry_after()), (true, None));
}

#[tokio::test]
async fn the_reason_is_read_from_the_status_that_the_specification_demands() {
    let status = wire::Status { code: 3, message: "the end of a span lies before its start".into(), retry_after: None };
    let error = answered(400, &[PROTOBUF], status.encode()).await.unwrap_err();
    assert_eq!(error.to_string(), "refused with HTTP status 400: the end of a span lies before its start");
}

#[tokio::test]
async fn what_a_receiver_says_is_kept_short_and_on_one_line() {
    let error = answered(500, &[], format!("a\r\n\u{1b}[31m{}", "b".repeat(10_000))).await.unwrap_err();
    let SendError::Http { message, .. } = error else { panic!("{error:?}") };
    assert!(message.starts_with("a   [31mbbb") && message.len() == 256, "{message}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::start(|_| Answer::http(200, &[], "")).await;
    let url = elsewhere.url();
    let receiver = Receiver::start(move |_| Answer::http(307, &[("location", &url)], "")).await;
    let error = receiver.client(Protocol::HttpProtobuf).send(Signal::Logs, Bytes::new()).await.unwrap_err();
    assert!(matches!(error, SendError::Http { status: 307, .. }) && !error.retryable(), "{error:?}");
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn a_web_page_is_not_taken_for_success() {
    let error = answered(200, &[("content-type", "text/html; charset=utf-8")], "<html>").await.unwrap_err();
    assert_eq!((&error, error.retryable()), (&SendError::Answer("it answers with a web page"), false));
    let error = answered(200, &[PROTOBUF], "<html>").await.unwrap_err();
    assert!(matches!(error, SendError::Answer(_)), "{error:?}");
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let error = answered(200, &[PROTOBUF], vec![0; MAX_ANSWER + 1]).await.unwrap_err();
    assert_eq!(error, SendError::Answer("its answer is too long"));
    let error = answered(503, &[], vec![b'x'; MAX_ANSWER + 1]).await.unwrap_err();
    assert_eq!((error.retryable(), error.to_string().as_str()), (true, "refused with HTTP status 503: Service Unavailable"));
}

#[tokio::test]
async fn a_silent_receiver_is_left_in_time() {
    let receiver = Receiver::start(|_| Answer::Silence).await;
    let client = Client::new(receiver.endpoint(Protocol::HttpProtobuf).with_timeout(BRIEF));
    assert_eq!(client.send(Signal::Logs, Bytes::new()).await, Err(SendError::Timeout(BRIEF)));
}
