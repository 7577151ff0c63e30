//! Stable error codes and the RFC 9457 body that carries them.
//!
//! What a client may branch on is the code. Which error of ours becomes which
//! code is decided at the HTTP edge, not here.

use http::StatusCode;
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::state::text_enum;

/// The media type of a [`Problem`] on the wire.
pub const CONTENT_TYPE: &str = "application/problem+json";

text_enum! {
    /// What went wrong, as clients see it. A code never changes its meaning.
    Code {
        /// 404: there is no such clip, generation or page.
        NotFound = "not_found",
        /// 410: it was here and will not come back (`lost`, `rejected`, `deleted`).
        Gone = "gone",
        /// 503: the clip is known but its bytes are not here yet; come again.
        NotReady = "not_ready",
        /// 403: the link is not signed, or its signature does not hold.
        ForbiddenLink = "forbidden_link",
        /// 403: the link is genuine but its time is over.
        ExpiredLink = "expired_link",
        /// 401: the bearer token is absent or wrong.
        Unauthorized = "unauthorized",
        /// 403: the token is valid, but not for this.
        Forbidden = "forbidden",
        /// 400: the request cannot be understood as it stands.
        InvalidRequest = "invalid_request",
        /// 401: a webhook whose signature does not hold.
        InvalidSignature = "invalid_signature",
        /// 413: the body is larger than accepted.
        TooLarge = "too_large",
        /// 409: the request contradicts what is already kept.
        Conflict = "conflict",
        /// 503: a part we need (database, store, source) does not answer now.
        Unavailable = "unavailable",
        /// 500: our fault.
        Internal = "internal",
        /// 405: the page exists, but not for this method.
        MethodNotAllowed = "method_not_allowed",
        /// 415: the body is of a media type that is not accepted here.
        UnsupportedMediaType = "unsupported_media_type",
        /// 422: the provider refuses what we asked it for.
        ProviderRejected = "provider_rejected",
        /// 429: the provider wants to be left alone for a while.
        ProviderBusy = "provider_busy",
        /// 502: the provider says that it failed.
        ProviderFailed = "provider_failed",
        /// 412: a call that shall go to a host that is not the provider's.
        ForbiddenTarget = "forbidden_target",
        /// 502: the provider could not be reached, or broke off.
        ProviderUnreachable = "provider_unreachable",
        /// 504: the provider did not answer in time.
        ProviderTimeout = "provider_timeout",
        /// 408: the request's body did not come in time.
        RequestTimeout = "request_timeout",
        /// 426: the answer cannot be told by HTTP/1.0.
        UpgradeRequired = "upgrade_required",
        /// 501: the request is coded in a way that is not understood here.
        NotImplemented = "not_implemented",
    }
}

impl Code {
    /// The HTTP status that goes with the code.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Gone => StatusCode::GONE,
            Self::NotReady | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::ForbiddenLink | Self::ExpiredLink => StatusCode::FORBIDDEN,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Unauthorized | Self::InvalidSignature => StatusCode::UNAUTHORIZED,
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::ProviderRejected => StatusCode::UNPROCESSABLE_ENTITY,
            Self::ProviderBusy => StatusCode::TOO_MANY_REQUESTS,
            Self::ProviderFailed => StatusCode::BAD_GATEWAY,
            Self::ForbiddenTarget => StatusCode::PRECONDITION_FAILED,
            Self::ProviderUnreachable => StatusCode::BAD_GATEWAY,
            Self::ProviderTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        }
    }

    /// The code in a few words, the same for every occurrence.
    pub const fn title(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Gone => "Gone for good",
            Self::NotReady => "Not ready yet",
            Self::ForbiddenLink => "The link is not valid",
            Self::ExpiredLink => "The link has expired",
            Self::Unauthorized => "A valid bearer token is needed",
            Self::Forbidden => "The token is not valid for this",
            Self::InvalidRequest => "The request is not valid",
            Self::InvalidSignature => "The webhook's signature is not valid",
            Self::TooLarge => "The body is too large",
            Self::Conflict => "The request conflicts with what is kept",
            Self::Unavailable => "Temporarily unavailable",
            Self::Internal => "Internal error",
            Self::MethodNotAllowed => "Method not allowed",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::ProviderRejected => "The provider refused the request",
            Self::ProviderBusy => "The provider is busy",
            Self::ProviderFailed => "The provider failed",
            Self::ForbiddenTarget => "The target is not allowed",
            Self::ProviderUnreachable => "The provider cannot be reached",
            Self::ProviderTimeout => "The provider did not answer in time",
            Self::RequestTimeout => "The request did not come in time",
            Self::UpgradeRequired => "A later version of HTTP is needed",
            Self::NotImplemented => "Not implemented",
        }
    }
}

