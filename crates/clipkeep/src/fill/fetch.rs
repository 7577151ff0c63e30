//! The source's bytes into the local file: resumed after a drop, started over
//! when the source became another version, never spliced from two.

use std::time::Duration;

use clipkeep_core::{
    backoff,
    verdict::{Verdict, Why},
    version::{SourceVersion, same_version},
};

use super::{Inner, growing::Writer, task::FillError};
use crate::{
    catalog::Claim,
    source::{Resume, SourceError},
};

/// Resumptions in a row that may bring no byte before the attempt gives up.
const FRUITLESS: u32 = 3;
/// Versions in a row before the attempt gives up on a source that keeps changing.
const VERSIONS: u32 = 3;

/// What has been brought so far.
struct Progress {
    version: Option<SourceVersion>,
    have: u64,
    fruitless: u32,
    versions: u32,
}

/// Brings all of the source into the writer's file.
pub(super) async fn fetch(inner: &Inner, claim: &Claim, mut writer: Writer) -> Result<(), FillError> {
    let mut progress = Progress { version: None, have: 0, fruitless: 0, versions: 0 };
    loop {
        let before = progress.have;
        let error = match pass(inner, claim, &mut writer, &mut progress).await {
            Ok(()) => {
                writer.finish().await?;
                return Ok(());
            }
            Err(FillError::Source(error)) => error,
            Err(error) => return Err(error),
        };
        progress.fruitless = if progress.have > before { 0 } else { progress.fruitless + 1 };
        match error.verdict() {
            Verdict::Changed => start_over(inner, claim, &mut writer, &mut progress, error).await?,
            Verdict::Retry { after, .. } if progress.have > 0 && progress.fruitless < FRUITLESS => {
                let settings = &inner.parts.settings;
                let pause = backoff::delay(progress.fruitless, settings.retry_base, settings.retry_max, random());
                tokio::time::sleep(pause.max(after.unwrap_or(Duration::ZERO))).await;
            }
            _ => return Err(error.into()),
        }
    }
}

/// One request, read to its end.
async fn pass(inner: &Inner, claim: &Claim, writer: &mut Writer, progress: &mut Progress) -> Result<(), FillError> {
    let if_range = progress.version.as_ref().and_then(SourceVersion::if_range);
    // Bytes may be joined to bytes only where the source can vouch for them.
    let resume = if_range
        .filter(|_| progress.have > 0)
        .map(|if_range| Resume { from: progress.have, if_range: Some(if_range.to_owned()) });
    let mut response = inner.parts.source.get(&claim.clip.source_url, resume.as_ref()).await?;
    if progress.have > 0 {
        let same = progress.version.as_ref().is_some_and(|held| same_version(held, &response.version));
        match (response.start, same) {
            (0, true) => {
                writer.reset().await?;
                progress.have = 0;
            }
            // The whole of another version: taken as it comes.
            (0, false) => start_over(inner, claim, writer, progress, SourceError::changed()).await?,
            (_, true) => {}
            (_, false) => return Err(SourceError::changed().into()),
        }
    }
    if response.total.is_some_and(|total| total > inner.parts.settings.max_clip_size) {
        return Err(too_large(inner));
    }
    progress.version = Some(response.version.clone());
    while let Some(chunk) = response.body.next().await? {
        let bytes = chunk.len() as u64;
        progress.have += bytes;
        inner.parts.metrics.source_read(bytes);
        if progress.have > inner.parts.settings.max_clip_size {
            return Err(too_large(inner));
        }
        writer.write(chunk).await?;
    }
    Ok(())
}

fn too_large(inner: &Inner) -> FillError {
    let max = inner.parts.settings.max_clip_size;
    FillError::Unacceptable(format!("the source is larger than {max} bytes (max_clip_size)"))
}

/// The source is another version now: a new epoch, durable first, then an
/// empty file. What was read of the old version is never served nor stored.
async fn start_over(
    inner: &Inner,
    claim: &Claim,
    writer: &mut Writer,
    progress: &mut Progress,
    error: SourceError,
) -> Result<(), FillError> {
    progress.versions += 1;
    if progress.versions >= VERSIONS {
        return Err(error.into());
    }
    let why = Why::Changed.as_str();
    inner.parts.catalog.raise_epoch(&claim.lease, inner.parts.clock.now(), why).await?;
    writer.reset().await?;
    progress.version = None;
    progress.have = 0;
    Ok(())
}

/// A number in 0..1 for jitter.
pub(super) fn random() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness there is no jitter: delays are then all at their middle.
    match ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}
