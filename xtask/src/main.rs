//! `cargo xtask`: the one door to building, checking, testing and showing this repository. It builds without a protobuf compiler,
//! because it is what brings one (`protoc`). It knows the house from outside, as files and programs: of the crates only
//! `lifecycle` is known to it: `names` for the vocabulary, `track` for the benchmark of its estimates. Started through `cargo`, see the alias in `.cargo/config.toml`.

mod bench;
mod book;
mod build;
mod chart;
mod check;
mod commands;
mod dashboards;
mod demo;
mod dist;
mod image;
mod links;
mod markdown;
mod node;
mod paths;
mod pictures;
mod protoc;
mod queries;
mod release;
mod rules;
mod scenario;
mod schema;
mod shell;
mod test;
mod tidy;
mod tool;
mod tree;
mod ui;
mod vocab;
mod workflows;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::shell::Repo;

/// Builds, checks, tests, measures and shows Pulltrace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds the binaries; afterwards a bare `cargo build` finds the protobuf compiler too
    Build(build::Args),
    /// Everything that needs no running: fmt, clippy, doc, tidy, vocab, dashboards
    Check,
    /// The import walls and the house rules
    Tidy,
    /// Writes the generated files (docs/telemetry.md, rules/pulltrace-prometheusrule.yaml, what the chart carries)
    Gen,
    /// Writes the Grafana dashboards (dashboards/) and their drawings (docs/dashboards/)
    Dashboards,
    /// Compares the dashboards with the types that Grafana publishes; needs Node
    Schema,
    /// Fails when a generated file or a name in docs, dashboards, rules or code is not the vocabulary's
    Vocab,
    /// Parses every TraceQL and LogQL of documents, dashboards and configurations; needs Node
    Queries,
    /// Builds the documents as a book; needs mdBook
    Book,
    /// What mdBook asks for: links out of the documents lead to the repository
    #[command(hide = true)]
    BookLinks {
        /// `supports RENDERER`, or nothing and the book on standard input
        question: Vec<String>,
    },
    /// Holds every command that documents name against the programs; needs them built
    Commands,
    /// Holds the workflows against actionlint
    Workflows,
    /// What the changelog says of a version that everything agrees on
    ReleaseNotes(release::Notes),
    /// The manifest by which `kubectl krew` installs the command line
    Krew(release::Krew),
    /// Everything CI runs: check, build, tests, live tests
    Test(test::Args),
    /// Builds, starts, pulls and shows; Ctrl-C ends it cleanly
    Demo(demo::Args),
    /// Plays situations of a whole cluster until Ctrl-C: slow, stalled, failing, rolled out, ...; lists them without a name
    Scenario(scenario::Args),
    /// Measures on this machine and writes bench-results/
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Builds the web UI, which the collector embeds; needs Node and npm
    Ui,
    /// Draws every view of the web UI anew into docs/ui; needs Node and Chromium
    Screenshots,
    /// Draws the command line in a terminal anew into docs/cli; needs tmux
    Pictures(pictures::Args),
    /// The binaries as shipped: static, each shown to run alone, and their sizes
    Dist,
    /// The container images, without Docker: folders and archives in the OCI layout
    Image(image::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shell::complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// All that `cargo xtask` can be told, for whoever speaks of it.
fn all() -> clap::Command {
    Cli::command()
}

fn run(command: Command) -> anyhow::Result<()> {
    let repo = Repo::find()?;
    match command {
        Command::Build(args) => build::run(&repo, &args),
        Command::Check => check::run(&repo),
        Command::Tidy => tidy::run(&repo),
        Command::Gen => vocab::generate(&repo).and_then(|()| rules::generate(&repo)).and_then(|()| chart::generate(&repo)),
        Command::Dashboards => dashboards::generate(&repo),
        Command::Schema => schema::run(&repo).map(drop),
        Command::Vocab => vocab::run(&repo),
        Command::Queries => queries::run(&repo).map(drop),
        Command::Book => book::run(&repo).map(drop),
        Command::BookLinks { question } => book::answer(&repo, &question),
        Command::Commands => commands::run(&repo, &all()),
        Command::Workflows => workflows::run(&repo).map(drop),
        Command::ReleaseNotes(args) => release::notes(&repo, &args),
        Command::Krew(args) => release::krew(&repo, &args),
        Command::Test(args) => test::run(&repo, &args),
        Command::Demo(args) => demo::run(&repo, &args),
        Command::Scenario(args) => scenario::run(&repo, &args),
        Command::Bench(bench) => bench::run(&repo, &bench),
        Command::Ui => ui::build(&repo),
        Command::Screenshots => ui::screenshots(&repo),
        Command::Pictures(args) => pictures::run(&repo, &args),
        Command::Dist => dist::run(&repo),
        Command::Image(args) => image::run(&repo, &args),
    }
}
