//! What an image pull is, seen from outside: the words, the state machines and the OTLP dialect that agent and collector share.
//!
//! Pure: nothing here reads a clock, a file, a socket or the environment. Time and input are arguments, output is polled.
//!
//! ```text
//!  agent:      Seen ──▶ track::Tracker ──▶ Report ──▶ wire::encode ──▶ OTLP
//!  collector:  OTLP ──▶ wire::decode ──▶ Report ──▶ board::Board ──▶ PullStatus, Change
//! ```
//!
//! `pull`, `image`, `time` and `names` are the vocabulary; [`track`] and [`board`] are the two minds, which do not know each other;
//! [`wire`] is the only room that knows OTLP's protobuf; [`explain`] is the only one that puts a state into words.

pub mod board;
pub mod explain;
pub mod image;
pub mod measure;
pub mod names;
pub mod pull;
#[cfg(feature = "schema")]
mod schema;
pub mod time;
pub mod track;
pub mod wire;
