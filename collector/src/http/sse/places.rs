//! How many may read streams at a time, in all and from one address. Who finds no place is told to come back.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// Readers of streams at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    /// In all.
    pub(crate) total: usize,
    /// From one IPv4 address, or one IPv6 network of 64 bits. A proxy is one address.
    pub(crate) per_address: usize,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    /// Too many in all.
    #[error("{0} readers follow the streams already; come back later")]
    Total(usize),
    /// Too many from the same address.
    #[error("{0} readers from this address follow the streams already; come back later")]
    Address(usize),
}

/// All places; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    caps: Caps,
    /// By address, those who have any. Bounded by [`Caps::total`].
    taken: Mutex<(usize, BTreeMap<IpAddr, usize>)>,
}

/// One reader's place, free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    address: IpAddr,
}

impl Places {
    pub(super) fn new(caps: Caps) -> Self {
        Self(Arc::new(Inner { caps, taken: Mutex::default() }))
    }

    /// Takes a place.
    pub(super) fn take(&self, address: IpAddr) -> Result<Place, Full> {
        let (caps, address) = (self.0.caps, network(address));
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.0 >= caps.total {
            return Err(Full::Total(caps.total));
        }
        let of_address = taken.1.entry(address).or_default();
        if *of_address >= caps.per_address {
            return Err(Full::Address(caps.per_address));
        }
        *of_address += 1;
        taken.0 += 1;
        Ok(Place { places: self.clone(), address })
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.0 = taken.0.saturating_sub(1);
        if let Some(count) = taken.1.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.1.remove(&self.address);
            }
        }
    }
}

impl Full {
    /// The word for labels.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Total(_) => "total",
            Self::Address(_) => "address",
        }
    }
}

/// What counts as one address: whoever has an IPv6 address has the network around it too.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_all_and_by_address_and_given_back() {
        let places = Places::new(Caps { total: 3, per_address: 2 });
        let take = |address: &str| places.take(address.parse().unwrap());
        let (first, second) = (take("10.0.0.1").unwrap(), take("::ffff:10.0.0.1").unwrap());
        assert_eq!(take("10.0.0.1").unwrap_err(), Full::Address(2));
        let third = take("2001:db8::1").unwrap();
        assert_eq!(take("2001:db8:1::1").unwrap_err(), Full::Total(3));
        drop(first);
        let fourth = take("2001:db8::2").unwrap();
        drop(second);
        assert_eq!(take("2001:db8::3").unwrap_err(), Full::Address(2));
        drop((third, fourth));
        assert_eq!(places.taken(), 0);
        assert!(places.0.taken.lock().unwrap().1.is_empty());
    }
}
