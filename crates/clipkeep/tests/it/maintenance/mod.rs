//! Keeping rows and objects one: drift made by hand, deletion, retention,
//! adoption, verification; on a folder and on a real bucket.

mod adopt;
mod command;
mod delete;
mod drift;
mod retention;
mod sharing;
mod unshare;
mod verify;

use std::{sync::Arc, time::Duration};

use clipkeep::sweep::drift::{Drift, DriftReport, DriftSettings};
use clipkeep_core::{event::EventType, generation::Clip, id::ClipKey, state::ClipState};
use fal_sim::{Media, Sim, SimOptions};
use reqwest::Response;

use crate::support::{
    app::TestApp,
    garage::{self, Place},
    raw::Raw,
};

/// Runs each test of a list on both stores.
macro_rules! in_both {
    ($($name:ident),+ $(,)?) => {
        mod folder {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::maintenance::Bed::folder(&[]).await).await;
            })+
        }

        mod bucket {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::maintenance::Bed::bucket(&[]).await).await;
            })+
        }
    };
}
use in_both;

/// A node, and its store as somebody else sees it.
pub(crate) struct Bed {
    pub(crate) t: TestApp,
    pub(crate) raw: Raw,
}

impl Bed {
    pub(crate) async fn folder(settings: &[(&'static str, String)]) -> Self {
        let t = TestApp::with(settings).await;
        let raw = Raw::Folder(t.data.path().join("clips"));
        Self { t, raw }
    }

    pub(crate) async fn bucket(settings: &[(&'static str, String)]) -> Self {
        let place = garage::place();
        Self::before(&place, &place.aws(), settings).await
    }

    /// On a bucket behind what `aws` says.
    async fn before(place: &Place, aws: &[(String, String)], settings: &[(&'static str, String)]) -> Self {
        let mut settings = settings.to_vec();
        settings.push(("store", place.url()));
        let sim = Sim::start(SimOptions::default()).await.unwrap();
        let t = TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), &settings, aws).await;
        Self { t, raw: Raw::bucket(place) }
    }

    /// Stores this media as a clip; answers its row and its source.
    pub(crate) async fn store(&self, id: &str, media: &Media) -> (Clip, String) {
        self.store_as(id, media, "").await
    }

    async fn store_as(&self, id: &str, media: &Media, query: &str) -> (Clip, String) {
        let source = self.t.sim.add_file("a.mp4", media.clone());
        assert_eq!(self.t.hook(id, &source, query).await.status(), 200);
        (self.t.until(&format!("{id}.mp4"), ClipState::Stored).await, source)
    }

    /// Looks for drift as `clipkeep sweep` does, without any grace.
    pub(crate) async fn drift(&self, change: impl FnOnce(&mut DriftSettings)) -> DriftReport {
        let app = &self.t.app;
        let mut settings = DriftSettings::new(Duration::ZERO);
        change(&mut settings);
        let is_filling = |key: &ClipKey| app.engine.find(key).is_some();
        let drift = Drift {
            catalog: &*app.catalog,
            store: &app.store,
            clock: &*app.clock,
            partials: app.partials(),
            is_filling: &is_filling,
            settings,
        };
        let report = drift.run().await.unwrap();
        app.engine.wake();
        report
    }

    pub(crate) async fn get(&self, key: &str) -> Response {
        self.t.client.get(self.t.link(key)).send().await.unwrap()
    }

    pub(crate) async fn clip(&self, key: &str) -> Option<Clip> {
        self.t.app.catalog.clip(&key.parse().unwrap()).await.unwrap()
    }

    /// The words of a clip's history.
    async fn story(&self, key: &str) -> Vec<String> {
        let history = self.t.app.catalog.history(&key.parse().unwrap()).await.unwrap();
        history.into_iter().map(|entry| entry.event).collect()
    }

    /// What was told of a clip.
    async fn events(&self, key: &str) -> Vec<EventType> {
        let start = clipkeep_core::event::Position { tx: 0, id: 0 };
        let events = self.t.app.catalog.events(start, 1000).await.unwrap();
        let of_it = events.into_iter().filter(|(_, event)| event.key.as_ref().is_some_and(|k| k.as_str() == key));
        of_it.map(|(_, event)| event.kind).collect()
    }
}

/// Waits until `what` holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = std::time::Instant::now();
    while !holds().await {
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
