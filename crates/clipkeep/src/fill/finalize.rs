//! From «all bytes were read» to a confirmed object and a row that says so.

use std::{fs::File, sync::Arc, time::Duration};

use clipkeep_core::{
    backoff,
    config::DurationText,
    generation::{MediaInfo, Sealed},
    media_type::MediaType,
    probe::{self, Length, ProbeError},
    state::ClipState,
    time::Timestamp,
    verdict::Verdict,
    view::View,
};

use super::{
    FillEnd, Inner, adopt,
    attempt::Ongoing,
    fetch::random,
    local::{Ended, LocalCopy, Order},
    share,
    task::FillError,
};
use crate::{
    catalog::{Attempt, CatalogError, Claim, Fault, Lease},
    error_text::error_text,
    faststart,
    store::{Staged, Store, StoreError},
};

/// What an earlier fill of this clip left behind: its uploads are aborted; if
/// it got as far as a complete object, or another clip has its bytes, that is
/// confirmed and the clip stored.
/// Answers whether it was.
pub(super) async fn recover(inner: &Inner, ongoing: &Ongoing) -> Result<bool, FillError> {
    let claim = &ongoing.claim;
    let (parts, key) = (&inner.parts, &claim.lease.key);
    if claim.lease.fence <= 1 {
        return Ok(false);
    }
    parts.custody.ours().await?.abort_stale(key).await?;
    let Some(sealed) = &claim.clip.sealed else { return share::from_duplicate(inner, ongoing).await };
    let there = parts.store.head(key).await?.is_some_and(|object| object.size == sealed.size);
    if !there || !matches(inner, claim, sealed).await? {
        return share::from_duplicate(inner, ongoing).await;
    }
    if claim.clip.source_url.is_own_store() {
        adopt::complete(inner, claim).await?;
    }
    parts.catalog.mark_stored(&claim.lease, ongoing.ended(inner)).await?;
    Ok(true)
}

/// Whether the object under the clip's key holds exactly the sealed bytes.
async fn matches(inner: &Inner, claim: &Claim, sealed: &Sealed) -> Result<bool, FillError> {
    let object = inner.parts.store.hash(&claim.lease.key).await?;
    Ok(object.size == sealed.size && object.sha256 == sealed.sha256)
}

/// Reads the media facts of the complete local file, or says what is wrong
/// with it. What we do not read ourselves another program may know.
pub(super) async fn probe(
    inner: &Inner,
    file: &Arc<LocalCopy>,
    media: &'static MediaType,
) -> Result<MediaInfo, FillError> {
    let mut info = read_facts(file, media).await?;
    if let Some(ffmpeg) = &inner.parts.ffmpeg {
        ffmpeg.complete(&mut info, file.path()).await;
    }
    Ok(info)
}

/// The facts that we read ourselves.
pub(super) async fn read_facts(file: &Arc<LocalCopy>, media: &'static MediaType) -> Result<MediaInfo, FillError> {
    let (path, len) = (file.path().to_owned(), file.len());
    let is_promised = file.opened().is_some_and(|opened| opened.total.is_some());
    let length = if is_promised { Length::Promised } else { Length::Unknown };
    let read = move || probe::probe(&mut File::open(path)?, len, length, media);
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(info)) => Ok(info),
        Ok(Err(ProbeError::Io(error))) => Err(error.into()),
        // Without a promised length, or with one that lied, a cut shows here.
        Ok(Err(error @ ProbeError::Truncated)) => Err(FillError::Incomplete(error.to_string())),
        Ok(Err(error)) => Err(FillError::Unacceptable(error.to_string())),
        // A fault of ours costs facts, not the clip.
        Err(panicked) => {
            tracing::error!(error = %panicked, media = media.name, "reading a clip's facts failed");
            Ok(MediaInfo::of(media))
        }
    }
}

