//! What became of each line, one by one.

use std::path::{Path, PathBuf};

use clipkeep_core::{
    id::{ClipKey, RequestId},
    secret::SourceUrl,
};
use serde_json::json;

use super::{
    ImportError,
    entry::Entry,
    lines::Refused,
    output::{csv_line, is_json},
};
use crate::{atomic_file::AtomicFile, export::csv::harmless};

/// The columns of a report.
const COLUMNS: [&str; 6] = ["line", "url", "request_id", "key", "outcome", "reason"];

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Kept,
    AlreadyKept,
    Registered,
    Lost,
    Rejected,
    Later,
    Deleted,
    Bad,
    /// In a dry run: it would be imported.
    Good,
}

impl Outcome {
    pub(super) fn is_stored(self) -> bool {
        matches!(self, Self::Kept | Self::AlreadyKept)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::AlreadyKept => "already_kept",
            Self::Registered => "registered",
            Self::Lost => "lost",
            Self::Rejected => "rejected",
            Self::Later => "later",
            Self::Deleted => "deleted",
            Self::Bad => "bad",
            Self::Good => "good",
        }
    }
}

/// What is told of a line.
pub(super) struct LineResult {
    pub(super) url: Option<SourceUrl>,
    pub(super) request_id: Option<String>,
    pub(super) key: Option<ClipKey>,
    pub(super) outcome: Outcome,
    pub(super) reason: Option<String>,
}

impl LineResult {
    pub(super) fn bad(refused: Refused) -> Self {
        let Refused { reason, url, request_id } = refused;
        Self { url, request_id, key: None, outcome: Outcome::Bad, reason: Some(reason) }
    }

    /// A good line in a dry run.
    pub(super) fn good(entry: &Entry) -> Self {
        Self::entry(&entry.request_id, &entry.url, Outcome::Good)
    }

    pub(super) fn entry(request_id: &RequestId, url: &SourceUrl, outcome: Outcome) -> Self {
        let request_id = Some(request_id.to_string());
        Self { url: Some(url.clone()), request_id, key: None, outcome, reason: None }
    }
}

/// The file of it.
pub(super) struct Report {
    draft: AtomicFile,
    is_json: bool,
}

impl Report {
    pub(super) fn create(path: &Path) -> Result<Self, ImportError> {
        let failed = |source| ImportError::Write { path: path.to_owned(), source };
        let mut report = Self { draft: AtomicFile::create(path).map_err(failed)?, is_json: is_json(path) };
        if !report.is_json {
            report.draft.write(&csv_line(b',', &COLUMNS.map(str::as_bytes))).map_err(failed)?;
        }
        Ok(report)
    }

    pub(super) fn add(&mut self, line: u64, result: &LineResult) -> Result<(), ImportError> {
        let url = result.url.as_ref().map(SourceUrl::expose);
        let (id, key) = (result.request_id.as_deref(), result.key.as_ref().map(ClipKey::as_str));
        let (outcome, reason) = (result.outcome.name(), result.reason.as_deref());
        let bytes = if self.is_json {
            let [n, u, i, k, o, r] = COLUMNS;
            format!("{}\n", json!({n: line, u: url, i: id, k: key, o: outcome, r: reason})).into_bytes()
        } else {
            let number = line.to_string();
            // The table is a stranger's, and reports are opened in spreadsheets.
            let safe = |text: Option<&str>| harmless(text.unwrap_or_default().to_owned());
            let fields = [number, safe(url), safe(id), safe(key), outcome.to_owned(), safe(reason)];
            csv_line(b',', &fields.each_ref().map(String::as_bytes))
        };
        self.draft.write(&bytes).map_err(|source| ImportError::Write { path: self.draft.path.clone(), source })
    }

    /// Gives the file its name, and answers it.
    pub(super) fn finish(self) -> Result<PathBuf, ImportError> {
        let path = self.draft.path.clone();
        match self.draft.finish() {
            Ok(()) => Ok(path),
            Err(source) => Err(ImportError::Write { path, source }),
        }
    }
}
