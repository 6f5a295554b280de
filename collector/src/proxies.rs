//! The proxies before the API that are trusted: who the person behind a request is, and where. What anyone else writes into these headers
//! means nothing.

use std::{fmt, net::IpAddr, str::FromStr};

use http::{HeaderMap, HeaderName};
use thiserror::Error;

/// Longest name of a person that is taken, in bytes.
const MAX_USER: usize = 256;
/// Where proxies write the addresses that a request came through.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Proxies that are trusted, and the header in which they name a person.
#[derive(Clone, Debug)]
pub(crate) struct Proxies {
    networks: Vec<Network>,
    user: HeaderName,
}

impl Proxies {
    /// Trusts these addresses to name people in this header.
    pub(crate) const fn new(networks: Vec<Network>, user: HeaderName) -> Self {
        Self { networks, user }
    }

    /// Whether none is trusted.
    pub(crate) const fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Who a request from this address is for, if a trusted proxy says so, once.
    pub(crate) fn user<'a>(&self, peer: IpAddr, headers: &'a HeaderMap) -> Option<&'a str> {
        let mut named = headers.get_all(&self.user).iter();
        let user = named.next().filter(|_| self.trusts(peer))?.to_str().ok()?.trim();
        (named.next().is_none() && (1..=MAX_USER).contains(&user.len())).then_some(user)
    }

    /// Where a request from this address comes from: the last address on its way that is no trusted proxy's.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let lines = headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok());
        let way: Vec<_> = lines.flat_map(|line| line.split(',')).map(|hop| hop.trim().parse::<IpAddr>()).collect();
        let mut hops = way.into_iter().rev().map_while(Result::ok).map(|hop| hop.to_canonical());
        let mut last = peer;
        hops.find(|hop| {
            last = *hop;
            !self.trusts(*hop)
        })
        .unwrap_or(last)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }
}

/// Addresses that begin alike: `10.0.0.0/8`, or a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    first: IpAddr,
    prefix: u8,
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, true),
            IpAddr::V6(address) => (address.to_bits(), false),
        };
        let ((first, first_is_v4), (other, other_is_v4)) = (bits(self.first), bits(address.to_canonical()));
        let differing = (first ^ other).leading_zeros();
        first_is_v4 == other_is_v4 && differing >= u32::from(self.prefix)
    }
}

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let first: IpAddr = address.parse().map_err(|_| ParseNetworkError)?;
        let longest = if first.is_ipv4() { 32 } else { 128 };
        let digits = |prefix: &str| prefix.bytes().all(|b| b.is_ascii_digit()).then(|| prefix.parse().ok()).flatten();
        let prefix = prefix.map_or(Some(longest), digits).filter(|prefix| *prefix <= longest).ok_or(ParseNetworkError)?;
        Ok(Self { first, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// A text that is no [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an IP address, or a network such as 10.0.0.0/8")]
pub(crate) struct ParseNetworkError;

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(networks: &[&str]) -> Proxies {
        Proxies::new(networks.iter().map(|text| text.parse().unwrap()).collect(), HeaderName::from_static("x-forwarded-user"))
    }

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_the_addresses_that_begin_like_it() {
        for (network, address, holds) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7", "10.0.0.6", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "1.2.3.4", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe80::1", false),
        ] {
            assert_eq!(network.parse::<Network>().unwrap().contains(ip(address)), holds, "{network} {address}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::/129", "proxy", "10.0.0.0/8/8"] {
            assert_eq!(text.parse::<Network>(), Err(ParseNetworkError), "{text}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_names_a_person() {
        let proxies = proxies(&["10.0.0.0/8"]);
        let named = headers(&[("x-forwarded-user", "ada")]);
        assert_eq!(proxies.user(ip("10.1.1.1"), &named), Some("ada"));
        assert_eq!(proxies.user(ip("11.1.1.1"), &named), None);
        for lines in [&[][..], &[("x-forwarded-user", " ")], &[("x-forwarded-user", "ada"), ("x-forwarded-user", "eve")]] {
            assert_eq!(proxies.user(ip("10.1.1.1"), &headers(lines)), None, "{lines:?}");
        }
        assert_eq!(proxies.user(ip("10.1.1.1"), &headers(&[("x-forwarded-user", &"a".repeat(257))])), None);
    }

    #[test]
    fn the_client_is_the_last_address_on_the_way_that_is_not_trusted() {
        let proxies = proxies(&["10.0.0.0/8"]);
        let client = |peer, way: &[&str]| {
            let lines: Vec<_> = way.iter().map(|line| ("x-forwarded-for", *line)).collect();
            proxies.client(ip(peer), &headers(&lines)).to_string()
        };
        assert_eq!(client("192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.7, 203.0.113.9, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["203.0.113.9", "10.0.0.2"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["10.0.0.3"]), "10.0.0.3");
        assert_eq!(client("10.0.0.1", &["198.51.100.7, nonsense"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }
}
