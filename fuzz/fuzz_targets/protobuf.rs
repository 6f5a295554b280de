//! `cargo +nightly fuzz run protobuf`; what must hold stands in `decoders.rs`.

#![no_main]

#[expect(dead_code, reason = "each target uses one of them")]
#[path = "../decoders.rs"]
mod decoders;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| decoders::protobuf(bytes));
