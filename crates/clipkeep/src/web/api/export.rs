//! All clips that a filter shows, as a file.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Query, RawQuery, State},
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use clipkeep_core::problem::Code;
use futures_util::stream;
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Type,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

use super::query::{ClipQuery, bad};
use crate::{
    catalog::CatalogError,
    export::{Export, Format},
    web::{AppState, auth::Authenticated, error::ApiError},
};

/// The parameters of an export, for the document: a list's filters, and the format.
struct ExportParams;

impl IntoParams for ExportParams {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let format = ParameterBuilder::new()
            .name("format")
            .parameter_in(ParameterIn::Query)
            .description(Some("`jsonl` unless given"))
            .schema(Some(
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(Format::ALL.map(Format::ending))),
            ))
            .build();
        let mut params = ClipQuery::into_params(place);
        params.retain(|param| !matches!(param.name.as_str(), "limit" | "cursor"));
        params.push(format);
        params
    }
}

/// Streams all clips that the filters show, newest first, as JSON lines, CSV or
/// Parquet; without source URLs. An export that is cut off ends without the
/// last chunk, so that no client takes it for whole.
#[utoipa::path(get, path = "/api/v1/clips/export", tag = "clips", params(ExportParams),
    security(("token" = [])),
    responses((status = 200, description = "The file",
            content((String = "application/x-ndjson"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.parquet"))),
        (status = 400, description = "A filter is not understood"), (status = 401, description = "No valid token"), (status = 403, description = "Another tenant's")))]
pub(crate) async fn export_clips(
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let (format, filters) = split(&query.unwrap_or_default())?;
    let query: Query<ClipQuery> =
        Query::try_from_uri(&filters).map_err(|error| ApiError::new(Code::InvalidRequest, error.body_text()))?;
    if query.limit.is_some() || query.cursor.is_some() {
        return Err(bad("limit", "an export has all clips that the filters show"));
    }
    let mut filter = query.0.read()?.filter;
    if !caller.restrict(&mut filter.tenant) {
        return Err(ApiError::new(Code::Forbidden, "the token is another tenant's"));
    }
    let mut export = Export::new(Arc::clone(&app.catalog), app.final_urls.clone(), filter, format);
    // The status leaves once there is something to send.
    let first = export.next().await?.unwrap_or_default();
    let pieces = stream::unfold((Some(first), export), next_piece);
    Ok((headers(format), Body::from_stream(pieces)).into_response())
}

async fn next_piece(
    (first, mut export): (Option<Vec<u8>>, Export),
) -> Option<(Result<Bytes, CatalogError>, (Option<Vec<u8>>, Export))> {
    let piece = match first {
        Some(first) => Ok(Some(first)),
        None => export.next().await,
    };
    if let Err(error) = &piece {
        tracing::warn!(error = error as &dyn std::error::Error, clips = export.clips, "an export is cut off");
    }
    let piece = piece.transpose()?.map(Bytes::from);
    Some((piece, (None, export)))
}

/// The format, and the filters as a query of their own.
fn split(query: &str) -> Result<(Format, Uri), ApiError> {
    let (formats, filters): (Vec<&str>, Vec<&str>) = query.split('&').partition(|pair| pair.starts_with("format="));
    let format = match formats.as_slice() {
        [] => Format::Jsonl,
        [one] => one["format=".len()..]
            .parse()
            .map_err(|error: crate::export::NoSuchFormat| bad("format", &error.to_string()))?,
        _ => return Err(bad("format", "stands there twice")),
    };
    let uri = format!("/?{}", filters.join("&")).parse();
    Ok((format, uri.map_err(|_| bad("query", "is not understood"))?))
}

fn headers(format: Format) -> HeaderMap {
    let named = HeaderValue::try_from(format!("attachment; filename=\"clips.{}\"", format.ending()));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.extend(named.ok().map(|named| (header::CONTENT_DISPOSITION, named)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
}
