//! OTLP/gRPC: against `tonic`, which knows the protocol better than we do, and against answers that no library would give.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use lifecycle::wire::{self, Signal};
use otlp::{BytesCodec, Client, Compression, Endpoint, Headers, MAX_ANSWER, MAX_RETRY_AFTER, Protocol, SendError, Sent};
use tokio::{net::TcpListener, sync::mpsc};
use tonic::{Code, Response, Status, codec::CompressionEncoding, metadata::MetadataMap, server::Grpc};
use tower::service_fn as unary;

use super::receiver::{Answer, BRIEF, Receiver, SOON, frame};

/// A server made of tonic; sends on what it was asked.
async fn tonic_server(
    answer: fn() -> Result<Bytes, Status>,
) -> (Endpoint, mpsc::UnboundedReceiver<(String, MetadataMap, Bytes)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::parse(&format!("http://{}", listener.local_addr().unwrap()), Protocol::Grpc).unwrap();
    let (seen, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = seen.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let (seen, path) = (seen.clone(), request.uri().path().to_owned());
                async move {
                    let export = unary(move |request: tonic::Request<Bytes>| {
                        let (metadata, _, message) = request.into_parts();
                        seen.send((path.clone(), metadata, message)).unwrap();
                        async move { answer().map(Response::new) }
                    });
                    let mut grpc = Grpc::new(BytesCodec).accept_compressed(CompressionEncoding::Gzip);
                    Ok::<_, Infallible>(grpc.unary(export, request).await)
                }
            });
            tokio::spawn(async move {
                auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await.is_ok()
            });
        }
    });
    (endpoint, asked)
}

async fn refused_by_tonic(answer: fn() -> Result<Bytes, Status>) -> SendError {
    let (endpoint, _asked) = tonic_server(answer).await;
    Client::new(endpoint).send(Signal::Logs, Bytes::from_static(b"request")).await.unwrap_err()
}

