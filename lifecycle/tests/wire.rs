//! The OTLP dialect from outside: what is said comes out as it went in, golden files show people what is on the wire, and nothing that
//! arrives can do harm. Golden files are rewritten with `UPDATE_GOLDEN=1`.

#[cfg(test)]
mod wire {
    mod bytes;
    mod corpus;
    mod golden;
    mod refused;
    mod round_trip;
    mod sample;
    mod trace;
    mod wait;
    mod whose;
}
