use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE, VARY,
};

use super::*;

const MODIFIED_SECS: i64 = 1_700_000_000;

#[test]
fn case_01_single_ranges() {
    for (value, expected) in [
        ("bytes=0-0", "206 0-0/10"),
        ("bytes=0-", "206 0-9/10"),
        ("bytes=4-", "206 4-9/10"),
        ("bytes=9-", "206 9-9/10"),
        ("bytes=2-4", "206 2-4/10"),
        ("bytes=2-99", "206 2-9/10"),
        ("bytes=-1", "206 9-9/10"),
        ("bytes=-10", "206 0-9/10"),
        ("bytes=-11", "206 0-9/10"),
        ("bytes=-0", "416 */10"),
        ("bytes=10-", "416 */10"),
        ("bytes=10-20", "416 */10"),
        ("bytes=99-100", "416 */10"),
    ] {
        assert_eq!(range(10, value), expected, "{value}");
    }
}

#[test]
fn case_02_a_malformed_range_is_ignored() {
    for value in [
        "bytes=5-2",
        "bytes=",
        "bytes=abc",
        "bytes=--1",
        "bytes=-",
        "bytes=1",
        "bytes=+1-2",
        "bytes=1-2-3",
        "bytes=0x1-",
        "bytes=1 -2",
        "bytes=1- 2",
        "bytes =1-2",
        "bytes= 1-2",
        "bytes:1-2",
        "bytes",
        "=",
        "",
        "items=0-1",
        "byte=0-1",
        "bytes=,",
        "bytes=0-1,5-2",
        "bytes=0-1,x",
        "bytes=0-1;2-3",
        "bytes=\u{661}-",
        "none",
    ] {
        assert_eq!(range(10, value), "200", "{value:?}");
    }
}

#[test]
fn case_02_the_unit_has_no_case_and_lists_have_white_space() {
    for (value, expected) in [
        ("BYTES=0-1", "206 0-1/10"),
        ("Bytes=-1", "206 9-9/10"),
        (" bytes=0-1\t", "206 0-1/10"),
        ("bytes=0-1,\t", "206 0-1/10"),
        ("bytes=,0-1", "206 0-1/10"),
        ("bytes=0-1 ,\t 4-5", "206 parts 0-1,4-5"),
        ("bytes=0-1,, ,4-5,", "206 parts 0-1,4-5"),
        ("bytes=000-0001", "206 0-1/10"),
    ] {
        assert_eq!(range(10, value), expected, "{value:?}");
    }
}

#[test]
fn case_02_numbers_of_any_length() {
    for (value, expected) in [
        ("bytes=0-99999999999999999999", "206 0-9/10"),
        ("bytes=5-18446744073709551615", "206 5-9/10"),
        ("bytes=-99999999999999999999", "206 0-9/10"),
        ("bytes=99999999999999999999-", "416 */10"),
        ("bytes=99999999999999999998-99999999999999999999", "416 */10"),
        ("bytes=99999999999999999999-99999999999999999998", "200"),
        ("bytes=00000000000000000000001-2", "206 1-2/10"),
        ("bytes=000000000000000000003-2", "200"),
    ] {
        assert_eq!(range(10, value), expected, "{value}");
    }
}

#[test]
fn case_02_two_range_lines_are_ignored() {
    assert_eq!(get(10, &[(RANGE, "bytes=0-1"), (RANGE, "bytes=0-1")]), "200");
}

#[test]
fn case_03_several_ranges() {
    for (value, expected) in [
        ("bytes=0-1,4-5", "206 parts 0-1,4-5"),
        ("bytes=0-1,2-3", "206 parts 0-1,2-3"),
        ("bytes=0-0,-1", "206 parts 0-0,9-9"),
        ("bytes=4-5,0-1", "206 parts 0-1,4-5"),
        ("bytes=0-4,3-6", "206 0-6/10"),
        ("bytes=0-9,2-3,5-6", "206 0-9/10"),
        ("bytes=6-8,0-1,1-2,8-", "206 parts 0-2,6-9"),
        ("bytes=0-1,0-1", "206 0-1/10"),
        ("bytes=0-1,10-20", "206 0-1/10"),
        ("bytes=10-20,0-1,-0,4-5,99-", "206 parts 0-1,4-5"),
        ("bytes=10-20,-0,99-", "416 */10"),
    ] {
        assert_eq!(range(10, value), expected, "{value}");
    }
}

