//! REST, the page and health from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use house::{House, eventually, failed, get, pull, ready, request};
use lifecycle::{
    pull::{ErrorClass, Pull},
    wire::{
        self,
        Event::{Finished, Started},
    },
};
use serde_json::{Value, json};

/// Three pulls: `a` runs, `b` is ready, `c` failed.
fn three() -> (House, [Pull; 3]) {
    let house = House::start(&[]);
    let bad = failed(pull("ghcr.io/team/c:1", 1, 3), ErrorClass::RateLimited, "429 Too Many Requests");
    let mut pulls = [pull("a", 1, 750), ready(pull("b", 1, 1500)), bad];
    for (pull, second) in pulls.iter_mut().zip(1..) {
        pull.started_at = house::at(second);
    }
    let [a, b, c] = &pulls;
    house.report(&[(Started, a), (Finished, b), (Finished, c)]);
    eventually("all are known", || (ids(&house.json("/api/v1/pulls")).len() == 3).then_some(()));
    (house, pulls)
}

fn ids(list: &Value) -> Vec<String> {
    list["pulls"].as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap().to_owned()).collect()
}

fn error(house: &House, path: &str) -> (u16, String, String) {
    let answer = house.get(path);
    let body = answer.json();
    let text = |key: &str| body["error"][key].as_str().unwrap().to_owned();
    (answer.status, text("code"), text("message"))
}

#[test]
fn the_list_is_newest_first_and_every_filter_selects() {
    let (house, [a, b, c]) = three();
    let [a, b, c] = [a, b, c].map(|p| p.id.to_string());
    for (query, expected) in [
        ("", vec![&c, &b, &a]),
        ("?active=true", vec![&a]),
        ("?active=false", vec![&c, &b]),
        ("?outcome=ready", vec![&b]),
        ("?outcome=lost", vec![]),
        ("?phase=downloading&node=node-1", vec![&c, &b, &a]),
        ("?node=node-2", vec![]),
        ("?image=library/a", vec![&a]),
        ("?registry=ghcr.io", vec![&c]),
        ("?namespace=k8s.io&active=true", vec![&a]),
        ("?namespace=moby", vec![]),
        ("?q=TOO%20many", vec![&c]),
        (&format!("?q={b}"), vec![&b]),
    ] {
        assert_eq!(ids(&house.json(&format!("/api/v1/pulls{query}"))).iter().collect::<Vec<_>>(), expected, "{query}");
    }
}

#[test]
fn a_long_list_goes_on_behind_its_cursor() {
    let (house, [a, b, c]) = three();
    let first = house.json("/api/v1/pulls?limit=2");
    assert_eq!(ids(&first), [c.id.to_string(), b.id.to_string()]);
    let second = house.json(&format!("/api/v1/pulls?limit=2&cursor={}", first["nextCursor"].as_str().unwrap()));
    assert_eq!((ids(&second), second.get("nextCursor")), (vec![a.id.to_string()], None));
}

/// Every page of a list of pulls, with something done between one and the next.
fn pages(house: &House, query: &str, between: impl Fn(usize)) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    for page in 0.. {
        let list = house.json(&format!("/api/v1/pulls?{query}{cursor}"));
        all.extend(ids(&list));
        let Some(next) = list["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
        between(page);
    }
    all
}

