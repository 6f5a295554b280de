//! A real Kubernetes API server with its etcd, and nobody else: no kubelet and no controllers, so that a test itself says what they would. Spoken
//! to through `kubectl`, which knows how. A whole cluster, with a node, is `cluster`.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::free_port;
use crate::kubectl::Kubectl;
use crate::process::Process;
use crate::tools::Tools;

/// Both together may take so long to be ready.
const START: Duration = Duration::from_secs(60);
/// Whoever may do everything, and the one whom [`Kubernetes::kubeconfig`] names.
const TOKENS: &str = "all,admin,1,system:masters\nfew,collector,2\n";

/// An API server; ends when this is dropped, and its etcd with it.
#[derive(Debug)]
pub struct Kubernetes {
    tools: Tools,
    port: u16,
    etcd_port: u16,
    server: Option<Process>,
    _etcd: Process,
    kubectl: Kubectl,
    folder: TempDir,
}

impl Kubernetes {
    /// Starts both and waits until it says that it is ready.
    ///
    /// # Panics
    /// When it does not within a minute.
    #[must_use]
    pub fn start(tools: &Tools) -> Self {
        let folder = tempfile::Builder::new().prefix("pt-kubernetes-").tempdir().expect("the temporary folder is writable");
        let (port, etcd_port, peer_port) = (free_port(), free_port(), free_port());
        let (client, peer) = (format!("http://127.0.0.1:{etcd_port}"), format!("http://127.0.0.1:{peer_port}"));
        let data = folder.path().join("etcd").display().to_string();
        let cluster = format!("default={peer}");
        let args = [
            ["--data-dir", &data],
            ["--listen-client-urls", &client],
            ["--advertise-client-urls", &client],
            ["--listen-peer-urls", &peer],
            ["--initial-advertise-peer-urls", &peer],
            ["--initial-cluster", &cluster],
        ];
        let etcd = Process::spawn("etcd", folder.path(), &tools.program("etcd"), args.as_flattened(), &[]);
        fs::write(folder.path().join("tokens"), TOKENS).expect("the temporary folder is writable");
        for (name, token) in [("admin.conf", "all"), ("collector.conf", "few")] {
            fs::write(folder.path().join(name), kubeconfig(port, token)).expect("the temporary folder is writable");
        }
        let key = folder.path().join("key");
        let made = Command::new("openssl").args(["genrsa", "-out"]).arg(&key).arg("2048").stderr(Stdio::null()).status();
        assert!(made.is_ok_and(|status| status.success()), "openssl makes a key");
        let kubectl = Kubectl::new(tools.program("kubectl"), folder.path().join("admin.conf"));
        let mut kubernetes = Self { tools: tools.clone(), port, etcd_port, server: None, _etcd: etcd, kubectl, folder };
        kubernetes.restart();
        kubernetes
    }

    /// Ends the API server as a crash would, starts it again and waits until it is ready.
    ///
    /// # Panics
    /// When it is not within a minute.
    pub fn restart(&mut self) {
        self.kill9();
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let (key, certificates, tokens) = (path("key"), path("certificates"), path("tokens"));
        let (etcd, port) = (format!("http://127.0.0.1:{}", self.etcd_port), self.port.to_string());
        let args = [
            ["--etcd-servers", &etcd],
            ["--secure-port", &port],
            ["--bind-address", "127.0.0.1"],
            ["--advertise-address", "127.0.0.1"],
            ["--cert-dir", &certificates],
            ["--token-auth-file", &tokens],
            ["--authorization-mode", "RBAC"],
            ["--disable-admission-plugins", "ServiceAccount,TaintNodesByCondition"],
            ["--service-account-issuer", "https://test"],
            ["--service-account-signing-key-file", &key],
            ["--service-account-key-file", &key],
            ["--service-cluster-ip-range", "10.0.0.0/24"],
        ];
        let program = self.tools.program("kube-apiserver");
        let mut server = Process::spawn("kube-apiserver", self.folder.path(), &program, args.as_flattened(), &[]);
        server.ready(START, || self.kubectl.attempt(&["get", "--raw", "/readyz"], "").is_ok());
        self.server = Some(server);
    }

    /// Ends the API server as a crash would.
    pub fn kill9(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill9();
        }
    }

    /// The configuration of the user `collector`, who may do nothing before a role is bound to it.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        self.folder.path().join("collector.conf").display().to_string()
    }

    /// The configuration of whoever may do everything.
    #[must_use]
    pub fn admin(&self) -> String {
        self.folder.path().join("admin.conf").display().to_string()
    }

    /// Runs `kubectl` as whoever may do everything, with this object on its standard input; what it says.
    ///
    /// # Panics
    /// When it fails; the message says why.
    #[track_caller]
    pub fn kubectl(&self, args: &[&str], object: Option<&Value>) -> String {
        self.kubectl.run(args, &object.map(Value::to_string).unwrap_or_default())
    }

    /// The same, for what may fail.
    ///
    /// # Errors
    /// What it says then.
    pub fn try_kubectl(&self, args: &[&str], input: Option<String>) -> Result<String, String> {
        self.kubectl.attempt(args, &input.unwrap_or_default())
    }
}

fn kubeconfig(port: u16, token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: \"https://127.0.0.1:{port}\", insecure-skip-tls-verify: true}}}}]\n\
         users: [{{name: u, user: {{token: {token}}}}}]\n"
    )
}
