//! Media that players play is kept, by a whole node; and none of it ends one.

use bytes::Bytes;
use clipkeep_core::state::ClipState;
use fal_sim::{Fault, Faults, Media};

use crate::{
    cold::{all, header},
    support::app::TestApp,
};

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
}

/// A file of which a cold viewer, and one of the stored clip, are told the same
/// and get the same.
async fn is_kept(t: &TestApp, id: &str, bytes: &Bytes, fault: Fault) -> String {
    let source = t.sim.add_faulty_file("a.mp4", Media::new("video/mp4", bytes.clone()), Faults::always(fault));
    t.hook(id, &source, "?policy=on_demand").await;
    let key = format!("{id}.mp4");
    let cold = t.client.get(t.link(&key)).send().await.unwrap();
    let told = (header(&cold, "content-type"), header(&cold, "etag"));
    let cold = cold.bytes().await.unwrap();
    let clip = t.until(&key, ClipState::Stored).await;
    assert_eq!(clip.sealed.unwrap().sha256, Media::new("video/mp4", bytes.clone()).sha256(), "{id}");
    let warm = t.client.get(t.link(&key)).send().await.unwrap();
    assert_eq!(header(&warm, "content-type"), told.0, "{id}");
    // A clip of unknown length has no tag while it comes.
    assert!(told.1.is_empty() || header(&warm, "etag") == told.1, "{id}");
    if !told.1.is_empty() {
        assert!(warm.bytes().await.unwrap() == cold, "{id}");
    }
    told.0
}

