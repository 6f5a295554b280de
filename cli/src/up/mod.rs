//! `up`: agent and collector in one process, for one host. The agent sends to the collector over the loopback interface, like any other.
//! Sockets of containerd are found by the agent; what is to be said of Docker stands in [`engine`].

mod engine;

use std::{fs, path::PathBuf};

use agent::config::Args;
use anyhow::Context as _;
use clap::Parser as _;
use collector::{
    config::{Config, ConfigError},
    listen::Listeners,
};
use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// What `up` is told on the command line; everything else by variables.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Address of API, event stream and page
    #[arg(long, env = "PULLTRACE_HTTP_ADDR", default_value = "127.0.0.1:8080")]
    http_addr: String,
    /// Socket of containerd; the usual places are tried unless given
    #[arg(long, env = "PULLTRACE_CONTAINERD_SOCKET")]
    containerd_socket: Option<PathBuf>,
}

/// Something was set wrong.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct UsageError(String);

/// Runs both until SIGTERM or Ctrl-C.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let config = collector_config(options)?;
    collector::logging::start(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        let listeners = Listeners::bind(&config).await?;
        let page = listeners.http.local_addr()?;
        let agent = agent_config(options, &format!("http://{}", listeners.otlp_grpc.local_addr()?))?;
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (stop, stopped) = watch::channel(false);
        let stopping = async |mut stopped: watch::Receiver<bool>| {
            // An error means that the sender is gone, which is an end too.
            _ = stopped.wait_for(|stopped| *stopped).await;
        };
        tracing::info!(page = format!("http://{page}/"), "pulls of this host are shown");
        tokio::spawn(engine::look(listeners.otlp_http.local_addr()?));
        let collector = collector::run(config, listeners, stopping(stopped.clone()));
        let agent = async {
            agent::run(agent, None, async {
                tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
            })
            .await;
            // The agent's last words have arrived: now the collector may end.
            stop.send_replace(true);
        };
        tokio::join!(collector, agent);
        Ok(())
    })
}

fn collector_config(options: &Options) -> anyhow::Result<Config> {
    let arguments = ["pulltrace up", "--http-addr", &options.http_addr, "--event-log", "off"];
    Ok(Config::read(arguments.map(Into::into)).map_err(|error| match error {
        ConfigError::Asked(text) | ConfigError::Wrong(text) => UsageError(text),
    })?)
}

fn agent_config(options: &Options, endpoint: &str) -> anyhow::Result<agent::config::Config> {
    let mut arguments = vec!["pulltrace up", "--otlp-endpoint", endpoint, "--otlp-protocol", "grpc", "--metrics-addr", "off"];
    let socket = options.containerd_socket.as_ref().map(|path| path.display().to_string());
    arguments.extend(socket.iter().flat_map(|socket| ["--containerd-socket", socket]));
    let arguments = Args::try_parse_from(arguments).map_err(|error| UsageError(error.to_string()))?;
    let host_name = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    Ok(arguments.check(host_name).map_err(|error| UsageError(error.to_string()))?)
}