/// Seals the row, makes the object visible, confirms it, flips the row. What is
/// not staged, since its name changed, is staged here from the local copy.
///
/// A `kill -9` between any two of these steps is mended by the next fill's
/// [`recover`]: before the object is visible it starts over, after it the seal
/// tells that the object is the right one.
pub(super) async fn publish(
    inner: &Inner,
    ongoing: &Ongoing,
    file: &Arc<LocalCopy>,
    mut staged: Option<Staged>,
    sealed: &Sealed,
) -> Result<(), FillError> {
    let claim = &ongoing.claim;
    let (parts, key) = (&inner.parts, &claim.lease.key);
    if parts.settings.fast_start && !file.shown().is_some_and(|shown| matches!(shown.order, Order::Decided(_))) {
        decide_view(inner, claim, file).await?;
    }
    parts.catalog.seal(&claim.lease, sealed, parts.clock.now()).await?;
    let duplicate = share::find(inner, ongoing).await;
    if !matches!(duplicate, Ok(None))
        && let Some(staged) = staged.take()
    {
        // First, so that a kill leaves no upload that nobody ends.
        staged.abort().await;
    }
    if let Some(duplicate) = duplicate?
        && share::refer(inner, ongoing, &duplicate).await?
    {
        return Ok(());
    }
    let staged = match staged {
        Some(staged) => staged,
        None => parts.custody.ours().await?.stage(key, &sealed.media.content_type, file).await?,
    };
    // Looked at now, not when the fill began: the bytes may have taken hours.
    if let Err(doubt) = parts.custody.ours().await {
        staged.abort().await;
        return Err(doubt.into());
    }
    match staged.publish().await {
        Ok(_) => {}
        // Other bytes stand in the way, under the name of a clip that is not
        // stored: damaged ones, a zombie's, or a stranger's. They go only now
        // that all of the right ones are here, which are staged once more.
        Err(StoreError::Exists { .. }) => {
            still_ours(inner, claim).await?.delete(key).await?;
            let again = parts.store.stage(key, &sealed.media.content_type, file).await?;
            if let Err(error) = still_ours(inner, claim).await {
                again.abort().await;
                return Err(error);
            }
            again.publish().await?;
        }
        Err(error) => return Err(error.into()),
    }
    parts.catalog.mark_stored(&claim.lease, ongoing.ended(inner)).await?;
    Ok(())
}

/// The store, for who removes or writes over what may be there: whoever lost the
/// lease must not touch what its successor may have put there, and nobody what is
/// another catalogue's.
pub(super) async fn still_ours<'a>(inner: &'a Inner, claim: &Claim) -> Result<&'a Store, FillError> {
    let parts = &inner.parts;
    let store = parts.custody.ours().await?;
    parts.catalog.renew(&claim.lease, parts.clock.now().plus(parts.settings.lease), 0).await?;
    Ok(store)
}

/// Looks how the clip is best served, unless a viewer's request decided that.
pub(super) async fn decide_view(inner: &Inner, claim: &Claim, file: &Arc<LocalCopy>) -> Result<(), FillError> {
    let Some(opened) = file.opened() else { return Ok(()) };
    let found = faststart::find(file.len(), &mut file.uncounted_viewer()).await;
    let view = match found {
        Ok(fast) => fast.map_or(View::Plain, |fast| fast.view()),
        Err(Ended::Unreadable(error)) => return Err(error.into()),
        // Somebody else's lease by now: theirs to decide.
        Err(Ended::Restarted | Ended::Aborted) => return Ok(()),
    };
    inner.parts.catalog.decide_view(&claim.lease.key, opened.epoch, &view).await?;
    Ok(())
}

/// What the end of a fill means for the row.
enum Outcome {
    Stored,
    Lost(String),
    Rejected(String),
    Retry(Fault, String, Option<Duration>),
    Release,
    Abandoned,
}

/// Writes down how the fill ended. If even that fails, the lease runs out and
/// the clip is due again.
pub(super) async fn conclude(inner: &Inner, ongoing: &Ongoing, result: Result<(), FillError>) -> FillEnd {
    let claim = &ongoing.claim;
    let refused = match &result {
        Err(FillError::Source(error)) => error.refused_origin().map(str::to_owned),
        _ => None,
    };
    let outcome = judge(inner, claim, result);
    let (end, written) = write(inner, ongoing, outcome, refused.as_deref()).await;
    match written {
        Ok(()) => end,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(clip = %claim.lease.key, error, "cannot write down how a fill ended");
            FillEnd::Abandoned
        }
    }
}

