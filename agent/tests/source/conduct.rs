//! How the agent behaves towards containerd: it waits for it, comes back to it, and only ever reads.

use std::time::Duration;

use lifecycle::pull::Outcome;

use super::stage::{Watch, play, scenario};

/// All that the agent may call.
const READS: [&str; 13] = [
    "containerd.services.content.v1.Content/Info",
    "containerd.services.content.v1.Content/ListStatuses",
    "containerd.services.content.v1.Content/Read",
    "containerd.services.events.v1.Events/Subscribe",
    "containerd.services.images.v1.Images/Get",
    "containerd.services.images.v1.Images/List",
    "containerd.services.introspection.v1.Introspection/Plugins",
    "containerd.services.introspection.v1.Introspection/Server",
    "containerd.services.leases.v1.Leases/List",
    "containerd.services.leases.v1.Leases/ListResources",
    "containerd.services.namespaces.v1.Namespaces/List",
    "containerd.services.snapshots.v1.Snapshots/Stat",
    "containerd.services.version.v1.Version/Version",
];

#[tokio::test]
async fn every_call_reads_and_carries_a_trace_context_that_is_not_sampled() {
    for played in play(&scenario("shared-base"), || Watch::until(2)).await {
        assert!(played.asked.values().sum::<u64>() > 20, "{}: calls were written down", played.personality);
        for asked in played.asked.keys() {
            assert!(READS.contains(&asked.path.as_str()), "{}: {}", played.personality, asked.path);
            let parts: Vec<_> = asked.traceparent.split('-').collect();
            let [version, trace, span, flags] = parts[..] else { panic!("{}: {asked:?}", played.personality) };
            assert_eq!((version, trace.len(), span.len(), flags), ("00", 32, 16, "00"), "{}: {asked:?}", played.personality);
            assert!(trace.bytes().chain(span.bytes()).all(|b| b.is_ascii_hexdigit()), "{asked:?}");
        }
    }
}

#[tokio::test]
async fn without_a_socket_the_agent_says_so_and_begins_when_there_is_one() {
    for played in play(&scenario("four-layers"), || Watch { early: true, ..Watch::until(1) }).await {
        let reachable: Vec<_> = played.heard.nodes.iter().map(|node| node.runtime_reachable).collect();
        assert_eq!(reachable.first(), Some(&false), "{}", played.personality);
        assert!(reachable.contains(&true), "{}", played.personality);
        assert_eq!(played.outcome(&played.diaries[0]), &Outcome::Ready, "{}", played.personality);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_while_containerd_lives_costs_nothing_but_a_moment() {
    for played in play(&scenario("four-layers"), || Watch { cut_after: Some(8 << 20), ..Watch::until(1) }).await {
        let diary = &played.diaries[0];
        assert_eq!(played.heard.last_words().len(), 1, "{}: one pull, with one id", played.personality);
        assert_eq!(played.outcome(diary), &Outcome::Ready, "{}", played.personality);
        let told = played.told(diary);
        assert!(told.is_sorted_by_key(|pull| pull.fetched_bytes()), "{}", played.personality);
        let longest = told.windows(2).map(|pair| pair[1].observed_at.since(pair[0].observed_at)).max();
        assert!(longest < Some(Duration::from_secs(2)), "{}: silent for {longest:?}", played.personality);
        assert_eq!(played.last(diary).fetched_bytes(), 34 << 20, "{}", played.personality);
    }
}
