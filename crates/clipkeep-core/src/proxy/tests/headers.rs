use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::proxy::{FollowUrls, lifetime, reply_headers, request_headers};

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair =
        |(name, value): &(&str, &str)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    pairs.iter().map(pair).collect()
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn fal_sees_what_is_meant_for_it_alone() {
    let given = headers(&[
        ("authorization", "Bearer ours"),
        ("cookie", "session=1"),
        ("host", "clips.example.com"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip"),
        ("content-type", "application/json"),
        ("content-length", "3"),
        ("transfer-encoding", "chunked"),
        ("user-agent", "fal"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-fal-target-url", "https://fal.run/a/b"),
        ("x-fal-queue-priority", "low"),
        ("x-app-fal-disable-fallback", "1"),
        ("x-clipkeep-tenant", "acme"),
    ]);
    let passed = request_headers(&given);
    let expected = [
        "accept",
        "accept-encoding",
        "content-type",
        "user-agent",
        "x-app-fal-disable-fallback",
        "x-fal-queue-priority",
    ];
    assert_eq!(names(&passed), expected);
    assert_eq!(passed["accept-encoding"], "identity");
}

#[test]
fn h43_what_connection_names_belongs_to_the_connection() {
    let given =
        headers(&[("x-fal-hop", "1"), ("x-fal-keep", "2"), ("accept", "a/b"), ("connection", "x-fal-hop, Accept")]);
    assert_eq!(names(&request_headers(&given)), ["accept-encoding", "x-fal-keep"]);
    let lines = headers(&[("x-fal-a", "1"), ("x-fal-b", "2"), ("connection", "close"), ("connection", " X-FAL-B ,")]);
    assert_eq!(names(&request_headers(&lines)), ["accept-encoding", "x-fal-a"]);
}

#[test]
fn the_app_sees_nothing_of_the_connection_to_fal() {
    let given = headers(&[
        ("connection", "close, X-Hop"),
        ("x-hop", "1"),
        ("transfer-encoding", "chunked"),
        ("set-cookie", "a=b"),
        ("content-type", "application/json"),
        ("x-fal-request-id", "r"),
        ("x-fal-billable-units", "1"),
    ]);
    assert_eq!(names(&reply_headers(&given)), ["content-type", "x-fal-billable-units", "x-fal-request-id"]);
}

#[test]
fn a_call_may_say_how_long_its_outputs_live() {
    let name = "x-fal-object-lifecycle-preference";
    let of = |text: &str| lifetime(&headers(&[(name, text)]));
    assert_eq!(of(r#"{"expiration_duration_seconds": 3600}"#), Some(Duration::from_secs(3600)));
    for none in [r#"{"expiration_duration_seconds": null}"#, "{}", "x", r#"{"expiration_duration_seconds": -1}"#] {
        assert_eq!(of(none), None, "{none}");
    }
    assert_eq!(lifetime(&HeaderMap::new()), None);
}

#[test]
fn what_leads_to_the_queue_leads_to_the_gateway() {
    let queues = ["https://queue.fal.run".to_owned(), "http://127.0.0.1:9/queue".to_owned()];
    let urls = FollowUrls::new(queues, "https://gate.example".to_owned());
    for (text, expected) in [
        ("https://queue.fal.run/a/b/requests/r/status", Some("https://gate.example/a/b/requests/r/status")),
        ("http://127.0.0.1:9/queue/a", Some("https://gate.example/a")),
        ("https://queue.fal.run.evil.com/a", None),
        ("https://queue.fal.run", None),
        ("see https://queue.fal.run/a", None),
    ] {
        assert_eq!(urls.replace(text).as_deref(), expected, "{text}");
    }
}