#[test]
fn paging_shows_every_pull_once_though_pulls_begin_change_and_end_meanwhile() {
    let house = House::start(&[]);
    let image = |n: u64| format!("image-{n}");
    let begun = |n: u64| {
        let mut pull = pull(&image(n), 1, 10);
        // Two begin at a time, so the order is one of ids as well.
        pull.started_at = house::at(n / 2);
        pull
    };
    let all: Vec<_> = (0..20).map(begun).collect();
    house.report(&all.iter().map(|pull| (Started, pull)).collect::<Vec<_>>());
    eventually("all are known", || (ids(&house.json("/api/v1/pulls")).len() == 20).then_some(()));
    let paged = pages(&house, "limit=3&layers=false", |page| {
        let page = u64::try_from(page).unwrap();
        let mut new = begun(100 + page);
        new.started_at = house::at(1000 + page);
        let done = Pull { sequence: 2, ..ready(begun(19 - page * 3)) };
        house.report(&[(Started, &new), (Finished, &done)]);
        let is_there = format!("/api/v1/pulls?image=image-{}", 100 + page);
        eventually("the new one is there", || (ids(&house.json(&is_there)).len() == 1).then_some(()));
    });
    let mut expected: Vec<_> = all.iter().map(|pull| pull.id.to_string()).collect();
    let mut found = paged.clone();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    let began = |id: &String| all.iter().find(|pull| pull.id.to_string() == *id).unwrap().started_at;
    assert!(paged.is_sorted_by_key(|id| std::cmp::Reverse(began(id))), "newest first, over all pages");
}

#[test]
fn one_pull_tells_which_tries_came_before_and_after_it() {
    let house = House::start(&[]);
    let tried = |second: u64, message: &str| {
        let mut pull = pull("a", 1, 3);
        pull.id = lifecycle::pull::PullId::derive("uid-of-node-1", "k8s.io", "a", house::at(second));
        pull.started_at = house::at(second);
        let mut pull = failed(pull, ErrorClass::RateLimited, message);
        pull.ending.as_mut().unwrap().at = house::at(second + 7);
        pull
    };
    let (first, second) = (tried(0, "first"), tried(20, "second"));
    let mut third = pull("a", 1, 3);
    (third.id, third.started_at) =
        (lifecycle::pull::PullId::derive("uid-of-node-1", "k8s.io", "a", house::at(60)), house::at(60));
    house.report(&[(Finished, &first), (Finished, &second), (Started, &third), (Started, &pull("b", 1, 3))]);
    eventually("all are known", || (ids(&house.json("/api/v1/pulls")).len() == 4).then_some(()));
    for asked in [&first, &second, &third] {
        let told = house.json(&format!("/api/v1/pulls/{}", asked.id));
        let attempts = told["attempts"].as_array().unwrap();
        let told: Vec<_> = attempts.iter().map(|a| (a["pullId"].as_str().unwrap(), a["current"].as_bool().unwrap())).collect();
        let expected = [&first, &second, &third].map(|pull| (pull.id.to_string(), pull.id == asked.id));
        assert_eq!(told, expected.iter().map(|(id, current)| (id.as_str(), *current)).collect::<Vec<_>>());
        let failure = &attempts[1];
        assert_eq!((&failure["error"], &failure["errorClass"]), (&json!("second"), &json!("rate_limited")));
        assert_eq!((&failure["outcome"], &failure["source"]), (&json!("failed"), &json!("agent")));
        assert!(failure["errorHint"].as_str().unwrap().contains("sign in") && attempts[2].get("outcome").is_none());
    }
}

