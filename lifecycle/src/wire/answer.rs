//! What a receiver answers: success, partial success, or `google.rpc.Status`, each as protobuf and as JSON, and how a sender reads it.
//!
//! The three signals' answers have the same fields with the same numbers, so one message stands for all; only JSON names differ.

use std::time::Duration;

use prost::Message;
use serde_json::json;

use super::{DecodeError, Signal};

/// Type of the only detail of a [`Status`] that means something to OTLP.
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// What a receiver says about a request that it accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialSuccess {
    /// Records, spans or data points that it did not take. Sending them again is useless.
    pub rejected: u64,
    /// Why, or a warning although everything was taken; may be empty.
    pub message: String,
}

/// The protobuf answer to a request that was taken, for every signal. Empty when there is nothing to complain about.
pub fn response(rejected: u64, message: &str) -> Vec<u8> {
    let partial_success = (rejected > 0 || !message.is_empty())
        .then(|| PartialMessage { rejected: i64::try_from(rejected).unwrap_or(i64::MAX), error_message: message.to_owned() });
    ResponseMessage { partial_success }.encode_to_vec()
}

/// The JSON answer to a request that was taken: `{}` when there is nothing to complain about.
pub fn response_json(signal: Signal, rejected: u64, message: &str) -> String {
    if rejected == 0 && message.is_empty() {
        return "{}".to_owned();
    }
    let count = match signal {
        Signal::Logs => "rejectedLogRecords",
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
    };
    json!({ "partialSuccess": { count: rejected.to_string(), "errorMessage": message } }).to_string()
}

/// Reads a protobuf answer, of any signal.
///
/// # Errors
/// When the bytes are no such message.
pub fn parse_response(bytes: &[u8]) -> Result<PartialSuccess, DecodeError> {
    let partial = ResponseMessage::decode(bytes).map_err(DecodeError::Message)?.partial_success.unwrap_or_default();
    Ok(PartialSuccess { rejected: u64::try_from(partial.rejected).unwrap_or(0), message: partial.error_message })
}

/// `google.rpc.Status`: the body of an HTTP error, and of the `grpc-status-details-bin` of a gRPC error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// gRPC status code; HTTP errors may leave it 0.
    pub code: i32,
    /// For developers.
    pub message: String,
    /// When to try again, from `google.rpc.RetryInfo`. Its presence makes `RESOURCE_EXHAUSTED` worth a retry.
    pub retry_after: Option<Duration>,
}

impl Status {
    /// As protobuf.
    pub fn encode(&self) -> Vec<u8> {
        let details = self.retry_after.map(|after| AnyMessage {
            type_url: RETRY_INFO.to_owned(),
            value: RetryInfoMessage { retry_delay: Some(DurationMessage::from(after)) }.encode_to_vec(),
        });
        StatusMessage { code: self.code, message: self.message.clone(), details: details.into_iter().collect() }.encode_to_vec()
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        let delay = |after: Duration| json!({ "@type": RETRY_INFO, "retryDelay": format!("{}.{:09}s", after.as_secs(), after.subsec_nanos()) });
        let mut status = json!({ "code": self.code, "message": self.message });
        if let Some(after) = self.retry_after {
            status["details"] = json!([delay(after)]);
        }
        status.to_string()
    }

    /// Reads protobuf. Details other than `RetryInfo`, and one that cannot be read, are left out.
    ///
    /// # Errors
    /// When the bytes are no such message.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let status = StatusMessage::decode(bytes).map_err(DecodeError::Message)?;
        let retry_after = status.details.iter().find(|detail| detail.type_url == RETRY_INFO).and_then(|detail| {
            let delay = RetryInfoMessage::decode(detail.value.as_slice()).ok()?.retry_delay?;
            Some(Duration::new(u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?.min(999_999_999)))
        });
        Ok(Self { code: status.code, message: status.message, retry_after })
    }
}

#[derive(Clone, PartialEq, Message)]
struct ResponseMessage {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialMessage {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

#[derive(Clone, PartialEq, Message)]
struct StatusMessage {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<AnyMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyMessage {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfoMessage {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<DurationMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct DurationMessage {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl From<Duration> for DurationMessage {
    fn from(duration: Duration) -> Self {
        Self {
            seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_success_is_an_empty_message_and_an_empty_object() {
        assert_eq!(response(0, ""), Vec::<u8>::new());
        assert_eq!(response_json(Signal::Logs, 0, ""), "{}");
        assert_eq!(parse_response(&[]).unwrap(), PartialSuccess::default());
    }

    #[test]
    fn a_partial_success_says_how_many_and_why() {
        let read = parse_response(&response(3, "bad ids")).unwrap();
        assert_eq!(read, PartialSuccess { rejected: 3, message: "bad ids".into() });
        let json = response_json(Signal::Traces, 3, "bad \"ids\"");
        assert_eq!(json, r#"{"partialSuccess":{"errorMessage":"bad \"ids\"","rejectedSpans":"3"}}"#);
    }

    #[test]
    fn a_status_keeps_its_retry_delay() {
        let status = Status { code: 14, message: "full".into(), retry_after: Some(Duration::from_millis(700)) };
        assert_eq!(Status::decode(&status.encode()).unwrap(), status);
        assert!(status.to_json().contains(r#""retryDelay":"0.700000000s""#), "{}", status.to_json());
        let plain = Status { retry_after: None, ..status };
        assert_eq!(plain.to_json(), r#"{"code":14,"message":"full"}"#);
    }

    #[test]
    fn negative_delays_and_counts_are_not_believed() {
        let detail = RetryInfoMessage { retry_delay: Some(DurationMessage { seconds: -1, nanos: 0 }) };
        let details = vec![AnyMessage { type_url: RETRY_INFO.into(), value: detail.encode_to_vec() }];
        let bytes = StatusMessage { code: 8, message: String::new(), details }.encode_to_vec();
        assert_eq!(Status::decode(&bytes).unwrap().retry_after, None);
        let partial_success = Some(PartialMessage { rejected: -5, error_message: String::new() });
        assert_eq!(parse_response(&ResponseMessage { partial_success }.encode_to_vec()).unwrap().rejected, 0);
    }

    #[test]
    fn what_is_no_answer_is_said_to_be_none() {
        assert!(matches!(parse_response(b"<html>"), Err(DecodeError::Message(_))));
        assert!(matches!(Status::decode(b"<html>"), Err(DecodeError::Message(_))));
    }
}
