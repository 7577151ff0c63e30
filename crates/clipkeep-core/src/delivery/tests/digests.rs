//! RFC 9530.

use super::*;
use crate::delivery::digest::REPR_DIGEST;

const HEX: &str = "5f1f5b3ec7e1e1a9b8a2b6f6c3a1d0e7f3e6b9a8c7d6e5f4a3b2c1d0e9f8a7b6";
const VALUE: &str = "sha-256=:Xx9bPsfh4am4orb2w6HQ5/PmuajH1uX0o7LB0On4p7Y=:";

/// The digest in the answer to these lines, if there is one.
fn told(method: &Method, lines: &[(HeaderName, &str)]) -> (u16, Option<String>) {
    let (rep, headers) = (clip(10).with_sha256(HEX), fields(lines));
    let plan = plan(&RequestHead { method, headers: &headers, now: NOW }, &rep);
    let mut sent = HeaderMap::new();
    plan.write_headers(Caching::Public, &mut sent);
    (plan.status().as_u16(), sent.get(REPR_DIGEST).map(|value| value.to_str().unwrap().to_owned()))
}

#[test]
fn i14_whatever_part_is_sent_the_digest_is_that_of_the_whole() {
    let some = || Some(VALUE.to_owned());
    assert_eq!(told(&Method::GET, &[]), (200, some()));
    assert_eq!(told(&Method::HEAD, &[]), (200, some()));
    assert_eq!(told(&Method::GET, &[(header::RANGE, "bytes=2-3")]), (206, some()));
    assert_eq!(told(&Method::GET, &[(header::RANGE, "bytes=0-1,5-6")]), (206, some()));
    // RFC 9110, 15.4.5: a 304 tells of the representation no more than it must.
    assert_eq!(told(&Method::GET, &[(header::IF_NONE_MATCH, &tag_text())]), (304, None));
    assert_eq!(told(&Method::GET, &[(header::IF_MATCH, "\"x\"")]), (412, None));
    assert_eq!(told(&Method::GET, &[(header::RANGE, "bytes=99-")]), (416, None));
}

#[test]
fn i14_a_digest_is_left_out_only_where_it_is_refused() {
    let want = |value| told(&Method::GET, &[(HeaderName::from_static("want-repr-digest"), value)]).1.is_some();
    for value in ["sha-256=10", "sha-512=3", "sha-256=1, sha-512=9", "unixsum=0", "md5=0;x=1,sha-256=3", "", "sha-256"]
    {
        assert!(want(value), "{value}");
    }
    for value in ["sha-256=0", "sha-512=3, sha-256=0", "sha-256=5, sha-256=0", "sha-256=0;q=1", " sha-256=0 "] {
        assert!(!want(value), "{value}");
    }
    // What cannot be read counts for nothing.
    for value in ["sha-256=0, sha-512", "sha-256=0.5", "=0", "sha-256=:AAAA:"] {
        assert!(want(value), "{value}");
    }
    let mut headers = HeaderMap::new();
    for value in ["sha-256=3", "sha-256=0"] {
        headers.append("want-repr-digest", HeaderValue::from_static(value));
    }
    let rep = clip(10).with_sha256(HEX);
    let mut sent = HeaderMap::new();
    plan(&RequestHead { method: &Method::GET, headers: &headers, now: NOW }, &rep)
        .write_headers(Caching::Public, &mut sent);
    assert!(!sent.contains_key(REPR_DIGEST), "several lines are one list");
}

#[test]
fn i14_what_is_not_known_is_not_told() {
    for rep in [clip(10), clip(10).with_sha256("beef"), clip(10).with_sha256(&HEX.to_uppercase())] {
        let headers = HeaderMap::new();
        let mut sent = HeaderMap::new();
        plan(&RequestHead { method: &Method::GET, headers: &headers, now: NOW }, &rep)
            .write_headers(Caching::Public, &mut sent);
        assert!(!sent.contains_key(REPR_DIGEST));
    }
}
