//! Every fault of a source, met at the first request and in the middle of a
//! fill, by a source that gives pieces and by one that does not, with a viewer
//! attached: what he gets, and what becomes of the clip.

use std::panic::AssertUnwindSafe;

use clipkeep_core::state::ClipState;
use fal_sim::{Fault, Faults, Media};
use futures_util::{FutureExt, StreamExt};
use reqwest::Response;

use crate::{
    cold::{all, served},
    support::{app::TestApp, eventually::eventually},
};

const LEN: u64 = 3_000_000;

/// What a viewer of the whole clip gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gets {
    /// All of it, right.
    Whole,
    /// Less than all of it, right as far as it goes, and he can tell.
    Broken,
    /// An answer with this status.
    Status(u16),
}
pub(crate) use Gets::{Broken, Status, Whole};

/// How long a source may keep silent in a row whose fault is that it does.
const IMPATIENT: &str = "4s";
/// So many nodes run at once.
const ROWS_AT_ONCE: usize = 4;

/// What a viewer got, and how the clip ended.
async fn outcome(media: Media, faults: Faults) -> Outcome {
    let is_silent = |fault: &Fault| fault.stall_at.is_some() || fault.delay_ms >= 60_000;
    let patience = if faults.first.iter().chain([&faults.then]).any(is_silent) { IMPATIENT } else { "60s" };
    let t = TestApp::with(&[
        ("not_found_attempts", "2".to_owned()),
        ("source_stall_timeout", patience.to_owned()),
        ("source_first_byte_timeout", patience.to_owned()),
    ])
    .await;
    let source = t.sim.add_faulty_file("a.mp4", media.clone(), faults);
    t.hook("c", &source, "?policy=on_demand").await;
    let response = t.client.get(t.link("c.mp4")).send().await.unwrap();
    t.sim.let_go(&source);
    let gets = gets(response, &media).await;
    let clip = eventually("the clip is over", || async {
        let clip = t.app.catalog.clip(&"c.mp4".parse().unwrap()).await.unwrap().unwrap();
        matches!(clip.state, ClipState::Stored | ClipState::Lost | ClipState::Rejected).then_some(clip)
    })
    .await;
    if clip.state == ClipState::Stored {
        assert_eq!(t.app.store.hash(clip.object()).await.unwrap().sha256, media.sha256());
        assert_eq!(clip.sealed.unwrap().sha256, media.sha256());
    }
    (gets, clip.state, clip.epoch)
}

/// What came of a request for the whole clip. Its `moov` may have been moved, or
/// not, if it could not be had in time.
pub(crate) async fn gets(mut response: Response, media: &Media) -> Gets {
    if response.status() != 200 {
        return Status(response.status().as_u16());
    }
    let mut got = Vec::new();
    let ended = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => got.extend_from_slice(&chunk),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    let plain = all(media);
    assert!(plain.starts_with(&got) || served(&plain).starts_with(&got), "wrong bytes");
    assert_eq!(ended, got.len() as u64 == media.len(), "{} bytes and a clean end: {ended}", got.len());
    if ended { Whole } else { Broken }
}

fn fault(change: impl FnOnce(&mut Fault)) -> Fault {
    let mut fault = Fault::default();
    change(&mut fault);
    fault
}

fn page() -> Fault {
    Fault::page("text/html", "<!DOCTYPE html><html>expired</html>")
}

/// The fault at the first request, once.
fn cold(fault: Fault) -> Faults {
    Faults::first(1, fault)
}

/// Breaks off in the middle, once the viewer has the head of his answer.
fn breaks_off() -> Fault {
    Fault { hold_at: Some(LEN / 2), ..Fault::cut_at(LEN / 2) }
}

/// The answer that is read on breaks off in the middle; these meet what asks
/// for the rest.
fn mid<const N: usize>(faults: [Fault; N]) -> Faults {
    let first = [breaks_off()].into_iter().chain(faults).collect();
    Faults { first, then: Fault::default() }
}

/// The same from a source without pieces.
fn plain_mid<const N: usize>(faults: [Fault; N]) -> Faults {
    let plain = |fault| Fault { no_ranges: true, ..fault };
    Faults { first: mid(faults).first.into_iter().map(plain).collect(), then: plain(Fault::default()) }
}

/// The answer that is read on is slow; this meets the piece that is asked for
/// beside it, where the `moov` is.
fn beside(fault: Fault) -> Faults {
    Faults { first: vec![Fault::rate(1_000_000), fault], then: Fault::default() }
}

/// What the viewer got, how the clip ended, and in which epoch.
type Outcome = (Gets, ClipState, i64);

async fn check(media: fn() -> Media, rows: Vec<(&str, Faults, Outcome)>) {
    let rows = rows.into_iter().map(|(what, faults, expected)| async move {
        (what, AssertUnwindSafe(outcome(media(), faults)).catch_unwind().await.map_err(|_| "panicked"), expected)
    });
    let told: Vec<_> = futures_util::stream::iter(rows).buffer_unordered(ROWS_AT_ONCE).collect().await;
    let wrong: Vec<_> = told.iter().filter(|(_, told, expected)| told.as_ref() != Ok(expected)).collect();
    assert!(wrong.is_empty(), "what, what came, what should: {wrong:#?}");
}

const STORED: ClipState = ClipState::Stored;

fn slow_start() -> Media {
    Media::padded_slow_start(LEN, 1)
}

fn fast_start() -> Media {
    Media::padded(LEN, 1)
}

