//! Pulls that do not end well, and a containerd that dies under them.

use lifecycle::pull::{ErrorClass, Outcome};

use super::stage::{Played, Watch, id, play, scenario};

/// Nothing that the agent told may be a success, or look like one.
fn nothing_looks_like_a_success(played: &Played) {
    for pull in &played.heard.pulls {
        let outcome = pull.ending.as_ref().map(|ending| &ending.outcome);
        assert_ne!(outcome, Some(&Outcome::Ready), "{}: {pull:?}", played.personality);
        assert!(outcome.is_none() || pull.percent() != Some(100.0), "{}: {pull:?}", played.personality);
    }
}

fn class(outcome: &Outcome) -> Option<ErrorClass> {
    match outcome {
        Outcome::Failed(failure) => Some(failure.class),
        Outcome::Ready | Outcome::Canceled | Outcome::Lost => None,
    }
}

#[tokio::test]
async fn a_canceled_pull_ends_as_canceled_with_the_bytes_that_came() {
    for played in play(&scenario("canceled"), || Watch::until(1)).await {
        nothing_looks_like_a_success(&played);
        let diary = &played.diaries[0];
        assert_eq!(played.outcome(diary), &Outcome::Canceled, "{}", played.personality);
        let last = played.last(diary);
        assert!(last.fetched_bytes() > 0 && last.fetched_bytes() < last.to_fetch().bytes(), "{}", played.personality);
    }
}

#[tokio::test]
async fn failed_pulls_end_as_what_they_left_behind_shows_and_never_as_ready() {
    // Two of the six end in the registry within milliseconds: nobody sees those.
    let mut mismatches = 0;
    for played in play(&scenario("failed"), || Watch::until(4)).await {
        nothing_looks_like_a_success(&played);
        let outcome = |name: &str| played.outcome(played.diary(name));
        // What tells it apart from a cancellation is there for a tenth of a second only, which a starved machine may miss.
        mismatches += usize::from(class(outcome("mismatch")) == Some(ErrorClass::DigestMismatch));
        assert_eq!(class(outcome("broken")), Some(ErrorClass::Unpack), "{}", played.personality);
        // Bytes moved to the end and nothing says why they stopped: for who looks from outside this is a cancellation.
        assert_eq!(outcome("reset"), &Outcome::Canceled, "{}", played.personality);
        assert_eq!(outcome("full"), &Outcome::Canceled, "{}", played.personality);
    }
    assert!(mismatches > 0, "bytes that do not match their digest are told as such");
}

#[tokio::test]
async fn a_crash_of_containerd_is_no_outcome_until_it_is_back_and_tracking_goes_on_after_it() {
    for played in play(&scenario("crash"), || Watch::until(2)).await {
        let (first, second) = (&played.diaries[0], &played.diaries[1]);
        assert_eq!(class(played.outcome(first)), Some(ErrorClass::RuntimeUnavailable), "{}", played.personality);
        let ended = played.told(first).iter().find(|pull| pull.ending.is_some()).map(|pull| pull.observed_at);
        let back = played.heard.nodes.iter().filter(|node| node.runtime_reachable).map(|node| node.observed_at).max();
        assert!(ended >= back || back > first.over, "{}: no outcome while nobody answered", played.personality);
        assert!(played.heard.nodes.iter().any(|node| !node.runtime_reachable), "{}", played.personality);
        assert_eq!(played.outcome(second), &Outcome::Ready, "{}", played.personality);
        assert_eq!(played.last(second).fetched_bytes() + played.last(second).cached_bytes(), 15 << 20, "{}", played.personality);
        let ids: Vec<_> = played.heard.last_words().iter().map(|pull| Some(pull.id)).collect();
        assert_eq!(ids, [id(first), id(second)], "{}: and no other pulls", played.personality);
    }
}
