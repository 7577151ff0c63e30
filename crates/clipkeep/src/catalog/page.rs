//! Lists of clips: one statement for whichever filters are set, paged by the
//! last row seen, so that every page costs the same.

use clipkeep_core::generation::Clip;

use super::{Catalog, ClipFilter, ClipPage, Cursor, Result, row::select_clips};

/// The most rows that one call answers or claims, whatever it asked for.
pub(crate) const MAX_PAGE: u32 = 1000;

/// How much text of rows one page holds. A page that would hold more ends
/// before it is full, and the next one goes on.
pub(crate) const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;

/// A value for a statement's placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    /// A whole number, or a time in Unix milliseconds.
    Int(i64),
}

/// A statement with its values, in order.
#[derive(Clone, Debug)]
pub struct Statement {
    pub sql: String,
    /// What its placeholders stand for.
    pub values: Vec<Value>,
}

impl Statement {
    /// Lists clips, newest first, one more than `limit` so that the caller sees
    /// whether there is a next page. Placeholders are `{mark}1`, `{mark}2` and
    /// so on. Public so that the suite can ask the databases how they run it.
    pub fn list(filter: &ClipFilter, after: Option<&Cursor>, limit: u32, mark: char) -> Self {
        let mut list = Self { sql: select_clips!("WHERE ").to_owned(), values: Vec::new() };
        list.restrict(filter, mark);
        if let Some(Cursor { created_at, key }) = after {
            let created_at = list.bind(Value::Int(created_at.millis()), mark);
            let key = list.bind(Value::Text(key.to_string()), mark);
            list.sql.push_str(&format!("(c.created_at, c.key) < ({created_at}, {key}) AND "));
        }
        let limit = list.bind(Value::Int(i64::from(size(limit)) + 1), mark);
        list.sql.push_str(&format!("TRUE ORDER BY c.created_at DESC, c.key DESC LIMIT {limit}"));
        list
    }

    /// Adds what must hold of a clip `c`, each with an `AND` behind it. Words are
    /// not among it: they are looked for elsewhere.
    pub(super) fn restrict(&mut self, filter: &ClipFilter, mark: char) {
        let text = |text: &str| Value::Text(text.to_owned());
        let equal = [
            ("c.key", filter.key.as_ref().map(|key| text(key.as_str()))),
            ("c.request_id", filter.request_id.as_ref().map(|id| text(id.as_str()))),
            ("c.model", filter.model.as_deref().map(text)),
            ("c.prompt_hash", filter.prompt_hash.as_deref().map(text)),
            ("c.tenant", filter.tenant.as_ref().map(|tenant| text(tenant.as_str()))),
            ("c.state", filter.state.map(|state| text(state.as_str()))),
            ("c.seed", filter.seed.map(|seed| Value::Int(seed.columns().0))),
            ("c.seed_beyond", filter.seed.and_then(|seed| seed.columns().1).map(Value::Int)),
        ];
        for (column, value) in equal {
            self.compare(column, "=", value, mark);
        }
        if let Some(c2pa) = filter.c2pa {
            self.sql.push_str(if c2pa { "c.c2pa = TRUE AND " } else { "c.c2pa = FALSE AND " });
        }
        // One of i64's range is not the one that stands for what is beyond it.
        if filter.seed.is_some_and(|seed| seed.columns() == (i64::MAX, None)) {
            self.sql.push_str("c.seed_beyond IS NULL AND ");
        }
        self.compare("c.created_at", ">=", filter.created_after.map(|time| Value::Int(time.millis())), mark);
        self.compare("c.created_at", "<", filter.created_before.map(|time| Value::Int(time.millis())), mark);
    }

    pub(super) fn compare(&mut self, column: &str, operator: &str, value: Option<Value>, mark: char) {
        if let Some(value) = value {
            let place = self.bind(value, mark);
            self.sql.push_str(&format!("{column} {operator} {place} AND "));
        }
    }

    pub(super) fn bind(&mut self, value: Value, mark: char) -> String {
        self.values.push(value);
        format!("{mark}{}", self.values.len())
    }
}

/// The number of rows that a call asking for `limit` gets at most.
pub(crate) fn size(limit: u32) -> u32 {
    limit.clamp(1, MAX_PAGE)
}

/// A page that fills, row by row.
pub(crate) struct PageBuilder {
    clips: Vec<Clip>,
    wanted: usize,
    bytes: usize,
    more: bool,
}

impl PageBuilder {
    pub(crate) fn new(limit: u32) -> Self {
        Self { clips: Vec::new(), wanted: size(limit) as usize, bytes: 0, more: false }
    }

    /// Takes the next row; answers whether to go on.
    pub(crate) fn push(&mut self, mut clip: Clip) -> bool {
        let len = clip.facts.text_len();
        self.more = self.clips.len() == self.wanted || (!self.clips.is_empty() && self.bytes + len > MAX_PAGE_BYTES);
        if !self.more {
            // Clips of one generation have one input, and most stand together.
            if let Some(last) = self.clips.last().filter(|last| last.facts.input == clip.facts.input) {
                clip.facts.input = last.facts.input.clone();
            }
            self.bytes += len;
            self.clips.push(clip);
        }
        !self.more
    }

    pub(crate) fn page(self) -> ClipPage {
        let last = self.clips.last().filter(|_| self.more);
        let next = last.map(|last| Cursor { created_at: last.created_at, key: last.key.clone() });
        ClipPage { clips: self.clips, next }
    }
}

/// The page made of the rows that [`Statement::list`] found.
pub(crate) fn page(clips: Vec<Clip>, limit: u32) -> ClipPage {
    let mut filling = PageBuilder::new(limit);
    let _ = clips.into_iter().all(|clip| filling.push(clip));
    filling.page()
}

/// All clips that `filter` shows, but no more than `most`: page by page, since
/// one ends early where rows are long.
pub async fn collect_clips(catalog: &dyn Catalog, filter: &ClipFilter, most: u32) -> Result<Vec<Clip>> {
    let (mut clips, mut after) = (Vec::new(), None);
    loop {
        let left = most.saturating_sub(u32::try_from(clips.len()).unwrap_or(u32::MAX));
        let page = catalog.clips(filter, after.as_ref(), left).await?;
        clips.extend(page.clips);
        match page.next {
            Some(next) if clips.len() < most as usize => after = Some(next),
            _ => return Ok(clips),
        }
    }
}

#[cfg(test)]
mod tests {
    use clipkeep_core::state::ClipState;

    use super::*;

    #[test]
    fn placeholders_are_numbered_as_the_values_stand() {
        let filter = ClipFilter { model: Some("m".into()), state: Some(ClipState::Lost), ..ClipFilter::default() };
        let list = Statement::list(&filter, None, 0, '$');
        assert!(list.sql.contains("c.model = $1 AND c.state = $2 AND "), "{}", list.sql);
        assert_eq!(list.values, [Value::Text("m".into()), Value::Text("lost".into()), Value::Int(2)]);
    }
}
