use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_785_751_200); // Mon, 03 Aug 2026 10:00:00 GMT

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn head(status: u16, lines: &[(&'static str, &str)], from: Option<u64>) -> Result<Promise, Verdict> {
    judge_head(StatusCode::from_u16(status).unwrap(), &headers(lines), from, NOW)
}

#[test]
fn case_23_a_status_that_may_pass_is_tried_again_and_a_missing_one_is_counted() {
    for (status, expected) in [
        (400, Verdict::Missing(Why::Http4xx)),
        (401, Verdict::Missing(Why::Http401)),
        (403, Verdict::Missing(Why::Http403)),
        (404, Verdict::Missing(Why::Http404)),
        (410, Verdict::Missing(Why::Http410)),
        (416, Verdict::Missing(Why::Http4xx)),
        (451, Verdict::Missing(Why::Http451)),
        (304, Verdict::Missing(Why::BadRedirect)),
        (408, Verdict::retry(Why::Http5xx)),
        (429, Verdict::retry(Why::Http429)),
        (500, Verdict::retry(Why::Http5xx)),
        (503, Verdict::retry(Why::Http5xx)),
        (599, Verdict::retry(Why::Http5xx)),
        (101, Verdict::retry(Why::HttpOther)),
        (202, Verdict::retry(Why::HttpOther)),
        (204, Verdict::retry(Why::HttpOther)),
        (999, Verdict::retry(Why::HttpOther)),
    ] {
        assert_eq!(head(status, &[], None), Err(expected), "{status}");
    }
}

#[test]
fn case_23_retry_after_is_read_in_both_forms_and_capped() {
    for (text, expected) in [
        ("7", Some(7)),
        ("0", Some(0)),
        (" 120 ", Some(120)),
        ("999999", Some(3600)),
        ("99999999999999999999999999", Some(3600)),
        ("Mon, 03 Aug 2026 10:01:30 GMT", Some(90)),
        ("Monday, 03-Aug-26 10:01:30 GMT", Some(90)),
        ("Mon Aug  3 10:01:30 2026", Some(90)),
        ("Mon, 03 Aug 2026 09:00:00 GMT", Some(0)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(3600)),
        ("", None),
        ("-5", None),
        ("+5", None),
        ("1.5", None),
        ("soon", None),
    ] {
        let expected = expected.map(Duration::from_secs);
        for (status, why) in [(429, Why::Http429), (503, Why::Http5xx)] {
            let verdict = head(status, &[("retry-after", text)], None);
            assert_eq!(verdict, Err(Verdict::Retry { after: expected, why }), "{status} {text:?}");
        }
    }
}

#[test]
fn a_whole_answer_promises_its_length() {
    let promise = head(200, &[("content-length", "9"), ("accept-ranges", "bytes")], None).unwrap();
    let expected = Promise { start: 0, total: Some(9), end: Some(9), framing: Framing::Length, accepts_ranges: true };
    assert_eq!(promise, expected);
    for status in [201, 203, 218, 299] {
        assert_eq!(head(status, &[("content-length", "9")], None).unwrap().total, Some(9), "{status}");
    }
    let promise = head(200, &[("transfer-encoding", "Chunked"), ("accept-ranges", "none")], None).unwrap();
    assert_eq!((promise.framing, promise.total, promise.accepts_ranges), (Framing::Chunked, None, false));
    let promise = head(200, &[("content-length", "9"), ("transfer-encoding", "identity")], None).unwrap();
    assert_eq!((promise.framing, promise.total), (Framing::Length, Some(9)));
    assert_eq!(head(200, &[("transfer-encoding", "Identity")], None).unwrap().framing, Framing::Close);
    let promise = head(200, &[("content-length", "9"), ("transfer-encoding", "chunked")], None).unwrap();
    assert_eq!((promise.framing, promise.total, promise.end), (Framing::Chunked, None, None));
}

#[test]
fn case_19_an_end_that_only_the_connection_shows_is_said_to_be_so() {
    assert_eq!(head(200, &[], None).unwrap().framing, Framing::Close);
    // The range promises where the body ends.
    let promise = head(206, &[("content-range", "bytes 4-8/9")], Some(4)).unwrap();
    assert_eq!((promise.framing, promise.end), (Framing::Length, Some(9)));
}

#[test]
fn case_20_a_head_that_contradicts_itself_is_no_answer() {
    let bad = Err(Verdict::retry(Why::BadResponse));
    for lines in [
        vec![("content-length", "-1")],
        vec![("content-length", "+9")],
        vec![("content-length", "")],
        vec![("content-length", "9x")],
        vec![("content-length", "99999999999999999999999")],
        vec![("content-length", "9"), ("content-length", "8")],
        vec![("content-length", "9, 8")],
        vec![("transfer-encoding", "gzip, chunked")],
        vec![("content-length", "9"), ("transfer-encoding", "gzip, chunked")],
        vec![("transfer-encoding", "chunked, chunked")],
        vec![("transfer-encoding", "gzip")],
        vec![("transfer-encoding", "")],
    ] {
        assert_eq!(head(200, &lines, None), bad, "{lines:?}");
    }
    assert_eq!(head(200, &[("content-length", "9"), ("content-length", "9")], None).unwrap().total, Some(9));
    let short = [("content-range", "bytes 4-8/9"), ("content-length", "4")];
    assert_eq!(head(206, &short, Some(4)), Err(Verdict::retry(Why::WrongLength)));
}

#[test]
fn case_21_a_200_to_a_range_starts_at_nought() {
    let promise = head(200, &[("content-length", "9")], Some(4)).unwrap();
    assert_eq!((promise.start, promise.total), (0, Some(9)));
}

#[test]
fn case_21_a_206_must_be_the_range_that_was_asked_for() {
    let wrong = Err(Verdict::retry(Why::WrongRange));
    let start = |lines: &[(&'static str, &str)], from| head(206, lines, from).map(|promise| promise.start);
    for (range, from, expected) in [
        ("bytes 4-8/9", Some(4), Ok(4)),
        ("BYTES 4-8/9", Some(4), Ok(4)),
        ("bytes 4-6/9", Some(4), Ok(4)),
        ("bytes 3-8/9", Some(4), wrong),
        ("bytes 0-8/9", Some(4), wrong),
        ("bytes 4-8/*", Some(4), Err(Verdict::Changed)),
        ("bytes 4-8", Some(4), wrong),
        ("bytes */9", Some(4), wrong),
        ("bytes 4-9/9", Some(4), wrong),
        ("bytes 4-3/9", Some(4), wrong),
        ("bytes 4-18446744073709551615/*", Some(4), wrong),
        ("items 4-8/9", Some(4), wrong),
        ("bytes +4-8/9", Some(4), wrong),
        ("bytes -8/9", Some(4), wrong),
        ("", Some(4), wrong),
        ("bytes 0-8/9", None, Ok(0)),
        ("bytes 0-7/9", None, wrong),
        ("bytes 0-8/*", None, wrong),
        ("bytes 4-8/9", None, wrong),
    ] {
        assert_eq!(start(&[("content-range", range)], from), expected, "{range:?} {from:?}");
    }
    let doubled = [("content-range", "bytes 4-8/9"), ("content-range", "bytes 4-8/9")];
    assert_eq!(start(&doubled, Some(4)), wrong);
    assert_eq!(start(&[("content-type", "multipart/byteranges")], Some(4)), wrong);
}

#[test]
fn case_22_a_range_that_is_not_there_any_more_means_another_version() {
    assert_eq!(head(416, &[("content-range", "bytes */3")], Some(4)), Err(Verdict::Changed));
}

#[test]
fn case_10_encoded_bytes_are_rejected() {
    for coding in ["gzip", "br", "identity, gzip", "GZIP", "x-gzip", "zstd", "deflate", "compress", "aws-chunked,gzip"]
    {
        for (status, from) in [(200, None), (206, Some(4))] {
            let lines = [("content-encoding", coding), ("content-range", "bytes 4-8/9")];
            assert_eq!(head(status, &lines, from), Err(Verdict::Rejected(Why::Encoded)), "{coding}");
        }
    }
}

#[test]
fn k02_a_token_that_names_no_coding_of_the_bytes_is_passed_over() {
    for coding in [
        "aws-chunked",
        "Identity",
        "utf-8",
        "UTF-8",
        "binary",
        "none",
        "",
        ",",
        "null",
        "video/mp4",
        "aws-chunked,identity",
    ] {
        assert!(head(200, &[("content-encoding", coding)], None).is_ok(), "{coding:?}");
    }
    let several = [("content-encoding", "aws-chunked"), ("content-encoding", "br")];
    assert_eq!(head(200, &several, None), Err(Verdict::Rejected(Why::Encoded)));
}

#[test]
fn k04_what_may_be_the_ranges_fault_is_worth_a_plain_request() {
    for status in [400, 401, 403, 404, 405, 410, 416] {
        assert!(head(status, &[], Some(4)).unwrap_err().blames_the_range(false), "{status}");
    }
    for status in [429, 500, 501, 503] {
        let verdict = head(status, &[], Some(4)).unwrap_err();
        assert!(!verdict.blames_the_range(false) && verdict.blames_the_range(true), "{status}");
    }
    assert!(!Verdict::Rejected(Why::ForbiddenAddress).blames_the_range(true));
}
