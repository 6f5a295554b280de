//! What else a node did, as it looks from outside: the `host` of a [`PullStatus`](super::PullStatus). Absent is what nobody knows.

use serde::Serialize;

use crate::pull::{Host, Percent, Pressure};

/// The node's load during the last seconds, everything on it counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    /// Bytes per second that the network cards received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_bytes_per_sec: Option<u64>,
    /// Bytes per second that their links carry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_limit_bytes_per_sec: Option<u64>,
    /// Share of time in which the disk below containerd's folder was busy, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_busy: Option<u8>,
    /// How far tasks waited for disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_pressure: Option<PressureStatus>,
    /// How far tasks waited for memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_pressure: Option<PressureStatus>,
    /// Share of the last ten seconds in which some task waited for a processor, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_pressure: Option<u8>,
}

/// Pressure over the last ten seconds, percent of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PressureStatus {
    /// Some task waited.
    pub some: u8,
    /// All tasks that had something to do waited.
    pub full: u8,
}

impl HostStatus {
    pub(super) fn of(host: &Host) -> Option<Self> {
        let pressure = |p: Pressure| PressureStatus { some: p.some.get(), full: p.full.get() };
        (!host.is_empty()).then(|| Self {
            network_bytes_per_sec: host.network_rate,
            network_limit_bytes_per_sec: host.network_limit,
            disk_busy: host.disk_busy.map(Percent::get),
            io_pressure: host.io.map(pressure),
            memory_pressure: host.memory.map(pressure),
            cpu_pressure: host.cpu.map(Percent::get),
        })
    }
}
