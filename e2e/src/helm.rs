//! The Helm chart as Helm renders it: real Helm 3 and 4, given values, a version of Kubernetes and the APIs that a cluster would have.
//!
//! It renders and reads what came out. What should come out is the business of the tests; nothing here talks to a cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::tools::Tools;

/// The name under which everything is rendered.
pub const RELEASE: &str = "r";
/// The namespace for which everything is rendered.
pub const NAMESPACE: &str = "pt";

/// The releases of Helm that people have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The old one.
    V3,
    /// The new one.
    V4,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V3 => "helm3",
            Self::V4 => "helm4",
        })
    }
}

/// A chart of this repository.
#[must_use]
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/pulltrace")
}

/// The chart's `ci/NAME-values.yaml` by their names.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn situations() -> BTreeMap<String, PathBuf> {
    let folder = chart().join("ci");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let named = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?.strip_suffix("-values.yaml")?.to_owned();
        Some((name, path))
    });
    let found: BTreeMap<String, PathBuf> = named.collect();
    assert!(!found.is_empty(), "no values in {}", folder.display());
    found
}

/// The documents of a text of YAML.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn documents(text: &str) -> Vec<Value> {
    let found: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("not YAML: {error}\n{text}"));
    found.into_iter().filter(|document| !document.is_null()).collect()
}

/// One Helm.
#[derive(Debug)]
pub struct Helm {
    program: PathBuf,
    home: tempfile::TempDir,
}

/// What to render: a cluster, and values on top of the chart's own.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The cluster's version of Kubernetes.
    pub kubernetes: &'static str,
    /// The APIs that it has beside those of Kubernetes.
    pub apis: &'static [&'static str],
    /// Files of values.
    pub files: Vec<PathBuf>,
    /// Values on top of them.
    pub values: Value,
}

/// The APIs of the operators that the chart knows.
pub const OPERATORS: [&str; 3] = ["monitoring.coreos.com/v1", "gateway.networking.k8s.io/v1", "grafana.integreatly.org/v1beta1"];

impl Default for Asked {
    /// A new cluster that has everything, and the chart's own values.
    fn default() -> Self {
        Self { kubernetes: "1.36.0", apis: &OPERATORS, files: Vec::new(), values: Value::Object(serde_json::Map::new()) }
    }
}

impl Asked {
    /// With these values alone.
    #[must_use]
    pub fn with(values: Value) -> Self {
        Self { values, ..Self::default() }
    }

    /// With the values of a file.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        Self { files: vec![file.to_owned()], ..Self::default() }
    }
}

impl Helm {
    /// The Helm of this release.
    ///
    /// # Panics
    /// When there is no folder for what it remembers.
    #[must_use]
    pub fn new(tools: &Tools, release: Release) -> Self {
        let home = tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        Self { program: tools.program(&release.to_string()), home }
    }

    /// Runs it, in the chart's folder.
    ///
    /// # Errors
    /// What it says when it refuses.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        command.current_dir(chart()).args(arguments).env_clear();
        for (variable, folder) in
            [("HOME", "home"), ("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
        {
            command.env(variable, self.home.path().join(folder));
        }
        let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr) + &text(output.stdout)) }
    }

    /// Everything that would be installed, tests too.
    ///
    /// # Errors
    /// What Helm says when it refuses.
    pub fn template(&self, asked: &Asked) -> Result<String, String> {
        let mut words = vec!["template", RELEASE, ".", "--namespace", NAMESPACE, "--kube-version", asked.kubernetes];
        words.extend(asked.apis.iter().flat_map(|api| ["--api-versions", api]));
        self.with_values(&words, asked)
    }

    /// What is said after an installation.
    ///
    /// # Errors
    /// What Helm says when it refuses.
    pub fn notes(&self, asked: &Asked) -> Result<String, String> {
        let words = ["install", RELEASE, ".", "--namespace", NAMESPACE, "--dry-run=client"];
        let said = self.with_values(&words, asked)?;
        said.split_once("\nNOTES:\n").map(|(_, notes)| notes.to_owned()).ok_or_else(|| format!("no NOTES in {said}"))
    }

    /// Whether Helm finds anything to say against the chart with these values.
    ///
    /// # Errors
    /// What it finds.
    pub fn lint(&self, asked: &Asked) -> Result<String, String> {
        self.with_values(&["lint", "--strict", "--kube-version", asked.kubernetes, "."], asked)
    }

    /// Runs it with these words and what is asked for.
    ///
    /// # Errors
    /// What it says when it refuses.
    pub fn with_values(&self, words: &[&str], asked: &Asked) -> Result<String, String> {
        let on_top = self.home.path().join("values.json");
        fs::write(&on_top, asked.values.to_string()).map_err(|error| error.to_string())?;
        let files: Vec<String> = asked.files.iter().chain([&on_top]).map(|path| path.display().to_string()).collect();
        let values = files.iter().flat_map(|file| ["--values", file.as_str()]);
        self.run(&words.iter().copied().chain(values).collect::<Vec<_>>())
    }
}
