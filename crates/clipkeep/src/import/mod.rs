//! Import: a team's existing table of provider URLs becomes generations and
//! clips, and is filled.
//!
//! The file is gone through twice, in batches, so that memory does not grow with
//! it. The first pass registers (`register`): each good line is committed as a
//! completed generation with one clip, whose slot says which import made it; bad
//! lines go to a file. The second pass (`settle`) waits for each line's clip to
//! be over and counts. Nothing else is remembered: a run that was stopped or
//! killed finds in the catalogue how far it was, and ends with the same summary.

mod entry;
mod field;
mod json;
mod known;
mod lines;
mod output;
mod output_paths;
mod register;
mod report;
mod retry;
mod table;
mod wait;

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clipkeep_core::{address::SourceRules, retention::Retention, time::Timestamp};
use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};
use serde::Serialize;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

pub use self::{
    entry::Defaults,
    field::{Columns, Field},
};
use crate::{app::App, catalog::CatalogError};

/// Why an import did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read.
    #[error("reading {}", path.display())]
    Read {
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("writing {}", path.display())]
    Write {
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file has no place of its own: two are one, or it needs another name.
    #[error("{problem}; nothing was read or written")]
    Places {
        /// Which, and what to do.
        problem: String,
    },
    /// The file is no table that can be imported.
    #[error("the table cannot be imported: {problem}")]
    Table {
        /// Why not, and what to do.
        problem: String,
    },
    /// The catalogue did not do it.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl ImportError {
    fn table(problem: impl Into<String>) -> Self {
        Self::Table { problem: problem.into() }
    }
}

/// The form of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A header, then a record a line, with a delimiter between fields.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// How a table is to be read. What is not said is found out.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub form: Option<Form>,
    /// What stands between a CSV's fields.
    pub delimiter: Option<u8>,
    pub columns: Columns,
}

/// Where bad lines are written.
#[derive(Clone, Debug)]
pub enum Rejects {
    At(PathBuf),
    /// In a file of this name and `.rejects.csv` or `.rejects.jsonl`.
    Beside(PathBuf),
}

/// What an import writes.
#[derive(Clone, Debug)]
pub struct Outputs {
    pub rejects: Rejects,
    /// Old and final URLs of what is stored, if wanted.
    pub map: Option<PathBuf>,
    /// What became of each line, if wanted.
    pub report: Option<PathBuf>,
}

/// What is to be imported, and how.
#[derive(Clone, Debug)]
pub struct Import {
    pub file: PathBuf,
    pub options: Options,
    /// What holds for all lines.
    pub defaults: Defaults,
    /// Where sources may be.
    pub rules: SourceRules,
    /// How long clips are kept.
    pub retention: Retention,
    pub outputs: Outputs,
    /// Whether each clip is waited for, or only registered.
    pub fill: bool,
}

/// How an import gets on.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// So much of the file was registered.
    Registered {
        /// Bytes of the file.
        bytes: u64,
    },
    Bad {
        line: u64,
        reason: &'a str,
    },
    /// The clips of so many lines are over.
    Over {
        lines: u64,
        /// Of how many in all.
        of: u64,
    },
}

/// Somebody who watches an import.
pub type Watch<'a> = &'a (dyn Fn(Step<'_>) + Send + Sync);

/// What became of all lines; the counts add up to `lines`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Which import it was: by the file's content.
    pub import: String,
    /// Records in the file.
    pub lines: u64,
    /// Stored, by this import.
    pub kept: u64,
    /// Stored, and known before; or the line repeats an earlier one.
    pub already_kept: u64,
    /// Registered alone, by its policy.
    pub registered: u64,
    pub lost: u64,
    /// What came is no acceptable media.
    pub rejected: u64,
    /// Failing for now; the sweep goes on with it.
    pub later: u64,
    /// Deleted before, on request.
    pub deleted: u64,
    /// Not understood; in the file of rejects.
    pub bad_lines: u64,
    /// Of those that are there: older than `retention` keeps.
    pub too_old: u64,
    /// Columns that mean nothing here.
    pub ignored_columns: BTreeSet<String>,
    /// Where the bad lines are.
    pub rejects: Option<PathBuf>,
    /// Where the final URLs are.
    pub map: Option<PathBuf>,
    /// Where it stands what became of each line.
    pub report: Option<PathBuf>,
}

/// What all lines look like, before anything is imported.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// Which import it would be.
    pub import: String,
    /// Records in the file.
    pub lines: u64,
    /// Those that would be imported.
    pub good: u64,
    /// Not understood; in the file of rejects.
    pub bad_lines: u64,
    /// Of the good ones: older than `retention` keeps.
    pub too_old: u64,
    /// Columns that mean nothing here.
    pub ignored_columns: BTreeSet<String>,
    /// Where the bad lines are.
    pub rejects: Option<PathBuf>,
    /// Where each line's judgement is.
    pub report: Option<PathBuf>,
}

