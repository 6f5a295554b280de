//! `pulltrace plan`: what a pull would fetch, before it does. Whom to ask depends on who would pull: the Engine of this host (`pull::plan`), or, when
//! a collector or a cluster is named, all nodes that it knows (`ask::plan`).

use std::process::ExitCode;

use clap::Args;
use thiserror::Error;

use crate::{
    ask::{self, Format},
    pull,
    server::{Called, Server},
};

/// What is planned.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Image that would be pulled
    image: String,
    /// For another platform than the Engine's own: os/arch[/variant]; only for this host
    #[arg(long, value_name = "PLATFORM", value_parser = pull::platform)]
    platform: Option<String>,
    /// How to show it; else in lines
    #[arg(short, long, value_enum, value_name = "HOW")]
    output: Option<Format>,
    #[command(flatten)]
    server: Server,
}

/// The nodes of a cluster are of the platforms that they are of.
#[derive(Debug, Error)]
#[error("--platform is for a pull on this host, not for the nodes of a collector")]
pub(crate) struct PlatformError;

/// Says it.
pub(crate) fn run(options: &Options, called: Called) -> anyhow::Result<ExitCode> {
    let Options { image, platform, output, server } = options;
    let format = output.unwrap_or_default();
    match platform {
        Some(_) if server.is_named(called) => Err(PlatformError.into()),
        None if server.is_named(called) => ask::plan::run(image, format, server, called).map(|()| ExitCode::SUCCESS),
        Some(_) | None => Ok(pull::plan::run(image, platform.as_deref(), format)),
    }
}
