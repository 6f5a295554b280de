//! The commands of the README as it stands, with the chart of this repository in the place of the published one.

use std::fs;
use std::path::Path;

/// Commands that begin alike are told once.
pub(crate) struct QuickStart {
    lines: Vec<String>,
    version: String,
}

impl QuickStart {
    /// The section of the README.
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let text = |file: &str| fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let readme = text("README.md");
        let section = readme.split("\n## ").find(|section| section.starts_with("Install it in a cluster"));
        let section = section.expect("the README says how to install it in a cluster");
        let code = section.lines().filter_map(|line| line.strip_prefix("    "));
        // What stands behind a # is for people.
        let lines = code.map(|line| line.split(" #").next().unwrap_or(line).trim_end().to_owned()).collect();
        let chart = text("charts/pulltrace/Chart.yaml");
        let version = chart.lines().find_map(|line| line.strip_prefix("appVersion: ")).expect("a chart has an appVersion");
        Self { lines, version: version.trim_matches('"').to_owned() }
    }

    /// The command that begins so.
    pub(crate) fn command(&self, begin: &str) -> String {
        let all: Vec<&String> = self.lines.iter().filter(|line| line.starts_with(begin)).collect();
        assert_eq!(all.len(), 1, "the README has one `{begin}`: {:?}", self.lines);
        let words = all[0].split(' ').map(|word| if word.starts_with("oci://") { "../charts/pulltrace" } else { word });
        words.collect::<Vec<_>>().join(" ")
    }

    /// Pulltrace's own images: the folder of each, and the name and tag by which the chart asks for it.
    pub(crate) fn images(&self) -> [(&'static str, String, &str); 2] {
        ["pulltrace-agent", "pulltrace-collector"].map(|own| (own, format!("pulltrace/{own}"), &*self.version))
    }
}
