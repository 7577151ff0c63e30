//! Style and script, part of the binary. Their names change with their content,
//! so browsers keep them.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use clipkeep_core::problem::Code;
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};

use crate::web::error::ApiError;

struct Asset {
    name: String,
    content_type: &'static str,
    text: &'static str,
}

static ASSETS: LazyLock<[Asset; 4]> = LazyLock::new(|| {
    let css = concat!(include_str!("../../../assets/charts.css"), include_str!("../../../assets/console.css"));
    let watch = concat!(include_str!("../../../assets/charts.css"), include_str!("../../../assets/watch.css"));
    [
        Asset::new("console", "css", "text/css; charset=utf-8", css),
        Asset::new("watch", "css", "text/css; charset=utf-8", watch),
        Asset::new("console", "js", "text/javascript; charset=utf-8", include_str!("../../../assets/console.js")),
        Asset::new("icon", "svg", "image/svg+xml", include_str!("../../../assets/icon.svg")),
    ]
});

impl Asset {
    fn new(name: &str, ending: &str, content_type: &'static str, text: &'static str) -> Self {
        let hash = HEXLOWER.encode(&digest(&SHA256, text.as_bytes()).as_ref()[..6]);
        Self { name: format!("{name}-{hash}.{ending}"), content_type, text }
    }
}

/// Where the asset is whose name begins and ends so.
pub(in crate::web) fn asset(name: &str, ending: &str) -> String {
    let is_it = |asset: &&Asset| asset.name.starts_with(name) && asset.name.ends_with(ending);
    ASSETS.iter().find(is_it).map(|asset| format!("/assets/{}", asset.name)).unwrap_or_default()
}

pub(super) async fn get(Path(name): Path<String>) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return ApiError::new(Code::NotFound, "there is nothing at this path").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
        // The icon is a drawing: it runs nothing and loads nothing.
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox"),
        ),
    ];
    (headers, asset.text).into_response()
}
