//! REST, the page and health from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use house::{House, eventually, failed, get, pull, ready, request};
use lifecycle::{
    pull::{ErrorClass, Pull},
    wire::Event::{Finished, Started},
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
    for path in ["/api/v1/pulls?active=true", &format!("/api/v1/pulls/{}", a.id)] {
        let tag = house.get(path).header("etag").to_owned();
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
    assert_eq!(answer.header("content-encoding"), "gzip");
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
        ("/api/v1/nodes?a=b", 400, "bad_request", "a=b"),
        ("/api/v1/pulls?phase=done", 400, "bad_request", "\"done\""),
        ("/api/v1/pulls?outcome=ok", 400, "bad_request", "ready, failed, canceled, lost"),
        ("/api/v1/pulls?limit=0", 400, "bad_request", "1 to 1000"),
        ("/api/v1/pulls?limit=many", 400, "bad_request", "limit"),
        ("/api/v1/pulls?active=perhaps", 400, "bad_request", "active"),
        ("/api/v1/pulls?cursor=x", 400, "bad_request", "nextCursor"),
        ("/api/v1/pulls/zz", 400, "bad_request", "32 hexadecimal digits"),
        ("/api/v1/pulls/4bf92f3577b34da6a3ce929d0e0e4736", 404, "not_found", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("/api/v2/pulls", 404, "not_found", "nothing"),
    ] {
        let (got, its_code, message) = error(&house, path);
        assert_eq!((got, its_code.as_str()), (status, code), "{path}");
        assert!(message.contains(says), "{path}: {message}");
    }
    let answer = request("DELETE", house.http, "/api/v1/pulls", &[], &[]);
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (405, &json!("method_not_allowed")));
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
    for (path, media_type) in
        [("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css"), ("/nowhere", "application/json")]
    {
        let answer = house.get(path);
        assert!(answer.header("content-type").starts_with(media_type), "{path}");
        assert!(answer.header("content-security-policy").starts_with("default-src 'self';"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
}

#[test]
fn it_is_ready_when_everything_runs() {
    let house = House::start(&[]);
    assert_eq!(house.get("/healthz").status, 200);
    eventually("it is ready", || (house.get("/readyz").status == 200).then_some(()));
}