#[test]
fn case_03_many_ranges_are_ignored() {
    let ascending = |count: u64| (0..count).map(|n| format!("{}-{}", 10 * n, 10 * n + 1)).collect::<Vec<_>>().join(",");
    assert!(range(1_000_000, &format!("bytes={}", ascending(16))).starts_with("206 parts "));
    for count in [17, 10_000] {
        assert_eq!(range(1_000_000, &format!("bytes={}", ascending(count))), "200");
    }
    assert_eq!(range(10, &format!("bytes={}", "0-,".repeat(10_000))), "200");
    assert_eq!(range(10, &format!("bytes={}", ",".repeat(10_000))), "200");
}

#[test]
fn case_03_the_multipart_body_is_exact() {
    let (rep, headers) = (clip(300), fields(&[(RANGE, "bytes=0-2,255-256")]));
    let plan = plan(&RequestHead { method: &Method::GET, headers: &headers, now: NOW }, &rep);
    let mut sent = HeaderMap::new();
    plan.write_headers(Caching::Public, &mut sent);
    let boundary = format!("clipkeep-{}", tag_text().trim_matches('"'));
    assert_eq!(sent[CONTENT_TYPE], format!("multipart/byteranges; boundary={boundary}"));
    assert!(!sent.contains_key(CONTENT_RANGE));

    let expected = [
        format!("--{boundary}\r\nContent-Type: video/mp4\r\nContent-Range: bytes 0-2/300\r\n\r\n").as_bytes(),
        &[0, 1, 2],
        format!("\r\n--{boundary}\r\nContent-Type: video/mp4\r\nContent-Range: bytes 255-256/300\r\n\r\n").as_bytes(),
        &[4, 5],
        format!("\r\n--{boundary}--\r\n").as_bytes(),
    ]
    .concat();
    assert_eq!(sent[CONTENT_LENGTH], expected.len().to_string());
    assert_eq!(assemble(plan), expected);
}

#[test]
fn case_04_if_range() {
    let check = |value: &str, expected| {
        assert_eq!(get(10, &[(RANGE, "bytes=2-4"), (IF_RANGE, value)]), expected, "{value}");
    };
    let (ours, other) = (tag_text(), tag(2).value().to_str().unwrap().to_owned());
    check(&ours, "206 2-4/10");
    check(&format!("W/{ours}"), "200");
    check(&other, "200");
    check(&format!("{ours}, {other}"), "200");
    check("*", "200");
    check("", "200");
    check("\"", "200");
    check(ours.trim_matches('"'), "200");
    check(&date(MODIFIED_SECS), "206 2-4/10");
    check(&date(MODIFIED_SECS - 1), "200");
    check(&date(MODIFIED_SECS + 1), "200");
    check("yesterday", "200");
    assert_eq!(get(10, &[(RANGE, "bytes=2-4"), (IF_RANGE, &ours), (IF_RANGE, &ours)]), "200");
    // An If-Range that fails spares an unsatisfiable range its 416.
    assert_eq!(get(10, &[(RANGE, "bytes=99-"), (IF_RANGE, &other)]), "200");
    assert_eq!(get(10, &[(RANGE, "bytes=99-"), (IF_RANGE, &ours)]), "416 */10");
}

#[test]
fn case_04_if_range_without_range_is_ignored() {
    assert_eq!(get(10, &[(IF_RANGE, &tag_text())]), "200");
    assert_eq!(get(10, &[(IF_RANGE, "\"other\"")]), "200");
}

