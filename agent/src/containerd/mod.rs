//! containerd, seen from outside. The only room that knows containerd's API, and it knows only how to read.
//!
//! ```text
//!  socket ──▶ client (RPCs) ──▶ translate (protobuf ─▶ Seen) ──▶ track::Tracker
//!  meta.db ─▶ stir (inotify: "something changed") ─────────────▶
//!  /run/.. ─▶ folders (inotify: "a socket may have come") ─────▶ place
//! ```
//!
//! No call that changes anything exists here; every call carries an unsampled trace context, so that a traced containerd is not filled
//! with spans of its observer.

mod absence;
mod client;
mod counted;
mod folders;
#[cfg(feature = "simulated")]
pub mod simulated;
mod stir;
mod translate;

pub use absence::Absence;
pub use client::{Client, Events, Heard, Selection};
pub use folders::{Change, Folders};
pub use stir::Stir;
