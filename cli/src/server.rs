//! How a command finds the collector that it asks: an address, or a cluster in which the collector's pod is found and reached through the API
//! server. Every command that asks flattens [`Server`], those about one namespace also [`Scope`].

use std::path::PathBuf;

use clap::Args;

use crate::{
    client::{Client, ClientError, Reader},
    cluster::{Cluster, ClusterError, Way},
    shell::COMPLETER,
};

/// Where `pulltrace up` serves, and the collector of a host.
const HERE: &str = "http://127.0.0.1:8080";

/// What to do where none is.
const ELSEWHERE: &str = "; --server names another, --context the cluster whose collector is meant";

/// By which name this program was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// As `pulltrace`.
    Pulltrace,
    /// As a plugin, `kubectl-pulltrace`: it means the cluster that `kubectl` means.
    Plugin,
}

/// Where the collector is.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Collector")]
pub(crate) struct Server {
    /// Ask the collector at this address, such as http://127.0.0.1:8080, instead of looking for one
    #[arg(long = "server", env = "PULLTRACE_SERVER", value_name = "URL")]
    url: Option<String>,
    /// File with the token that the collector wants of readers
    #[arg(long = "token-file", env = "PULLTRACE_READ_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File with the certificates to trust, if the collector speaks https by a private authority
    #[arg(long = "ca-file", env = "PULLTRACE_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Ask the collector of the cluster in this kubeconfig, through its API server
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; else its current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Namespace in which Pulltrace is installed; else all are searched
    #[arg(long = "pulltrace-namespace", env = "PULLTRACE_NAMESPACE", value_name = "NAMESPACE")]
    pulltrace_namespace: Option<String>,
}

/// Whose things are meant.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Scope {
    /// Namespace; else that of the kubeconfig's context
    #[arg(short, long, value_name = "NAMESPACE", conflicts_with = "all_namespaces")]
    pub(crate) namespace: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
}

impl Called {
    /// By the first word of the command line: its path does not matter.
    pub(crate) fn by(program: &str) -> Self {
        let name = program.rsplit(['/', '\\']).next().unwrap_or(program);
        if name.starts_with("kubectl-") { Self::Plugin } else { Self::Pulltrace }
    }

    /// Whether it is `kubectl` that asks how a command line goes on.
    pub(crate) fn is_completer(program: &str) -> bool {
        program.rsplit('/').next().unwrap_or(program).starts_with(COMPLETER)
    }

    /// What people type.
    pub(crate) const fn command(self) -> &'static str {
        match self {
            Self::Pulltrace => "pulltrace",
            Self::Plugin => "kubectl pulltrace",
        }
    }
}

impl Server {
    /// The collector, ready to be asked.
    pub(crate) fn client(&self, called: Called) -> Result<Client, ClientError> {
        let reader = Reader::read(self.token_file.as_deref(), self.ca_file.as_deref())?;
        match &self.url {
            Some(url) => Client::new(url, reader),
            None if self.means_cluster(called) => Client::of_cluster(self.cluster()?, reader),
            None => Client::new(HERE, reader).map(|client| client.hinting(ELSEWHERE)),
        }
    }

    /// Whether some collector was named, so that asking one makes sense without another word.
    pub(crate) fn is_named(&self, called: Called) -> bool {
        self.url.is_some() || self.means_cluster(called)
    }

    /// Whether the collector, or what it speaks of, is that of a kubeconfig.
    pub(crate) fn means_cluster(&self, called: Called) -> bool {
        called == Called::Plugin || self.kubeconfig.is_some() || self.context.is_some() || self.pulltrace_namespace.is_some()
    }

    /// The cluster of the kubeconfig.
    pub(crate) fn cluster(&self) -> Result<Cluster, ClusterError> {
        let Self { url: _, token_file: _, ca_file: _, kubeconfig, context, pulltrace_namespace } = self.clone();
        Cluster::open(&Way { kubeconfig, context, pulltrace_namespace })
    }

    /// The namespace that is meant; `None` for all.
    pub(crate) fn namespace(&self, scope: &Scope, called: Called) -> Result<Option<String>, ClusterError> {
        match (&scope.namespace, scope.all_namespaces) {
            (_, true) => Ok(None),
            (Some(namespace), false) => Ok(Some(namespace.clone())),
            (None, false) if self.means_cluster(called) => Ok(Some(self.cluster()?.namespace().to_owned())),
            (None, false) => Ok(Some("default".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_a_plugin_by_its_name_alone() {
        for (program, called) in [
            ("kubectl-pulltrace", Called::Plugin),
            ("/opt/krew/bin/kubectl-pulltrace", Called::Plugin),
            ("pulltrace", Called::Pulltrace),
            ("/opt/kubectl-things/pulltrace", Called::Pulltrace),
            ("", Called::Pulltrace),
        ] {
            assert_eq!(Called::by(program), called, "{program}");
        }
    }

    #[test]
    fn a_cluster_is_meant_when_one_is_named_or_kubectl_asks() {
        let server = Server::default();
        assert!(!server.means_cluster(Called::Pulltrace) && server.means_cluster(Called::Plugin));
        let context = Server { context: Some("c".into()), ..Server::default() };
        assert!(context.means_cluster(Called::Pulltrace) && context.is_named(Called::Pulltrace));
        let url = Server { url: Some("http://h:1".into()), ..Server::default() };
        assert!(url.is_named(Called::Pulltrace) && !url.means_cluster(Called::Pulltrace));
    }

    #[test]
    fn without_a_cluster_the_namespace_is_default_and_all_are_none() {
        let (server, of) = (Server::default(), |namespace: Option<&str>, all_namespaces| Scope {
            namespace: namespace.map(str::to_owned),
            all_namespaces,
        });
        let asked = |scope: &Scope| server.namespace(scope, Called::Pulltrace).unwrap();
        assert_eq!(asked(&of(None, false)).as_deref(), Some("default"));
        assert_eq!(asked(&of(Some("shop"), false)).as_deref(), Some("shop"));
        assert_eq!(asked(&of(None, true)), None);
    }
}