fn other_tag() -> Fault {
    fault(|f| f.etag = Some("\"other\"".into()))
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_19_to_24_h54_at_the_first_request() {
    let rows = vec![
        ("cut", cold(Fault::cut_at(200_000)), (Whole, STORED, 1)),
        ("stall", cold(Fault::stall_at(200_000)), (Whole, STORED, 1)),
        ("late", cold(fault(|f| f.delay_ms = 300)), (Whole, STORED, 1)),
        ("never", cold(fault(|f| f.delay_ms = 3_600_000)), (Status(503), STORED, 1)),
        ("404", cold(Fault::status(404)), (Status(503), STORED, 1)),
        ("429", cold(Fault::status(429)), (Status(503), STORED, 1)),
        ("503", cold(Fault::status(503)), (Status(503), STORED, 1)),
        ("410 for ever", Faults::always(Fault::status(410)), (Status(503), ClipState::Lost, 1)),
        ("page", cold(page()), (Status(410), ClipState::Rejected, 1)),
        ("gzip", cold(fault(|f| f.content_encoding = Some("gzip".into()))), (Status(410), ClipState::Rejected, 1)),
        ("chunked", Faults::always(fault(|f| f.chunked = true)), (Whole, STORED, 1)),
        ("no ranges", Faults::always(fault(|f| f.no_ranges = true)), (Whole, STORED, 1)),
        ("no ranges, 404", cold(Fault { no_ranges: true, ..Fault::status(404) }), (Status(503), STORED, 1)),
        ("page for ever", Faults::always(page()), (Status(410), ClipState::Rejected, 1)),
    ];
    check(slow_start, rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_19_to_24_h54_at_a_piece_beside_a_slow_answer() {
    let rows = vec![
        ("cut", beside(Fault::cut_at(LEN - 100)), (Whole, STORED, 1)),
        ("late", beside(fault(|f| f.delay_ms = 300)), (Whole, STORED, 1)),
        ("429", beside(Fault { retry_after: Some("1".into()), ..Fault::status(429) }), (Whole, STORED, 1)),
        ("503", beside(Fault::status(503)), (Whole, STORED, 1)),
        ("404", beside(Fault::status(404)), (Whole, STORED, 1)),
        ("page", beside(page()), (Whole, STORED, 1)),
        ("no pieces after all", beside(fault(|f| f.no_ranges = true)), (Whole, STORED, 1)),
        ("other ETag", beside(other_tag()), (Whole, STORED, 1)),
        ("shifted", beside(fault(|f| f.range_shift = 7)), (Whole, STORED, 1)),
        ("no Content-Range", beside(fault(|f| f.content_range = Some(String::new()))), (Whole, STORED, 1)),
        ("no total", beside(fault(|f| f.content_range = Some("bytes 0-524287/*".into()))), (Whole, STORED, 1)),
    ];
    check(slow_start, rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_19_to_24_h54_in_the_middle_of_a_source_with_pieces() {
    let for_ever = |fault| Faults { first: vec![breaks_off()], then: fault };
    let rows = vec![
        ("cut", mid([Fault::cut_at(2_000_000)]), (Whole, STORED, 1)),
        ("stall", mid([Fault::stall_at(2_000_000)]), (Whole, STORED, 1)),
        ("late", mid([fault(|f| f.delay_ms = 300)]), (Whole, STORED, 1)),
        ("never", mid([fault(|f| f.delay_ms = 3_600_000)]), (Whole, STORED, 1)),
        ("429", mid([Fault { retry_after: Some("1".into()), ..Fault::status(429) }]), (Whole, STORED, 1)),
        ("503", mid([Fault::status(503)]), (Whole, STORED, 1)),
        ("404 to a range", mid([Fault::status(404)]), (Whole, STORED, 1)),
        ("404", mid([Fault::status(404), Fault::status(404)]), (Broken, STORED, 1)),
        ("page", mid([page()]), (Whole, STORED, 1)),
        ("pages", mid([page(), page(), page()]), (Broken, ClipState::Rejected, 2)),
        ("no pieces any more", mid([fault(|f| f.no_ranges = true)]), (Whole, STORED, 1)),
        ("other ETag", for_ever(other_tag()), (Broken, STORED, 2)),
        ("shifted", mid([fault(|f| f.range_shift = 7)]), (Whole, STORED, 1)),
        ("no total", mid([fault(|f| f.content_range = Some("bytes 1500000-2999999/*".into()))]), (Whole, STORED, 1)),
    ];
    check(fast_start, rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_19_to_24_h54_in_the_middle_of_a_source_without_pieces() {
    let bare = |fault: Fault| Fault { no_ranges: true, etag: Some(String::new()), no_last_modified: true, ..fault };
    let rows = vec![
        ("cut", plain_mid([]), (Whole, STORED, 1)),
        ("503", plain_mid([Fault::status(503)]), (Whole, STORED, 1)),
        ("late", plain_mid([fault(|f| f.delay_ms = 300)]), (Whole, STORED, 1)),
        ("404", plain_mid([Fault::status(404), Fault::status(404)]), (Broken, STORED, 1)),
        ("page", plain_mid([page()]), (Whole, STORED, 1)),
        ("other ETag", plain_mid([other_tag()]), (Broken, STORED, 2)),
        (
            "no validators",
            Faults { first: vec![bare(breaks_off())], then: bare(Fault::default()) },
            (Broken, STORED, 2),
        ),
    ];
    check(fast_start, rows).await;
}