fn judge(inner: &Inner, claim: &Claim, result: Result<(), FillError>) -> Outcome {
    let Err(error) = result else { return Outcome::Stored };
    let why = error_text(&error);
    let settings = &inner.parts.settings;
    let last_miss = claim.clip.misses + 1 >= settings.not_found_attempts;
    // A clip may be old when it is first tried: its source gets its chances, too.
    let tried = claim.clip.attempts >= settings.not_found_attempts;
    let age = inner.parts.clock.now().since(claim.clip.sought_since());
    let verdict = match error {
        FillError::Source(error) => error.verdict(),
        FillError::Unacceptable(_) => return Outcome::Rejected(why),
        FillError::NotLanded if age >= settings.adopt_within => {
            let within = DurationText(settings.adopt_within);
            return Outcome::Lost(format!("the provider did not put it into the store within {within} (adopt_within)"));
        }
        FillError::NotLanded => return Outcome::Retry(Fault::Elsewhere, why, None),
        FillError::InlineGone => return Outcome::Lost(why),
        FillError::Deleted | FillError::LeaseLost | FillError::Catalog(CatalogError::LeaseLost { .. }) => {
            return Outcome::Abandoned;
        }
        FillError::Stopping => return Outcome::Release,
        FillError::Incomplete(_) if last_miss => return Outcome::Rejected(why),
        FillError::Incomplete(_) => return Outcome::Retry(Fault::Source, why, None),
        FillError::Store(_) | FillError::NotOurs(_) | FillError::Catalog(_) | FillError::Disk(_) => {
            return Outcome::Retry(Fault::Elsewhere, why, None);
        }
    };
    match verdict {
        Verdict::Gone(_) => Outcome::Lost(why),
        Verdict::Rejected(_) => Outcome::Rejected(why),
        // It may still be on its way there: providers announce what they upload.
        Verdict::Missing(_) if last_miss && age >= settings.not_found_timeout => Outcome::Lost(why),
        Verdict::Retry { .. } | Verdict::Changed if age >= settings.lost_after && tried => Outcome::Lost(why),
        Verdict::Missing(_) => Outcome::Retry(Fault::Source, why, None),
        Verdict::Retry { after, .. } => Outcome::Retry(Fault::Elsewhere, why, after),
        Verdict::Changed => Outcome::Retry(Fault::Elsewhere, why, None),
    }
}

async fn write(
    inner: &Inner,
    ongoing: &Ongoing,
    outcome: Outcome,
    refused: Option<&str>,
) -> (FillEnd, Result<(), CatalogError>) {
    let claim = &ongoing.claim;
    let (catalog, lease, key) = (&inner.parts.catalog, &claim.lease, &claim.lease.key);
    let attempt = ongoing.ended(inner);
    match outcome {
        Outcome::Stored => {
            tracing::info!(clip = %key, attempts = claim.clip.attempts, "stored");
            (FillEnd::Stored, Ok(()))
        }
        Outcome::Lost(why) => {
            tracing::error!(clip = %key, why, "lost: the source is gone");
            (FillEnd::Lost, over(inner, lease, attempt, ClipState::Lost, refused, &why).await)
        }
        Outcome::Rejected(why) => {
            tracing::error!(clip = %key, why, "rejected: no acceptable media");
            (FillEnd::Rejected, over(inner, lease, attempt, ClipState::Rejected, refused, &why).await)
        }
        Outcome::Retry(fault, why, after) => {
            let settings = &inner.parts.settings;
            let pause = backoff::delay(claim.clip.attempts, settings.retry_base, settings.retry_max, random());
            let pause = pause.max(after.unwrap_or_default());
            tracing::warn!(clip = %key, why, attempts = claim.clip.attempts, retry_in = ?pause, "a fill failed");
            let due = attempt.at.plus(pause);
            let due = last_look(inner, claim, attempt.at).map_or(due, |last| last.min(due));
            (FillEnd::Later, catalog.retry_later(lease, attempt, due, fault, &why).await)
        }
        Outcome::Release => (FillEnd::Abandoned, catalog.release(lease, attempt).await),
        Outcome::Abandoned => {
            tracing::warn!(clip = %key, "let go: it was deleted, or the lease went to someone else");
            // Nobody may have taken it: it ran out while the database was away.
            match catalog.release(lease, attempt).await {
                Err(CatalogError::LeaseLost { .. }) => (FillEnd::Abandoned, Ok(())),
                released => (FillEnd::Abandoned, released),
            }
        }
    }
}

/// The clip ends in vain; where that is only for an origin that no request may go
/// to, it comes back when one may.
async fn over(
    inner: &Inner,
    lease: &Lease,
    attempt: Attempt,
    end: ClipState,
    refused: Option<&str>,
    why: &str,
) -> Result<(), CatalogError> {
    let catalog = &inner.parts.catalog;
    match (refused, end) {
        (Some(origin), _) => catalog.mark_refused(lease, attempt, end, origin, why).await,
        (None, ClipState::Lost) => catalog.mark_lost(lease, attempt, why).await,
        (None, _) => catalog.mark_rejected(lease, attempt, why).await,
    }
}

/// When an adopting clip that is not there by then is lost.
fn last_look(inner: &Inner, claim: &Claim, now: Timestamp) -> Option<Timestamp> {
    let last = claim.clip.sought_since().plus(inner.parts.settings.adopt_within);
    (claim.clip.source_url.is_own_store() && last > now).then_some(last)
}
