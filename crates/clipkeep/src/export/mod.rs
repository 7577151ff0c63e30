//! Clips as a file, for other programs: JSON lines, CSV, Parquet. Whatever the
//! number, one page of rows is held at a time (Parquet: one row group). No
//! format has the source's URL.

mod columns;
pub(crate) mod csv;
mod parquet;

use std::{path::Path, str::FromStr, sync::Arc};

use crate::{
    catalog::{Catalog, CatalogError, ClipFilter, Cursor},
    dto::ClipRow,
    final_urls::FinalUrls,
};

/// How many rows are read at once.
const PAGE: u32 = 500;

/// What an export is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line: the rows as the API has them.
    Jsonl,
    /// CSV with a header. Text that a spreadsheet would run begins with `'`.
    Csv,
    /// Parquet, with real types.
    Parquet,
}

/// There is no such format.
#[derive(Debug, thiserror::Error)]
#[error("must be jsonl, csv or parquet")]
pub struct NoSuchFormat;

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Jsonl, Self::Csv, Self::Parquet];

    /// The format that a file of this name is to have.
    pub fn of(path: &Path) -> Option<Self> {
        path.extension()?.to_str()?.to_ascii_lowercase().parse().ok()
    }

    /// The ending of such a file, without the dot.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    /// Its media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Jsonl => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

impl FromStr for Format {
    type Err = NoSuchFormat;

    fn from_str(text: &str) -> Result<Self, NoSuchFormat> {
        [Self::Jsonl, Self::Csv, Self::Parquet].into_iter().find(|one| one.ending() == text).ok_or(NoSuchFormat)
    }
}

/// An export on its way, piece by piece.
pub struct Export {
    catalog: Arc<dyn Catalog>,
    urls: FinalUrls,
    filter: ClipFilter,
    after: Option<Cursor>,
    writer: Writer,
    /// How many clips are in the pieces so far.
    pub clips: u64,
    ended: bool,
}

enum Writer {
    Jsonl,
    Csv,
    Parquet(parquet::Writer),
}

impl Export {
    /// All clips that `filter` shows, newest first.
    pub fn new(catalog: Arc<dyn Catalog>, urls: FinalUrls, filter: ClipFilter, format: Format) -> Self {
        let writer = match format {
            Format::Jsonl => Writer::Jsonl,
            Format::Csv => Writer::Csv,
            Format::Parquet => Writer::Parquet(parquet::Writer::default()),
        };
        Self { catalog, urls, filter, after: None, writer, clips: 0, ended: false }
    }

    /// The next piece of the file; `None` behind the last one. After an error
    /// there is no more: what came so far is no whole file.
    ///
    /// # Errors
    /// If the catalogue does not answer.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, CatalogError> {
        if self.ended {
            return Ok(None);
        }
        self.ended = true;
        let page = self.catalog.clips(&self.filter, self.after.as_ref(), PAGE).await?;
        let first = self.after.is_none();
        let rows: Vec<ClipRow> = page.clips.into_iter().map(|clip| ClipRow::new(clip, &self.urls)).collect();
        self.clips += rows.len() as u64;
        let last = page.next.is_none();
        let piece = match &mut self.writer {
            Writer::Jsonl => rows.iter().flat_map(json_line).collect(),
            Writer::Csv => csv::piece(&rows, first),
            Writer::Parquet(writer) => writer.piece(&rows, last),
        };
        self.after = page.next;
        self.ended = last;
        Ok(Some(piece))
    }
}

fn json_line(row: &ClipRow) -> Vec<u8> {
    // A row is plain data: cannot fail.
    let mut line = serde_json::to_vec(row).unwrap_or_default();
    line.push(b'\n');
    line
}
