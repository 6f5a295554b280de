//! What is told and does not exist, tried with invented programs, values and variables.

use super::*;

const VALUES_YAML: &str = "agent:\n  runtime: auto\ncollector:\n  forward:\n    endpoints: []\n";

fn of(page: &str) -> Vec<String> {
    let tree = Tree::from([(VALUES, VALUES_YAML), ("agent/src/config.rs", "\"PULLTRACE_TLS_CERT\""), ("docs/a.md", page)]);
    findings(&tree).into_iter().map(|finding| finding.what).collect()
}

/// Two programs: one with subcommands, one without.
fn help(words: &[&str]) -> Option<String> {
    let said = match words {
        ["pulltrace"] => "Usage\n\nCommands:\n  ls\n  bench\n",
        ["pulltrace", "ls"] => "--active  only those\n--server <URL>",
        ["pulltrace", "bench"] => "\nCommands:\n  agent\n",
        ["pulltrace", "bench", "agent"] => "--idle",
        ["pulltrace-agent"] => "--node-name <NAME>",
        _ => return None,
    };
    Some(said.to_owned())
}

fn untrue(line: &str) -> Vec<String> {
    typed(line).iter().filter_map(|typed| unknown(typed, &help)).collect()
}

#[test]
fn commands_that_exist_pass_however_they_are_typed() {
    for line in [
        "pulltrace ls --active --server=http://x",
        "sudo PULLTRACE_X=y pulltrace-agent --node-name n1",
        "kubectl pulltrace ls",
        "curl x | pulltrace ls; cargo build",
        "./target/debug/pulltrace bench agent --idle   # --nothing",
        "pulltrace --version",
        "docker run pulltrace pull",
    ] {
        assert_eq!(untrue(line), [""; 0], "{line}");
    }
}

#[test]
fn commands_and_flags_that_do_not_exist_are_found() {
    assert_eq!(untrue("pulltrace pull nginx"), ["there is no `pulltrace pull`"]);
    assert_eq!(untrue("pulltrace ls --act"), ["`pulltrace ls` has no --act"]);
    assert_eq!(untrue("pulltrace-agent --node"), ["`pulltrace-agent` has no --node"]);
    assert_eq!(untrue("true && kubectl pulltrace why x"), ["there is no `pulltrace why`"]);
    assert_eq!(untrue("pulltrace --active"), ["`pulltrace` has no --active"]);
}

#[test]
fn subcommands_of_this_program_are_known_by_itself() {
    let xtask = clap::Command::new("xtask").subcommand(clap::Command::new("book").arg(clap::Arg::new("open").long("open")));
    assert!(help_of(&xtask, &["book"]).is_some_and(|said| has_flag(&said, "--open")));
    assert_eq!(help_of(&xtask, &["books"]), None);
}

#[test]
fn lines_are_those_of_shells_and_continued_ones_are_one() {
    let tree = Tree::from([("a.md", "`pulltrace ls`\n\n```sh\npulltrace \\\n  ls\n```\n\n```json\npulltrace no\n```\n")]);
    let found: Vec<String> = lines(&tree).into_iter().map(|(_, code)| code.text).collect();
    assert_eq!(found, ["pulltrace ls", "pulltrace    ls"]);
}

#[test]
fn chart_values_that_do_not_exist_are_found_wherever_they_are_named() {
    assert_eq!(
        of(
            "```sh\nhelm install x y --set agent.runtime=k3s --set 'collector.forward.endpoints[0]=z'\n```\n\n`agent.runtime`, `agent.runtime=k3s`"
        ),
        [""; 0]
    );
    assert_eq!(of("```sh\nhelm install x y --set agent.runtine=k3s\n```\n"), ["line 1: the chart has no value `agent.runtine`"]);
    assert_eq!(of("`collector.forwards`"), ["line 1: the chart has no value `collector.forwards`"]);
    assert_eq!(of("```yaml\n# values.yaml\nagent:\n  run: k3s\n```\n"), ["line 1: the chart has no value `agent.run`"]);
    assert!(of("```yaml\n# values\nagent: {\n```\n")[0].starts_with("line 1: is not YAML"));
    assert_eq!(of("`container.image.name` and `agent.rs`"), [""; 0], "not every path is a value");
}

#[test]
fn variables_that_no_code_reads_are_found() {
    assert_eq!(of("PULLTRACE_TLS_CERT, `PULLTRACE_TLS_*`"), [""; 0]);
    assert_eq!(of("PULLTRACE_TLS_CA"), ["no code reads PULLTRACE_TLS_CA"]);
}

#[test]
fn paths_of_the_api_that_do_not_exist_are_found() {
    let of = |page: &str| {
        let tree = Tree::from([("collector/src/http/routes.rs", "(\"/api/v1/pulls/{id}\")"), ("docs/a.md", page)]);
        findings(&tree).into_iter().map(|finding| finding.what).collect::<Vec<_>>()
    };
    assert_eq!(of("`GET /api/v1/pulls/4bf9`"), [""; 0]);
    assert_eq!(of("curl http://x/api/v1/pull/4bf9"), ["the collector has no /api/v1/pull/4bf9"]);
}