#[test]
fn case_04_a_date_of_the_running_second_is_no_strong_validator() {
    let modified = date(MODIFIED_SECS);
    let at = |millis| {
        let lines = [(RANGE, "bytes=2-4"), (IF_RANGE, modified.as_str())];
        answer(&Method::GET, 10, &lines, Timestamp::from_millis(millis))
    };
    assert_eq!(at(MODIFIED_SECS * 1000 + 999), "200");
    assert_eq!(at(MODIFIED_SECS * 1000 + 1000), "206 2-4/10");
}

#[test]
fn case_04_no_two_versions_share_a_date() {
    let dates: Vec<_> = (1..6).map(|epoch| version_time(CREATED, epoch).secs()).collect();
    assert_eq!(dates, [1_700_000_000, 1_700_000_001, 1_700_000_002, 1_700_000_003, 1_700_000_004]);
    assert_eq!(version_time(CREATED, i64::MAX).secs(), i64::MAX / 1000);
}

#[test]
fn case_05_304_wins_over_range() {
    let tag = tag_text();
    assert_eq!(get(10, &[(RANGE, "bytes=2-4"), (IF_NONE_MATCH, &tag)]), "304");
    assert_eq!(get(10, &[(RANGE, "bytes=99-"), (IF_NONE_MATCH, &tag)]), "304");
    assert_eq!(get(10, &[(RANGE, "bytes=2-4"), (IF_MODIFIED_SINCE, &date(MODIFIED_SECS))]), "304");
    assert_eq!(get(10, &[(RANGE, "bytes=2-4"), (IF_NONE_MATCH, "\"other\"")]), "206 2-4/10");
}

#[test]
fn case_05_if_none_match() {
    let ours = tag_text();
    let inner = ours.trim_matches('"');
    for (value, expected) in [
        (ours.as_str(), "304"),
        ("*", "304"),
        (" * ", "304"),
        (&format!("W/{ours}"), "304"),
        (&format!("\"a\", {ours}"), "304"),
        (&format!("\"a\",W/\"b\" ,\t{ours},\"c\""), "304"),
        (&format!(",, \"a,b\",{ours}"), "304"),
        (&format!("\"{inner}x\""), "200"),
        (&format!("\"x{inner}\""), "200"),
        (&format!("\"a,{inner}\""), "200"),
        (inner, "200"),
        (&format!("broken, {ours}"), "200"),
        (&format!("w/{ours}"), "200"),
        ("\"a\", *", "200"),
        ("\"unclosed", "200"),
        ("", "200"),
    ] {
        assert_eq!(get(10, &[(IF_NONE_MATCH, value)]), expected, "{value}");
    }
    assert_eq!(get(10, &[(IF_NONE_MATCH, "\"a\""), (IF_NONE_MATCH, &ours)]), "304");
}

#[test]
fn case_05_if_modified_since() {
    let since = |value: &str| get(10, &[(IF_MODIFIED_SINCE, value)]);
    assert_eq!(since(&date(MODIFIED_SECS)), "304");
    assert_eq!(since(&date(MODIFIED_SECS + 9)), "304");
    assert_eq!(since(&date(MODIFIED_SECS - 1)), "200");
    // The two obsolete forms (section 5.6.7).
    assert_eq!(since("Tuesday, 14-Nov-23 22:13:20 GMT"), "304");
    assert_eq!(since("Tue Nov 14 22:13:21 2023"), "304");
    assert_eq!(since("tomorrow"), "200");
    let twice = [(IF_MODIFIED_SINCE, &*date(MODIFIED_SECS)), (IF_MODIFIED_SINCE, &*date(MODIFIED_SECS))];
    assert_eq!(get(10, &twice), "200");
    // If-None-Match takes its place, whatever it says.
    assert_eq!(get(10, &[(IF_MODIFIED_SINCE, &date(MODIFIED_SECS)), (IF_NONE_MATCH, "\"other\"")]), "200");
}

