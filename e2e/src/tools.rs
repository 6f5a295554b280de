//! Where the tools of `tools.sh` are, and what to say when one is missing.
//!
//! A test asks for what it needs by name. On a machine that lacks it, the test prints `SKIPPED <test>: <what is missing>` past the
//! test harness (which hides the output of tests that pass), so that a skip is never taken for a pass.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::helm;
use crate::layout;
use crate::prometheus::Release;
use crate::stack::Tempo;

/// The releases of containerd the live tests run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Debian 12's: pulls by the client library, no content events.
    V1_6,
    /// Debian 13's: as 1.6.
    V1_7,
    /// Pulls by the transfer service, content events, one download limit for all pulls.
    V2_1,
    /// The newest, from its Go module.
    V2_4,
}

impl Version {
    /// Whether it tells of every committed blob by an event (`/content/create`).
    #[must_use]
    pub const fn has_content_events(self) -> bool {
        matches!(self, Self::V2_1 | Self::V2_4)
    }

    /// Whether CRI leaves a pull to the transfer service.
    #[must_use]
    pub const fn pulls_by_transfer(self) -> bool {
        matches!(self, Self::V2_1 | Self::V2_4)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_6 => "1.6",
            Self::V1_7 => "1.7",
            Self::V2_1 => "2.1",
            Self::V2_4 => "2.4",
        })
    }
}

/// One thing a test cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// This process must be root: containerd mounts.
    Root,
    /// A containerd of this version and its `ctr`.
    Containerd(Version),
    /// A Docker Engine 28, its command line, and the containerd 2.1 and `runc` it stands on.
    Docker,
    /// A Podman 4, whose socket speaks as Docker's.
    Podman,
    /// `docker-registry`.
    Registry,
    /// A stock OpenTelemetry Collector, `otelcol`.
    Otelcol,
    /// The load generator of the OpenTelemetry project, `telemetrygen`.
    Telemetrygen,
    /// `kube-apiserver`, `etcd` and `kubectl`.
    Kubernetes,
    /// All that `cluster.sh` starts.
    Cluster,
    /// The images of Pulltrace, made by `cargo xtask image`.
    Images,
    /// A Prometheus of this major version.
    Prometheus(Release),
    /// `promtool`.
    Promtool,
    /// The `promtool` of Prometheus 3, which knows settings that Debian 12's does not.
    Promtool3,
    /// A Tempo of this major version. `tools.sh` does not bring it, it is built for too long; whoever has it puts it there.
    Tempo(Tempo),
    /// `loki`. `tools.sh` does not bring it either.
    Loki,
    /// A Helm of this major version.
    Helm(helm::Release),
    /// `kubeconform`, and the schemas that it compares with.
    Kubeconform,
    /// The built `pulltrace-agent` and `pulltrace-collector` beside the test.
    Pulltrace,
    /// The built `pulltrace` beside the test.
    CommandLine,
    /// The built `simulated-containerd` beside the test.
    Simulated,
}

/// The programs of a cluster, beside containerd's.
const CLUSTER: [&str; 10] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
    "coredns",
    "runc",
    "busybox",
];

/// What a cluster takes from the machine.
const SYSTEM: [&str; 6] = ["iptables", "ip", "openssl", "sysctl", "hostname", "unshare"];

