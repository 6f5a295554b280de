//! The transport over real sockets, against receivers that are kind, busy, broken, silent and hostile.

#[cfg(test)]
mod transport {
    mod grpc;
    mod receiver;
    mod tls;
    mod web;
}
