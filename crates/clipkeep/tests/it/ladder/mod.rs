//! Stubborn sources: what they refuse, and that their clips are kept all the
//! same, with viewers and without, for at most twice their bytes.

mod kinds;
mod matrix;
mod signed;

use clipkeep_core::{generation::Clip, state::ClipState};
use fal_sim::{Fault, Faults, Media, Source};

use crate::{
    matrix::{Gets, gets},
    support::app::TestApp,
};

/// A clip whose source is stubborn.
pub(crate) struct Stubborn {
    pub(crate) t: TestApp,
    pub(crate) media: Media,
    pub(crate) url: String,
}

impl Stubborn {
    pub(crate) async fn new(media: Media, faults: Faults, source: Source) -> Self {
        Self::with(media, faults, source, &[]).await
    }

    pub(crate) async fn with(
        media: Media,
        faults: Faults,
        source: Source,
        settings: &[(&'static str, String)],
    ) -> Self {
        let t = TestApp::with(settings).await;
        let url = t.sim.add_faulty_file("a.mp4", media.clone(), faults);
        t.sim.set_source(&url, source);
        assert_eq!(t.hook("c", &url, "?policy=on_demand").await.status(), 200);
        Self { t, media, url }
    }

    /// What a viewer of all of it gets.
    pub(crate) async fn viewed(&self) -> Gets {
        gets(self.t.client.get(self.t.link("c.mp4")).send().await.unwrap(), &self.media).await
    }

    /// Starts the fill without a viewer.
    pub(crate) fn fill(&self) {
        drop(self.t.app.engine.join(&"c.mp4".parse().unwrap()));
    }

    /// It is stored, with the source's bytes, of which it took at most so many
    /// times as many as there are.
    pub(crate) async fn stored(&self, most: f64) -> Clip {
        let clip = self.t.until("c.mp4", ClipState::Stored).await;
        assert_eq!(clip.sealed.as_ref().unwrap().sha256, self.media.sha256());
        assert_eq!(self.t.app.store.hash(clip.object()).await.unwrap().sha256, self.media.sha256());
        let read = self.t.sim.bytes_served(&self.url) as f64 / self.media.len() as f64;
        assert!(read <= most, "{read} times its bytes: {:#?}", self.t.sim.requests_for(&self.url));
        clip
    }
}

/// A source's every answer, at this rate.
pub(crate) fn slow(rate: u64) -> Faults {
    Faults::always(Fault::rate(rate))
}