#[test]
fn one_pull_tells_what_happened_in_order_and_how_each_time_is_known() {
    let house = House::start(&[]);
    let mut done = ready(pull("a", 1, 1500));
    let (wait, until) = (lifecycle::pull::Wait::Stalled { since: house::at(2) }, house::at(3));
    done.waits = vec![lifecycle::pull::Waited { wait, until }];
    house.report(&[(Finished, &done)]);
    let told = eventually("it is known", || {
        let answer = house.get(&format!("/api/v1/pulls/{}", done.id));
        (answer.status == 200).then(|| answer.json())
    });
    let timeline = told["timeline"].as_array().unwrap();
    let times: Vec<_> = timeline.iter().map(|moment| moment["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let whats: Vec<_> = timeline.iter().map(|m| (m["what"].as_str().unwrap(), m["source"].as_str().unwrap())).collect();
    assert_eq!(
        whats,
        [
            ("resolving", "record"),
            ("downloading", "record"),
            ("layer_started", "event"),
            ("layer_started", "event"),
            ("wait_started", "poll"),
            ("wait_completed", "poll"),
            ("layer_completed", "event"),
            ("layer_completed", "event"),
            ("unpacking", "event"),
            ("layer_unpack_started", "event"),
            ("layer_unpack_started", "event"),
            ("layer_unpack_completed", "event"),
            ("layer_unpack_completed", "event"),
            ("ready", "event"),
        ]
    );
    assert_eq!(timeline[4]["wait"], "stalled");
    assert_eq!(timeline[2]["layer"], told["layers"][0]["digest"]);
}

#[test]
fn images_say_what_their_pulls_on_all_nodes_came_to() {
    let (house, _) = three();
    let mut again = ready(pull("b", 1, 1500));
    again.id = lifecycle::pull::PullId::derive("other", "k8s.io", "b", house::at(0));
    again.layers[0].cached = true;
    again.ending.as_mut().unwrap().at = house::at(20);
    let body = wire::encode::pulls(&house::node("node-2"), "0.1.0", [(Finished, &again)]);
    house.accept(wire::Signal::Logs, body);
    let list = eventually("all are counted", || {
        let list = house.json("/api/v1/images");
        (list["images"].as_array().unwrap().iter().map(|image| image["pulls"].as_u64().unwrap()).sum::<u64>() == 4)
            .then_some(list)
    });
    let images = list["images"].as_array().unwrap();
    let names: Vec<_> = images.iter().map(|image| image["imageRef"].as_str().unwrap()).collect();
    assert_eq!(names, ["docker.io/library/a:latest", "docker.io/library/b:latest", "ghcr.io/team/c:1"]);
    let (a, b, c) = (&images[0], &images[1], &images[2]);
    assert_eq!((&a["active"], a.get("durations"), &a["nodeCount"]), (&json!(1), None, &json!(0)));
    assert_eq!((&b["nodes"], &b["nodeCount"], &b["ready"]), (&json!(["node-1", "node-2"]), &json!(2), &json!(2)));
    assert_eq!((&b["sizeBytes"], &b["downloadedBytes"], &b["cachedBytes"]), (&json!(1500), &json!(2000), &json!(1000)));
    assert_eq!(b["durations"], json!({ "minSeconds": 5.0, "medianSeconds": 20.0, "maxSeconds": 20.0, "lastSeconds": 20.0 }));
    let failure = &c["failures"][0];
    assert_eq!((&c["failed"], &failure["count"], &failure["errorClass"]), (&json!(1), &json!(1), &json!("rate_limited")));
    assert_eq!(failure["error"], "429 Too Many Requests");
    let first = house.json("/api/v1/images?limit=1&node=node-1");
    let second = house.json(&format!("/api/v1/images?limit=2&node=node-1&cursor={}", first["nextCursor"].as_str().unwrap()));
    let names = |list: &Value| list["images"].as_array().unwrap().iter().map(|i| i["imageRef"].clone()).collect::<Vec<_>>();
    assert_eq!(
        (names(&first), names(&second)),
        (vec![a["imageRef"].clone()], vec![b["imageRef"].clone(), c["imageRef"].clone()])
    );
    assert_eq!(second.get("nextCursor"), None);
    assert_eq!(names(&house.json("/api/v1/images?registry=ghcr.io&image=team")), [c["imageRef"].clone()]);
    assert_eq!(house.json("/api/v1/images?node=node-3")["images"], json!([]));
}

#[test]
fn one_pull_is_shown_with_its_layers_and_its_sentence() {
    let (house, [a, _, c]) = three();
    let pull = house.json(&format!("/api/v1/pulls/{}", a.id));
    assert_eq!((&pull["totalBytes"], &pull["downloadedBytes"], &pull["percent"]), (&json!(1500), &json!(750), &json!(50.0)));
    assert_eq!(pull["summary"], "Downloading 0.7 of 1.4 KiB from docker.io at 100 B/s, 4 s to 8 s left.");
    let digests: Vec<_> = pull["layers"].as_array().unwrap().iter().map(|l| l["digest"].as_str().unwrap()).collect();
    assert_eq!(digests, a.layers.iter().map(|l| l.digest.as_str()).collect::<Vec<_>>());
    let failed = house.json(&format!("/api/v1/pulls/{}", c.id));
    assert_eq!((&failed["error"], &failed["errorClass"]), (&json!("429 Too Many Requests"), &json!("rate_limited")));
    let list = house.json("/api/v1/pulls?layers=false");
    assert!(list["pulls"][0].get("layers").is_none());
    assert!(house.json("/api/v1/pulls")["pulls"][0]["layers"].is_array());
}

#[test]
fn the_summary_counts_everything_once() {
    let (house, _) = three();
    let sum = house.json("/api/v1/summary");
    for (key, value) in [("pulls", 3), ("active", 1), ("ready", 1), ("failed", 1), ("canceled", 0), ("bytesPerSec", 100)] {
        assert_eq!(sum[key], value, "{key}");
    }
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    let (house, [a, ..]) = three();
    let one = format!("/api/v1/pulls/{}", a.id);
    let lists = ["nodes", "images", "workloads", "summary", "openapi.json"].map(|name| format!("/api/v1/{name}"));
    for path in lists.iter().map(String::as_str).chain(["/api/v1/pulls?active=true", &one]) {
        let tag = house.get(path).header("etag").to_owned();
        for tag in [&tag, "*", &format!("\"x\", {tag}"), tag.trim_start_matches("W/")] {
            assert_eq!(get(house.http, path, &[("if-none-match", tag)]).status, 304, "{path} {tag}");
        }
        let again = get(house.http, path, &[("if-none-match", &tag)]);
        assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, tag.as_str()), "{path}");
    }
    let tag = house.get("/api/v1/pulls").header("etag").to_owned();
    house.report(&[(Finished, &ready(pull("a", 2, 1500)))]);
    eventually("the list is another", || {
        (get(house.http, "/api/v1/pulls", &[("if-none-match", &tag)]).status == 200).then_some(())
    });
}

