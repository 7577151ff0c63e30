//! What was begun and never ended: uploads, and half-filled files on this node.

use std::collections::{HashMap, HashSet};

use clipkeep_core::{
    generation::Clip,
    id::{Provider, RequestId},
    secret::SourceUrl,
    state::ClipState,
};
use futures_util::TryStreamExt;
use tokio::task::spawn_blocking;

use super::{Drift, DriftReport, PAGE, Result, is_ours};
use crate::{
    fill::{inline_name, local},
    store::{Listed, Meant, StaleUpload},
};

impl Drift<'_> {
    /// Aborts old uploads: of outputs that came as data, which last no longer than
    /// their webhook, and under the names of clips that nobody fills.
    pub(super) async fn uploads(&self, report: &mut DriftReport) -> Result<()> {
        let mut pages = self.store.stale();
        while let Some(page) = pages.try_next().await? {
            self.is_ours().await?;
            let now = self.clock.now();
            let mut of_clips = Vec::new();
            for upload in page.iter().filter(|upload| now.since(upload.initiated) >= self.settings.orphan_age) {
                match self.store.meant(upload) {
                    Some(Meant::Clip(key)) if is_ours(&key) => of_clips.push((key, upload)),
                    Some(Meant::Inline) => self.abort(upload, report).await,
                    _ => {}
                }
            }
            for batch in of_clips.chunks(PAGE as usize) {
                let keys: Vec<_> = batch.iter().map(|(key, _)| key.clone()).collect();
                let states: HashMap<_, _> = self.catalog.states(&keys).await?.into_iter().collect();
                for (_, upload) in batch.iter().filter(|(key, _)| states.get(key) != Some(&ClipState::Filling)) {
                    self.abort(upload, report).await;
                }
            }
        }
        Ok(())
    }

    async fn abort(&self, upload: &StaleUpload, report: &mut DriftReport) {
        if self.settings.look_only {
            report.uploads += 1;
            return;
        }
        match self.store.abort_upload(upload).await {
            Ok(()) => report.uploads += 1,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(object = %upload.key, error, "an unfinished upload stays");
                report.failed += 1;
            }
        }
    }

    /// Removes outputs that came as data and that no clip waits for: whoever told
    /// of them was killed before that was recorded, or their fill before it removed
    /// them; or their clip was deleted.
    pub(super) async fn inlines(&self, report: &mut DriftReport) -> Result<()> {
        let kept = self.store.inlines().await?;
        if kept.is_empty() {
            return Ok(());
        }
        self.is_ours().await?;
        let waiting = self.catalog.inlines().await?;
        let name = |(provider, request_id, source): &(Provider, RequestId, String)| {
            let source = SourceUrl::new(source.as_str());
            source.inline_sha256().map(|sha256| inline_name(provider, request_id, sha256))
        };
        let waited_for: HashSet<String> = waiting.iter().filter_map(name).collect();
        let now = self.clock.now();
        let is_left = |object: &&Listed| {
            now.since(object.modified) >= self.settings.orphan_age && !waited_for.contains(&object.name)
        };
        for object in kept.iter().filter(is_left) {
            if !self.settings.look_only {
                self.store.delete_inline(&object.name).await?;
            }
            report.leftovers += 1;
        }
        Ok(())
    }

    /// Removes old posters whose clips are not stored: whoever made them was killed
    /// just after their clip was deleted, or it has another name by now.
    pub(super) async fn posters(&self, report: &mut DriftReport) -> Result<()> {
        let mut pages = self.store.posters();
        while let Some(page) = pages.try_next().await? {
            let now = self.clock.now();
            let old: Vec<_> =
                page.into_iter().filter(|(_, object)| now.since(object.modified) >= self.settings.orphan_age).collect();
            for batch in old.chunks(PAGE as usize) {
                let keys: Vec<_> = batch.iter().map(|(key, _)| key.clone()).collect();
                let states: HashMap<_, _> = self.catalog.states(&keys).await?.into_iter().collect();
                for key in keys.iter().filter(|key| states.get(key) != Some(&ClipState::Stored)) {
                    if !self.settings.look_only {
                        self.store.delete_poster(key).await?;
                    }
                    report.leftovers += 1;
                }
            }
        }
        Ok(())
    }

    /// Removes what fills left in this process's partials folder for a next attempt
    /// that will not come: their clips were filled elsewhere, deleted, or have
    /// another source.
    pub(super) async fn copies(&self, report: &mut DriftReport) -> Result<()> {
        for (key, path, epoch) in local::left_clips(self.partials.clone()).await? {
            let open =
                |clip: &Clip| matches!(clip.state, ClipState::Waiting | ClipState::Filling) && clip.epoch == epoch;
            let clip = self.catalog.clip(&key).await?.filter(|clip| *clip.first_key() == key);
            if clip.as_ref().is_some_and(open) || (self.is_filling)(&key) {
                continue;
            }
            if !self.settings.look_only {
                spawn_blocking(move || local::remove(&path)).await.map_err(std::io::Error::other)??;
            }
            report.copies += 1;
        }
        Ok(())
    }
}
