//! Cases 1-10 and 43 on the wire, from a folder and from a bucket.

use std::sync::Arc;

use clipkeep_core::{
    link::{Audience, LinkTarget},
    state::ClipState,
};
use fal_sim::{Media, Sim, SimOptions};
use reqwest::{Method, Response};

use crate::support::{app::TestApp, garage};

const LEN: u64 = 20_000_000;

async fn folder() -> TestApp {
    TestApp::start().await
}

async fn bucket() -> TestApp {
    let place = garage::place();
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), &[("store", place.url())], &place.aws()).await
}

async fn store(t: &TestApp, id: &str, media: &Media, query: &str) -> String {
    t.hook(id, &t.sim.add_file("a.mp4", media.clone()), query).await;
    let key = format!("{id}.mp4");
    t.until(&key, ClipState::Stored).await;
    t.link(&key)
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn bytes(media: &Media, range: std::ops::Range<u64>) -> Vec<u8> {
    let mut all = Vec::new();
    while (all.len() as u64) < range.end - range.start {
        all.extend_from_slice(&media.chunk(range.start + all.len() as u64..range.end));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_and_conditions_from_a_folder() {
    ranges_and_conditions(folder().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_and_conditions_from_a_bucket() {
    ranges_and_conditions(bucket().await).await;
}

async fn ranges_and_conditions(t: TestApp) {
    let media = Media::padded(LEN, 3);
    let link = store(&t, "c", &media, "").await;
    let whole = t.client.get(&link).send().await.unwrap();
    assert_eq!((whole.status().as_u16(), header(&whole, "content-length")), (200, "20000000"));
    assert_eq!(header(&whole, "content-type"), "video/mp4");
    assert_eq!(header(&whole, "accept-ranges"), "bytes");
    assert_eq!(header(&whole, "x-content-type-options"), "nosniff");
    assert_eq!(header(&whole, "access-control-allow-origin"), "*");
    assert!(header(&whole, "cache-control").starts_with("private, max-age="));
    assert!(header(&whole, "cache-status").starts_with("clipkeep; "));
    assert!(header(&whole, "server-timing").contains("dur="));
    let (etag, modified) = (header(&whole, "etag").to_owned(), header(&whole, "last-modified"));
    assert!(etag.starts_with('"') && !modified.is_empty());
    assert!(whole.bytes().await.unwrap() == bytes(&media, 0..LEN));

    for (range, status, first, end) in [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=0-", 206, 0, LEN),
        ("bytes=19999999-", 206, LEN - 1, LEN),
        ("bytes=-1", 206, LEN - 1, LEN),
        ("bytes=-99999999999", 206, 0, LEN),
        ("bytes=100-99999999999999999999", 206, 100, LEN),
        ("BYTES=5-9", 206, 5, 10),
        ("bytes=5-2", 200, 0, LEN),
        ("bytes=abc", 200, 0, LEN),
        ("items=0-5", 200, 0, LEN),
    ] {
        let part = t.client.get(&link).header("range", range).send().await.unwrap();
        assert_eq!(part.status().as_u16(), status, "{range}");
        assert_eq!(header(&part, "etag"), etag);
        if status == 206 {
            assert_eq!(header(&part, "content-range"), format!("bytes {first}-{}/{LEN}", end - 1), "{range}");
        }
        assert!(part.bytes().await.unwrap() == bytes(&media, first..end), "{range}");
    }
    for range in ["bytes=20000000-", "bytes=-0", "bytes=99999999999999999999-"] {
        let part = t.client.get(&link).header("range", range).send().await.unwrap();
        assert_eq!((part.status().as_u16(), header(&part, "content-range")), (416, "bytes */20000000"), "{range}");
    }
    let several = t.client.get(&link).header("range", "bytes=0-9,500-509,-10").send().await.unwrap();
    assert_eq!(several.status(), 206);
    assert!(header(&several, "content-type").starts_with("multipart/byteranges; boundary="));
    let length: usize = header(&several, "content-length").parse().unwrap();
    let body = several.bytes().await.unwrap();
    assert_eq!(body.len(), length);
    for range in [0..10, 500..510, LEN - 10..LEN] {
        let wanted = bytes(&media, range);
        assert!(body.windows(10).any(|window| window == wanted));
    }
    let ask = |name: &str, value: &str| t.client.get(&link).header("range", "bytes=0-9").header(name, value).send();
    for (name, value, status) in [
        ("if-range", etag.as_str(), 206),
        ("if-range", "\"other\"", 200),
        ("if-range", &format!("W/{etag}"), 200),
        ("if-none-match", etag.as_str(), 304),
        ("if-none-match", "\"a\", \"b\"", 206),
        ("if-none-match", "*", 304),
        ("if-match", etag.as_str(), 206),
        ("if-match", "\"other\"", 412),
        ("accept-encoding", "gzip", 206),
    ] {
        let answer = ask(name, value).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{name}: {value}");
        assert_eq!(header(&answer, "content-encoding"), "");
    }
    let head = t.client.head(&link).send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), header(&head, "content-length"), header(&head, "etag")),
        (200, "20000000", etag.as_str())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn case_08_the_etag_survives_a_restart() {
    let t = folder().await;
    let link = store(&t, "c", &Media::named("silent.mp4"), "").await;
    let tag = |response: Response| response.headers()["etag"].clone();
    let before = tag(t.client.get(&link).send().await.unwrap());
    let (sim, data) = t.stop().await;
    let t = TestApp::on(sim, data, &[], &[]).await;
    assert_eq!(tag(t.client.get(t.link("c.mp4")).send().await.unwrap()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn case_43_links_hold_only_as_they_were_signed() {
    let t = folder().await;
    let media = Media::named("silent.mp4");
    let link = store(&t, "c", &media, "").await;
    store(&t, "d", &media, "").await;
    let bare = format!("{}/v/c.mp4", t.url);
    let expired = t.app.links.keys(Audience::Public).sign(
        "/v/c.mp4",
        0,
        clipkeep_core::time::Timestamp::from_secs(1_000_000_000),
        None,
    );
    for (what, url, status) in [
        ("as signed", link.clone(), 200),
        ("with more parameters", format!("{link}&utm_source=x"), 200),
        ("another clip", link.replace("/v/c.mp4", "/v/d.mp4"), 403),
        ("another expiry", link.replace("expires=1", "expires=2"), 403),
        ("another key id", link.replace("kid=k1", "kid=k2"), 403),
        ("a download name of one's own", format!("{link}&download=x.mp4"), 403),
        ("no signature", bare.clone(), 403),
        ("an empty signature", format!("{bare}?expires=9999999999&kid=k1&signature="), 403),
        ("expired", format!("{bare}?{expired}"), 403),
        ("an escaped path", link.replace("/v/c", "/v/%63"), 404),
        ("dots", link.replace("/v/c.mp4", "/v/%2e%2e%2fc.mp4"), 404),
        ("two slashes", link.replace("/v/", "/v//"), 404),
        ("unknown", format!("{}/v/nope.mp4", t.url), 404),
    ] {
        let answer = t.client.get(&url).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{what}");
        if status != 200 {
            assert_eq!(header(&answer, "content-type"), "application/problem+json", "{what}");
            assert_eq!(header(&answer, "cache-control"), "no-store", "{what}");
        }
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let answer = t.client.request(method, &link).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), header(&answer, "allow")), (405, "GET, HEAD, OPTIONS"));
    }
    let named = t
        .app
        .sign_link(
            LinkTarget::Clip,
            (&"c.mp4".parse().unwrap(), 0),
            std::time::Duration::from_secs(60),
            Some("my fox.mp4"),
        )
        .unwrap()
        .url;
    let saved = t.client.get(named).send().await.unwrap();
    assert_eq!(header(&saved, "content-disposition"), "attachment; filename=\"my fox.mp4\"");
    let public = store(&t, "p", &media, "?public=1").await;
    let public = t.client.get(public.split('?').next().unwrap()).send().await.unwrap();
    assert_eq!(public.status(), 200);
    assert_eq!(header(&public, "cache-control"), "public, max-age=31536000, immutable");
}