#[test]
fn a_long_answer_is_compressed_for_those_who_can_read_it() {
    let (house, _) = three();
    let answer = get(house.http, "/api/v1/pulls", &[("accept-encoding", "gzip")]);
    assert_eq!((answer.header("content-encoding"), answer.header("vary")), ("gzip", "accept-encoding"));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*answer.body), &mut text).unwrap();
    assert_eq!(ids(&serde_json::from_str(&text).unwrap()).len(), 3);
}

#[test]
fn what_is_asked_wrongly_is_answered_with_what_is_wrong() {
    let house = House::start(&[]);
    for (path, status, code, says) in [
        ("/api/v1/pulls?colour=red", 400, "bad_request", "colour"),
        ("/api/v1/events?colour=red", 400, "bad_request", "colour"),
        ("/api/v1/events?limit=3", 400, "bad_request", "limit"),
        ("/api/v1/pulls?lastEventId=3", 400, "bad_request", "lastEventId"),
        ("/api/v1/nodes?a=b", 400, "bad_request", "\"a\"; none are"),
        ("/api/v1/pulls?colour=red&node=a&size=3", 400, "bad_request", "\"colour\", \"size\"; known are namespace, pod, node"),
        ("/api/v1/pulls?%F0%9F=%FF", 400, "bad_request", "unknown in the query"),
        ("/api/v1/pulls?node=a&node=b", 400, "bad_request", "node stands twice"),
        ("/api/v1/images?phase=queued", 400, "bad_request", "\"phase\""),
        ("/api/v1/workloads?pod=a", 400, "bad_request", "known are namespace"),
        ("/api/v1/summary?limit=1", 400, "bad_request", "\"limit\""),
        ("/api/v1/openapi.json?v=2", 400, "bad_request", "\"v\""),
        ("/api/v1/pods/a/b?c", 400, "bad_request", "\"c\""),
        ("/api/v1/pulls?phase=done", 400, "bad_request", "\"done\""),
        ("/api/v1/pulls?outcome=ok", 400, "bad_request", "ready, failed, canceled, lost"),
        ("/api/v1/pulls?limit=0", 400, "bad_request", "1 to 1000"),
        ("/api/v1/pulls?limit=many", 400, "bad_request", "limit"),
        ("/api/v1/pulls?limit=-1", 400, "bad_request", "limit"),
        ("/api/v1/pulls?limit=99999999999999999999", 400, "bad_request", "limit"),
        ("/api/v1/images?limit=1001", 400, "bad_request", "1 to 1000"),
        ("/api/v1/pulls?active=", 400, "bad_request", "true, false"),
        ("/api/v1/pulls?layers=1", 400, "bad_request", "true, false"),
        ("/api/v1/pulls?cursor=-", 400, "bad_request", "nextCursor"),
        ("/api/v1/pulls?cursor=1-00000000000000000000000000000000", 400, "bad_request", "nextCursor"),
        ("/api/v1/pulls?active=perhaps", 400, "bad_request", "active"),
        ("/api/v1/pulls?cursor=x", 400, "bad_request", "nextCursor"),
        ("/api/v1/pulls/zz", 400, "bad_request", "32 hexadecimal digits"),
        ("/api/v1/pulls/%FF", 400, "bad_request", "UTF-8"),
        ("/api/v1/pulls/%00000000000000000000000000000001", 400, "bad_request", "32 hexadecimal digits"),
        ("/api/v1/pods/%FF/b", 400, "bad_request", "UTF-8"),
        ("/api/v1/pods/a/b%2F..%2Fc", 404, "not_found", "a/b/../c"),
        ("/api/v1/pods/a", 404, "not_found", "nothing"),
        ("/api/v1/pulls/", 404, "not_found", "nothing"),
        ("/api/v1/pulls/4bf92f3577b34da6a3ce929d0e0e4736", 404, "not_found", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("/api/v2/pulls", 404, "not_found", "nothing"),
    ] {
        let (got, its_code, message) = error(&house, path);
        assert_eq!((got, its_code.as_str()), (status, code), "{path}");
        assert!(message.contains(says), "{path}: {message}");
    }
    let long = error(&house, &format!("/api/v1/pulls?q={}", "a".repeat(5000)));
    assert!(long.0 == 400 && long.2.contains("longer than 4096"), "{long:?}");
    for (method, path, allow) in
        [("DELETE", "/api/v1/pulls", "GET,HEAD"), ("POST", "/api/v1/events", "GET,HEAD"), ("PUT", "/healthz", "GET,HEAD")]
    {
        let answer = request(method, house.http, path, &[], &[]);
        let code = &answer.json()["error"]["code"];
        assert_eq!((answer.status, code, answer.header("allow")), (405, &json!("method_not_allowed"), allow), "{method} {path}");
    }
}

#[test]
fn the_page_is_ours_alone_and_every_answer_says_so() {
    let house = House::start(&[]);
    let page = house.get("/");
    assert!(page.status == 200 && page.text().contains("<title>Pulltrace</title>"));
    assert!(
        !page.text().contains("<style") && !page.text().contains("http:") && !page.text().contains("onload"),
        "nothing inline or foreign"
    );
    let files: Vec<_> =
        page.text().split('"').filter_map(|text| text.strip_prefix("./")).map(|path| format!("/{path}")).collect();
    assert!(files.iter().any(|path| path.ends_with(".js")), "a page has a script");
    for path in files.iter().map(String::as_str).chain(["/", "/nowhere"]) {
        let answer = house.get(path);
        assert_eq!(answer.status == 200, path != "/nowhere", "{path}");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none';"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
}

#[test]
fn it_is_ready_when_everything_runs() {
    let house = House::start(&[]);
    assert_eq!(house.get("/healthz").status, 200);
    eventually("it is ready", || (house.get("/readyz").status == 200).then_some(()));
}
