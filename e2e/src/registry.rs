//! A real registry, `docker-registry`, on a free loopback port with its files in a temporary folder.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use crate::http::free_port;
use crate::process::Process;
use crate::tools::Tools;

/// A registry that lives as long as this. Images are pushed straight to it; pulls go through a [`crate::link::Link`].
#[derive(Debug)]
pub struct Registry {
    port: u16,
    _process: Process,
    _folder: TempDir,
}

impl Registry {
    /// Starts it and waits until it answers.
    ///
    /// # Panics
    /// When it does not within 15 s.
    #[must_use]
    pub fn start(tools: &Tools) -> Self {
        let folder = tempfile::Builder::new().prefix("pt-registry-").tempdir().expect("the temporary folder is writable");
        let (port, config) = (free_port(), folder.path().join("config.yml"));
        let data = folder.path().join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"}}\n",
            data.display()
        );
        fs::write(&config, text).expect("the temporary folder is writable");
        let program = tools.program("docker-registry");
        let mut process = Process::spawn("registry", folder.path(), &program, &["serve", &config.display().to_string()], &[]);
        let url = format!("http://127.0.0.1:{port}/v2/");
        process.ready(Duration::from_secs(15), || ureq::get(&url).call().is_ok());
        Self { port, _process: process, _folder: folder }
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}
