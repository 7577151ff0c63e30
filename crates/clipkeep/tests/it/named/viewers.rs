//! Who watches while a clip gets its name.

use std::{sync::Arc, time::Duration};

use clipkeep_core::state::ClipState;
use fal_sim::{Fault, Faults, Media, Sim, SimOptions};
use serde_json::json;

use super::{get, straight};
use crate::{
    cold::{all, header, served},
    support::{app::TestApp, eventually::eventually, postgres},
};

/// A clip of this generation that is said to be a picture, and is not.
async fn told(t: &TestApp, id: &str, source: &str) {
    let payload = json!({"image": {"url": source, "content_type": "image/png"}});
    assert_eq!(t.hook_payload(id, &payload, "?policy=on_demand").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn k13_viewers_of_the_old_name_go_on_and_resume_under_the_new_one() {
    let t = TestApp::start().await;
    let media = Media::padded(3 << 20, 5);
    let source = t.sim.add_faulty_file("a.png", media.clone(), Faults::always(Fault::rate(4_000_000)));
    told(&t, "r", &source).await;
    let link = t.link("r.png");
    let viewers: Vec<_> = (0..4)
        .map(|_| {
            let link = link.clone();
            tokio::spawn(async move {
                let answer = get(&link).await;
                let (status, etag) = (answer.status().as_u16(), header(&answer, "etag"));
                (status, etag, header(&answer, "content-type"), answer.bytes().await.unwrap())
            })
        })
        .collect();
    let mut tag = String::new();
    for viewer in viewers {
        let (status, etag, content_type, bytes) = viewer.await.unwrap();
        assert_eq!((status, content_type.as_str()), (200, "video/mp4"));
        assert!(bytes == served(&all(&media)));
        tag = etag;
    }
    t.until("r.mp4", ClipState::Stored).await;
    assert_eq!(t.sim.bytes_served(&source), media.len(), "read once");
    // As soon as this node has heard, the old name leads on; until then it serves.
    eventually("the old name leads on", async || (get(&link).await.status() == 307).then_some(())).await;
    // Who has a part of it goes on with the same tag.
    let rest = t.client.get(&link).header("range", "bytes=1000000-").header("if-range", &tag).send().await.unwrap();
    assert_eq!((rest.status().as_u16(), header(&rest, "etag")), (206, tag.clone()));
    assert!(rest.bytes().await.unwrap() == served(&all(&media)).slice(1_000_000..));
    let known = t.client.get(&link).header("if-none-match", &tag).send().await.unwrap();
    assert_eq!(known.status(), 304);
    // All that was delivered is the clip's.
    t.app.usage.flush().await;
    let usage = t.api("/api/v1/usage?by=clip").await;
    let names: Vec<_> = usage["usage"].as_array().unwrap().iter().map(|line| line["name"].clone()).collect();
    assert_eq!(names, ["r.mp4"], "{usage}");
    assert!(usage["total"]["viewer_bytes"].as_u64().unwrap() >= 4 * media.len(), "{usage}");
    t.stop().await;
}

/// The clip is so small that it has its name before its first viewer has a byte.
#[tokio::test(flavor = "multi_thread")]
async fn k13_no_first_viewer_is_refused_whenever_the_name_changes() {
    let t = TestApp::start().await;
    let media = Media::named("moov-last.mp4");
    for n in 0..20 {
        let id = format!("r{n}");
        told(&t, &id, &t.sim.add_file("a.png", media.clone())).await;
        let viewers: Vec<_> = (0..3)
            .map(|viewer| {
                let link = t.link(&format!("{id}.png"));
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(viewer * n)).await;
                    let answer = straight().get(&link).send().await.unwrap();
                    let to = header(&answer, "location");
                    let answer = if answer.status() == 307 { get(&to).await } else { answer };
                    (answer.status().as_u16(), header(&answer, "content-type"), answer.bytes().await.unwrap())
                })
            })
            .collect();
        for viewer in viewers {
            let (status, content_type, bytes) = viewer.await.unwrap();
            assert_eq!((status, content_type.as_str()), (200, "video/mp4"), "{id}");
            assert!(bytes == served(&all(&media)), "{id}");
        }
    }
    t.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn k13_another_node_hears_of_the_name() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let (folder, database) = (tempfile::tempdir().unwrap(), postgres::database().await);
    let settings = [("database", database), ("store", format!("file://{}", folder.path().display()))];
    let node = async || {
        let data = Arc::new(tempfile::tempdir().unwrap());
        TestApp::on(sim.clone(), data, &settings, &[]).await
    };
    let (a, b) = (node().await, node().await);
    let media = Media::padded(8 << 20, 6);
    let source = sim.add_faulty_file("a.png", media.clone(), Faults::always(Fault::rate(4_000_000)));
    told(&a, "r", &source).await;
    let filling = {
        let link = a.link("r.png");
        tokio::spawn(async move { get(&link).await.bytes().await.unwrap() })
    };
    // The other one serves it from the source meanwhile, and keeps that in mind.
    a.until("r.png", ClipState::Filling).await;
    let ask = async || b.client.get(b.link("r.png")).header("range", "bytes=0-999").send().await.unwrap();
    eventually("the other node serves it", async || (ask().await.status() == 206).then_some(())).await;
    assert!(filling.await.unwrap() == served(&all(&media)));
    a.until("r.mp4", ClipState::Stored).await;
    for t in [&a, &b] {
        let led = async || (get(&t.link("r.png")).await.status() == 307).then_some(());
        eventually("the old name leads on", led).await;
        let there = get(&t.link("r.mp4")).await;
        assert_eq!(there.status(), 200);
        assert!(there.bytes().await.unwrap() == served(&all(&media)));
    }
    a.stop().await;
    b.stop().await;
}
