//! The answer that is read on: asked for as far down the ladder as the source
//! demands, and judged against what is here already.

use clipkeep_core::{
    id::Provider,
    request_mode::RequestMode,
    verdict::{Verdict, Why},
    version::same_version,
};

use super::{Fetch, is_same};
use crate::{
    fill::{limits::Permit, local::Opened, task::FillError},
    source::{Piece, SourceError, SourceResponse},
};

/// An answer, and its connection's permit.
pub(super) struct Main {
    pub(super) answer: SourceResponse,
    pub(super) permit: Option<Permit>,
    /// Where it ends, if not with the clip.
    pub(super) to: Option<u64>,
}

impl Fetch<'_> {
    /// Asks for what is missing first. The answer belongs to the version that
    /// the copy is of from here on.
    pub(super) async fn main(&mut self) -> Result<(Main, Opened), FillError> {
        let permit = self.inner.connection_limits.acquire(&self.host).await;
        let mut is_plain = self.copy.request_mode() == RequestMode::Stream;
        loop {
            let piece = self.rest().filter(|_| !is_plain);
            let answer = match self.inner.parts.source.get(&self.url, piece.as_ref()).await {
                Ok(answer) => answer,
                Err(error) if self.is_signed_anew(&error).await => continue,
                Err(error) if piece.is_some() && self.blames_the_range(&error) => {
                    is_plain = true;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if piece.is_none() && is_plain || piece.is_some() && !answer.is_part {
                // It has no pieces, or none for us.
                self.copy.downgrade(RequestMode::Stream);
            }
            let to = piece.as_ref().and_then(|piece| piece.to);
            match self.copy.opened() {
                Some(opened) if is_same(Some(&opened.version), &answer.version) => {
                    return Ok((Main { answer, permit, to }, opened));
                }
                // Of another length it may be a page that says what is wrong now.
                Some(opened) if opened.total != answer.total && !self.doubted => self.doubted = true,
                Some(_) if answer.start > 0 => is_plain = true,
                held => {
                    if held.is_some() {
                        self.start_over(SourceError::changed()).await?;
                    }
                    let opened = self.open(&answer).await?;
                    return Ok((Main { answer, permit, to: None }, opened));
                }
            }
        }
    }

    /// The first run of missing bytes, if something is here that a range can go
    /// on from. Asked for to its end, it leaves nothing that the next answer
    /// would bring twice; but as long as the next one is not sure to come, it is
    /// asked for to the clip's.
    fn rest(&self) -> Option<Piece> {
        let opened = self.copy.opened()?;
        let if_range = Some(opened.version.if_range()?.to_owned());
        let gap = self.copy.gap(0..opened.total.unwrap_or(u64::MAX))?;
        let to = Some(gap.end).filter(|end| self.is_proven() && opened.total.is_some_and(|total| *end < total));
        (gap.start > 0 || to.is_some()).then_some(Piece { from: gap.start, to, if_range })
    }

    fn blames_the_range(&self, error: &SourceError) -> bool {
        self.copy.request_mode().refused_alone(error.verdict(), self.fruitless > 0) == RequestMode::Stream
    }

    /// Readies the copy for what there will be.
    async fn open(&mut self, answer: &SourceResponse) -> Result<Opened, FillError> {
        if answer.total.is_some_and(|total| total > self.inner.parts.settings.max_clip_size) {
            return Err(self.too_large());
        }
        // Other bytes may have been served under this epoch before.
        let before = self.claim.clip.version.as_ref().filter(|_| self.epoch == self.claim.clip.epoch);
        if before.is_some_and(|before| !same_version(before, &answer.version)) {
            self.raise_epoch(SourceError::changed()).await?;
        }
        let version = answer.version.clone();
        let ranges = answer.accepts_ranges && answer.total.is_some() && version.if_range().is_some();
        let ranges = ranges && self.copy.request_mode() < RequestMode::Stream;
        let opened = Opened { epoch: self.epoch, version, total: answer.total, ranges };
        self.copy.open(opened.clone()).await?;
        Ok(opened)
    }

    /// A file of fal's may be its owner's alone: with our key we are the owner,
    /// and get a URL that is signed. Asked for once; it is kept nowhere.
    async fn is_signed_anew(&mut self, error: &SourceError) -> bool {
        let is_refused = matches!(error.verdict(), Verdict::Missing(Why::Http401 | Why::Http403 | Why::Http404));
        let clip = &self.claim.clip;
        if !is_refused || clip.provider != Provider::fal() || self.url.expose() != clip.source_url.expose() {
            return false;
        }
        let signed = self.inner.parts.providers.fal.sign(&clip.source_url).await;
        let is_signed = signed.is_some();
        if let Some(url) = signed {
            self.url = url;
        }
        is_signed
    }
}
