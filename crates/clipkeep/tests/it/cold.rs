//! Pattern three: a clip that is not here plays at once, and its first viewer's
//! bytes are the copy.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use clipkeep_core::{
    state::ClipState,
    view::{Movie, Piece, Scan, View, scan},
};
use fal_sim::{Fault, Faults, Media};
use futures_util::{StreamExt, future::join_all};
use reqwest::{Method, Response};

use crate::support::app::TestApp;

const MIB: u64 = 1 << 20;

/// The media's bytes.
pub(crate) fn all(media: &Media) -> Bytes {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < media.len() {
        bytes.extend_from_slice(&media.chunk(bytes.len() as u64..media.len()));
    }
    bytes.into()
}

/// The bytes that viewers get: `moov` first.
pub(crate) fn served(file: &Bytes) -> Bytes {
    let slice = |range: &Range<u64>| file.slice(range.start as usize..range.end as usize);
    let len = file.len() as u64;
    let Scan::Done(View::FastStart(fast)) = scan(len, |range| Some(slice(&range))) else { return file.clone() };
    let movie = Movie::moved(&fast, &slice(&fast.movie())).unwrap();
    let bytes = |piece| match piece {
        Piece::File(range) => slice(&range),
        Piece::Movie(range) => movie.bytes().slice(range.start as usize..range.end as usize),
    };
    fast.pieces(&(0..len), len).into_iter().flat_map(bytes).collect::<Vec<_>>().into()
}

/// A node with a clip that nobody fetched yet.
struct Cold {
    t: TestApp,
    media: Media,
    source: String,
    expected: Bytes,
}

impl Cold {
    async fn new(media: Media, faults: Faults) -> Self {
        Self::with(media, faults, &[]).await
    }