fn busy(code: Code, retry_after: Option<Duration>) -> Status {
    let details = wire::Status { code: code.into(), message: "busy".into(), retry_after };
    Status::with_details(code, "busy", details.encode().into())
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent_with_path_and_headers() {
    let (endpoint, mut asked) = tonic_server(|| Ok(Bytes::new())).await;
    let client = Client::new(endpoint.with_headers(Headers::parse("authorization=Bearer%20abc").unwrap()));
    for signal in Signal::ALL {
        assert_eq!(client.send(signal, Bytes::from_static(b"request")).await, Ok(Sent::default()));
        let (path, metadata, message) = asked.recv().await.unwrap();
        assert_eq!((path.as_str(), message.as_ref()), (signal.grpc_path(), b"request".as_slice()));
        assert_eq!(metadata.get("authorization").unwrap(), "Bearer abc");
        assert!(metadata.get("user-agent").unwrap().to_str().unwrap().starts_with("pulltrace/"));
    }
}

#[tokio::test]
async fn an_empty_and_a_large_request_arrive_whole_compressed_or_not() {
    for compression in [Compression::None, Compression::Gzip] {
        let (endpoint, mut asked) = tonic_server(|| Ok(Bytes::new())).await;
        let client = Client::new(endpoint.with_compression(compression));
        for request in [Bytes::new(), Bytes::from(vec![7; 3_000_000])] {
            assert_eq!(client.send(Signal::Logs, request.clone()).await, Ok(Sent::default()));
            let (_, metadata, message) = asked.recv().await.unwrap();
            assert!(message == request);
            assert_eq!(metadata.get("grpc-encoding").is_some(), compression == Compression::Gzip);
        }
    }
}

#[tokio::test]
async fn a_partial_success_says_what_was_not_taken() {
    let (endpoint, _asked) = tonic_server(|| Ok(wire::response(3, "bad\nids").into())).await;
    let sent = Client::new(endpoint).send(Signal::Traces, Bytes::new()).await;
    assert_eq!(sent, Ok(Sent { rejected: 3, message: "bad ids".into() }));
}

#[tokio::test]
async fn unavailable_is_tried_again_when_the_receiver_wants_it() {
    let error = refused_by_tonic(|| Err(busy(Code::Unavailable, Some(Duration::from_millis(700))))).await;
    assert_eq!((error.retryable(), error.retry_after()), (true, Some(Duration::from_millis(700))));
    assert_eq!(error.to_string(), "refused with Unavailable: busy");
    let error = refused_by_tonic(|| Err(busy(Code::Unavailable, Some(Duration::from_secs(86_400))))).await;
    assert_eq!(error.retry_after(), Some(MAX_RETRY_AFTER), "no receiver stops us for a day");
}

#[tokio::test]
async fn exhausted_resources_are_tried_again_only_with_a_delay() {
    let error = refused_by_tonic(|| Err(busy(Code::ResourceExhausted, None))).await;
    assert_eq!((error.retryable(), error.retry_after()), (false, None));
    let error = refused_by_tonic(|| Err(busy(Code::ResourceExhausted, Some(Duration::from_secs(2))))).await;
    assert_eq!((error.retryable(), error.retry_after()), (true, Some(Duration::from_secs(2))));
}

#[tokio::test]
async fn a_signal_that_the_receiver_does_not_take_is_not_sent_again_for_a_while() {
    let (endpoint, mut asked) = tonic_server(|| Err(Status::unimplemented("unknown service"))).await;
    let client = Client::new(endpoint);
    let send = |signal| client.send(signal, Bytes::from_static(b"request"));
    for (signal, known) in [(Signal::Logs, false), (Signal::Logs, true), (Signal::Traces, false), (Signal::Logs, true)] {
        assert_eq!(send(signal).await, Err(SendError::Unsupported { signal, known }));
    }
    let paths: Vec<_> = std::iter::from_fn(|| asked.try_recv().ok()).map(|(path, ..)| path).collect();
    assert_eq!(paths, [Signal::Logs.grpc_path(), Signal::Traces.grpc_path()], "asked once each");
}

#[tokio::test]
async fn a_request_that_is_wrong_is_not_sent_again() {
    let error = refused_by_tonic(|| Err(Status::invalid_argument("not OTLP"))).await;
    assert!(matches!(&error, SendError::Grpc { code: Code::InvalidArgument, message, .. } if message == "not OTLP"), "{error:?}");
    assert_eq!((error.retryable(), error.as_str()), (false, "refused"));
}

#[tokio::test]
async fn answers_that_no_grpc_server_would_give_are_not_taken_for_success() {
    let ok = [("grpc-status", "0")];
    let too_long = Bytes::from(vec![0; MAX_ANSWER + 1]);
    let cases: [(Bytes, &[(&str, &str)]); 6] = [
        (frame(b""), &[]),
        (frame(b"<html>"), &ok),
        (Bytes::from_static(&[0, 0, 0]), &ok),
        (Bytes::from_static(&[1, 0, 0, 0, 0]), &ok),
        (Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]), &ok),
        (frame(&too_long), &ok),
    ];
    for (body, trailers) in cases {
        let trailers: Vec<(&'static str, String)> =
            trailers.iter().map(|(_, value)| ("grpc-status", (*value).to_owned())).collect();
        let length = body.len();
        let receiver = Receiver::start(move |_| {
            let trailers: Vec<_> = trailers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            Answer::grpc(body.clone(), &trailers)
        })
        .await;
        let error = receiver.client(Protocol::Grpc).send(Signal::Logs, Bytes::new()).await.unwrap_err();
        assert!(matches!(error, SendError::Answer(_)), "{length}: {error:?}");
        assert!(!error.retryable(), "it may have taken the request");
    }
}

#[tokio::test]
async fn a_proxy_that_cannot_reach_the_receiver_is_tried_again() {
    let receiver = Receiver::start(|_| Answer::http(503, &[("retry-after", "7")], "no upstream")).await;
    let error = receiver.client(Protocol::Grpc).send(Signal::Logs, Bytes::new()).await.unwrap_err();
    assert_eq!((error.retryable(), error.retry_after()), (true, Some(Duration::from_secs(7))));
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_tried_again() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let endpoint = Endpoint::parse(&format!("http://{unused}"), Protocol::Grpc).unwrap();
    let error = Client::new(endpoint).send(Signal::Logs, Bytes::new()).await.unwrap_err();
    assert!(matches!(error, SendError::Unreachable(_)), "{error:?}");
    assert!(error.retryable() && error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_silent_receiver_is_left_in_time_and_reached_by_a_new_connection() {
    let receiver =
        Receiver::start(|n| if n == 0 { Answer::Silence } else { Answer::grpc(frame(b""), &[("grpc-status", "0")]) }).await;
    let client = Client::new(receiver.endpoint(Protocol::Grpc).with_timeout(BRIEF));
    let error = client.send(Signal::Logs, Bytes::new()).await.unwrap_err();
    assert_eq!((&error, error.retryable()), (&SendError::Timeout(BRIEF), true));
    let again = tokio::time::timeout(SOON, client.send(Signal::Logs, Bytes::new())).await;
    assert_eq!(again, Ok(Ok(Sent::default())));
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let receiver = Receiver::start(|_| Answer::grpc(frame(b""), &[("grpc-status", "0")])).await;
    let client = receiver.client(Protocol::Grpc);
    for _ in 0..5 {
        assert_eq!(client.send(Signal::Logs, Bytes::new()).await, Ok(Sent::default()));
    }
    assert_eq!((receiver.connections(), receiver.requests()), (1, 5));
}
