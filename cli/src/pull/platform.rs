//! Which of an image's variants an Engine takes: its own processor first, then those it can also run. Pure; the rules are those of
//! containerd's `platforms` package, which both image stores use.

use serde::Deserialize;

/// An operating system and a processor, as images have them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Platform {
    /// `linux`.
    pub(crate) os: String,
    /// `amd64`, `arm64`, `arm`, ...
    #[serde(rename = "architecture")]
    pub(crate) arch: String,
    /// `v7`; empty where there is only one.
    #[serde(default)]
    pub(crate) variant: String,
}

impl Platform {
    /// Of `os/arch[/variant]`, or of an architecture alone; `None` if it is neither.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let new = |os: &str, arch: &str, variant: &str| Self { os: os.into(), arch: arch.into(), variant: variant.into() };
        let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.()".contains(&b));
        if !parts.iter().all(is_word) {
            return None;
        }
        Some(match parts[..] {
            [os, arch, variant] => new(os, arch, variant).normal(),
            [os, arch] => new(os, arch, "").normal(),
            _ => return None,
        })
    }

    /// Of an Engine, by what it calls its system and what its machine calls the processor.
    pub(crate) fn of(os: &str, arch: &str, machine: &str) -> Self {
        let variant = match (arch, machine) {
            ("arm", "armv6l") => "v6",
            ("arm", "armv5tel" | "armv5l") => "v5",
            ("arm", "aarch64" | "armv8l") => "v8",
            _ => "",
        };
        Self { os: os.into(), arch: arch.into(), variant: variant.into() }.normal()
    }

    /// Where in `those` the best for an Engine of this platform is; the first of several that are as good.
    pub(crate) fn choose<'a>(&self, those: impl Iterator<Item = Option<&'a Self>>) -> Option<usize> {
        let accepted = self.accepted();
        let rank = |platform: &Self| accepted.iter().position(|accepted| *accepted == platform.clone().normal());
        those.enumerate().filter_map(|(at, platform)| Some((rank(platform?)?, at))).min().map(|(_, at)| at)
    }

    /// What runs here, best first.
    fn accepted(&self) -> Vec<Self> {
        let own = self.clone().normal();
        let with = |arch: &str, variant: &str| Self { os: own.os.clone(), arch: arch.into(), variant: variant.into() };
        let arms = |from: &str| -> Vec<Self> {
            let all = ["v8", "v7", "v6", "v5"];
            all.iter().skip_while(|v| **v != from).map(|v| with("arm", v)).collect()
        };
        match (own.arch.as_str(), own.variant.as_str()) {
            ("amd64", "") => vec![own.clone(), with("386", "")],
            ("arm64", "") => std::iter::once(own.clone()).chain(arms("v8")).collect(),
            ("arm", variant) => arms(variant),
            _ => vec![own],
        }
    }

    /// Without what goes without saying, so that equal ones are alike.
    fn normal(mut self) -> Self {
        let (arch, variant) = match (self.arch.to_ascii_lowercase().as_str(), self.variant.to_ascii_lowercase().as_str()) {
            ("x86_64" | "x86-64" | "amd64", "v1" | "") => ("amd64".to_owned(), String::new()),
            ("aarch64" | "arm64", "8" | "v8" | "v8.0" | "") => ("arm64".to_owned(), String::new()),
            ("i386" | "386", _) => ("386".to_owned(), String::new()),
            ("armhf", _) | ("arm", "" | "7") => ("arm".to_owned(), "v7".to_owned()),
            ("armel", _) | ("arm", "6") => ("arm".to_owned(), "v6".to_owned()),
            ("arm", "5") => ("arm".to_owned(), "v5".to_owned()),
            ("arm", "8") => ("arm".to_owned(), "v8".to_owned()),
            (arch, variant) => (arch.to_owned(), variant.to_owned()),
        };
        self.os.make_ascii_lowercase();
        (self.arch, self.variant) = (arch, variant);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        Platform::parse(text).unwrap()
    }

    #[track_caller]
    fn chooses(engine: &Platform, those: &[&str], expected: Option<&str>) {
        let those: Vec<Platform> = those.iter().map(|text| platform(text)).collect();
        let chosen = engine.choose(those.iter().map(Some)).map(|at| those[at].clone());
        assert_eq!(chosen, expected.map(platform), "{engine:?}");
    }

    #[test]
    fn an_engine_takes_its_own_processor_and_else_what_it_can_run() {
        let pi = Platform::of("linux", "arm", "armv7l");
        chooses(&pi, &["linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64"], Some("linux/arm/v7"));
        chooses(&pi, &["linux/arm/v5", "linux/arm/v6", "linux/arm64/v8"], Some("linux/arm/v6"));
        chooses(&Platform::of("linux", "arm", "armv6l"), &["linux/arm/v7"], None);
        chooses(&Platform::of("linux", "arm64", "aarch64"), &["linux/arm/v7", "linux/arm64/v8"], Some("linux/arm64"));
        chooses(&Platform::of("linux", "amd64", "x86_64"), &["windows/amd64", "linux/386", "linux/amd64"], Some("linux/amd64"));
        chooses(&Platform::of("linux", "amd64", "x86_64"), &["linux/arm64", "unknown/unknown"], None);
    }

    #[test]
    fn a_platform_is_written_with_slashes() {
        assert_eq!(Platform::parse("linux/aarch64"), Some(platform("linux/arm64/v8")));
        for text in ["", "linux", "linux/", "linux/arm/v7/x", "linux/am d64", "/amd64"] {
            assert_eq!(Platform::parse(text), None, "{text}");
        }
    }
}