#[test]
fn case_05_if_match_and_if_unmodified_since() {
    let ours = tag_text();
    let weak = format!("W/{ours}");
    let modified = date(MODIFIED_SECS);
    let before = date(MODIFIED_SECS - 1);
    for (lines, expected) in [
        (vec![(IF_MATCH, ours.as_str())], "200"),
        (vec![(IF_MATCH, "*")], "200"),
        (vec![(IF_MATCH, "\"a\""), (IF_MATCH, &ours)], "200"),
        (vec![(IF_MATCH, "\"a\"")], "412"),
        (vec![(IF_MATCH, &weak)], "412"),
        (vec![(IF_MATCH, "")], "412"),
        (vec![(IF_MATCH, "\"a\""), (RANGE, "bytes=0-1")], "412"),
        (vec![(IF_MATCH, "\"a\""), (IF_NONE_MATCH, "*")], "412"),
        (vec![(IF_MATCH, &ours), (IF_NONE_MATCH, &ours)], "304"),
        (vec![(IF_MATCH, &ours), (RANGE, "bytes=0-1")], "206 0-1/10"),
        (vec![(IF_UNMODIFIED_SINCE, &modified)], "200"),
        (vec![(IF_UNMODIFIED_SINCE, &before)], "412"),
        (vec![(IF_UNMODIFIED_SINCE, "never")], "200"),
        (vec![(IF_UNMODIFIED_SINCE, &before), (IF_MATCH, &ours)], "200"),
    ] {
        assert_eq!(get(10, &lines), expected, "{lines:?}");
    }
}

#[test]
fn case_06_head_tells_the_length_and_sends_nothing() {
    let ours = tag_text();
    for (lines, expected, length) in [
        (vec![], "200", Some("10")),
        (vec![(RANGE, "bytes=0-1")], "200", Some("10")),
        (vec![(RANGE, "bytes=99-")], "200", Some("10")),
        (vec![(RANGE, "bytes=0-1,4-5"), (IF_RANGE, ours.as_str())], "200", Some("10")),
        (vec![(IF_NONE_MATCH, &ours)], "304", None),
        (vec![(IF_MATCH, "\"a\"")], "412", Some("0")),
    ] {
        assert_eq!(answer(&Method::HEAD, 10, &lines, NOW), expected, "{lines:?}");
        let (rep, headers) = (clip(10), fields(&lines));
        let plan = plan(&RequestHead { method: &Method::HEAD, headers: &headers, now: NOW }, &rep);
        let mut sent = HeaderMap::new();
        plan.write_headers(Caching::Public, &mut sent);
        assert_eq!(sent.get(CONTENT_LENGTH).map(|value| value.to_str().unwrap()), length, "{lines:?}");
        assert_eq!(plan.into_body(), Body::Empty, "{lines:?}");
    }
}

#[test]
fn case_07_sizes_at_the_edge() {
    const HUGE: u64 = (5 << 30) + 1;
    for (len, value, expected) in [
        (0, "bytes=0-", "416 */0"),
        (0, "bytes=0-0", "416 */0"),
        (0, "bytes=-0", "416 */0"),
        (0, "bytes=-5", "200"),
        (0, "bytes=-5,-6", "200"),
        (1, "bytes=0-", "206 0-0/1"),
        (1, "bytes=0-0", "206 0-0/1"),
        (1, "bytes=-1", "206 0-0/1"),
        (1, "bytes=1-", "416 */1"),
        (HUGE, "bytes=5368709120-", "206 5368709120-5368709120/5368709121"),
        (HUGE, "bytes=4294967295-4294967296", "206 4294967295-4294967296/5368709121"),
        (HUGE, "bytes=5368709121-", "416 */5368709121"),
        (HUGE, "bytes=0-0,-1", "206 parts 0-0,5368709120-5368709120"),
        (u64::MAX, "bytes=18446744073709551614-", "206 18446744073709551614-18446744073709551614/18446744073709551615"),
        (u64::MAX, "bytes=0-0,2-", "206 parts 0-0,2-18446744073709551614"),
    ] {
        assert_eq!(range(len, value), expected, "{len} {value}");
    }
    assert_eq!(get(0, &[]), "200");
}

