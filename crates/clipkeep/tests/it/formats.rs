//! Whatever generators make is kept as what it is, and served so that no browser
//! runs it; error pages are not.

use bytes::Bytes;
use clipkeep_core::{generation::Clip, state::ClipState};
use fal_sim::{Fault, Faults, Media};
use reqwest::Response;
use serde_json::json;

use crate::support::app::TestApp;

const SVG: &[u8] =
    b"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
const GLB: &[u8] = b"glTF\x02\0\0\0\x14\0\0\0\0\0\0\0JSON";
const GLTF: &[u8] = b"{\"asset\": {\"version\": \"2.0\"}, \"scenes\": []}";
const ZIP: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// A generation whose only output is this file.
async fn bring(t: &TestApp, id: &str, (name, content_type): (&str, Option<&str>), bytes: &[u8], faults: Faults) {
    let media = Media::new("application/octet-stream", Bytes::copy_from_slice(bytes));
    let source = t.sim.add_faulty_file(name, media, faults);
    let payload = json!({"file": {"url": source, "content_type": content_type}});
    assert_eq!(t.hook_payload(id, &payload, "").await.status(), 200);
}

async fn stored(t: &TestApp, id: &str, file: (&str, Option<&str>), bytes: &[u8]) -> Clip {
    bring(t, id, file, bytes, Faults::none()).await;
    let clip = t.until(&key(id, file), ClipState::Stored).await;
    let object = std::fs::read(t.app.store.local_path(clip.object()).unwrap()).unwrap();
    assert_eq!(object, bytes, "{id}");
    clip
}

fn key(id: &str, (name, _): (&str, Option<&str>)) -> String {
    format!("{id}.{}", name.rsplit_once('.').unwrap().1)
}

async fn view(t: &TestApp, key: &str) -> Response {
    t.client.get(t.link(key)).send().await.unwrap()
}

fn field<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn k30_a_drawing_is_kept_and_served_in_a_sandbox() {
    let t = TestApp::start().await;
    for (id, file) in [("by-name", ("a.svg", None)), ("by-type", ("b.svg", Some("image/svg+xml")))] {
        let clip = stored(&t, id, file, SVG).await;
        assert_eq!(clip.sealed.unwrap().media.content_type, "image/svg+xml");
        // From the shelf as from the catalogue.
        for _ in 0..2 {
            let answer = view(&t, &key(id, file)).await;
            assert_eq!((answer.status().as_u16(), field(&answer, "content-type")), (200, "image/svg+xml"));
            let policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox";
            assert_eq!(field(&answer, "content-security-policy"), policy);
            assert_eq!(field(&answer, "x-content-type-options"), "nosniff");
            assert_eq!(answer.bytes().await.unwrap(), SVG);
        }
    }
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k30_shapes_and_archives_are_kept_and_saved_by_browsers() {
    let t = TestApp::start().await;
    for (id, file, bytes, content_type) in [
        ("glb", ("mesh.glb", Some("model/gltf-binary")), GLB, "model/gltf-binary"),
        ("glb-bytes", ("mesh.glb", Some("application/octet-stream")), GLB, "model/gltf-binary"),
        ("gltf", ("mesh.gltf", Some("model/gltf+json")), GLTF, "model/gltf+json"),
        ("zip", ("frames.zip", Some("application/zip")), ZIP, "application/zip"),
        ("obj", ("mesh.obj", None), b"# by a model\nv 0 0 0\nv 0 1 0\nv 1 0 0\nf 1 2 3\n", "model/obj"),
        ("ply", ("cloud.ply", None), b"ply\nformat ascii 1.0\nend_header\n", "model/ply"),
        ("splat", ("cloud.splat", None), &[7, 0, 1, 0x3f, 0x80, 0xff, 2, 9], "model/splat"),
    ] {
        let clip = stored(&t, id, file, bytes).await;
        assert_eq!(clip.sealed.unwrap().media.content_type, content_type, "{id}");
        let answer = view(&t, &key(id, file)).await;
        assert_eq!(field(&answer, "content-type"), content_type, "{id}");
        let saved = format!("attachment; filename=\"{}\"", key(id, file));
        assert_eq!(field(&answer, "content-disposition"), saved, "{id}");
    }
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k30_an_error_page_is_rejected_whatever_it_is_called() {
    let t = TestApp::start().await;
    for (id, file, page) in [
        ("svg", ("a.svg", Some("image/svg+xml")), "<!DOCTYPE html><title>Gone</title><svg></svg>"),
        ("gltf", ("a.gltf", Some("model/gltf+json")), "{\"detail\": \"Not found\"}"),
        ("obj", ("a.obj", Some("model/obj")), "The signature has expired.\nv 1\n"),
        ("pcm", ("a.pcm", Some("audio/pcm")), "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"),
        ("mp3", ("a.mp3", Some("audio/mpeg")), "Not found"),
    ] {
        bring(&t, id, file, page.as_bytes(), Faults::none()).await;
        t.until(&key(id, file), ClipState::Rejected).await;
    }
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k06_sound_that_players_find_is_kept() {
    let t = TestApp::start().await;
    let zeros = include_bytes!("../../../clipkeep-core/tests/probe/media/zeros-in-front.mp3");
    let noise: Vec<u8> = (0..20_000u32).map(|n| (n.wrapping_mul(n) >> 3) as u8).collect();
    for (id, file, bytes, content_type) in [
        ("zeros", ("speech.mp3", None), &zeros[..], "audio/mpeg"),
        ("l16", ("speech.l16", Some("audio/L16;rate=24000;channels=1")), &noise, "audio/l16"),
        ("pcm", ("speech.pcm", Some("audio/pcm")), &noise, "audio/pcm"),
    ] {
        let clip = stored(&t, id, file, bytes).await;
        assert_eq!(clip.sealed.unwrap().media.content_type, content_type, "{id}");
        assert_eq!(field(&view(&t, &key(id, file)).await, "content-type"), content_type);
    }
    // Noise is no MP3, nor a picture.
    for file in [("noise.mp3", Some("audio/mpeg")), ("noise.png", Some("image/png"))] {
        bring(&t, "noise", file, &noise, Faults::none()).await;
        t.until(&key("noise", file), ClipState::Rejected).await;
    }
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k19_a_picture_cut_off_is_fetched_again_where_no_length_was_promised() {
    let t = TestApp::start().await;
    let still = Media::named("still.jpg");
    let whole = still.chunk(0..still.len());
    let cut = &whole[..whole.len() / 2];
    // The first answer ends early and cleanly, the second is whole.
    let body = |bytes: &[u8]| Media::new("image/jpeg", Bytes::copy_from_slice(bytes));
    let closes = Fault { no_ranges: true, close_delimited: true, ..Fault::default() };
    let source = t.sim.add_faulty_file(
        "a.jpg",
        body(&whole),
        Faults { first: vec![Fault { cut_at: Some(cut.len() as u64), ..closes.clone() }], then: closes.clone() },
    );
    let payload = json!({"image": {"url": source}});
    assert_eq!(t.hook_payload("again", &payload, "").await.status(), 200);
    let clip = t.until("again.jpg", ClipState::Stored).await;
    assert_eq!(clip.sealed.unwrap().size, whole.len() as u64);
    // What never comes whole is no picture; with its length promised it is one.
    bring(&t, "closed", ("b.jpg", None), cut, Faults::always(closes)).await;
    let clip = t.until("closed.jpg", ClipState::Rejected).await;
    assert!(clip.last_error.is_some_and(|error| error.contains("cut off")));
    stored(&t, "promised", ("c.jpg", None), cut).await;
    t.stop().await;
}