/// The folders the tools are in. Only to be had through [`Tools::find`].
#[derive(Debug, Clone)]
pub struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// The tools, if everything needed is there; else says by name what is not, and the test returns.
    #[must_use]
    pub fn find(test: &str, needs: &[Need]) -> Option<Self> {
        Self::look(needs).inspect_err(|missing| drop(writeln!(std::io::stderr(), "SKIPPED {test}: {missing}"))).ok()
    }

    /// The tools, if everything needed is there.
    ///
    /// # Errors
    /// What is missing, by name.
    pub fn look(needs: &[Need]) -> Result<Self, String> {
        let tools = Self { folder: folder() };
        let missing: Vec<String> = needs.iter().filter_map(|n| tools.missing(*n)).collect();
        if missing.is_empty() { Ok(tools) } else { Err(missing.join(", ")) }
    }

    /// A program of a containerd release.
    #[must_use]
    pub fn containerd(&self, version: Version, program: &str) -> PathBuf {
        self.folder.join(format!("containerd-{version}/bin")).join(program)
    }

    /// The folder of all of them.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A Prometheus.
    #[must_use]
    pub fn prometheus(&self, release: Release) -> PathBuf {
        self.folder.join(release.path())
    }

    /// The `promtool` of Prometheus 3.
    #[must_use]
    pub fn promtool_3(&self) -> PathBuf {
        self.prometheus(Release::V3).with_file_name("promtool")
    }

    /// The OpenAPI document of Kubernetes, `kubernetes.json`, and CustomResourceDefinitions.
    #[must_use]
    pub fn schemas(&self) -> PathBuf {
        self.folder.join("schemas")
    }

    /// A program of Docker Engine 28.
    #[must_use]
    pub fn docker(&self, program: &str) -> PathBuf {
        self.folder.join("docker-28/bin").join(program)
    }

    /// A file of Podman 4.
    #[must_use]
    pub fn podman(&self, name: &str) -> PathBuf {
        self.folder.join("podman-4").join(name)
    }

    /// Any other program.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    fn missing(&self, need: Need) -> Option<String> {
        let lacks = |path: PathBuf, name: &str| (!path.is_file()).then(|| format!("no {name}"));
        match need {
            Need::Root => (!rustix::process::geteuid().is_root()).then(|| "not root".to_owned()),
            Need::Containerd(version) => (!self.is_containerd(version)).then(|| format!("no containerd {version}")),
            Need::Docker => (!self.is_docker())
                .then(|| "no Docker Engine 28".to_owned())
                .or_else(|| lacks(self.program("runc"), "runc"))
                .or_else(|| self.missing(Need::Containerd(Version::V2_1))),
            Need::Podman => lacks(self.podman("bin/podman"), "Podman 4").or_else(|| lacks(self.program("runc"), "runc")),
            Need::Registry => lacks(self.program("docker-registry"), "docker-registry"),
            Need::Prometheus(release) => lacks(self.prometheus(release), &format!("Prometheus {release}")),
            Need::Promtool => lacks(self.program("promtool"), "promtool"),
            Need::Promtool3 => lacks(self.promtool_3(), "promtool 3"),
            Need::Tempo(release) => lacks(self.program(&release.to_string()), &release.to_string()),
            Need::Loki => lacks(self.program("loki"), "loki"),
            Need::Helm(release) => lacks(self.program(&release.to_string()), &release.to_string()),
            Need::Kubeconform => lacks(self.program("kubeconform"), "kubeconform")
                .or_else(|| lacks(self.schemas().join("kubernetes.json"), "schemas of Kubernetes")),
            Need::Otelcol => lacks(self.program("otelcol"), "otelcol"),
            Need::Telemetrygen => lacks(self.program("telemetrygen"), "telemetrygen"),
            Need::Kubernetes => {
                ["kube-apiserver", "etcd", "kubectl"].into_iter().find_map(|name| lacks(self.program(name), name))
            }
            Need::Cluster => CLUSTER
                .into_iter()
                .find_map(|name| lacks(self.program(name), name))
                .or_else(|| lacks(self.folder.join("cni/bridge"), "CNI plugins"))
                .or_else(|| self.missing(Need::Containerd(Version::V2_1)))
                .or_else(|| SYSTEM.into_iter().find(|name| !is_on_path(name)).map(|name| format!("no {name}")))
                .or_else(|| (!has_control_groups()).then(|| "no control groups that pods could have".to_owned())),
            Need::Images => ["pulltrace-agent", "pulltrace-collector"]
                .into_iter()
                .find_map(|name| lacks(layout::own(name).join("index.json"), &format!("image of {name}"))),
            Need::Simulated => lacks(built("simulated-containerd"), "simulated-containerd"),
            Need::CommandLine => lacks(built("pulltrace"), "pulltrace"),
            Need::Pulltrace => ["pulltrace-agent", "pulltrace-collector"].into_iter().find_map(|name| lacks(built(name), name)),
        }
    }

    fn is_containerd(&self, version: Version) -> bool {
        is_of(&self.containerd(version, "containerd"), &version.to_string()) && self.containerd(version, "ctr").is_file()
    }

    fn is_docker(&self) -> bool {
        ["dockerd", "docker"].into_iter().all(|program| is_of(&self.docker(program), "28"))
    }
}

/// A folder may hold another release than its name says; the program itself knows.
fn is_of(program: &Path, version: &str) -> bool {
    let told = Command::new(program).arg("--version").output();
    told.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains(&format!(" {version}.")))
}

/// Whether the machine has a program, also where only root looks.
fn is_on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|folder| folder.join(name).is_file())
}

/// Whether processes can be put into control groups of their own (cgroups(7)): with version 2 that is so in the machine's own root, and in a
/// container's where no process is.
fn has_control_groups() -> bool {
    let root = Path::new("/sys/fs/cgroup");
    let in_container = root.join("cgroup.controllers").exists() && root.join("cgroup.type").exists();
    !in_container || std::fs::read_to_string(root.join("cgroup.procs")).is_ok_and(|processes| processes.trim().is_empty())
}

/// A program of this workspace: in `$E2E_BINARIES` if that is set, else as built with these tests, whose executables are one folder
/// deeper, in `deps`.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let beside = || own.ancestors().skip(1).find(|folder| !folder.ends_with("deps")).unwrap_or(Path::new(".")).to_owned();
    std::env::var_os("E2E_BINARIES").map_or_else(beside, PathBuf::from).join(name)
}

fn folder() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/pulltrace-tools");
    std::env::var_os("PULLTRACE_TOOLS").map_or_else(home, PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named() {
        let tools = Tools { folder: PathBuf::from("nowhere") };
        assert_eq!(tools.missing(Need::Containerd(Version::V1_6)).unwrap(), "no containerd 1.6");
        assert_eq!(tools.missing(Need::Registry).unwrap(), "no docker-registry");
    }
}
