//! A clip that another node fills: its viewers here get the source's own bytes,
//! piece by piece, and nothing is kept.

use std::{ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};
use clipkeep_core::{generation::Clip, secret::SourceUrl, verdict::Verdict, version::SourceVersion};
use futures_util::{StreamExt, TryStreamExt, stream, stream::BoxStream};

use super::{FillEngine, Inner, fetch::host_of, limits::Permit};
use crate::{
    faststart::ReadAt,
    source::{Piece, SourceError, SourceResponse},
    usage::Account,
};

/// How much the first request asks for: enough to see what the clip is.
const FIRST_READ: u64 = 4 * 1024;
/// How often one answer goes on after a cut.
const RESUMPTIONS: u32 = 3;

/// One version of a source.
#[derive(Clone)]
pub struct Passthrough {
    inner: Arc<Inner>,
    url: SourceUrl,
    version: SourceVersion,
    total: u64,
    /// Its first bytes, for a look at them.
    head: Bytes,
    account: Arc<Account>,
}

impl FillEngine {
    /// Opens a clip's source for reading through. Only one that can prove its
    /// version and gives pieces can be read so: `None` for any other.
    pub async fn through(&self, clip: &Clip) -> Result<Option<Passthrough>, SourceError> {
        let first = Piece { from: 0, to: Some(FIRST_READ), if_range: None };
        let (mut answer, _permit) = ask(&self.0, &clip.source_url, &first).await?;
        let (true, Some(total), Some(_)) = (answer.is_part, answer.total, answer.version.if_range()) else {
            return Ok(None);
        };
        let max = self.0.parts.settings.max_clip_size;
        let head = head(&mut answer).await?;
        let account = self.0.parts.usage.account(&clip.key, clip.facts.tenant.as_ref());
        self.0.parts.metrics.source_read(head.len() as u64);
        account.source_read(head.len() as u64);
        let through = Passthrough {
            inner: Arc::clone(&self.0),
            url: clip.source_url.clone(),
            version: answer.version,
            total,
            head,
            account,
        };
        Ok(Some(through).filter(|_| total <= max))
    }
}

/// What the first request brings, and no more than it asked for.
async fn head(answer: &mut SourceResponse) -> Result<Bytes, SourceError> {
    let mut head = BytesMut::new();
    while (head.len() as u64) < FIRST_READ {
        let Some(chunk) = answer.body.next().await? else { break };
        head.extend_from_slice(&chunk);
    }
    head.truncate(FIRST_READ as usize);
    Ok(head.freeze())
}

impl FillEngine {
    /// Whether a clip's source still gives something.
    pub async fn source_lives(&self, clip: &Clip) -> bool {
        let first = Piece { from: 0, to: Some(FIRST_READ), if_range: None };
        clip.source_url.has_url() && ask(&self.0, &clip.source_url, &first).await.is_ok()
    }
}

async fn ask(inner: &Inner, url: &SourceUrl, piece: &Piece) -> Result<(SourceResponse, Option<Permit>), SourceError> {
    let permit = inner.connection_limits.acquire(&host_of(url)).await;
    Ok((inner.parts.source.get(url, Some(piece)).await?, permit))
}

/// A piece that is being read.
struct Reading {
    through: Passthrough,
    left: Range<u64>,
    answer: Option<(SourceResponse, Option<Permit>)>,
    resumptions: u32,
}

impl Passthrough {
    pub const fn version(&self) -> &SourceVersion {
        &self.version
    }

    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The bytes of `range`, of this version or none.
    pub fn read(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes, SourceError>> {
        let start = Reading { through: self.clone(), left: range, answer: None, resumptions: 0 };
        stream::try_unfold(start, Reading::next).boxed()
    }

    async fn piece(&self, range: &Range<u64>) -> Result<(SourceResponse, Option<Permit>), SourceError> {
        let piece = Piece { from: range.start, to: Some(range.end), if_range: None };
        let (answer, permit) = ask(&self.inner, &self.url, &piece).await?;
        let same = clipkeep_core::version::same_version(&self.version, &answer.version);
        if same && answer.start == range.start { Ok((answer, permit)) } else { Err(SourceError::changed()) }
    }
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, SourceError> {
        while !self.left.is_empty() {
            let (answer, _) = match &mut self.answer {
                Some(answer) => answer,
                None => self.answer.insert(self.through.piece(&self.left).await?),
            };
            match answer.body.next().await {
                Ok(Some(mut chunk)) => {
                    chunk.truncate(usize::try_from(self.left.end - self.left.start).unwrap_or(usize::MAX));
                    self.left.start += chunk.len() as u64;
                    self.through.inner.parts.metrics.source_read(chunk.len() as u64);
                    self.through.account.source_read(chunk.len() as u64);
                    return Ok(Some((chunk, self)));
                }
                Ok(None) => self.answer = None,
                Err(error) if !matches!(error.verdict(), Verdict::Retry { .. }) => return Err(error),
                Err(error) if self.resumptions >= RESUMPTIONS => return Err(error),
                Err(_) => self.answer = None,
            }
            self.resumptions += 1;
        }
        Ok(None)
    }
}

impl ReadAt for Passthrough {
    type Error = SourceError;

    async fn read_at(&mut self, range: Range<u64>) -> Result<Bytes, SourceError> {
        let all = |mut all: BytesMut, chunk: Bytes| {
            all.extend_from_slice(&chunk);
            std::future::ready(Ok(all))
        };
        let range = range.start.min(self.total)..range.end.min(self.total);
        if range.end <= self.head.len() as u64 {
            return Ok(self.head.slice(range.start as usize..range.end as usize));
        }
        Ok(self.read(range).try_fold(BytesMut::new(), all).await?.freeze())
    }
}
