//! Every fault of a source, met at the first request and in the middle of a
//! fill, by a source that gives pieces and by one that does not, with a viewer
//! attached: what he gets, and what becomes of the clip.

use clipkeep_core::state::ClipState;
use fal_sim::{Fault, Faults, Media};

use crate::{
    cold::{all, served},
    support::app::TestApp,
};

const LEN: u64 = 3_000_000;

/// What a viewer of the whole clip gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gets {
    /// All of it, right.
    Whole,
    /// Less than all of it, right as far as it goes, and he can tell.
    Broken,
    /// An answer with this status.
    Status(u16),
}
use Gets::{Broken, Status, Whole};

/// What a viewer got, and how the clip ended.
async fn outcome(faults: Faults, plain_order: bool) -> Outcome {
    let t = TestApp::with(&[
        ("gone_attempts", "2".to_owned()),
        ("source_stall_timeout", "300ms".to_owned()),
        ("source_first_byte_timeout", "500ms".to_owned()),
    ])
    .await;
    let media = Media::padded_slow_start(LEN, 1);
    let source = t.sim.add_faulty_file("a.mp4", media.clone(), faults);
    t.hook("c", &source, "?policy=on_demand").await;
    let expected = if plain_order { all(&media) } else { served(&all(&media)) };
    let mut response = t.client.get(t.link("c.mp4")).send().await.unwrap();
    let gets = if response.status() == 200 {
        let mut got = Vec::new();
        let ended = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => got.extend_from_slice(&chunk),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        assert!(expected.starts_with(&got), "wrong bytes");
        assert_eq!(ended, got.len() as u64 == LEN, "{} bytes and a clean end: {ended}", got.len());
        if ended { Whole } else { Broken }
    } else {
        Status(response.status().as_u16())
    };
    let began = tokio::time::Instant::now();
    let clip = loop {
        let clip = t.app.catalog.clip(&"c.mp4".parse().unwrap()).await.unwrap().unwrap();
        if matches!(clip.state, ClipState::Stored | ClipState::Lost | ClipState::Rejected) {
            break clip;
        }
        assert!(began.elapsed().as_secs() < 30, "{clip:?}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    if clip.state == ClipState::Stored {
        assert_eq!(t.app.store.hash(clip.object()).await.unwrap().sha256, media.sha256());
        assert_eq!(clip.sealed.unwrap().sha256, media.sha256());
    }
    (gets, clip.state, clip.epoch)
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

/// The fault at the fourth request, which the first three (two pieces and the
/// `moov`) come before: the viewer has his first bytes by then.
fn mid(mut fault: Fault) -> Faults {
    fault.delay_ms = fault.delay_ms.max(300);
    let ok = Fault::rate(2_000_000);
    Faults { first: vec![ok.clone(), ok.clone(), ok, fault], then: Fault::default() }
}

/// A source without pieces: cut in the middle, then the fault.
fn plain_mid(fault: Fault) -> Faults {
    let cut = Fault { no_ranges: true, ..Fault::cut_at(LEN / 2) };
    let fault = Fault { no_ranges: true, ..fault };
    Faults { first: vec![cut, fault], then: Fault { no_ranges: true, ..Fault::default() } }
}

/// What the viewer got, how the clip ended, and in which epoch.
type Outcome = (Gets, ClipState, i64);

async fn check(rows: Vec<(&str, Faults, bool, Outcome)>) {
    let rows = rows.into_iter().map(|(what, faults, plain_order, expected)| async move {
        (what, tokio::spawn(outcome(faults, plain_order)).await.map_err(|error| error.to_string()), expected)
    });
    let mut wrong = Vec::new();
    for (what, told, expected) in futures_util::future::join_all(rows).await {
        if told.as_ref() != Ok(&expected) {
            wrong.push(format!("{what}: {told:?}, expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

const STORED: ClipState = ClipState::Stored;

#[tokio::test(flavor = "multi_thread")]
async fn cases_19_to_24_at_the_first_request_of_a_source_with_pieces() {
    check(vec![
        ("cut", cold(Fault::cut_at(200_000)), false, (Whole, STORED, 1)),
        ("stall", cold(Fault::stall_at(200_000)), false, (Whole, STORED, 1)),
        ("late", cold(fault(|f| f.delay_ms = 300)), false, (Whole, STORED, 1)),
        ("never", cold(fault(|f| f.delay_ms = 60_000)), false, (Status(503), STORED, 1)),
        ("404", cold(Fault::status(404)), false, (Status(503), STORED, 1)),
        ("429", cold(Fault::status(429)), false, (Status(503), STORED, 1)),
        ("503", cold(Fault::status(503)), false, (Status(503), STORED, 1)),
        ("410 for ever", Faults::always(Fault::status(410)), false, (Status(503), ClipState::Lost, 1)),
        ("page", cold(page()), false, (Status(410), ClipState::Rejected, 1)),
        (
            "gzip",
            cold(fault(|f| f.content_encoding = Some("gzip".into()))),
            false,
            (Status(410), ClipState::Rejected, 1),
        ),
        ("shifted", cold(fault(|f| f.range_shift = 7)), false, (Status(503), STORED, 1)),
        ("no Content-Range", cold(fault(|f| f.content_range = Some(String::new()))), false, (Status(503), STORED, 1)),
        ("no total", cold(fault(|f| f.content_range = Some("bytes 0-524287/*".into()))), true, (Whole, STORED, 1)),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_19_to_24_in_the_middle_of_a_source_with_pieces() {
    check(vec![
        ("cut", mid(Fault::cut_at(1_300_000)), false, (Whole, STORED, 1)),
        ("stall", mid(Fault::stall_at(1_300_000)), false, (Whole, STORED, 1)),
        ("late", mid(fault(|f| f.delay_ms = 300)), false, (Whole, STORED, 1)),
        ("never", mid(fault(|f| f.delay_ms = 60_000)), false, (Whole, STORED, 1)),
        ("429", mid(Fault { retry_after: Some("1".into()), ..Fault::status(429) }), false, (Whole, STORED, 1)),
        ("503", mid(Fault::status(503)), false, (Whole, STORED, 1)),
        ("404", mid(Fault::status(404)), false, (Broken, STORED, 1)),
        ("page", mid(page()), false, (Broken, STORED, 2)),
        ("no pieces any more", mid(fault(|f| f.no_ranges = true)), false, (Whole, STORED, 1)),
        ("other ETag", mid(fault(|f| f.etag = Some("\"other\"".into()))), false, (Broken, STORED, 2)),
        ("shifted", mid(fault(|f| f.range_shift = 7)), false, (Whole, STORED, 1)),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_19_to_24_of_a_source_without_pieces() {
    let always = |change: fn(&mut Fault)| {
        Faults::always(fault(|f| {
            f.no_ranges = true;
            change(f);
        }))
    };
    check(vec![
        ("chunked", always(|f| f.chunked = true), true, (Whole, STORED, 1)),
        ("cut", plain_mid(Fault::default()), true, (Whole, STORED, 1)),
        ("cut, then 503", plain_mid(Fault::status(503)), true, (Whole, STORED, 1)),
        ("cut, then late", plain_mid(fault(|f| f.delay_ms = 300)), true, (Whole, STORED, 1)),
        ("cut, then 404", plain_mid(Fault::status(404)), true, (Broken, STORED, 1)),
        ("cut, then a page", plain_mid(page()), true, (Broken, ClipState::Rejected, 2)),
        (
            "cut, then another version",
            plain_mid(fault(|f| f.etag = Some("\"other\"".into()))),
            true,
            (Broken, STORED, 2),
        ),
        (
            "no validators, cut",
            Faults {
                first: vec![Fault {
                    no_ranges: true,
                    etag: Some(String::new()),
                    no_last_modified: true,
                    ..Fault::cut_at(LEN / 2)
                }],
                then: fault(|f| {
                    f.no_ranges = true;
                    f.etag = Some(String::new());
                    f.no_last_modified = true;
                }),
            },
            true,
            (Broken, STORED, 2),
        ),
        ("404", cold(Fault { no_ranges: true, ..Fault::status(404) }), false, (Status(503), STORED, 1)),
        ("page for ever", Faults::always(page()), true, (Status(410), ClipState::Rejected, 1)),
    ])
    .await;
}
