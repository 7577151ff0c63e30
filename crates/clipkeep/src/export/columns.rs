//! The columns of a table of clips: the row's names, in the row's order.

use clipkeep_core::{seed::Seed, time::Timestamp};

use crate::dto::ClipRow;

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    Text(String),
    Int(i64),
    Seed(Seed),
    Real(f64),
    Flag(bool),
    Time(i64),
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int,
    /// A whole number of up to twenty digits.
    Seed,
    Real,
    Flag,
    Time,
}

/// A column.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) of: fn(&ClipRow) -> Option<Cell>,
}

macro_rules! columns {
    ($($name:ident: $kind:ident = $of:expr),+ $(,)?) => {
        &[$(Column { name: stringify!($name), kind: Kind::$kind, of: $of }),+]
    };
}

/// All columns. There is none for the source's URL.
pub(super) const COLUMNS: &[Column] = columns![
    key: Text = |row| some(&row.key),
    request_id: Text = |row| some(&row.request_id),
    model: Text = |row| text(&row.model),
    prompt_hash: Text = |row| text(&row.prompt_hash),
    final_url: Text = |row| text(&row.final_url),
    duration: Real = |row| row.duration.map(Cell::Real),
    created_at: Time = |row| time(Some(&row.created_at)),
    provider: Text = |row| some(&row.provider),
    tenant: Text = |row| text(&row.tenant),
    prompt: Text = |row| text(&row.prompt),
    input: Text = |row| row.input.as_ref().map(|input| Cell::Text(input.as_str().to_owned())),
    seed: Seed = |row| row.seed.map(Cell::Seed),
    state: Text = |row| some(row.state.as_str()),
    policy: Text = |row| some(row.policy.as_str()),
    public: Flag = |row| row.public.map(Cell::Flag),
    kind: Text = |row| some(row.kind.as_str()),
    content_type: Text = |row| some(&row.content_type),
    width: Int = |row| int(row.width),
    height: Int = |row| int(row.height),
    fps: Real = |row| row.fps.map(Cell::Real),
    codec: Text = |row| text(&row.codec),
    c2pa: Flag = |row| row.c2pa.map(Cell::Flag),
    size: Int = |row| row.size.and_then(|size| i64::try_from(size).ok()).map(Cell::Int),
    sha256: Text = |row| text(&row.sha256),
    source_expires_at: Time = |row| time(row.source_expires_at.as_ref()),
    stored_at: Time = |row| time(row.stored_at.as_ref()),
    verified_at: Time = |row| time(row.verified_at.as_ref()),
    link_generation: Int = |row| int(Some(row.link_generation)),
    attempts: Int = |row| int(Some(row.attempts)),
    last_error: Text = |row| text(&row.last_error),
    poster_url: Text = |row| text(&row.poster_url),
    thumbhash: Text = |row| text(&row.thumbhash),
];

fn some(text: &str) -> Option<Cell> {
    Some(Cell::Text(text.to_owned()))
}

fn text(text: &Option<String>) -> Option<Cell> {
    text.clone().map(Cell::Text)
}

fn int(number: Option<u32>) -> Option<Cell> {
    number.map(|number| Cell::Int(i64::from(number)))
}

fn time(text: Option<&String>) -> Option<Cell> {
    text?.parse::<Timestamp>().ok().map(|time| Cell::Time(time.millis()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use utoipa::PartialSchema as _;

    use super::*;

    #[test]
    fn h45_an_export_has_the_columns_of_the_apis_rows() {
        let schema = serde_json::to_value(ClipRow::schema()).unwrap();
        let of_row = schema["properties"].as_object().unwrap().keys().map(String::as_str);
        // The source is told to admins alone, one clip at a time.
        let of_row: BTreeSet<&str> = of_row.filter(|name| *name != "source_url").collect();
        assert_eq!(COLUMNS.iter().map(|column| column.name).collect::<BTreeSet<_>>(), of_row);
    }
}
