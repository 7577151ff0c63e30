//! A row's cells, typed, for both databases. One that cannot be read is named by
//! its table, its row's key and its column.

use std::str::FromStr;

use clipkeep_core::{
    generation::{Facts, MediaInfo, Poster, Sealed},
    seed::Seed,
    state::ClipState,
    time::Timestamp,
    version::SourceVersion,
};

use super::{CatalogError, Result};

/// A cell that does not hold what its column promises.
pub(crate) struct Unreadable;

/// A database's row, by column name.
pub(crate) trait Columns {
    fn text(&self, column: &'static str) -> Result<Option<String>, Unreadable>;
    fn int(&self, column: &'static str) -> Result<Option<i64>, Unreadable>;
    fn real(&self, column: &'static str) -> Result<Option<f64>, Unreadable>;
    fn flag(&self, column: &'static str) -> Result<Option<bool>, Unreadable>;
}

/// A row with what is needed to say where an unreadable cell stands.
pub(super) struct Cells<'a, R> {
    row: &'a R,
    table: &'static str,
    pub(super) key: String,
}

impl<'a, R: Columns> Cells<'a, R> {
    pub(super) fn of(row: &'a R, table: &'static str, key_column: &'static str) -> Result<Self> {
        let mut cells = Self { row, table, key: String::new() };
        cells.key = cells.must(key_column, cells.text(key_column))?;
        Ok(cells)
    }

    pub(super) fn bad(&self, column: &'static str) -> CatalogError {
        CatalogError::BadRow { table: self.table, key: self.key.clone(), column }
    }

    /// The value of a column that is never null.
    pub(super) fn must<T>(&self, column: &'static str, value: Result<Option<T>>) -> Result<T> {
        value?.ok_or_else(|| self.bad(column))
    }

    pub(super) fn text(&self, column: &'static str) -> Result<Option<String>> {
        self.row.text(column).map_err(|Unreadable| self.bad(column))
    }

    pub(super) fn real(&self, column: &'static str) -> Result<Option<f64>> {
        self.row.real(column).map_err(|Unreadable| self.bad(column))
    }

    pub(super) fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<T>> {
        let number = self.row.int(column).map_err(|Unreadable| self.bad(column))?;
        number.map(T::try_from).transpose().map_err(|_| self.bad(column))
    }

    pub(super) fn time(&self, column: &'static str) -> Result<Option<Timestamp>> {
        Ok(self.number(column)?.map(Timestamp::from_millis))
    }

    pub(super) fn name<T: FromStr>(&self, column: &'static str) -> Result<Option<T>> {
        self.text(column)?.map(|text| text.parse()).transpose().map_err(|_| self.bad(column))
    }

    pub(super) fn facts(&self) -> Result<Facts> {
        Ok(Facts {
            model: self.text("model")?,
            prompt: self.text("prompt")?,
            prompt_hash: self.text("prompt_hash")?,
            tenant: self.name("tenant")?,
            policy: self.name("own_policy")?,
            input: self.name("input")?,
            seed: self.seed()?,
            public: self.row.flag("public").map_err(|Unreadable| self.bad("public"))?,
        })
    }

    pub(super) fn seed(&self) -> Result<Option<Seed>> {
        let (number, beyond) = (self.number("seed")?, self.number("seed_beyond")?);
        let seed = |number| Seed::of_columns(number, beyond).ok_or_else(|| self.bad("seed"));
        number.map(seed).transpose()
    }

    pub(super) fn version(&self) -> Result<Option<SourceVersion>> {
        let text = self.text("version")?;
        text.map(|json| serde_json::from_str(&json)).transpose().map_err(|_| self.bad("version"))
    }

    /// A poster is of one content epoch, and of what is stored.
    pub(super) fn poster(&self) -> Result<Poster> {
        let (of, epoch): (Option<i64>, Option<i64>) = (self.number("poster_epoch")?, self.number("epoch")?);
        if of.is_none() || of != epoch || self.text("state")?.as_deref() != Some(ClipState::Stored.as_str()) {
            return Ok(Poster::Untried);
        }
        Ok(self.text("thumbhash")?.map_or(Poster::None, |thumbhash| Poster::Made { thumbhash }))
    }

    pub(super) fn sealed(&self) -> Result<Option<Sealed>> {
        let Some(sha256) = self.text("sha256")? else { return Ok(None) };
        let media = MediaInfo {
            kind: self.must("sealed_kind", self.name("sealed_kind"))?,
            content_type: self.must("sealed_content_type", self.text("sealed_content_type"))?,
            duration: self.real("duration")?,
            width: self.number("width")?,
            height: self.number("height")?,
            fps: self.real("fps")?,
            codec: self.text("codec")?,
            c2pa: self.row.flag("c2pa").map_err(|Unreadable| self.bad("c2pa"))?,
        };
        Ok(Some(Sealed { size: self.must("size", self.number("size"))?, sha256, media }))
    }
}