impl Summary {
    /// Whether every line's clip is kept, or registered as was asked.
    pub fn is_good(&self) -> bool {
        self.lost + self.rejected + self.later + self.bad_lines == 0
    }
}

/// How an import ended.
#[derive(Clone, Debug)]
pub enum Ended<T> {
    /// All lines are accounted for.
    Done(T),
    /// It was told to stop; run again, it goes on from there.
    Stopped,
}

impl Import {
    /// Reads and judges every line, and keeps nothing but the rejects and the
    /// report. The catalogue is not asked: what it would refuse counts as good.
    ///
    /// # Errors
    /// If the file is no table, or a file cannot be read or written.
    pub async fn check(
        &self,
        now: Timestamp,
        watch: Watch<'_>,
        stop: &CancellationToken,
    ) -> Result<Ended<Checked>, ImportError> {
        let id = identity(&self.file).await?;
        Ok(register::check(self, id, now, watch, stop).await?.map_or(Ended::Stopped, Ended::Done))
    }

    /// Imports the file. Dropping the future, or a kill, leaves nothing half
    /// done: run again, it goes on.
    ///
    /// # Errors
    /// If the file is no table, or a file, the catalogue or the store fails.
    pub async fn run(
        &self,
        app: &App,
        watch: Watch<'_>,
        stop: &CancellationToken,
    ) -> Result<Ended<Summary>, ImportError> {
        let id = identity(&self.file).await?;
        let Some(registered) = register::register(self, app, &id, watch, stop).await? else {
            return Ok(Ended::Stopped);
        };
        let summary = registered.summary(id);
        Ok(wait::wait_for_fills(self, app, summary, watch, stop).await?.map_or(Ended::Stopped, Ended::Done))
    }

    /// The slot of the clip that a line of import `id` announces: tells ever
    /// after which clips this very import made.
    fn slot(id: &str, line: u64) -> String {
        format!("/imports/{id}/{line}")
    }

    /// Whether the clip in this slot was announced by a line of import `id`.
    fn is_own(id: &str, slot: &str) -> bool {
        slot.strip_prefix("/imports/").and_then(|rest| rest.strip_prefix(id)).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Which import a file is: the first digits of its content's SHA-256.
async fn identity(path: &Path) -> Result<String, ImportError> {
    let of = path.to_owned();
    let hashed = spawn_blocking(move || hash(&of)).await;
    hashed.map_err(io::Error::other).flatten().map_err(|source| ImportError::Read { path: path.to_owned(), source })
}

fn hash(path: &Path) -> io::Result<String> {
    let (mut file, mut context) = (File::open(path)?, Context::new(&SHA256));
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(HEXLOWER.encode(&context.finish().as_ref()[..8])),
            read => context.update(&buffer[..read]),
        }
    }
}

/// Puts what comes from standard input into a file, so that it can be read
/// twice. Blocks.
///
/// # Errors
/// If it cannot be read or written.
pub fn spool(input: &mut impl Read, folder: &Path) -> Result<PathBuf, ImportError> {
    let path = folder.join("import");
    let failed = |source| ImportError::Write { path: path.clone(), source };
    let mut file = File::create(&path).map_err(failed)?;
    io::copy(input, &mut file).map_err(failed)?;
    Ok(path)
}
