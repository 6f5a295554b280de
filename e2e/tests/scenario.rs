//! The player of scenes as a person starts it: it lists what there is, plays what is named, says where to look, and leaves nothing behind.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use e2e::clock;
use e2e::pulltrace::Collector;
use e2e::scene::api::Api;
use e2e::scene::catalog;
use e2e::scene::player::Player;
use e2e::tools::{Need, Tools, built};

/// Whatever is waited for must happen within this time.
const LIMIT: Duration = Duration::from_secs(60);

fn play(args: &[&str]) -> Output {
    let beside = built("pulltrace-collector");
    let folder = beside.parent().unwrap_or(Path::new("."));
    Command::new(env!("CARGO_BIN_EXE_scenario")).args(args).env("E2E_BINARIES", folder).output().expect("the player starts")
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn without_a_name_every_scene_is_listed_and_an_unknown_name_is_refused_with_the_list() {
    let listed = play(&[]);
    assert!(listed.status.success());
    let refused = play(&["no-such-thing"]);
    assert!(!refused.status.success() && words(&refused).contains("\"no-such-thing\""));
    for scene in catalog::SCENES {
        for said in [&listed, &refused] {
            assert!(words(said).contains(&format!("  {} ", scene.name)), "{}: {}", scene.name, words(said));
        }
    }
}

#[test]
fn a_scene_is_played_for_as_long_as_was_asked_and_says_where_to_look() {
    let test = "a_scene_is_played_for_as_long_as_was_asked_and_says_where_to_look";
    if Tools::find(test, &[Need::Pulltrace, Need::Simulated]).is_none() {
        return;
    }
    let played = play(&["cached", "--for", "3"]);
    let words = words(&played);
    assert!(played.status.success(), "{words}");
    for said in
        ["Playing cached: 5 nodes, 1 of them with a real agent.", "  page        http://127.0.0.1:", "/metrics\n", "Stopped."]
    {
        assert!(words.contains(said), "{said:?} is missing:\n{words}");
    }
}

#[test]
fn a_scene_of_pods_and_pulls_is_understood_by_the_collector_from_its_first_second() {
    let test = "a_scene_of_pods_and_pulls_is_understood_by_the_collector_from_its_first_second";
    if Tools::find(test, &[Need::Pulltrace]).is_none() {
        return;
    }
    let api = Api::start();
    let kubeconfig = api.kubeconfig();
    let collector = Collector::start(&[("PULLTRACE_KUBERNETES", "on"), ("KUBECONFIG", &kubeconfig)]);
    let scenes: Vec<_> = ["stalled", "rollout"].into_iter().filter_map(catalog::named).collect();
    let mut player = Player::new(&scenes, 6, &collector.otlp_url("/v1/logs"), &api, clock::now());
    assert_eq!((scenes.len(), player.nodes()), (2, 10));
    let told = clock::until("stalled pulls with the pods that wait for them", LIMIT, || {
        player.tick(&api, clock::now()).expect("the collector takes what is told");
        clock::pause(Duration::from_millis(200));
        let pulls = collector.pulls();
        let stands = |node: &str| pulls.iter().find(|pull| pull["nodeName"] == node && pull["pods"][0].is_object()).cloned();
        Some((stands("stalled-000").filter(|pull| pull["stalledSince"].is_string())?, stands("rollout-000")?))
    });
    let (stalled, behind) = told;
    assert_eq!((&stalled["pods"][0]["workload"]["name"], &stalled["percent"]), (&"warehouse".into(), &40.0.into()), "{stalled}");
    assert_eq!(behind["pods"][0]["workload"]["kind"], "Deployment");
    assert!(behind["etaSeconds"].as_f64().is_some_and(|seconds| seconds > 600.0), "{behind}");
    collector.has_not_panicked();
}
