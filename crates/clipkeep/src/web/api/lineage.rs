//! Where a clip comes from, and what was made of it.

use axum::{
    Json,
    extract::{Path, State},
};

use super::clips::clip_for;
use crate::{
    catalog::lineage,
    dto::lineage::LineageRow,
    web::{AppState, auth::Authenticated, error::ApiError},
};

/// A clip's lineage: image → video → extended video. A clip whose generation's
/// input holds one of our URLs is the child of that clip. A tenant's token is
/// shown its own clips only.
#[utoipa::path(get, path = "/api/v1/clips/{key}/lineage", tag = "clips", params(("key" = String, Path, description = "The clip's key")),
    security(("token" = [])),
    responses((status = 200, body = LineageRow), (status = 401, description = "No valid token"), (status = 404, description = "No such clip")))]
pub(crate) async fn get_lineage(
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    Path(key): Path<String>,
) -> Result<Json<LineageRow>, ApiError> {
    let clip = clip_for(&caller, &app, &key).await?;
    let lineage = lineage::lineage(&*app.catalog, &clip.key, caller.tenant()).await?;
    Ok(Json(LineageRow::new(clip, lineage, &app.final_urls)))
}
