//! What was generated more than once.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use clipkeep_core::{id::Tenant, problem::Code, seed::Seed, time::Timestamp};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::query::limit_of;
use crate::{
    catalog::sharing::{DuplicateClip, DuplicateCursor, DuplicateGroup},
    web::{AppState, auth::Authenticated, error::ApiError},
};

/// Which duplicates to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DuplicateQuery {
    /// Only clips of this tenant.
    #[param(pattern = "^[A-Za-z0-9._~:@|/+-]+$", max_length = 128)]
    tenant: Option<String>,
    /// Return at most this many, 1 to 1000; default 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// One of the clips with the same bytes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct DuplicateClipRow {
    /// The clip's key.
    key: String,
    /// The model's endpoint id.
    model: Option<String>,
    /// The prompt, unless only its hash is kept.
    prompt: Option<String>,
    /// Lower-case hex SHA-256 of the prompt after NFC and trimming.
    prompt_hash: Option<String>,
    /// The seed.
    #[schema(schema_with = crate::dto::seed_schema)]
    seed: Option<Seed>,
    /// When clipkeep first learned of the clip.
    #[schema(format = DateTime)]
    created_at: String,
}

/// Bytes that one tenant has more than once.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DuplicateRow {
    /// Lower-case hex SHA-256 of the bytes.
    sha256: String,
    /// The tenant that owns them, if any.
    tenant: Option<String>,
    /// Size in bytes.
    size: u64,
    /// How many stored clips have these bytes.
    count: u64,
    /// How many objects in the store hold these bytes.
    objects: u64,
    /// Bytes saved because clips share objects.
    saved: u64,
    /// When a clip with these bytes was last stored.
    #[schema(format = DateTime)]
    newest_at: String,
    /// The first of these clips by key, ten at most.
    clips: Vec<DuplicateClipRow>,
}

impl From<DuplicateClip> for DuplicateClipRow {
    fn from(clip: DuplicateClip) -> Self {
        let DuplicateClip { key, model, prompt, prompt_hash, seed, created_at } = clip;
        Self { key: key.into(), model, prompt, prompt_hash, seed, created_at: created_at.to_string() }
    }
}

impl From<DuplicateGroup> for DuplicateRow {
    fn from(duplicate_group: DuplicateGroup) -> Self {
        let saved = duplicate_group.saved();
        let DuplicateGroup { tenant, sha256, size, clips, objects, newest_at, examples } = duplicate_group;
        Self {
            sha256,
            tenant: tenant.map(Into::into),
            size,
            count: clips,
            objects,
            saved,
            newest_at: newest_at.to_string(),
            clips: examples.into_iter().map(Into::into).collect(),
        }
    }
}

/// A page of duplicates, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct DuplicateList {
    /// The duplicates. A page may hold fewer than asked for, and not be the last.
    duplicates: Vec<DuplicateRow>,
    /// Pass it as `cursor` to get the next page; null on the last page.
    next_cursor: Option<String>,
}

/// Lists bytes that a tenant was given more than once, and that are still
/// stored; what was stored last comes first. Tenants are never compared, and a
/// tenant's token sees its own alone.
#[utoipa::path(get, path = "/api/v1/clips/duplicates", tag = "clips", params(DuplicateQuery),
    security(("token" = [])),
    responses((status = 200, body = DuplicateList), (status = 400, description = "The query is not understood"), (status = 401, description = "No valid token")))]
pub(crate) async fn list_duplicates(
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    query: Result<Query<DuplicateQuery>, QueryRejection>,
) -> Result<Json<DuplicateList>, ApiError> {
    let bad = |problem: &str| ApiError::new(Code::InvalidRequest, problem);
    let Query(query) = query.map_err(|error| bad(&error.body_text()))?;
    let tenant = query.tenant.map(|name| name.parse::<Tenant>()).transpose();
    let tenant = tenant.map_err(|error| bad(&format!("tenant: {error}")))?;
    let after = query.cursor.map(|text| read_cursor(&text).ok_or_else(|| bad("cursor: is not one of ours")));
    if tenant.as_ref().is_some_and(|tenant| !caller.may_see(Some(tenant))) {
        return Ok(Json(DuplicateList { duplicates: Vec::new(), next_cursor: None }));
    }
    let tenant = tenant.as_ref().or(caller.tenant());
    let page = app.catalog.duplicates(tenant, after.transpose()?.as_ref(), limit_of(query.limit)?).await?;
    let next_cursor = page.next.as_ref().map(write_cursor);
    Ok(Json(DuplicateList { duplicates: page.duplicates.into_iter().map(Into::into).collect(), next_cursor }))
}

/// The cursor as text.
fn write_cursor(DuplicateCursor { newest_at, tenant, sha256 }: &DuplicateCursor) -> String {
    BASE64URL_NOPAD.encode(format!("{}:{sha256}:{tenant}", newest_at.millis()).as_bytes())
}

fn read_cursor(text: &str) -> Option<DuplicateCursor> {
    let text = String::from_utf8(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?).ok()?;
    let (millis, rest) = text.split_once(':')?;
    let (sha256, tenant) = rest.split_once(':')?;
    // PostgreSQL's text cannot hold it.
    if text.contains('\0') {
        return None;
    }
    let newest_at = Timestamp::from_millis(millis.parse().ok()?);
    Some(DuplicateCursor { newest_at, tenant: tenant.to_owned(), sha256: sha256.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_trip_and_nonsense_is_refused() {
        for tenant in ["", "acme:north"] {
            let newest_at = Timestamp::from_millis(17);
            let cursor = DuplicateCursor { newest_at, tenant: tenant.to_owned(), sha256: "ab".to_owned() };
            assert_eq!(read_cursor(&write_cursor(&cursor)), Some(cursor));
        }
        let with_nul = BASE64URL_NOPAD.encode(b"1:a\0:b");
        for text in ["", "%%", "AAAA", "MTI6", &with_nul] {
            assert_eq!(read_cursor(text), None, "{text}");
        }
    }
}
