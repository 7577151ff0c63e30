//! What can go wrong with the store, and what a caller may do about it.

use std::{error::Error as StdError, io};

use object_store::client::{HttpError, HttpErrorKind};

use super::key::ObjectKey;
use crate::fill::local::Ended;

/// What went wrong in the store. Messages name the object, never credentials.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An object with other bytes is there already. Nothing was overwritten.
    #[error("{key} is in the store already, with other bytes")]
    Exists { key: ObjectKey },
    /// No such object.
    #[error("{key} is not in the store")]
    NotFound { key: ObjectKey },
    /// The store refused us: wrong or revoked credentials, a missing right, a
    /// clock that is off. No retry mends it, a person may.
    #[error("the store refused {doing} {key}: {why}")]
    Denied {
        doing: &'static str,
        key: ObjectKey,
        /// The store's short word for it.
        why: String,
    },
    /// There is no such bucket. No retry makes one.
    #[error(
        "there is no such bucket ({why}): is `store` right? hint: make it, or see `store`, AWS_ENDPOINT_URL and AWS_REGION"
    )]
    NoBucket {
        /// The store's short word for it.
        why: String,
    },
    /// The store did not do it this time. Worth a retry.
    #[error("{doing} {key} failed: {why}")]
    Unavailable {
        doing: &'static str,
        key: ObjectKey,
        /// The store's short word for it.
        why: String,
    },
    /// The object is another one than was read before: somebody wrote it anew.
    #[error("{key} was written anew in the store")]
    Changed { key: ObjectKey },
    /// The object is not what it should be: a length differs, a body ends early.
    #[error("{key} is damaged in the store: expected {expected} bytes, found {found}")]
    Damaged {
        key: ObjectKey,
        /// How many bytes it should have.
        expected: u64,
        found: u64,
    },
    /// The clip is larger than the store was set up for.
    #[error("{key} is larger than the {limit} bytes this store takes")]
    TooLarge {
        key: ObjectKey,
        /// The most it takes.
        limit: u64,
    },
    /// The bytes to be stored stopped coming.
    #[error("the upload ended")]
    Spool(#[from] Ended),
    /// The store cannot be used as it is configured.
    #[error("the store cannot be opened: {why}")]
    Setup {
        /// What is wrong with it.
        why: String,
    },
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Turns the client's error into ours. The client's own words may quote a whole
/// answer of the server, and with it the access key id and the signature; so
/// only the status and the error code are kept.
pub(super) fn from_client(doing: &'static str, key: &ObjectKey, error: &object_store::Error) -> StoreError {
    use object_store::Error;
    let key = key.clone();
    let why = reason(error);
    match error {
        Error::NotFound { .. } if why.contains("NoSuchBucket") => StoreError::NoBucket { why },
        Error::NotFound { .. } => StoreError::NotFound { key },
        Error::AlreadyExists { .. } | Error::Precondition { .. } => StoreError::Exists { key },
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => StoreError::Denied { doing, key, why },
        _ => StoreError::Unavailable { doing, key, why },
    }
}

/// Turns a disk's error into ours.
pub(super) fn from_disk(doing: &'static str, key: &ObjectKey, error: &io::Error) -> StoreError {
    let (key, why) = (key.clone(), error.to_string());
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::NotFound { key },
        io::ErrorKind::AlreadyExists => StoreError::Exists { key },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StoreError::Denied { doing, key, why },
        _ => StoreError::Unavailable { doing, key, why },
    }
}

fn reason(error: &object_store::Error) -> String {
    let mut deepest: &(dyn StdError + 'static) = error;
    while let Some(source) = deepest.source() {
        if let Some(http) = source.downcast_ref::<HttpError>() {
            return transport(http.kind()).to_owned();
        }
        deepest = source;
    }
    answer(&deepest.to_string())
}

const fn transport(kind: HttpErrorKind) -> &'static str {
    match kind {
        HttpErrorKind::Connect => "no connection",
        HttpErrorKind::Timeout => "no answer in time",
        HttpErrorKind::Interrupted | HttpErrorKind::Request => "the connection broke",
        _ => "no usable answer",
    }
}

/// Of a server's answer, the status and S3's error code.
pub(super) fn answer(text: &str) -> String {
    let status = text.split_once("status code: ").map(|(_, rest)| rest.split(':').next().unwrap_or(rest));
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    let short = match (status, code) {
        (Some(status), Some(code)) => format!("{status}, {code}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => text.split(['<', '\n']).next().unwrap_or_default().to_owned(),
    };
    short.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cut_to_status_and_code() {
        let text = "Server returned non-2xx status code: 403 Forbidden: <?xml?><Error><Code>SignatureDoesNotMatch</Code>\
                    <AWSAccessKeyId>AKIA</AWSAccessKeyId></Error>";
        assert_eq!(answer(text), "403 Forbidden, SignatureDoesNotMatch");
        assert_eq!(answer("Server returned error response: <Error>secret</Error>"), "Server returned error response: ");
        assert_eq!(answer("Server returned non-2xx status code: 502 Bad Gateway: <html>"), "502 Bad Gateway");
    }
}