fn sources() -> [(&'static str, Fault); 4] {
    let plain = || Fault { no_ranges: true, ..Fault::default() };
    [
        ("pieces", Fault::default()),
        ("stream", plain()),
        ("chunked", Fault { chunked: true, ..plain() }),
        ("closed", Fault { close_delimited: true, ..plain() }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn k01_what_stands_behind_the_last_box_rejects_no_clip() {
    let t = TestApp::start().await;
    for name in ["moov-first.mp4", "moov-last.mp4", "silent.mp4"] {
        for (nth, behind) in [&b"\r\n"[..], b"x", b"\0\0\0", b"--boundary--\r\n"].into_iter().enumerate() {
            let bytes = Bytes::from([&all(&Media::named(name))[..], behind].concat());
            for (how, fault) in sources() {
                is_kept(&t, &format!("{}-{nth}-{how}", &name[..name.len() - 4]), &bytes, fault).await;
            }
        }
    }
    // A box that breaks off: the promised length says that it is as it is.
    let bytes = Bytes::from([&all(&Media::named("moov-first.mp4"))[..], b"\0\0\x10\0free"].concat());
    for (how, fault) in sources().into_iter().take(2) {
        is_kept(&t, &format!("broken-{how}"), &bytes, fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k01_a_clip_whose_samples_are_missing_is_not_kept() {
    let t = TestApp::with(&[("not_found_attempts", "2".to_owned())]).await;
    let whole = all(&Media::named("moov-first.mp4"));
    for (how, fault) in sources() {
        let media = Media::new("video/mp4", whole.slice(..whole.len() - 500));
        t.hook(how, &t.sim.add_faulty_file("a.mp4", media, Faults::always(fault)), "").await;
        let clip = t.until(&format!("{how}.mp4"), ClipState::Rejected).await;
        assert!(clip.last_error.unwrap().contains("cut off"), "{how}");
        // It was tried again before that: not refused, but incomplete.
        assert!(clip.attempts > 1, "{how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k25_the_media_type_is_decided_before_the_first_byte() {
    let t = TestApp::start().await;
    for (file, bytes, of_pieces) in [
        ("mp4", &include_bytes!("tolerant/audio-only.mp4")[..], "audio/mp4"),
        ("webm", include_bytes!("tolerant/audio-only.webm"), "audio/webm"),
    ] {
        for (how, fault) in sources() {
            let told = is_kept(&t, &format!("{file}-{how}"), &Bytes::from_static(bytes), fault).await;
            // What is small, or gives pieces, is told by its header in time.
            assert_eq!(told, of_pieces, "{file} {how}");
        }
        // A header that comes too late: what the first viewer was told holds.
        let free = boxed(b"free", &vec![0; 200_000]);
        let late = match bytes.windows(4).position(|kind| kind == b"mdat") {
            Some(at) => [&bytes[..at - 4], &free, &bytes[at - 4..]].concat(),
            None => continue,
        };
        let mut late = late;
        let offset = late.windows(4).rposition(|kind| kind == b"stco").unwrap() + 12;
        let first = u32::from_be_bytes(*late[offset..].first_chunk().unwrap()) + free.len() as u32;
        late[offset..offset + 4].copy_from_slice(&first.to_be_bytes());
        let late = Bytes::from(late);
        assert_eq!(is_kept(&t, "late-pieces", &late, Fault::default()).await, "audio/mp4");
        let stream = Fault { no_ranges: true, rate: Some(2_000_000), ..Fault::default() };
        assert_eq!(is_kept(&t, "late-stream", &late, stream).await, "video/mp4");
        assert_eq!(
            t.api("/api/v1/clips/late-stream.mp4").await["content_type"],
            "audio/mp4",
            "the row tells what it is"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k26_an_odd_file_is_served_as_it_is() {
    let t = TestApp::start().await;
    let even = all(&Media::named("moov-last.mp4"));
    for kind in [b"edts", b"mdia", b"stbl"] {
        let mut odd = even.to_vec();
        let at = odd.windows(4).position(|name| name == kind).unwrap() - 4;
        odd[at..at + 4].fill(0);
        let id = format!("odd-{}", kind.escape_ascii());
        let odd = Bytes::from(odd);
        is_kept(&t, &id, &odd, Fault::default()).await;
        let served = t.client.get(t.link(&format!("{id}.mp4"))).send().await.unwrap().bytes().await.unwrap();
        assert!(served == odd);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h01_no_file_ends_the_node() {
    let t = TestApp::start().await;
    let nested = |kind: &[u8; 4], depth: usize| (0..depth).fold(Vec::new(), |inner, _| boxed(kind, &inner));
    let described = |entry: &[u8; 4], fixed: usize, inner: Vec<u8>| {
        let entry = boxed(entry, &[vec![0; fixed], inner].concat());
        let description = boxed(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &entry].concat());
        let handler = boxed(b"hdlr", &[&[0; 8][..], b"vide", &[0; 12]].concat());
        let media = boxed(b"mdia", &[handler, boxed(b"minf", &boxed(b"stbl", &description))].concat());
        [boxed(b"ftyp", b"isom\0\0\0\0"), boxed(b"mdat", &[0; 64]), boxed(b"moov", &boxed(b"trak", &media))].concat()
    };
    for (id, file) in [
        ("avc1", described(b"avc1", 78, nested(b"avc1", 600))),
        ("deep", described(b"avc1", 78, nested(b"sinf", 200_000))),
        ("wave", described(b"mp4a", 28, nested(b"wave", 100_000))),
        ("moov", [boxed(b"ftyp", b"isom\0\0\0\0"), nested(b"moov", 100_000), boxed(b"mdat", b"")].concat()),
        ("empty", [boxed(b"ftyp", b"isom\0\0\0\0"), boxed(b"free", b"").repeat(1_000_000)].concat()),
    ] {
        t.hook(id, &t.sim.add_file("a.mp4", Media::new("video/mp4", file.into())), "").await;
        // A viewer who comes meanwhile gets an answer.
        let answer = t.client.get(t.link(&format!("{id}.mp4"))).send().await.unwrap();
        assert!(answer.status().as_u16() < 504, "{id}");
    }
    for id in ["avc1", "deep", "wave", "moov", "empty"] {
        let ended = async || {
            let clip = t.api(&format!("/api/v1/clips/{id}.mp4")).await;
            matches!(clip["state"].as_str(), Some("stored" | "rejected"))
        };
        let began = tokio::time::Instant::now();
        while !ended().await {
            assert!(began.elapsed() < crate::support::eventually::PATIENCE, "{id}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    assert_eq!(t.client.get(format!("{}/healthz", t.url)).send().await.unwrap().status(), 200);
}
