//! A whole site in one value: registry, slow link, containerd, collector and agent, started in that order and ended in the other.

use std::any::Any;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::containerd::Containerd;
use crate::image::{self, Form, Image, LayerPlan};
use crate::link::Link;
use crate::pulltrace::{Agent, Collector};
use crate::registry::Registry;
use crate::tools::{Need, Tools, Version};
use crate::truth::Truth;

/// Bytes per second of the usual slow link, for each response.
pub const SLOW: u64 = 2_000_000;

/// The registry name that images of a site have in containerd.
pub const REGISTRY: &str = "slow.test";

/// What watches and what is watched. Fields are in the order in which they end.
#[derive(Debug)]
pub struct Site {
    /// Reports to the collector.
    pub agent: Agent,
    /// Receives from the agent.
    pub collector: Collector,
    /// Witnesses of the containerd.
    pub truth: Truth,
    /// Pulls through the link.
    pub containerd: Containerd,
    /// [`REGISTRY`] in the containerd; 2 MB/s for each response at first.
    pub link: Link,
    /// Behind the link.
    pub registry: Registry,
    /// The tools it all was started with.
    pub tools: Tools,
}

impl Site {
    /// Starts a site whose containerd is of this version, or says by name why it cannot be and returns nothing.
    #[must_use]
    pub fn start(test: &str, version: Version) -> Option<Self> {
        let tools = Tools::find(test, &[Need::Root, Need::Containerd(version), Need::Registry, Need::Pulltrace])?;
        Some(Self::with(tools, version, &[]))
    }

    /// As [`Site::start`], with a collector that has more environment variables, and tools that were found already.
    #[must_use]
    pub fn with(tools: Tools, version: Version, collector: &[(&str, &str)]) -> Self {
        let containerd = Containerd::start(&tools, version);
        Self::around(tools, containerd, collector)
    }

    /// As [`Site::with`], with a containerd that was started already.
    #[must_use]
    pub fn around(tools: Tools, containerd: Containerd, collector: &[(&str, &str)]) -> Self {
        let registry = Registry::start(&tools);
        let link = Link::start(registry.port());
        link.set_rate(Some(SLOW));
        containerd.map(REGISTRY, link.port());
        let truth = Truth::watch(&containerd);
        let collector = Collector::start(collector);
        let agent = Agent::start("node-1", &containerd.socket(), &collector.endpoint(), &[]);
        agent.until_ready();
        Self { agent, collector, truth, containerd, link, registry, tools }
    }

    /// Pushes an image with an OCI index.
    #[must_use]
    pub fn push(&self, name: &str, plans: &[LayerPlan]) -> Image {
        image::push(&self.registry, name, plans, Form::OciIndex)
    }
}

/// The full name under which containerd pulls an image of a site.
#[must_use]
pub fn reference(image: &Image) -> String {
    format!("{REGISTRY}/{}", image.name)
}

/// Plays a live scenario; one that fails is played once more, and then that counts. A machine that stands still for seconds starves
/// containerd, the registry and the test itself, which says nothing about Pulltrace. The first failure is told past the test harness, so
/// that one that does not come again is seen all the same: `cargo xtask test` names it.
pub fn play(test: &str, version: Version, scenario: fn(&str, Version)) {
    play_once_more(test, || scenario(test, version));
}

/// As [`play`], of a scenario that is for no containerd in particular.
pub fn play_once_more(test: &str, scenario: impl Fn()) {
    twice(scenario, |said| drop(writeln!(io::stderr(), "AGAIN {test}: {said}")));
}

fn twice(scenario: impl Fn(), tell: impl FnOnce(&str)) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(&scenario)) else { return };
    tell(said(&*panic));
    scenario();
}

/// The first line of what a panic said.
#[must_use]
pub fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or_default().lines().next().unwrap_or_default()
}

/// Makes one test for each containerd from one scenario, a function of the test's name and the version: `on_containerd!(it_works:
/// V1_7, V2_1)` makes the tests `it_works::V1_7` and `it_works::V2_1` of the function `it_works`.
#[macro_export]
macro_rules! on_containerd {
    ($scenario:ident: $($version:ident),+) => {
        mod $scenario {
            $(
                #[test]
                #[expect(non_snake_case, reason = "the version's name is the test's name")]
                fn $version() {
                    let test = concat!(stringify!($scenario), "::", stringify!($version));
                    $crate::site::play(test, $crate::tools::Version::$version, super::$scenario);
                }
            )+
        }
    };
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    fn played(failures: u32) -> (u32, Vec<String>, bool) {
        let (times, told) = (Cell::new(0), RefCell::new(Vec::new()));
        let scenario = || {
            times.set(times.get() + 1);
            assert!(times.get() > failures, "as it should\nindeed");
        };
        let failed = catch_unwind(AssertUnwindSafe(|| twice(scenario, |said| told.borrow_mut().push(said.to_owned())))).is_err();
        (times.get(), told.into_inner(), failed)
    }

    #[test]
    fn what_fails_once_is_played_once_more_and_what_fails_twice_has_failed() {
        assert_eq!(played(0), (1, Vec::new(), false));
        assert_eq!(played(1), (2, vec!["as it should".to_owned()], false));
        assert_eq!(played(2), (2, vec!["as it should".to_owned()], true));
    }
}
