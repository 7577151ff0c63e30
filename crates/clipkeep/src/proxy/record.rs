//! What is learned of a call, written into the catalogue; and what the app is
//! given in place of the source's URLs.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use clipkeep_core::{
    generation::{Clip, Facts, HookRecord, Origin},
    hook::{
        Decoded,
        fal::{self, Stage},
        payload::source_text,
    },
    id::{Provider, RequestId},
    link::LinkTarget,
    state::{ClipState, GenerationStatus},
    time::Timestamp,
};
use tokio::task::spawn_blocking;

use super::{
    ProxyError,
    reply::{CollectedReply, Replace},
};
use crate::{
    app::App,
    catalog::{CatalogError, ClipFilter, HookOutcome, Registration, page::collect_clips},
};

/// How often a write is tried before the app's answer stops waiting for it.
const MAX_TRIES: u32 = 4;
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// A generation has no more clips than that.
const MAX_CLIPS: u32 = 256;

/// Registers a generation, durably, unless the catalogue stays away.
pub(super) async fn register(app: &App, request_id: &RequestId, facts: &Facts) -> Result<(), CatalogError> {
    let provider = Provider::fal();
    let registration =
        Registration { provider, request_id: request_id.clone(), facts: facts.clone(), at: app.clock.now() };
    with_retries(|| app.catalog.register(&registration)).await.map(drop)
}

/// What an answer says of a generation, ready to be recorded; `None` if it says
/// nothing that lasts.
pub(super) fn read(request_id: &RequestId, code: u16, body: &Bytes, now: Timestamp) -> Option<Decoded> {
    if fal::result_stage(code, body) != Stage::Ended {
        return None;
    }
    let mut decoded = fal::fetched(request_id, code, body, now).ok()?;
    decoded.record.origin = Origin::Proxy;
    let is_missing = matches!(decoded.record.status, GenerationStatus::Pending | GenerationStatus::ResultMissing);
    (!is_missing).then_some(decoded)
}

/// The same of an answer that is all there, if it is not too long to be read.
pub(super) async fn read_whole(
    app: &App,
    call: &'static str,
    request_id: &RequestId,
    whole: &mut CollectedReply,
) -> Result<Option<Decoded>, ProxyError> {
    let Some(body) = whole.body(app.config.hook_max_body).await? else {
        app.metrics.passed_unrecorded(call);
        tracing::error!(%request_id, "a result that passed is larger than hook_max_body, and was not recorded");
        return Ok(None);
    };
    // It may be long, and be on the disk.
    let (id, code, now) = (request_id.clone(), whole.status.as_u16(), app.clock.now());
    spawn_blocking(move || read(&id, code, &body, now)).await.map_err(|_| ProxyError::Panicked)
}

/// Records what an answer says, as a webhook would have been; answers what
/// stands for the sources in it.
pub(super) async fn record(app: &App, decoded: &Decoded) -> Result<Option<Replace>, CatalogError> {
    let record = &decoded.record;
    let outcome = match with_retries(|| app.intake.record(decoded)).await {
        // Another provider's generation has its name: its clips are not these.
        Err(taken @ CatalogError::KeyTaken { .. }) => {
            tracing::error!(error = &taken as &dyn std::error::Error, "a result cannot be kept");
            return Ok(None);
        }
        outcome => outcome?,
    };
    if matches!(&outcome, HookOutcome::Recorded { clips } if !clips.is_empty()) {
        app.engine.wake();
    }
    if record.clips.is_empty() {
        return Ok(None);
    }
    let filter = ClipFilter { request_id: Some(record.request_id.clone()), ..ClipFilter::default() };
    let clips = with_retries(|| collect_clips(&*app.catalog, &filter, MAX_CLIPS)).await?;
    Ok(Some(replacing(app, record, clips.into_iter().filter(|clip| clip.provider == record.provider))))
}

/// The clips' own URLs in place of their sources: those that the rows have, and
/// those that this answer has, which differ where the provider ran it again.
fn replacing(app: &App, record: &HookRecord, clips: impl Iterator<Item = Clip>) -> Replace {
    let mut urls = HashMap::new();
    for clip in clips {
        let url = url_of(app, &clip);
        let told = record.clips.iter().filter(|told| told.slot == clip.slot).map(|told| &told.source_url);
        for source in told.chain([&clip.source_url]) {
            urls.insert(source.expose().to_owned(), url.clone());
        }
    }
    // A source is kept as it can be asked for, which may not be how it was told.
    Arc::new(move |text: &str| urls.get(text).or_else(|| urls.get(&*source_text(text))).cloned())
}

/// A URL under which the clip plays, as far as it will: where no link can be
/// signed, its final URL.
fn url_of(app: &App, clip: &Clip) -> String {
    let is_over = matches!(clip.state, ClipState::Lost | ClipState::Rejected | ClipState::Deleted);
    if is_over || clip.facts.public.unwrap_or(app.config.public) {
        return app.final_urls.of(&clip.key);
    }
    match app.sign_link(LinkTarget::Clip, (&clip.key, clip.link_generation), app.config.link_ttl, None) {
        Ok(link) => link.url,
        Err(error) => {
            tracing::error!(key = %clip.key, error = &error as &dyn std::error::Error, "no link can be signed");
            app.final_urls.of(&clip.key)
        }
    }
}

/// Tries again, while it is the database that is away.
async fn with_retries<T, F: Future<Output = Result<T, CatalogError>>>(work: impl Fn() -> F) -> Result<T, CatalogError> {
    let mut pause = RETRY_PAUSE;
    for _ in 1..MAX_TRIES {
        match work().await {
            Err(error @ CatalogError::Unavailable { .. }) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "trying again to keep what passes");
            }
            done => return done,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    work().await
}
