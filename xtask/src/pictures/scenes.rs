//! What is drawn: which words are typed, what stands behind the program, and at which moment the picture is taken.

use super::engine::{Story, Turn};

/// Columns and rows of a terminal.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) columns: u16,
    pub(super) rows: u16,
}

/// The sizes of the pictures: what everyone has, and a large one.
pub(super) const SIZES: [Size; 2] = [Size { columns: 80, rows: 24 }, Size { columns: 200, rows: 50 }];

/// One picture, in all sizes and themes.
pub(super) struct Scene {
    /// In the file's name.
    pub(super) name: &'static str,
    /// For whoever cannot see it.
    pub(super) about: &'static str,
    /// What stands behind the program.
    pub(super) behind: Behind,
    /// Variables, as they would be typed.
    pub(super) vars: &'static [&'static str],
    /// What is typed behind `pulltrace`; `REGISTRY` stands for that registry.
    pub(super) words: &'static str,
    /// Keys that are pressed, each when one of its words is shown.
    pub(super) keys: &'static [(&'static [&'static str], &'static str)],
    /// The picture is taken when one of these words is shown.
    pub(super) moment: &'static [&'static str],
}

/// What stands behind the program.
#[derive(Clone, Copy)]
pub(super) enum Behind {
    /// An Engine and a registry with these images.
    Engine(&'static [Story]),
    /// The collector of a cluster in which everything happens.
    Cluster,
}

/// An image of eight layers, some of which are here already.
const APP: Story = Story {
    name: "team/app",
    tag: "v1.4",
    layers: &[(28, true), (4, true), (19, false), (61, false), (9, false), (142, false), (33, false), (1, false)],
    per_second: 36,
    turn: Turn::End,
};

pub(super) const SCENES: &[Scene] = &[
    Scene {
        name: "pull",
        about: "A pull in its middle: total bar, a bar for each layer, two layers were here",
        behind: Behind::Engine(&[APP]),
        vars: &[],
        words: "pull REGISTRY/team/app:v1.4",
        keys: &[],
        moment: &[" 55 %", " 56 %", " 57 %", " 58 %", " 59 %", " 60 %"],
    },
    Scene {
        name: "pull-done",
        about: "What stays of a pull: time of each phase, bytes, the slowest layer, the digest",
        behind: Behind::Engine(&[APP]),
        vars: &[],
        words: "pull REGISTRY/team/app:v1.4",
        keys: &[],
        moment: &["digest"],
    },
    Scene {
        name: "pull-stalled",
        about: "A pull of which no byte came for some seconds, which is said in words",
        behind: Behind::Engine(&[Story { turn: Turn::Halt { percent: 41 }, ..APP }]),
        vars: &[],
        words: "pull REGISTRY/team/app:v1.4",
        keys: &[],
        moment: &["Stalled"],
    },
    Scene {
        name: "pull-failed",
        about: "What stays of a pull that failed: class, every word of the Engine, a hint",
        behind: Behind::Engine(&[Story {
            turn: Turn::Fail {
                percent: 37,
                said: "failed to copy: httpReadSeeker: failed open: failed to do request: read tcp 192.0.2.7:50312->192.0.2.9:443: \
                       read: connection reset by peer",
            },
            ..APP
        }]),
        vars: &[],
        words: "pull REGISTRY/team/app:v1.4",
        keys: &[],
        moment: &["hint"],
    },
    Scene {
        name: "pull-several",
        about: "Three images at once: one failed, two share the terminal",
        behind: Behind::Engine(&[
            APP,
            Story {
                name: "team/base",
                tag: "2026-11",
                layers: &[(48, false), (12, false)],
                per_second: 10,
                turn: Turn::Fail { percent: 20, said: "toomanyrequests: You have reached your pull rate limit" },
            },
            Story {
                name: "team/db",
                tag: "16",
                layers: &[(30, true), (84, false), (12, false), (140, false)],
                per_second: 48,
                turn: Turn::End,
            },
        ]),
        vars: &[],
        words: "pull -j 3 REGISTRY/team/app:v1.4 REGISTRY/team/base:2026-11 REGISTRY/team/db:16",
        keys: &[],
        moment: &[" 55 %", " 56 %", " 57 %", " 58 %", " 59 %", " 60 %"],
    },
    Scene {
        name: "pull-ascii",
        about: "The same without colours and in a locale that is not UTF-8",
        behind: Behind::Engine(&[APP]),
        vars: &["NO_COLOR=1", "LC_ALL=C"],
        words: "pull REGISTRY/team/app:v1.4",
        keys: &[],
        moment: &[" 55 %", " 56 %", " 57 %", " 58 %", " 59 %", " 60 %"],
    },
    Scene {
        name: "watch",
        about: "The live table: what needs somebody first, then what runs",
        behind: Behind::Cluster,
        vars: &[],
        words: "watch",
        keys: &[],
        moment: &["◷ stalled"],
    },
    Scene {
        name: "watch-pull",
        about: "One pull of the live table in full",
        behind: Behind::Cluster,
        vars: &[],
        words: "watch --filter state:stalled",
        keys: &[(&["◷ stalled"], "Enter")],
        moment: &["Layers", "LAYERS", "sha256:"],
    },
    Scene {
        name: "watch-help",
        about: "Every key of the live table",
        behind: Behind::Cluster,
        vars: &[],
        words: "watch",
        keys: &[(&["◷ stalled"], "?")],
        moment: &["filter"],
    },
    Scene {
        name: "pods",
        about: "What the pods of a namespace wait for",
        behind: Behind::Cluster,
        vars: &[],
        words: "pod -n data",
        keys: &[],
        moment: &["warehouse"],
    },
    Scene {
        name: "why",
        about: "Why a pod has not started: verdict, evidence, what helps",
        behind: Behind::Cluster,
        vars: &[],
        words: "why -n data warehouse-7d4f8b6c9-00003-0",
        keys: &[],
        moment: &["hint"],
    },
];
