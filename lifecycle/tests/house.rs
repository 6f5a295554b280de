//! The whole house in one process: random histories of a node are seen by the tracker, told over a bad channel and kept by the board.
//!
//! ```text
//!  containerd (model) ─▶ agent: Tracker ─▶ wire::encode ─▶ channel: loses, doubles, shuffles ─▶ wire::decode ─▶ Board
//! ```
//!
//! No sockets, no waiting: time is a number. `containerd`, with its `store`, is the model and its truth, `history` what is to happen to
//! whom, `agent` does what the shell of the agent does (with its bad luck), `channel` carries, `truth` says what must hold at every moment
//! and at the end.
//!
//! Cases are the same on every run. More of them: `PROPTEST_CASES`; others: `PROPTEST_RNG_SEED`.

#[cfg(test)]
mod house {
    mod agent;
    mod channel;
    mod containerd;
    mod history;
    mod image;
    mod luck;
    mod play;
    mod store;
    mod truth;
}
