//! The kit of the live tests: real containerds, a real registry behind a link that can be slow or broken, the built binaries of
//! Pulltrace, and evidence of what really happened that does not come from Pulltrace.
//!
//! It knows the binaries, their ports and the outward contract, and nothing inside any crate. It runs on loopback and in temporary
//! folders, needs root for containerd, and ends only the processes it started. It fails by panicking with a sentence, because all
//! its callers are tests; a tool that is not on the machine is no failure: [`tools::Tools::find`] names it and the test skips.
//!
//! ```text
//! image -push-> registry <- link (rate, faults) <- containerd <-socket- pulltrace-agent -OTLP-> pulltrace-collector -> REST, SSE
//!                                                    |  `-- truth: ctr events, ingest folder             `-OTLP-> otelcol -> sink
//!                                                    cri: pulls as the kubelet makes them
//! image -push-> registry <- link (rate, faults) <- docker <-socket- pulltrace pull
//! ```
//!
//! The live tests are in `tests/`, one file per promise; `tests/kit.rs` tests the kit itself. `tools.sh` installs the tools.

pub mod authority;
pub mod clock;
pub mod cluster;
pub mod containerd;
pub mod cri;
pub mod docker;
pub mod follow;
pub mod grpc;
pub mod helm;
pub mod hook;
pub mod host;
mod http;
pub mod image;
pub mod kubectl;
pub mod kubernetes;
pub mod layout;
pub mod link;
pub mod otlp_relay;
pub mod otlp_sink;
pub mod podman;
pub mod process;
pub mod prometheus;
pub mod promql;
pub mod pulltrace;
pub mod questions;
pub mod registry;
pub mod scene;
pub mod simulated;
pub mod site;
pub mod sse;
pub mod stack;
pub mod stop;
pub mod swarm;
pub mod terminal;
pub mod tools;
pub mod truth;