    async fn with(media: Media, faults: Faults, settings: &[(&'static str, String)]) -> Self {
        let t = TestApp::with(settings).await;
        let source = t.sim.add_faulty_file("a.mp4", media.clone(), faults);
        assert_eq!(t.hook("c", &source, "?policy=on_demand").await.status(), 200);
        let expected = served(&all(&media));
        assert_eq!(&expected[36..40], b"moov");
        Self { t, media, source, expected }
    }

    async fn get(&self, range: Option<Range<u64>>) -> Response {
        let mut request = self.t.client.get(self.t.link("c.mp4"));
        if let Some(range) = range {
            request = request.header("range", format!("bytes={}-{}", range.start, range.end - 1));
        }
        request.send().await.unwrap()
    }

    /// The object is whole, the store has the source's own bytes, and nothing
    /// was downloaded twice.
    async fn ends_well(&self) {
        let clip = self.t.until("c.mp4", ClipState::Stored).await;
        assert_eq!(clip.sealed.unwrap().sha256, self.media.sha256());
        let digest = self.t.app.store.hash(&"c.mp4".parse().unwrap()).await.unwrap();
        assert_eq!(digest.sha256, self.media.sha256());
        let (read, len) = (self.t.sim.bytes_served(&self.source), self.media.len());
        assert!(
            read as f64 <= len as f64 * 1.02,
            "{read} bytes of {len} were read: {:#?}",
            self.t.sim.requests_for(&self.source)
        );
    }
}

pub(crate) fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn case_11_a_cold_clip_plays_while_it_is_copied() {
    let cold = Cold::new(Media::padded_slow_start(6 * MIB, 1), Faults::always(Fault::rate(2_000_000))).await;
    let response = cold.get(None).await;
    assert_eq!((response.status().as_u16(), header(&response, "cache-status").as_str()), (200, "clipkeep; fwd=miss"));
    assert_eq!(header(&response, "content-length"), (6 * MIB).to_string());
    assert_eq!(header(&response, "content-type"), "video/mp4");
    let etag = header(&response, "etag");
    let mut body = response.bytes_stream();
    let first = body.next().await.unwrap().unwrap();
    assert!(cold.t.sim.bytes_served(&cold.source) < 3 * MIB, "the first byte waited for much of the clip");
    let mut bytes = first.to_vec();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk.unwrap());
    }
    assert!(bytes == cold.expected);
    cold.ends_well().await;
    // The same to a client, now that it is stored.
    let warm = cold.get(None).await;
    assert_eq!(header(&warm, "etag"), etag);
    assert_eq!(header(&warm, "cache-status"), "clipkeep; hit");
    assert!(warm.bytes().await.unwrap() == cold.expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_11_a_seek_in_a_cold_clip_costs_one_request() {
    let cold = Cold::new(Media::padded_slow_start(40 * MIB, 2), Faults::always(Fault::rate(4_000_000))).await;
    let at = 36 * MIB;
    let response = cold.get(Some(at..at + 1024)).await;
    assert_eq!(response.status(), 206);
    assert!(response.bytes().await.unwrap() == cold.expected.slice(at as usize..at as usize + 1024));
    assert!(cold.t.sim.bytes_served(&cold.source) < 8 * MIB);
    let of_it = format!("bytes={at}-");
    let asked = cold.t.sim.requests_for(&cold.source);
    let for_it = asked.iter().filter(|request| request.header("range").is_some_and(|range| range.starts_with(&of_it)));
    assert_eq!(for_it.count(), 1, "{asked:?}");
    cold.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_11_five_hundred_viewers_and_one_download() {
    let cold = Cold::new(Media::padded_slow_start(12 * MIB, 3), Faults::always(Fault::rate(3_000_000))).await;
    let cold = &cold;
    let viewer = async |n: u64| {
        // Joining over two seconds, at places all over the clip.
        tokio::time::sleep(Duration::from_millis(n * 4)).await;
        let start = (n * 7_919_777) % (12 * MIB);
        let end = (start + 1 + (n * 104_729) % (300 * 1024)).min(12 * MIB);
        let whole = n.is_multiple_of(50);
        let response = cold.get((!whole).then_some(start..end)).await;
        let expected = if whole { cold.expected.clone() } else { cold.expected.slice(start as usize..end as usize) };
        assert!(response.bytes().await.unwrap() == expected, "viewer {n}");
    };
    join_all((0..500).map(viewer)).await;
    cold.ends_well().await;
}

/// More fills and viewers than connections: all get their turn.
#[tokio::test(flavor = "multi_thread")]
async fn case_17_seek_storms_over_few_connections_end_well() {
    let settings = [("source_connections", "3".to_owned()), ("source_connections_per_host", "3".to_owned())];
    let t = TestApp::with(&settings).await;
    let media = Media::padded_slow_start(2 * MIB, 12);
    let (t, expected) = (&t, &served(&all(&media)));
    let clips: Vec<_> = (0..8)
        .map(|n| (n, t.sim.add_faulty_file("a.mp4", media.clone(), Faults::always(Fault::rate(4_000_000)))))
        .collect();
    for (n, source) in &clips {
        t.hook(&format!("s{n}"), source, "?policy=on_demand").await;
    }
    let seek = async |n: usize| {
        let start = (n * 7_919_777) % (2 << 20);
        let end = (start + 5000).min(2 << 20);
        let request =
            t.client.get(t.link(&format!("s{}.mp4", n % 8))).header("range", format!("bytes={start}-{}", end - 1));
        assert!(request.send().await.unwrap().bytes().await.unwrap() == expected.slice(start..end), "seek {n}");
    };
    join_all((0..160).map(seek)).await;
    for (n, source) in &clips {
        t.until(&format!("s{n}.mp4"), ClipState::Stored).await;
        let read = t.sim.bytes_served(source) as f64 / media.len() as f64;
        assert!(read <= 1.02, "{read}: {:#?}", t.sim.requests_for(source));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i10_case_13_viewers_who_leave_do_not_stop_a_fill() {
    let cold = Cold::new(Media::padded_slow_start(8 * MIB, 4), Faults::always(Fault::rate(2_000_000))).await;
    let leave = async |n: u64| {
        let mut body = cold.get(Some(n * MIB..8 * MIB)).await.bytes_stream();
        body.next().await.unwrap().unwrap();
    };
    join_all((0..4).map(leave)).await;
    cold.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_06_a_head_of_a_cold_clip_downloads_next_to_nothing() {
    let cold = Cold::new(Media::padded_slow_start(MIB, 5), Faults::none()).await;
    let head = async || cold.t.client.request(Method::HEAD, cold.t.link("c.mp4")).send().await.unwrap();
    let response = head().await;
    assert_eq!((response.status().as_u16(), header(&response, "content-type").as_str()), (200, "video/mp4"));
    assert!(cold.t.sim.bytes_served(&cold.source) < 20 * 1024, "{}", cold.t.sim.bytes_served(&cold.source));
    assert_eq!(cold.t.api("/api/v1/clips/c.mp4").await["state"], "waiting");
    cold.get(None).await.bytes().await.unwrap();
    cold.ends_well().await;
    assert_eq!(header(&head().await, "content-length"), MIB.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn case_19_a_source_without_ranges_or_length_plays_too() {
    let plain = |change: fn(&mut Fault)| {
        let mut fault = Fault { no_ranges: true, rate: Some(3_000_000), ..Fault::default() };
        change(&mut fault);
        Faults::always(fault)
    };
    for (what, faults, sized) in [
        ("no ranges", plain(|_| {}), true),
        ("chunked", plain(|fault| fault.chunked = true), false),
        ("closed at the end", plain(|fault| fault.close_delimited = true), false),
    ] {
        let media = Media::padded_slow_start(3 * MIB, 6);
        let cold = Cold::new(media.clone(), faults).await;
        // The order was decided before the end was here: for ever.
        let plain = all(&media);
        let response = cold.get(None).await;
        let etag = header(&response, "etag");
        assert_eq!(header(&response, "content-length").is_empty(), !sized, "{what}");
        assert!(response.bytes().await.unwrap() == plain, "{what}");
        cold.ends_well().await;
        let warm = cold.get(Some(100..200)).await;
        assert_eq!(warm.status(), 206, "{what}");
        assert_eq!(header(&warm, "etag") == etag, sized, "{what}: what has no length yet has no validator");
        assert!(warm.bytes().await.unwrap() == plain.slice(100..200), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i06_case_14_a_fill_that_fails_is_never_a_clean_end() {
    let slow = Fault { rate: Some(2_000_000), ..Fault::cut_at(2 * MIB) };
    for fault in [slow, Fault { no_ranges: true, chunked: true, ..Fault::cut_at(2 * MIB) }] {
        let settings = [("retry_base", "5s".to_owned()), ("retry_max", "5s".to_owned())];
        let cold = Cold::with(Media::padded_slow_start(3 * MIB, 7), Faults::always(fault), &settings).await;
        let response = cold.get(None).await;
        assert_eq!(response.status(), 200);
        assert!(response.bytes().await.is_err(), "cut short, and the client can tell");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_23_what_is_no_clip_is_no_answer() {
    for (fault, status) in [
        (Fault::page("text/html", "<!DOCTYPE html><html>expired</html>"), 410),
        (Fault::status(410), 410),
        (Fault::status(503), 503),
    ] {
        let cold = Cold::with(
            Media::padded_slow_start(MIB, 8),
            Faults::always(fault),
            &[("not_found_attempts", "1".to_owned())],
        )
        .await;
        let response = cold.get(None).await;
        assert_eq!(response.status(), status);
        assert_eq!(header(&response, "retry-after").is_empty(), status == 410);
    }
}

/// A 404 may mean «not there yet»: viewers who ask again and again must not make
/// it «gone».
#[tokio::test(flavor = "multi_thread")]
async fn case_23_impatient_viewers_do_not_use_up_the_attempts() {
    let settings = [("not_found_attempts", "3"), ("retry_base", "400ms"), ("retry_max", "400ms")];
    let settings = settings.map(|(name, value)| (name, value.to_owned()));
    let cold = Cold::with(Media::padded_slow_start(MIB, 13), Faults::first(2, Fault::status(404)), &settings).await;
    let mut answers = Vec::new();
    loop {
        assert!(answers.len() < 500, "{answers:?}");
        let response = cold.get(Some(0..1)).await;
        answers.push(response.status().as_u16());
        assert!(response.status() == 206 || !header(&response, "retry-after").is_empty(), "{response:?}");
        if response.status() == 206 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(answers.len() > 10 && answers[..answers.len() - 1].iter().all(|status| *status == 503), "{answers:?}");
    cold.ends_well().await;
    assert_eq!(cold.t.api("/api/v1/clips/c.mp4").await["attempts"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_22_i05_a_version_that_changes_under_a_viewer_ends_his_answer() {
    let first = Fault { cut_at: Some(12 * MIB), ..Fault::rate(4_000_000) };
    let cold = Cold::new(Media::padded_slow_start(24 * MIB, 9), Faults::always(first)).await;
    let response = cold.get(None).await;
    let before = header(&response, "etag");
    let mut body = response.bytes_stream();
    body.next().await.unwrap().unwrap();
    let media = Media::padded_slow_start(24 * MIB, 10);
    let other = cold.t.sim.add_file("b.mp4", media.clone());
    cold.t.sim.set_faults(&cold.source, Faults::always(Fault::redirect(other)));
    let mut got = 0;
    let broken = loop {
        match body.next().await {
            Some(Ok(chunk)) => got += chunk.len() as u64,
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(broken && got < 24 * MIB);
    let clip = cold.t.until("c.mp4", ClipState::Stored).await;
    assert_eq!(clip.sealed.unwrap().sha256, media.sha256());
    let response = cold.get(None).await;
    assert_ne!(header(&response, "etag"), before);
    assert!(response.bytes().await.unwrap() == served(&all(&media)));
}

#[tokio::test(flavor = "multi_thread")]
async fn case_01_to_05_ranges_and_conditions_hold_while_it_is_filled() {
    let cold = Cold::new(Media::padded_slow_start(3 * MIB, 11), Faults::always(Fault::rate(1_000_000))).await;
    let etag = header(&cold.get(Some(0..1)).await, "etag");
    let len = 3 * MIB;
    let get = async |name: &str, value: String, range: &str| {
        let request = cold.t.client.get(cold.t.link("c.mp4")).header(name, value).header("range", range);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), header(&response, "content-range"))
    };
    let other = || "x".to_owned();
    assert_eq!(get("x", other(), "bytes=-1").await, (206, format!("bytes {}-{}/{len}", len - 1, len - 1)));
    assert_eq!(get("x", other(), &format!("bytes={len}-")).await, (416, format!("bytes */{len}")));
    assert_eq!(get("x", other(), "bytes=5-2").await.0, 200);
    assert_eq!(get("if-range", etag.clone(), "bytes=0-0").await, (206, format!("bytes 0-0/{len}")));
    assert_eq!(get("if-range", "\"other\"".to_owned(), "bytes=0-0").await.0, 200);
    assert_eq!(get("if-none-match", etag.clone(), "bytes=0-0").await.0, 304);
    assert_eq!(get("if-match", "\"other\"".to_owned(), "bytes=0-0").await.0, 412);
    let parts =
        cold.t.client.get(cold.t.link("c.mp4")).header("range", "bytes=0-9,2000000-2000009").send().await.unwrap();
    assert!(header(&parts, "content-type").starts_with("multipart/byteranges"));
    let body = parts.bytes().await.unwrap();
    for range in [0..10_usize, 2_000_000..2_000_010] {
        assert!(body.windows(10).any(|bytes| bytes == &cold.expected[range.clone()]));
    }
    cold.ends_well().await;
}
