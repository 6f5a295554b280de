//! What of a pull leaves the machine: reports by OTLP ([`report`]), so that a fleet of hosts appears in the collector, its dashboards and Tempo,
//! and the outcome to a webhook ([`notify`]). Neither holds a pull up nor changes how it ends; what could not be delivered is said once, at
//! the end, and names receivers without their secrets.

mod node;
mod notify;
mod report;

use std::{convert::Infallible, ffi::OsString, fmt, fs, io, str::FromStr, time::Instant};

use agent::config::InvalidError;
use lifecycle::{pull::Node, time::Timestamp};
use thiserror::Error;

pub(crate) use self::node::{NodeError, machine_uid, speaker};
use self::{
    notify::{Hook, HookError, Notifier},
    report::Reporter,
};
use crate::pull::picture::{Picture, Surface};

/// Who is told of a pull.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Report the pull to this OTLP receiver, for example a collector of Pulltrace: a URL, or PROTOCOL=URL, or `none`. The OTEL_EXPORTER_OTLP_*
    /// variables count too
    #[arg(long, value_name = "ENDPOINT")]
    otlp: Option<Secret>,
    /// Post the outcome of each pull to this URL, as JSON
    #[arg(long, env = "PULLTRACE_NOTIFY_URL", hide_env_values = true, value_name = "URL")]
    notify: Option<Secret>,
}

/// A text that may hold a secret and is never printed, not even when it is wrong.
#[derive(Clone)]
struct Secret(String);

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.trim().to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Something was set wrong: a usage error, found before anything is pulled.
#[derive(Debug, Error)]
pub(crate) enum FleetError {
    #[error("--otlp and OTEL_EXPORTER_OTLP_*: {0}")]
    Otlp(#[from] InvalidError),
    #[error("--notify: {0}")]
    Notify(#[from] HookError),
    #[error("cannot report: {0}")]
    Start(#[from] io::Error),
}

/// Tells whoever is to be told.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    reporter: Option<Reporter>,
    notifier: Option<Notifier>,
}

impl Fleet {
    /// What the options and the environment ask for; perhaps nothing.
    ///
    /// # Errors
    /// When something of it cannot be used.
    pub(crate) fn start(
        options: &Options,
        node: &Node,
        variable: impl Fn(&str) -> Option<OsString>,
        now: Timestamp,
    ) -> Result<Self, FleetError> {
        let routes = report::routes(options.otlp.as_ref().map(|text| text.0.as_str()), &variable)?;
        let hook = options.notify.as_ref().filter(|url| !url.0.is_empty()).map(|url| Hook::parse(&url.0)).transpose()?;
        let authorities = variable("SSL_CERT_FILE").map(fs::read).transpose().map_err(HookError::Authorities)?;
        let reporter = routes.map(|routes| Reporter::start(routes, node.clone(), now)).transpose()?;
        let notifier = hook.map(|hook| Notifier::start(hook, authorities.as_deref(), node.clone())).transpose()?;
        Ok(Self { reporter, notifier })
    }
}

impl Surface for Fleet {
    /// Never waits and never fails.
    fn show(&mut self, pictures: &[Picture]) -> io::Result<()> {
        for picture in pictures {
            if let Some(reporter) = &mut self.reporter {
                reporter.show(&picture.pull);
            }
            if let Some(notifier) = &mut self.notifier {
                notifier.show(&picture.pull);
            }
        }
        Ok(())
    }

    fn end(&mut self, pictures: &[Picture]) -> io::Result<()> {
        self.show(pictures)
    }

    /// Waits for what is on its way, for no longer than the longer of [`report::FAREWELL`] and [`notify::FAREWELL`].
    fn remarks(&mut self) -> Vec<String> {
        let until = Instant::now() + notify::FAREWELL;
        let mut remarks: Vec<_> = self.reporter.take().and_then(Reporter::end).into_iter().collect();
        remarks.extend(self.notifier.take().into_iter().flat_map(|notifier| notifier.end(until)));
        remarks
    }
}
