use std::time::Duration;

use super::*;
use crate::delivery::header::{CacheStatus, attachment, server_timing, write_common, write_preflight};

fn disposition(name: &str) -> String {
    attachment(name, &"019f6af7.mp4".parse().unwrap()).to_str().unwrap().to_owned()
}

#[test]
fn caching_is_bounded_by_the_link() {
    let signed = |secs| Caching::Signed { expires: Timestamp::from_secs(secs) }.value(NOW);
    assert_eq!(signed(NOW.secs() + 90), "private, max-age=90, immutable");
    assert_eq!(signed(NOW.secs() - 1), "private, max-age=0, immutable");
    assert_eq!(signed(i64::MAX), "private, max-age=31536000, immutable");
    assert_eq!(Caching::Public.value(NOW), "public, max-age=31536000, immutable");
}

#[test]
fn cache_status_is_what_rfc_9211_says() {
    assert_eq!(CacheStatus::Hit.value(), "clipkeep; hit");
    assert_eq!(CacheStatus::Miss.value(), "clipkeep; fwd=miss");
    assert_eq!(CacheStatus::Collapsed.value(), "clipkeep; fwd=miss; collapsed");
}

#[test]
fn server_timing_lists_phases_in_milliseconds() {
    let phases = [("link", Duration::from_micros(140)), ("catalog", Duration::from_millis(12))];
    assert_eq!(server_timing(&phases), "link;dur=0.1, catalog;dur=12.0");
}

#[test]
fn every_answer_may_be_embedded_and_is_not_sniffed() {
    let mut headers = HeaderMap::new();
    write_common(&mut headers);
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["cross-origin-resource-policy"], "cross-origin");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    for name in ["Content-Length", "Content-Range", "ETag", "Accept-Ranges", "Cache-Status", "Server-Timing"] {
        assert!(headers["access-control-expose-headers"].to_str().unwrap().contains(name), "{name}");
    }
    write_preflight(&mut headers);
}

#[test]
fn h41_players_and_tracing_libraries_may_send_what_they_send() {
    let mut headers = HeaderMap::new();
    write_preflight(&mut headers);
    let allowed: Vec<_> = headers["access-control-allow-headers"].to_str().unwrap().split(", ").collect();
    for name in [
        "Range",
        "If-Range",
        "If-None-Match",
        "traceparent",
        "tracestate",
        "baggage",
        "sentry-trace",
        "b3",
        "X-B3-TraceId",
        "X-Datadog-Trace-Id",
        "newrelic",
        "Request-Id",
        "*",
    ] {
        assert!(allowed.contains(&name), "{name}");
    }
    assert!(allowed.iter().all(|name| http::HeaderName::try_from(*name).is_ok()), "{allowed:?}");
}

#[test]
fn case_46_plain_names_are_sent_plainly() {
    assert_eq!(disposition("my clip.mp4"), "attachment; filename=\"my clip.mp4\"");
    assert_eq!(disposition("雨 é.mp4"), "attachment; filename=\"_ _.mp4\"; filename*=UTF-8''%E9%9B%A8%20%C3%A9.mp4");
    assert_eq!(disposition("50%.mp4"), "attachment; filename=\"50_.mp4\"; filename*=UTF-8''50%25.mp4");
}

#[test]
fn case_46_hostile_names_are_made_safe() {
    for (hostile, safe) in [
        ("a\r\nSet-Cookie: x=1.mp4", "aSet-Cookie x=1.mp4"),
        ("a\0\u{7f}\u{85}b.mp4", "ab.mp4"),
        ("clip\u{202e}4pm.exe", "clip4pm.exe"),
        ("\u{2066}a\u{2069}\u{200f}\u{feff}.mp4", "a.mp4"),
        ("../../etc/passwd", "etcpasswd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("C:\\a.mp4", "Ca.mp4"),
        ("a\".mp4\"; filename=\"b.exe", "a.mp4 filename=b.exe"),
        (" .hidden. ", "hidden"),
        ("/", "019f6af7.mp4"),
        ("...", "019f6af7.mp4"),
        ("\u{202e}\r\n", "019f6af7.mp4"),
        ("", "019f6af7.mp4"),
    ] {
        assert_eq!(disposition(hostile), format!("attachment; filename=\"{safe}\""), "{hostile:?}");
    }
}

#[test]
fn case_46_long_names_are_cut_and_keep_their_ending() {
    let plain = disposition(&format!("{}.mp4", "a".repeat(4096)));
    assert_eq!(plain, format!("attachment; filename=\"{}.mp4\"", "a".repeat(196)));
    let wide = disposition(&format!("{}.mp4", "雨".repeat(4096)));
    assert!(wide.ends_with(".mp4") && wide.contains(&"_".repeat(65)) && !wide.contains(&"_".repeat(66)), "{wide}");
    let no_ending = disposition(&"a".repeat(4096));
    assert_eq!(no_ending, format!("attachment; filename=\"{}\"", "a".repeat(200)));
}

#[test]
fn only_media_types_are_passed_on() {
    for (given, sent) in [
        ("video/mp4", "video/mp4"),
        ("Video/MP4; codecs=\"avc1\"", "video/mp4"),
        ("audio/x-m4a", "audio/x-m4a"),
        ("image/webp", "image/webp"),
        ("image/svg+xml", "image/svg+xml"),
        ("model/gltf-binary", "model/gltf-binary"),
        ("application/zip", "application/zip"),
        ("application/javascript", "application/octet-stream"),
        ("text/html", "application/octet-stream"),
        ("video/mp4, text/html", "application/octet-stream"),
        ("video/", "application/octet-stream"),
        ("video/mp4\r\nx: y", "application/octet-stream"),
        ("", "application/octet-stream"),
    ] {
        assert_eq!(Representation::new(1, tag(1), NOW, given).content_type(), sent, "{given:?}");
    }
}
