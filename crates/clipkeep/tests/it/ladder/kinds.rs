//! Each kind of stubbornness by itself.

use std::time::Duration;

use clipkeep_core::state::ClipState;
use fal_sim::{Fault, Faults, Media, Source};

use super::{Stubborn, slow};
use crate::{
    matrix::{Broken, Status, Whole},
    support::eventually::eventually,
};

const LEN: u64 = 2_000_000;

fn slow_start() -> Media {
    Media::padded_slow_start(LEN, 3)
}

#[tokio::test(flavor = "multi_thread")]
async fn k02_plain_bytes_under_a_token_that_is_no_coding_are_kept() {
    for token in ["aws-chunked", "utf-8", "binary, none", "", "aws-chunked,identity"] {
        let fault = Fault { content_encoding: Some(token.to_owned()), ..Fault::default() };
        let clip = Stubborn::new(slow_start(), Faults::always(fault), Source::default()).await;
        assert_eq!(clip.viewed().await, Whole, "{token:?}");
        clip.stored(1.02).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k03_validators_that_differ_per_answer_cost_neither_the_clip_nor_its_viewers() {
    let text = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let (monday, second) = ("Mon, 03 Aug 2026 10:00:00 GMT", "Mon, 03 Aug 2026 10:00:01 GMT");
    let no_tag = Fault { etag: Some(String::new()), ..Fault::rate(1_000_000) };
    for (what, faults, source) in [
        ("two edges", slow(1_000_000), Source { etags: text(&["\"a\"", "\"b\""]), ..Source::default() }),
        ("three edges", slow(1_000_000), Source { etags: text(&["\"a\"", "\"b\"", "\"c\""]), ..Source::default() }),
        ("each its own", slow(1_000_000), Source { etag_per_answer: true, ..Source::default() }),
        ("weak tags", slow(1_000_000), Source { etags: text(&["W/\"a\"", "W/\"b\""]), ..Source::default() }),
        ("dates", Faults::always(no_tag), Source { dates: text(&[monday, second]), ..Source::default() }),
    ] {
        let clip = Stubborn::new(slow_start(), faults, source).await;
        assert_eq!(clip.viewed().await, Whole, "{what}");
        let clip = clip.stored(1.1).await;
        assert_eq!((clip.epoch, clip.attempts), (1, 1), "{what}");
    }
}

/// A piece that turns out to be of another version is let go. It is asked for
/// so that no more than the piece can be on its way by then, however long that
/// takes.
#[tokio::test(flavor = "multi_thread")]
async fn k03_a_piece_of_another_version_costs_no_more_than_the_piece() {
    let source = Source { etag_per_answer: true, ..Source::default() };
    let clip = Stubborn::new(slow_start(), slow(1_000_000), source).await;
    assert_eq!(clip.viewed().await, Whole);
    clip.stored(1.05).await;
    let requests = clip.t.sim.requests_for(&clip.url);
    let pieces: Vec<_> = requests.iter().filter(|request| request.header("range").is_some()).collect();
    assert_eq!(pieces.len(), 1, "{requests:#?}");
    assert_eq!((pieces[0].status, pieces[0].header("if-range")), (206, None));
}

/// A date that differs by a second says nothing where the strong ETag is the
/// same: what broke off is gone on with.
#[tokio::test(flavor = "multi_thread")]
async fn k03_equal_strong_etags_are_one_version_whatever_the_dates_say() {
    let dates = ["Mon, 03 Aug 2026 10:00:00 GMT", "Mon, 03 Aug 2026 10:00:01 GMT"].map(str::to_owned).to_vec();
    let source = Source { dates, ..Source::default() };
    let clip = Stubborn::new(Media::padded(LEN, 1), Faults::first(1, Fault::cut_at(LEN / 2)), source).await;
    assert_eq!(clip.viewed().await, Whole);
    assert_eq!(clip.stored(1.02).await.epoch, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn k03_a_source_that_never_gives_all_of_one_version_is_lost_after_lost_after() {
    let source = Source { etag_per_answer: true, ..Source::default() };
    let settings = [("not_found_attempts", "2"), ("lost_after", "1s"), ("retry_max", "50ms")];
    let settings = settings.map(|(name, value)| (name, value.to_owned()));
    for cut in [LEN / 2, LEN - 10, 70_000] {
        let fault = Fault::cut_at(cut);
        let clip = Stubborn::with(slow_start(), Faults::always(fault), source.clone(), &settings).await;
        clip.fill();
        clip.t.until("c.mp4", ClipState::Lost).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k04_a_source_that_refuses_any_range_is_read_plainly() {
    for status in [400, 403, 405, 416, 501, 404, 503] {
        let refuses = |fault| Fault { range_status: Some(status), ..fault };
        let faults = Faults { first: vec![refuses(Fault::cut_at(LEN / 2))], then: refuses(Fault::default()) };
        let clip = Stubborn::new(slow_start(), faults, Source::default()).await;
        assert_eq!(clip.viewed().await, Whole, "{status}");
        let stored = clip.stored(1.6).await;
        assert_eq!((stored.epoch, stored.attempts), (1, 1), "{status}");
        let faults = Faults::always(refuses(Fault::rate(2_000_000)));
        let clip = Stubborn::new(slow_start(), faults, Source::default()).await;
        assert_eq!(clip.viewed().await, Whole, "{status}");
        clip.stored(1.02).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k05_a_second_connection_that_is_refused_leaves_the_first_alone() {
    for refusal in [403, 429, 503, 401, 0] {
        let source = Source { connections: Some(1), refusal: Some(refusal), ..Source::default() };
        let clip = Stubborn::new(slow_start(), slow(1_000_000), source).await;
        assert_eq!(clip.viewed().await, Whole, "{refusal}");
        let stored = clip.stored(1.02).await;
        assert_eq!((stored.epoch, stored.attempts), (1, 1), "{refusal}");
        assert!(clip.t.sim.requests_for(&clip.url).len() <= 2, "it is not asked again and again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k05_a_url_that_works_once_or_a_few_times_is_enough() {
    for uses in 1..=3 {
        let source = Source { uses: Some(uses), ..Source::default() };
        let clip = Stubborn::new(slow_start(), slow(700_000), source).await;
        let seek = |at: u64| {
            let request = clip.t.client.get(clip.t.link("c.mp4")).header("range", format!("bytes={at}-{}", at + 999));
            async move { request.send().await.unwrap().bytes().await.unwrap().len() }
        };
        let seeks = async { tokio::join!(seek(1_900_000), seek(1_500_000)) };
        let (viewed, sought) = tokio::join!(clip.viewed(), seeks);
        assert_eq!((viewed, sought), (Whole, (1000, 1000)), "{uses}");
        let stored = clip.stored(2.0).await;
        assert_eq!((stored.epoch, stored.attempts), (1, 1), "{uses}");
        // Without a viewer one use is all that it takes.
        let source = Source { uses: Some(1), ..Source::default() };
        let clip = Stubborn::new(slow_start(), slow(4_000_000), source).await;
        clip.fill();
        clip.stored(1.0).await;
    }
}

/// One that says nothing of ranges, one that lies about them, one that knows no
/// `If-Range`.
#[tokio::test(flavor = "multi_thread")]
async fn k05_what_a_source_says_of_its_ranges_is_not_relied_on() {
    let cut =
        |fault: &Fault| Faults { first: vec![Fault { cut_at: Some(LEN / 2), ..fault.clone() }], then: fault.clone() };
    let said = |said: &str| Fault { accept_ranges: Some(said.to_owned()), ..Fault::rate(2_000_000) };
    for (what, fault, most) in [
        ("silent", said(""), 1.02),
        ("none", said("none"), 1.02),
        ("odd", said("bytes, pages"), 1.02),
        ("says bytes, has none", Fault { no_ranges: true, ..said("bytes") }, 1.7),
        ("knows no If-Range", Fault { ignore_if_range: true, ..said("bytes") }, 1.1),
    ] {
        let clip = Stubborn::new(slow_start(), cut(&fault), Source::default()).await;
        assert_eq!(clip.viewed().await, Whole, "{what}");
        assert_eq!(clip.stored(most).await.epoch, 1, "{what}");
    }
    // Where the next answer is another version's, a range that is served all the
    // same is not joined to the old one.
    let other = Fault { ignore_if_range: true, etag: Some("\"other\"".to_owned()), ..Fault::default() };
    let faults = Faults { first: vec![Fault::cut_at(LEN / 2)], then: other };
    let clip = Stubborn::new(Media::padded(LEN, 1), faults, Source::default()).await;
    assert_eq!(clip.viewed().await, Broken);
    assert_eq!(clip.stored(2.0).await.epoch, 2);
}

/// A healthy source that is slow is asked over a second connection, too: its
/// clip is here in not much more than half the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_source_that_is_slow_is_asked_for_pieces_as_well() {
    let clip = Stubborn::new(Media::padded(LEN * 2, 1), slow(300_000), Source::default()).await;
    clip.fill();
    clip.stored(1.02).await;
    let requests = clip.t.sim.requests_for(&clip.url);
    assert!(requests[0].header("range").is_none(), "the first is for all of it");
    let ranged: Vec<_> = requests.iter().filter_map(|request| request.header("range")).collect();
    assert!(!ranged.is_empty() && ranged.len() <= 3, "{ranged:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_down_is_remembered_when_the_fill_goes_on_in_another_attempt() {
    let source = Source { connections: Some(1), refusal: Some(403), ..Source::default() };
    let settings = [("retry_base", "50ms".to_owned()), ("retry_max", "50ms".to_owned())];
    let cut = Fault { cut_at: Some(LEN / 2), ..Fault::rate(1_000_000) };
    let faults = Faults { first: vec![cut, Fault::status(404), Fault::status(404)], then: Fault::rate(1_000_000) };
    let clip = Stubborn::with(slow_start(), faults, source, &settings).await;
    assert!(matches!(clip.viewed().await, Broken | Status(503)));
    let stored = clip.stored(1.02).await;
    assert_eq!((stored.epoch, stored.attempts), (1, 2));
    // The first answer, a piece that was refused, the two that failed, the rest.
    assert_eq!(clip.t.sim.requests_for(&clip.url).len(), 5, "{:#?}", clip.t.sim.requests_for(&clip.url));
}

#[tokio::test(flavor = "multi_thread")]
async fn k03_a_changed_row_does_not_cost_a_url_that_works_once() {
    // Another version was served before, and its bytes are gone: the one answer
    // there is is kept under a new epoch, not asked for again.
    let clip = Stubborn::new(Media::padded(LEN, 1), Faults::always(Fault::cut_at(100_000)), Source::default()).await;
    let _ = clip.viewed().await;
    let key = "c.mp4".parse().unwrap();
    eventually("a version is known", || async {
        clip.t.app.catalog.clip(&key).await.unwrap().filter(|clip| clip.version.is_some()).map(|_| ())
    })
    .await;
    let (sim, data) = clip.t.stop().await;
    std::fs::remove_dir_all(data.path().join("partials")).unwrap();
    sim.set_faults(&clip.url, Faults::always(Fault { etag: Some("\"new\"".to_owned()), ..Fault::default() }));
    sim.set_source(&clip.url, Source { uses: Some(1), ..Source::default() });
    let t = crate::support::app::TestApp::on(sim, data, &[], &[]).await;
    let clip = Stubborn { t, ..clip };
    tokio::time::sleep(Duration::from_millis(1)).await;
    clip.fill();
    assert_eq!(clip.t.until("c.mp4", ClipState::Stored).await.epoch, 2);
}
