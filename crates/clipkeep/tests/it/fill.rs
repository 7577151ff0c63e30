//! Cases 19-25 and 28: hostile and broken sources, each with its exact outcome.

use std::process::Command;

use clipkeep_core::{generation::Clip, state::ClipState};
use fal_sim::{Fault, Faults, Media};

use crate::support::app::TestApp;

/// Less than the first request asks for.
const LEN: u64 = 500_000;

struct Told {
    t: TestApp,
    clip: Clip,
    source: String,
    media: Media,
}

/// A clip behind these faults, once it is in `state`.
async fn told(faults: Faults, state: ClipState) -> Told {
    let t = TestApp::with(&[
        ("not_found_attempts", "3".to_owned()),
        ("max_clip_size", "4MB".to_owned()),
        ("source_stall_timeout", "2s".to_owned()),
    ])
    .await;
    let media = Media::padded(LEN, 11);
    let source = t.sim.add_faulty_file("a.mp4", media.clone(), faults);
    assert_eq!(t.hook("c", &source, "").await.status(), 200);
    let clip = t.until("c.mp4", state).await;
    Told { t, clip, source, media }
}

/// Stored, with the right bytes.
async fn stored(faults: Faults) -> Told {
    let told = told(faults, ClipState::Stored).await;
    assert_eq!(told.clip.sealed.as_ref().unwrap().sha256, told.media.sha256());
    told
}

fn fault(change: impl FnOnce(&mut Fault)) -> Fault {
    let mut fault = Fault::default();
    change(&mut fault);
    fault
}

