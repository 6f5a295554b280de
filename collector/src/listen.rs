//! The four addresses the collector listens on, bound before anything starts, so that a port in use is one clear error.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};

use crate::config::Config;

/// Bytes on their way to one reader that the system may hold, give or take its bookkeeping: a reader that does not read fills them, and without
/// a bound that is megabytes. A third must be taken before more can be written, so what reads a kilobyte a second is not taken for deaf.
const SEND_BUFFER: u32 = 32 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Every listener, bound.
#[derive(Debug)]
pub struct Listeners {
    /// REST, event stream, page and health.
    pub http: TcpListener,
    /// `/metrics`.
    pub metrics: TcpListener,
    /// OTLP, by convention over gRPC.
    pub otlp_grpc: TcpListener,
    /// OTLP, by convention over HTTP.
    pub otlp_http: TcpListener,
}

impl Listeners {
    /// How many there are.
    pub const COUNT: usize = 4;

    /// Binds the configured addresses.
    ///
    /// # Errors
    /// When one is in use or not of this machine; the error names address and variable.
    pub async fn bind(config: &Config) -> Result<Self, BindError> {
        Ok(Self {
            http: bind(config.http_addr, "PULLTRACE_HTTP_ADDR", Some(SEND_BUFFER))?,
            metrics: bind(config.metrics_addr, "PULLTRACE_METRICS_ADDR", None)?,
            otlp_grpc: bind(config.access.otlp_grpc_addr, "PULLTRACE_OTLP_GRPC_ADDR", None)?,
            otlp_http: bind(config.access.otlp_http_addr, "PULLTRACE_OTLP_HTTP_ADDR", None)?,
        })
    }

    /// Says where each of them listens, for those who let the system choose a port.
    pub(crate) fn announce(&self) {
        let address = |listener: &TcpListener| listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
        tracing::info!(
            http = address(&self.http),
            metrics = address(&self.metrics),
            otlp_grpc = address(&self.otlp_grpc),
            otlp_http = address(&self.otlp_http),
            "listening"
        );
    }
}

/// Listens; `send_buffer` is for every connection.
fn bind(address: Address, variable: &'static str, send_buffer: Option<u32>) -> Result<TcpListener, BindError> {
    let listen = || {
        let socket = if address.0.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        send_buffer.map_or(Ok(()), |bytes| socket.set_send_buffer_size(bytes))?;
        socket.bind(address.0)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| BindError { address, variable, source })
}

/// An address that cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {address} ({variable}): {source}")]
pub struct BindError {
    /// The address.
    pub address: Address,
    /// The variable that sets it.
    pub variable: &'static str,
    /// Why.
    pub source: io::Error,
}

/// An address to listen on: `127.0.0.1:8080`, `[::]:8080`, or `:8080` for all of this machine's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl Address {
    /// This port of all addresses of this machine.
    pub(crate) const fn everywhere(port: u16) -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
    }

    /// This port, for this machine only.
    pub(crate) const fn here(port: u16) -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let full = match text.split_once(':') {
            Some(("", port)) => format!("0.0.0.0:{port}"),
            Some(("localhost", port)) => format!("127.0.0.1:{port}"),
            Some(_) | None => text.to_owned(),
        };
        full.parse().map(Self).map_err(|_| ParseAddressError)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is no address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an IP address and a port, such as 127.0.0.1:8080, or :8080 for all addresses")]
pub struct ParseAddressError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_means_all_addresses() {
        assert_eq!(":8080".parse::<Address>().unwrap().to_string(), "0.0.0.0:8080");
        assert_eq!("localhost:1".parse::<Address>().unwrap().to_string(), "127.0.0.1:1");
        assert_eq!("[::1]:4317".parse::<Address>().unwrap().to_string(), "[::1]:4317");
        for text in ["", "8080", "host:80", ":", ":70000", "1.2.3.4"] {
            assert_eq!(text.parse::<Address>(), Err(ParseAddressError), "{text}");
        }
    }
}
