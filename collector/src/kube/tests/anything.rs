//! Objects of an API server that says anything at all: they are read or passed over, and what is kept of them has its bounds.

use lifecycle::board::Sighting;
use proptest::prelude::*;

use super::*;

/// Any JSON, not too deep.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        Just(Value::from("\u{202e}{".repeat(5_000))),
        Just(Value::from("2025-01-15T10:30:00Z")),
        Just(Value::from("-9999-01-01T00:00:00Z")),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..3).prop_map(Value::from_iter),
        ]
    })
}

/// Every place in a value, as JSON pointers.
fn places(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), into)),
        Value::Array(list) => list.iter().enumerate().for_each(|(n, value)| places(value, &format!("{at}/{n}"), into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

proptest! {
    #[test]
    fn any_object_is_read_or_passed_over_and_what_is_kept_is_bounded(
        changes in prop::collection::vec((any::<prop::sample::Index>(), anything()), 1..4),
    ) {
        for base in [pod("a", false), pulling("a")] {
            let mut object = base;
            for (place, value) in &changes {
                let mut all = Vec::new();
                places(&object, "", &mut all);
                let place = all[place.index(all.len())].clone();
                *object.pointer_mut(&place).unwrap() = value.clone();
            }
            let seen = [
                serde_json::from_value::<Pod>(object.clone()).ok().and_then(|pod| translate::pod(&pod)).map(|pod| Sighting::Pod(Box::new(pod))),
                serde_json::from_value::<Event>(object.clone()).ok().and_then(|event| translate::event(&event)),
                serde_json::from_value::<Node>(object).ok().and_then(|node| translate::node(&node)),
            ];
            for sighting in seen.into_iter().flatten() {
                let length = format!("{sighting:?}").len();
                prop_assert!(length < 64 * 1024, "{length} bytes are kept");
                let mut board = lifecycle::board::Board::default();
                board.observe(Input::Sighting(sighting), lifecycle::time::Timestamp::from_millis(1_800_000_000_000));
            }
        }
    }
}
