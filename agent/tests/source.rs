//! The conformance suite of the source: what the agent must tell of what happens in containerd, sentence by sentence.
//!
//! The whole agent runs here, in this process, between a simulated containerd in all its versions and a receiver that writes down what
//! it hears; what it told is then compared with what really happened. `stage` sets this up, `sink` is the receiver, the other rooms are
//! the sentences. Scenarios are played in real time, since the times in them must be the wall's, but with everything four times as fast.
//!
//! The same sentences about the real containerd 1.6, 1.7, 2.1 and 2.4 stand in the crate `e2e`, which sees only binaries.

#[cfg(test)]
mod source {
    mod coming_back;
    mod conduct;
    mod endings;
    mod layers;
    mod numbers;
    mod sharing;
    mod sink;
    mod sockets;
    mod stage;
}