#[test]
fn case_08_validators_stay_the_same() {
    // Written down: what was sent before a restart or an upgrade must match.
    let key = "019f6af7-0000.mp4".parse().unwrap();
    assert_eq!(ETag::of(&key, 1).value(), "\"7dea833cc41fc79f-1\"");
    assert_ne!(ETag::of(&key, 1), ETag::of(&key, 2));
    assert_ne!(ETag::of(&key, 1), ETag::of(&"019f6af7-0001.mp4".parse().unwrap(), 1));

    let rep = clip(10);
    for lines in [vec![], vec![(RANGE, "bytes=0-1")], vec![(RANGE, "bytes=0-1,4-5")], vec![(IF_NONE_MATCH, "*")]] {
        let headers = fields(&lines);
        let mut sent = HeaderMap::new();
        plan(&RequestHead { method: &Method::GET, headers: &headers, now: NOW }, &rep)
            .write_headers(Caching::Public, &mut sent);
        assert_eq!(sent[ETAG], tag_text(), "{lines:?}");
        assert_eq!(sent[LAST_MODIFIED], "Tue, 14 Nov 2023 22:13:20 GMT", "{lines:?}");
        assert_eq!(sent["cache-control"], "public, max-age=31536000, immutable", "{lines:?}");
        assert_eq!(sent["accept-ranges"], "bytes", "{lines:?}");
    }
}

#[test]
fn case_10_accept_encoding_changes_nothing() {
    let rep = clip(10);
    let all = |lines: &[(HeaderName, &str)]| {
        let headers = fields(lines);
        let plan = plan(&RequestHead { method: &Method::GET, headers: &headers, now: NOW }, &rep);
        let mut sent = HeaderMap::new();
        plan.write_headers(Caching::Public, &mut sent);
        assert!(!sent.contains_key(CONTENT_ENCODING) && !sent.contains_key(VARY));
        (plan.status(), sent, assemble(plan))
    };
    for coding in ["gzip", "br, gzip;q=1.0, *;q=0.5", "identity;q=0", "*;q=0"] {
        assert_eq!(all(&[(ACCEPT_ENCODING, coding)]), all(&[]), "{coding}");
        assert_eq!(all(&[(ACCEPT_ENCODING, coding), (RANGE, "bytes=1-3")]), all(&[(RANGE, "bytes=1-3")]), "{coding}");
    }
}

#[test]
fn errors_carry_no_permission_to_cache() {
    for lines in [vec![(RANGE, "bytes=99-")], vec![(IF_MATCH, "\"a\"")]] {
        let (rep, headers) = (clip(10), fields(&lines));
        let mut sent = HeaderMap::new();
        plan(&RequestHead { method: &Method::GET, headers: &headers, now: NOW }, &rep)
            .write_headers(Caching::Public, &mut sent);
        assert!(!sent.contains_key("cache-control"), "{lines:?}");
        assert_eq!(sent[CONTENT_LENGTH], "0", "{lines:?}");
    }
}

#[test]
fn h43_last_modified_never_lies_in_the_future_and_never_moves() {
    let rep = Representation::new(10, tag(1), Timestamp::from_secs(MODIFIED_SECS), "video/mp4");
    let headers = HeaderMap::new();
    let mut sent = HeaderMap::new();
    let now = Timestamp::from_secs(MODIFIED_SECS - 1);
    plan(&RequestHead { method: &Method::GET, headers: &headers, now }, &rep).write_headers(Caching::Public, &mut sent);
    assert!(!sent.contains_key(LAST_MODIFIED));
    let first = version_time(CREATED, 1);
    let rep = Representation::new(10, tag(1), first, "video/mp4");
    for later in [0, 1, 3600] {
        let now = Timestamp::from_millis(CREATED.millis() + later * 1000);
        let request = RequestHead { method: &Method::GET, headers: &headers, now };
        plan(&request, &rep).write_headers(Caching::Public, &mut sent);
        assert_eq!(sent[LAST_MODIFIED], date(first.secs()), "{later} s after it came to be");
    }
}
