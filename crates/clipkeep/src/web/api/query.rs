//! Reading list queries: filters, limit, cursor.

use clipkeep_core::{problem::Code, prompt::prompt_hash, seed::Seed, time::Timestamp, usage::Moment};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    catalog::{ClipFilter, Cursor},
    web::error::ApiError,
};

/// The most clips one page holds.
pub(crate) const MAX_LIMIT: u32 = 1000;
const DEFAULT_LIMIT: u32 = 100;

/// Which clips to list. All filters must match.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClipQuery {
    /// Only clips of this generation.
    #[param(pattern = "^[A-Za-z0-9._~-]+$", max_length = 128)]
    pub(crate) request_id: Option<String>,
    /// Only clips of exactly this model.
    pub(crate) model: Option<String>,
    /// Only clips with exactly this prompt (after NFC and trimming).
    pub(crate) prompt: Option<String>,
    /// Only clips with this prompt hash.
    #[param(pattern = "^[0-9A-Fa-f]{64}$")]
    pub(crate) prompt_hash: Option<String>,
    /// Only clips of this tenant.
    #[param(pattern = "^[A-Za-z0-9._~:@|/+-]+$", max_length = 128)]
    pub(crate) tenant: Option<String>,
    /// Only clips in this state.
    #[param(value_type = Option<crate::schemas::ClipState>)]
    pub(crate) state: Option<String>,
    /// Only clips made with this seed.
    #[param(value_type = Option<String>, pattern = "^-?[0-9]{1,20}$")]
    pub(crate) seed: Option<Seed>,
    /// Only clips that carry a C2PA manifest (`true`), or that were inspected and
    /// carry none (`false`).
    pub(crate) c2pa: Option<bool>,
    /// Only clips whose prompt contains all these words, in any order and case.
    pub(crate) words: Option<String>,
    /// Only clips created at or after this time (RFC 3339; or a day, 2026-01-31, or a month, 2026-01, UTC).
    pub(crate) created_after: Option<String>,
    /// Only clips created before this time (same formats).
    pub(crate) created_before: Option<String>,
    /// Return at most this many, 1 to 1000; default 100.
    #[param(minimum = 1, maximum = 1000)]
    pub(crate) limit: Option<u32>,
    /// The `next_cursor` of the previous page.
    pub(crate) cursor: Option<String>,
}

/// A query that was understood.
pub(crate) struct Page {
    pub(crate) filter: ClipFilter,
    pub(crate) after: Option<Cursor>,
    pub(crate) limit: u32,
}

impl ClipQuery {
    pub(crate) fn read(self) -> Result<Page, ApiError> {
        let hash_of_prompt = self.prompt.as_deref().map(prompt_hash);
        let given_hash = self.prompt_hash.map(|hash| hash.to_ascii_lowercase());
        if let (Some(a), Some(b)) = (&hash_of_prompt, &given_hash)
            && a != b
        {
            return Err(bad("prompt", "is not the prompt of prompt_hash"));
        }
        if given_hash
            .as_ref()
            .is_some_and(|hash| hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            return Err(bad("prompt_hash", "must be 64 hex digits"));
        }
        let filter = ClipFilter {
            key: None,
            request_id: parse("request_id", self.request_id)?,
            model: self.model.map(|model| holdable("model", model)).transpose()?,
            prompt_hash: hash_of_prompt.or(given_hash),
            tenant: parse("tenant", self.tenant)?,
            state: parse("state", self.state)?,
            seed: self.seed,
            c2pa: self.c2pa,
            words: parse("words", self.words)?,
            created_after: moment("created_after", self.created_after)?,
            created_before: moment("created_before", self.created_before)?,
        };
        in_order(("created_after", filter.created_after), ("created_before", filter.created_before))?;
        let limit = limit_of(self.limit)?;
        let after =
            self.cursor.as_deref().map(|text| read_cursor(text).ok_or_else(|| bad("cursor", "is not one of ours")));
        Ok(Page { filter, after: after.transpose()?, limit })
    }
}

/// How many to list, if asked for `limit`.
pub(crate) fn limit_of(limit: Option<u32>) -> Result<u32, ApiError> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) { Ok(limit) } else { Err(bad("limit", "must be 1 to 1000")) }
}

pub(crate) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    name: &str,
    text: Option<String>,
) -> Result<Option<T>, ApiError> {
    text.map(|text| text.parse().map_err(|error: T::Err| bad(name, &error.to_string()))).transpose()
}

/// A time, a day or a month.
pub(crate) fn moment(name: &str, text: Option<String>) -> Result<Option<Timestamp>, ApiError> {
    Ok(parse::<Moment>(name, text)?.map(|moment| moment.0))
}

/// A span that ends before it begins holds nothing: nobody means that.
pub(crate) fn in_order(from: (&str, Option<Timestamp>), to: (&str, Option<Timestamp>)) -> Result<(), ApiError> {
    match (from.1, to.1) {
        (Some(begin), Some(end)) if begin >= end => Err(bad(to.0, &format!("must be later than {}", from.0))),
        _ => Ok(()),
    }
}

/// Text that a database can be asked for: PostgreSQL's holds no NUL.
pub(crate) fn holdable(name: &str, text: String) -> Result<String, ApiError> {
    if text.contains('\0') { Err(bad(name, "must not hold NUL")) } else { Ok(text) }
}

pub(crate) fn bad(name: &str, problem: &str) -> ApiError {
    ApiError::new(Code::InvalidRequest, format!("{name}: {problem}"))
}

pub(crate) fn write_cursor(cursor: &Cursor) -> String {
    BASE64URL_NOPAD.encode(format!("{}:{}", cursor.created_at.millis(), cursor.key).as_bytes())
}

fn read_cursor(text: &str) -> Option<Cursor> {
    let text = String::from_utf8(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?).ok()?;
    let (millis, key) = text.split_once(':')?;
    Some(Cursor { created_at: Timestamp::from_millis(millis.parse().ok()?), key: key.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_trip_and_nonsense_is_refused() {
        let cursor = Cursor { created_at: Timestamp::from_millis(17), key: "a.1.mp4".parse().unwrap() };
        assert_eq!(read_cursor(&write_cursor(&cursor)), Some(cursor));
        for text in ["", "%%", "AAAA", "MTI6"] {
            assert_eq!(read_cursor(text), None, "{text}");
        }
    }
}