/// One occurrence of an error, as the client is told of it. Serializes to the
/// members `type`, `title`, `status`, `detail`, `code` and `request_id`; the
/// two optional ones are left out when absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub code: Code,
    /// This occurrence in words fit for the client: no source URL, key or token.
    pub detail: Option<String>,
    /// The id under which our log speaks of the request.
    pub request_id: Option<String>,
}

impl Problem {
    /// An occurrence of which there is nothing more to say than its code.
    pub const fn new(code: Code) -> Self {
        Self { code, detail: None, request_id: None }
    }

    /// The same with words about this occurrence.
    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// The same with the request's id.
    #[must_use]
    pub fn request_id(self, request_id: impl Into<String>) -> Self {
        Self { request_id: Some(request_id.into()), ..self }
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = 4 + usize::from(self.detail.is_some()) + usize::from(self.request_id.is_some());
        let mut body = serializer.serialize_struct("Problem", fields)?;
        body.serialize_field("type", &format_args!("/problems/{}", self.code))?;
        body.serialize_field("title", self.code.title())?;
        body.serialize_field("status", &self.code.status().as_u16())?;
        if let Some(detail) = &self.detail {
            body.serialize_field("detail", detail)?;
        }
        body.serialize_field("code", &self.code)?;
        if let Some(request_id) = &self.request_id {
            body.serialize_field("request_id", request_id)?;
        }
        body.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_is_written_as_rfc_9457_says() {
        let problem = Problem::new(Code::NotReady).detail("the clip is being filled").request_id("r-1");
        assert_eq!(
            serde_json::to_value(&problem).unwrap(),
            json!({
                "type": "/problems/not_ready",
                "title": "Not ready yet",
                "status": 503,
                "detail": "the clip is being filled",
                "code": "not_ready",
                "request_id": "r-1",
            })
        );
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let body = serde_json::to_value(Problem::new(Code::NotFound)).unwrap();
        assert_eq!(
            body,
            json!({ "type": "/problems/not_found", "title": "Not found", "status": 404, "code": "not_found" })
        );
    }

    #[test]
    fn codes_and_statuses_are_a_contract() {
        let contract = [
            ("not_found", 404),
            ("gone", 410),
            ("not_ready", 503),
            ("forbidden_link", 403),
            ("expired_link", 403),
            ("unauthorized", 401),
            ("forbidden", 403),
            ("invalid_request", 400),
            ("invalid_signature", 401),
            ("too_large", 413),
            ("conflict", 409),
            ("unavailable", 503),
            ("internal", 500),
            ("method_not_allowed", 405),
            ("unsupported_media_type", 415),
            ("provider_rejected", 422),
            ("provider_busy", 429),
            ("provider_failed", 502),
            ("forbidden_target", 412),
            ("provider_unreachable", 502),
            ("provider_timeout", 504),
            ("request_timeout", 408),
            ("upgrade_required", 426),
            ("not_implemented", 501),
        ];
        let actual: Vec<_> = Code::ALL.iter().map(|code| (code.as_str(), code.status().as_u16())).collect();
        assert_eq!(actual, contract);
    }
}
