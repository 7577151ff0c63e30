//! A source without pieces: one stream from the start.

use clipkeep_core::version::SourceVersion;

use super::{Fetch, is_same, next_chunk};
use crate::{
    fill::task::FillError,
    source::{SourceError, SourceResponse},
};

impl Fetch<'_> {
    /// Asks for the whole. Bytes of the same version that are there already
    /// come again and are written over with themselves; of any other version
    /// nothing is kept.
    pub(super) async fn stream(&mut self, held: Option<&SourceVersion>) -> Result<(), FillError> {
        let _permit = self.inner.caps.acquire(&self.host).await;
        let answer = self.ask(None).await?;
        if !is_same(held, &answer.version) {
            if self.copy.opened().is_some() {
                self.start_over(SourceError::changed()).await?;
            }
            let opened = self.open(&answer, false).await?;
            self.show(&opened).await?;
        } else if let Some(opened) = self.copy.opened().filter(|_| self.copy.shown().is_none()) {
            self.show(&opened).await?;
        }
        self.pour(answer).await
    }

    /// Reads an answer that starts at the beginning to its end.
    pub(super) async fn pour(&mut self, mut answer: SourceResponse) -> Result<(), FillError> {
        let mut writer = self.copy.writer(0);
        while let Some(chunk) = next_chunk(&mut answer.body, &mut writer).await? {
            self.land(&mut writer, chunk).await?;
        }
        writer.flush().await?;
        Ok(self.copy.complete(writer.at()).await?)
    }
}
