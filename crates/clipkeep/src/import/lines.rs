//! A table's lines, understood, in batches that are bounded by their number and
//! by their bytes.

use std::io;

use tokio::task::spawn_blocking;

use super::{
    Import, ImportError,
    entry::Entry,
    table::{Original, Table},
};

/// How many lines are committed and looked up together.
const BATCH: usize = 500;
/// How many bytes of records a batch holds before it is full.
const BATCH_BYTES: usize = 4 << 20;

/// One line.
pub(super) struct Line {
    /// Its number.
    pub(super) number: u64,
    /// What it says, or why that is not understood.
    pub(super) entry: Result<Entry, String>,
    /// The record as it stood.
    pub(super) original: Original,
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
            let entry = row.cells.and_then(|cells| Entry::read(&cells, defaults, rules));
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