#[tokio::test(flavor = "multi_thread")]
async fn case_19_a_dropped_connection_resumes_with_if_range() {
    let told = stored(Faults::first(1, Fault::cut_at(LEN * 9 / 10))).await;
    let requests = told.t.sim.requests_for(&told.source);
    assert_eq!(requests.len(), 2);
    let range = requests[1].header("range").unwrap();
    let from: u64 = range.strip_prefix("bytes=").unwrap().split('-').next().unwrap().parse().unwrap();
    assert!(from > LEN * 8 / 10 && from <= LEN * 9 / 10, "{range}");
    assert!(requests[1].header("if-range").unwrap().starts_with('"'));
    assert_eq!(requests[0].header("accept-encoding"), Some("identity"));
    assert!(told.t.sim.bytes_served(&told.source) as f64 <= LEN as f64 * 1.05);
    assert_eq!(told.clip.attempts, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_19_cuts_without_a_length_are_never_stored_as_whole() {
    for fault in [
        fault(|f| (f.chunked, f.cut_at) = (true, Some(LEN / 2))),
        fault(|f| (f.close_delimited, f.cut_at) = (true, Some(LEN / 2))),
    ] {
        stored(Faults::first(1, fault)).await;
    }
    stored(Faults::always(fault(|f| f.chunked = true))).await;
    stored(Faults::always(fault(|f| (f.close_delimited, f.no_ranges) = (true, true)))).await;
}

/// Each attempt waits longer than the one before, which spares the source and us.
#[tokio::test(flavor = "multi_thread")]
async fn case_19_a_source_that_never_ends_and_has_no_ranges_is_read_twice_an_attempt() {
    let cut = || fault(|f| (f.no_ranges, f.cut_at) = (true, Some(LEN * 9 / 10)));
    let nameless = || Fault { etag: Some(String::new()), no_last_modified: true, ..cut() };
    let lying = || Fault { content_length: Some("600000".to_owned()), cut_at: None, ..cut() };
    for broken in [cut(), nameless(), lying()] {
        let then = fault(|f| f.no_ranges = true);
        let told = stored(Faults { first: vec![broken.clone(); 4], then }).await;
        // Once more might have brought the rest.
        let (requests, attempts) = (told.t.sim.requests_for(&told.source).len(), told.clip.attempts as usize);
        assert!(requests <= attempts * 2, "{requests} requests in {attempts} attempts: {broken:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_20_lies_about_the_length_are_not_believed() {
    let lie = |length: &str| Faults::first(1, fault(|f| f.content_length = Some(length.to_owned())));
    for length in ["1000", "500005", "-5", "500000, 17"] {
        stored(lie(length)).await;
    }
    stored(Faults::first(1, fault(|f| f.extra = 5000))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_21_answers_to_a_resumption_that_do_not_fit_are_not_spliced() {
    for second in [
        fault(|f| f.no_ranges = true),
        fault(|f| f.range_shift = 7),
        fault(|f| f.content_range = Some(String::new())),
        fault(|f| f.content_range = Some(format!("bytes 0-5/{LEN}"))),
        fault(|f| f.content_range = Some("bytes 250000-499999/9999999".to_owned())),
    ] {
        let first = vec![Fault::cut_at(LEN / 2), second];
        stored(Faults { first, then: Fault::default() }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_22_i05_bytes_of_two_versions_never_mix() {
    let t = TestApp::start().await;
    let (old, new) = (Media::padded(LEN, 1), Media::padded(LEN, 2));
    let source = t.sim.add_faulty_file("a.mp4", old, Faults::always(Fault::stall_at(LEN / 2)));
    t.hook("c", &source, "").await;
    while t.sim.bytes_served(&source) < LEN / 2 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // The same URL now has other bytes of the same length, under another ETag.
    let path = t.sim.add_file("b.mp4", new.clone());
    t.sim.set_faults(&source, Faults::always(Fault::redirect(path)));
    let clip = t.until("c.mp4", ClipState::Stored).await;
    assert_eq!(clip.sealed.unwrap().sha256, new.sha256());
    assert!(clip.epoch > 1, "a new version has a new ETag");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_23_gone_is_lost_after_its_retries_and_not_before() {
    for status in [403, 404, 410] {
        let told = told(Faults::always(Fault::status(status)), ClipState::Lost).await;
        assert_eq!(told.clip.attempts, 3, "{status}");
        assert!(told.clip.last_error.unwrap().contains(&status.to_string()));
        let history = told.t.app.catalog.history(&told.clip.key).await.unwrap();
        assert_eq!(history.last().unwrap().event, "lost");
    }
    told(Faults::always(Fault::page("video/mp4", "")), ClipState::Lost).await;
    stored(Faults::first(2, Fault::status(404))).await;
    // An outage before it does not count against the source.
    let outage = [503, 503, 503, 404, 404].map(Fault::status).to_vec();
    stored(Faults { first: outage, then: Fault::default() }).await;
    stored(Faults::first(3, Fault::status(500))).await;
    let patient = Fault { retry_after: Some("1".into()), ..Fault::status(429) };
    let began = tokio::time::Instant::now();
    stored(Faults::first(1, patient)).await;
    assert!(began.elapsed().as_millis() >= 1000, "Retry-After is honoured");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_23_a_lost_clip_leaves_nothing_on_the_disk() {
    let told = told(Faults { first: vec![Fault::cut_at(LEN / 2)], then: Fault::status(404) }, ClipState::Lost).await;
    let partials = told.t.data.path().join("partials");
    let began = tokio::time::Instant::now();
    while partials.read_dir().unwrap().count() > 0 {
        assert!(
            began.elapsed() < crate::support::eventually::PATIENCE,
            "{:?}",
            partials.read_dir().unwrap().collect::<Vec<_>>()
        );
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_23_what_is_no_media_is_rejected() {
    for (what, fault) in [
        ("a page", Fault::page("text/html", "<!DOCTYPE html><html>expired</html>")),
        ("json", Fault::page("video/mp4", "{\"detail\": \"not found\"}")),
        ("text", Fault::page("video/mp4", "hello, this is no video at all, only some words")),
        ("gzip", fault(|f| f.content_encoding = Some("gzip".to_owned()))),
        ("too large", fault(|f| (f.no_ranges, f.chunked, f.extra) = (true, true, 5_000_000))),
    ] {
        let told = told(Faults::always(fault), ClipState::Rejected).await;
        assert!(told.clip.last_error.is_some(), "{what}");
        let answer = told.t.client.get(told.t.link("c.mp4")).send().await.unwrap();
        assert_eq!(answer.status(), 410, "{what}");
    }
    let told = stored(Faults::always(fault(|f| f.content_type = Some("application/octet-stream".to_owned())))).await;
    assert_eq!(told.clip.sealed.unwrap().media.content_type, "video/mp4");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_24_slow_beginnings_are_waited_for_and_stalls_are_not() {
    stored(Faults::always(fault(|f| f.delay_ms = 700))).await;
    let told = stored(Faults::first(1, Fault::stall_at(LEN * 99 / 100))).await;
    assert!(told.t.sim.bytes_served(&told.source) as f64 <= LEN as f64 * 1.02);
    stored(Faults::first(1, Fault::rate(100))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_25_redirects_are_followed_only_to_where_requests_may_go() {
    let t = TestApp::with(&[("not_found_attempts", "1".to_owned())]).await;
    let good = t.sim.add_file("good.mp4", Media::named("silent.mp4"));
    let relative = good.replace(&t.sim.media_url(), "");
    let hop =
        |to: String| t.sim.add_faulty_file("a.mp4", Media::named("silent.mp4"), Faults::always(Fault::redirect(to)));
    for (id, to, state) in [
        ("absolute", good.clone(), ClipState::Stored),
        ("relative", relative, ClipState::Stored),
        ("two-hops", hop(good), ClipState::Stored),
        ("metadata", "http://169.254.169.254/latest".to_owned(), ClipState::Lost),
        ("other-host", "http://localhost/x.mp4".to_owned(), ClipState::Lost),
        ("file", "file:///etc/passwd".to_owned(), ClipState::Lost),
    ] {
        t.hook(id, &hop(to), "").await;
        t.until(&format!("{id}.mp4"), state).await;
    }
    let looping = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    t.sim.set_faults(&looping, Faults::always(Fault::redirect(looping.clone())));
    t.hook("loop", &looping, "").await;
    t.until("loop.mp4", ClipState::Lost).await;
    assert!(t.sim.requests_for(&looping).len() <= 6);
    t.hook("refused", "https://evil.example/x.mp4", "").await;
    t.until("refused.mp4", ClipState::Rejected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_28_floods_before_the_body_end_in_a_retry() {
    let huge = fault(|f| f.headers = (0..300).map(|n| (format!("x-{n}"), "a".repeat(4000))).collect());
    stored(Faults::first(1, huge)).await;
    stored(Faults::first(1, fault(|f| f.continues = 5))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn media_facts_are_those_that_ffprobe_tells() {
    let t = TestApp::start().await;
    for name in ["moov-first.mp4", "moov-last.mp4", "silent.mp4", "fragmented.mp4", "clip.webm", "portrait.mov"] {
        let (id, media) = (name.replace('.', "-"), Media::named(name));
        let source = t.sim.add_file(name, media.clone());
        let payload = serde_json::json!({"video": {"url": source, "content_type": media.content_type}});
        t.hook_payload(&id, &payload, "").await;
        let key = format!("{id}.{}", name.rsplit_once('.').unwrap().1);
        let sealed = t.until(&key, ClipState::Stored).await.sealed.unwrap();
        let object = t.data.path().join("clips").join(&key);
        assert_eq!(std::fs::read(&object).unwrap(), media.chunk(0..media.len()));
        let probe = Command::new("ffprobe")
            .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "format=duration:stream=width,height"])
            .args(["-of", "csv=p=0"])
            .arg(&object)
            .output()
            .expect("ffprobe (package ffmpeg)");
        let text = String::from_utf8(probe.stdout).unwrap();
        let numbers: Vec<f64> = text.split([',', '\n']).filter_map(|n| n.trim().parse().ok()).collect();
        let [width, height, duration] = numbers[..] else { panic!("{name}: {text}") };
        assert!((sealed.media.duration.unwrap() - duration).abs() < 0.05, "{name}: {:?} {duration}", sealed.media);
        assert_eq!(sealed.media.width.map(f64::from), Some(width), "{name}");
        assert_eq!(sealed.media.height.map(f64::from), Some(height), "{name}");
    }
}
