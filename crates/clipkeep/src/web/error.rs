//! Any error → problem+json (RFC 9457). Logged once, here.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use clipkeep_core::problem::{self, Code, Problem};
use serde_json::json;

use crate::catalog::CatalogError;

/// What a client sees of an error, and what only the log sees.
#[derive(Debug)]
pub(super) struct ApiError {
    code: Code,
    detail: String,
    retry_after: Option<u32>,
}

impl ApiError {
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), retry_after: None }
    }

    /// A part we depend on is away: said to the client in our words, to the log
    /// in its own.
    pub(super) fn unavailable(what: &str, error: impl std::error::Error + 'static) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "{what}");
        Self::new(Code::Unavailable, format!("{what}; try again")).retry_after(5)
    }

    #[must_use]
    pub(super) fn retry_after(mut self, secs: u32) -> Self {
        self.retry_after = Some(secs);
        self
    }

    pub(super) const fn code(&self) -> Code {
        self.code
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// When to come again.
    pub(super) const fn seconds(&self) -> Option<u32> {
        self.retry_after
    }
}

impl ApiError {
    /// The error as fal's clients read one: JSON by its plain name, what is wrong
    /// in `detail` (Python) and `message` (JavaScript). All else of a problem is
    /// there as ever.
    pub(super) fn for_fals_clients(self) -> Response {
        let mut problem = json!(Problem::new(self.code).detail(self.detail.clone()));
        problem["message"] = json!(self.detail);
        let mut response = self.into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(problem.to_string());
        response
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        match &error {
            CatalogError::KeyTaken { .. } => Self::new(Code::Conflict, error.to_string()),
            CatalogError::BadRow { .. } => {
                tracing::error!(error = &error as &dyn std::error::Error, "unreadable row");
                Self::new(Code::Internal, "a row of the catalogue is unreadable; see the log")
            }
            CatalogError::Unavailable { .. } | CatalogError::LeaseLost { .. } => {
                Self::unavailable("the catalogue did not answer", error)
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = Problem::new(self.code).detail(self.detail);
        let status = self.code.status();
        let mut response = (status, axum::Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::CONTENT_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(secs) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"clipkeep\""));
        }
        response
    }
}
