//! A table's lines, understood, in batches that are bounded by their number and
//! by their bytes.

use std::io;

use clipkeep_core::secret::SourceUrl;
use tokio::task::spawn_blocking;

use super::{
    Import, ImportError,
    entry::Entry,
    field::{Cells, Field},
    table::{Original, Table},
};

/// How many lines are committed and looked up together.
const BATCH: usize = 500;
/// How many bytes of records a batch holds before it is full.
const BATCH_BYTES: usize = 4 << 20;
/// How many characters of a field of a bad line are remembered.
const MAX_REASON: usize = 4096;

/// One line.
pub(super) struct Line {
    pub(super) number: u64,
    /// What it says, or why that is not understood.
    pub(super) entry: Result<Entry, Refused>,
    /// The record as it stood.
    pub(super) original: Original,
}

/// What is known of a line that was not understood.
#[derive(Clone)]
pub(super) struct Refused {
    pub(super) reason: String,
    pub(super) url: Option<SourceUrl>,
    pub(super) request_id: Option<String>,
}

impl Refused {
    fn unread(reason: String) -> Self {
        Self { reason, url: None, request_id: None }
    }

    fn of(cells: &Cells, reason: String) -> Self {
        let word = |field| cells.word(field).map(|text| text.chars().take(MAX_REASON).collect::<String>());
        Self { reason, url: word(Field::Url).map(SourceUrl::new), request_id: word(Field::RequestId) }
    }
}

/// A file that is gone through.
pub(super) struct Lines {
    import: Import,
    pub(super) table: Table,
}

impl Lines {
    pub(super) async fn open(import: &Import) -> Result<Self, ImportError> {
        let import = import.clone();
        off(&import.file.clone(), move || {
            let table = Table::open(&import.file, &import.options)?;
            Ok(Self { import, table })
        })
        .await
    }

    /// The next lines; none at the end.
    pub(super) async fn next(mut self) -> Result<(Self, Vec<Line>), ImportError> {
        let path = self.import.file.clone();
        off(&path, move || {
            let batch = self.gather();
            let batch = batch.map_err(|source| ImportError::Read { path: self.import.file.clone(), source })?;
            Ok((self, batch))
        })
        .await
    }

    fn gather(&mut self) -> io::Result<Vec<Line>> {
        let Import { defaults, rules, .. } = &self.import;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH && bytes < BATCH_BYTES {
            let Some(row) = self.table.next()? else { break };
            bytes += row.original.len();
            let read = |cells| Entry::read(&cells, defaults, rules).map_err(|reason| Refused::of(&cells, reason));
            let entry = row.cells.map_err(Refused::unread).and_then(read);
            batch.push(Line { number: row.line, entry, original: row.original });
        }
        Ok(batch)
    }
}

/// Runs what reads files off the async threads.
async fn off<T: Send + 'static>(
    path: &std::path::Path,
    work: impl FnOnce() -> Result<T, ImportError> + Send + 'static,
) -> Result<T, ImportError> {
    let failed = |error| ImportError::Read { path: path.to_owned(), source: io::Error::other(error) };
    spawn_blocking(work).await.map_err(failed)?
}
