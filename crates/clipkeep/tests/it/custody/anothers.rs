//! A store that turns out to be another catalogue's only once the node runs: what
//! is in it stays as it is, and what was to go there waits.

use std::{path::Path, sync::Arc, time::Duration};

use clipkeep::{app::App, data_dir::Role};
use clipkeep_core::{
    config::{Config, Layers},
    state::ClipState,
};
use data_encoding::BASE64;
use fal_sim::{Media, Sim, SimOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    maintenance::until,
    support::{
        app::{TestApp, own_settings},
        bucket_proxy::BucketProxy,
        garage,
        raw::Raw,
    },
};

/// Why the node is not ready; none if it is.
async fn unready(t: &TestApp) -> Option<String> {
    let answer = t.client.get(format!("{}/readyz", t.url)).send().await.unwrap();
    let code = answer.status().as_u16();
    let said: Value = answer.json().await.unwrap();
    assert_eq!(code == 200, said["why"].is_null(), "{code} {said}");
    said["why"].as_str().map(str::to_owned)
}

/// Another catalogue's store, with these clips, of these bytes; its node stopped.
async fn anothers(clips: &[&str], settings: &[(&'static str, String)], aws: &[(String, String)]) -> Arc<TempDir> {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let t = TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), settings, aws).await;
    for id in clips {
        t.hook(id, &t.sim.add_file("theirs.mp4", Media::padded(70_000, 9)), "").await;
        t.until(&format!("{id}.mp4"), ClipState::Stored).await;
    }
    t.stop().await.1
}

/// All files under a folder, and what is in them.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![(path.display().to_string(), std::fs::read(&path).unwrap())],
        })
        .collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn h23_a_folder_that_is_changed_for_anothers_under_a_running_node_takes_nothing() {
    let other = anothers(&["new", "old", "named"], &[], &[]).await;
    let t = TestApp::with(&[("sweep_interval", "50ms".to_owned())]).await;
    let store = t.data.path().join("clips");
    let away = t.data.path().join("away");
    let source = t.sim.add_file("a.mp4", Media::padded(50_000, 1));
    t.hook("old", &source, "").await;
    t.until("old.mp4", ClipState::Stored).await;
    assert_eq!(unready(&t).await, None);
    std::fs::rename(&store, &away).unwrap();
    std::fs::rename(other.path().join("clips"), &store).unwrap();
    let before = files(&store);

    // Webhooks are taken. Their clips wait, by whatever way they would go there: as
    // themselves, under another name, as twins of what is stored.
    let (new, once) =
        (t.sim.add_file("b.mp4", Media::padded(60_000, 2)), t.sim.add_file("c.mp4", Media::padded(60_000, 3)));
    assert_eq!(t.hook("new", &new, "").await.status(), 200);
    let named = json!({"images": [{"url": once, "content_type": "image/png"}]});
    assert_eq!(t.hook_payload("named", &named, "").await.status(), 200);
    assert_eq!(t.hook("twin", &source, "").await.status(), 200);
    t.register(&json!({"request_id": "adopted", "adopt": true})).await;
    t.app.delete(&"old.mp4".parse().unwrap(), "test").await.unwrap();
    for key in ["new.mp4", "named.png", "twin.mp4", "adopted.mp4"] {
        until("it waits and says why", async || {
            let clip = t.app.catalog.clip(&key.parse().unwrap()).await.unwrap().unwrap();
            assert_ne!(clip.state, ClipState::Stored, "{key}");
            clip.attempts > 2 && clip.last_error.is_some_and(|why| why.contains("another catalogue"))
        })
        .await;
    }
    let why = "the store is another catalogue's: see the log";
    until("it is not ready", async || unready(&t).await.as_deref() == Some(why)).await;
    // What came as data has no other copy: not acknowledged, it comes again.
    let data = format!("data:video/mp4;base64,{}", BASE64.encode(&Media::named("silent.mp4").chunk(0..5000)));
    let inline = json!({"video": {"url": data}});
    assert_eq!(t.hook_payload("inline", &inline, "").await.status(), 503);
    assert_eq!(t.sim.bytes_served(&new), 0, "a source was asked for what could not be kept");
    assert_eq!(files(&store), before);

    std::fs::rename(&store, t.data.path().join("theirs")).unwrap();
    std::fs::rename(&away, &store).unwrap();
    for key in ["new.mp4", "named.mp4", "twin.mp4"] {
        t.until(key, ClipState::Stored).await;
    }
    until("it is ready", async || unready(&t).await.is_none()).await;
    until("the deleted clip's object goes", async || !store.join("old.mp4").exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h23_a_bucket_that_answers_after_the_start_and_is_anothers_takes_nothing() {
    let place = garage::place();
    let _other = anothers(&["new"], &[("store", place.url())], &place.aws()).await;
    let raw = Raw::bucket(&place);
    let theirs = raw.get("new.mp4").await.unwrap();
    let proxy = BucketProxy::start(&place.endpoint).await;
    proxy.set_away(true);
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let settings = [("store", place.url()), ("sweep_interval", "100ms".to_owned())];
    let aws = place.aws_through(&proxy.endpoint);
    let t = TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), &settings, &aws).await;
    // Nobody knows yet, and webhooks must be taken.
    assert_eq!(unready(&t).await, None);
    let new = t.sim.add_file("b.mp4", Media::padded(60_000, 2));
    assert_eq!(t.hook("new", &new, "").await.status(), 200);
    proxy.set_away(false);
    until("it says why", async || unready(&t).await.is_some_and(|why| why.contains("another catalogue's"))).await;
    until("it waits", async || {
        let clip = t.app.catalog.clip(&"new.mp4".parse().unwrap()).await.unwrap().unwrap();
        assert_ne!(clip.state, ClipState::Stored);
        clip.last_error.is_some_and(|why| why.contains("another catalogue"))
    })
    .await;
    assert_eq!(raw.get("new.mp4").await.unwrap(), theirs);
    // However often it is asked for, the bucket is asked seldom.
    let before = proxy.seen().len();
    tokio::time::sleep(Duration::from_secs(4)).await;
    for _ in 0..20 {
        assert!(unready(&t).await.is_some());
    }
    let asked = proxy.seen().len() - before;
    assert!(asked <= 4, "{asked} requests");
    // Somebody says that it is right all the same.
    clipkeep::custody::adopt(&*t.app.catalog, &t.app.store).await.unwrap();
    t.until("new.mp4", ClipState::Stored).await;
    until("it is ready", async || unready(&t).await.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h23_a_bucket_that_answers_after_the_start_and_is_new_is_marked_before_anything_is_stored() {
    let place = garage::place();
    let proxy = BucketProxy::start(&place.endpoint).await;
    proxy.set_away(true);
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let aws = place.aws_through(&proxy.endpoint);
    let t = TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), &[("store", place.url())], &aws).await;
    let new = t.sim.add_file("b.mp4", Media::padded(60_000, 2));
    assert_eq!(t.hook("new", &new, "").await.status(), 200);
    proxy.set_away(false);
    t.until("new.mp4", ClipState::Stored).await;
    let put = |name: &str| {
        let is_it =
            |seen: &crate::support::bucket_proxy::Seen| seen.method == http::Method::PUT && seen.path.ends_with(name);
        proxy.seen().iter().rposition(is_it)
    };
    assert!(put(".clipkeep/catalog").unwrap() < put("new.mp4").unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn h39_a_bucket_that_does_not_exist_is_no_bucket_that_does_not_answer() {
    let place = garage::place();
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let data = tempfile::tempdir().unwrap();
    let flags = own_settings(&sim, "http://127.0.0.1:1", data.path(), "test-admin-token-0123456789");
    let layers = Layers::new().with_env(place.aws()).with_flags(flags);
    let config = Config::from_layers(layers.with_flags([("store", "s3://no-such-bucket/p".to_owned())])).unwrap();
    let refused = App::open(config, Role::Node).await.map(|_| ()).unwrap_err();
    let why = format!("{refused:#}");
    assert!(why.contains("there is no such bucket") && why.contains("hint: "), "{why}");
}

/// A disk of its own has a folder in it from the start.
#[tokio::test(flavor = "multi_thread")]
async fn i13_folders_among_our_files_stop_nothing() {
    let t = TestApp::start().await;
    let (sim, data) = t.stop().await;
    for folder in ["partials", "cache", "clips", "clips/.staging"] {
        for name in ["lost+found", ".clipkeep", ".staging", "c.mp4", "d.mp4.map", "e.mp4,0"] {
            std::fs::create_dir_all(data.path().join(folder).join(name)).unwrap();
        }
    }
    let t = TestApp::on(sim, data, &[], &[]).await;
    let source = t.sim.add_file("a.mp4", Media::padded(50_000, 1));
    t.hook("a", &source, "").await;
    t.until("a.mp4", ClipState::Stored).await;
    t.app.sweep.drift(clipkeep::sweep::drift::DriftSettings::new(Duration::ZERO)).await.unwrap();
    assert!(t.data.path().join("partials/lost+found").is_dir());
    // What is in the way of a start is named.
    let (sim, data) = t.stop().await;
    std::fs::remove_dir_all(data.path().join("cache")).unwrap();
    std::fs::write(data.path().join("cache"), "").unwrap();
    let flags = own_settings(&sim, "http://127.0.0.1:1", data.path(), "test-admin-token-0123456789");
    let refused = App::open(Config::from_layers(Layers::new().with_flags(flags)).unwrap(), Role::Node).await;
    let why = format!("{:#}", refused.map(|_| ()).unwrap_err());
    assert!(why.contains(&data.path().join("cache").display().to_string()), "{why}");
}
