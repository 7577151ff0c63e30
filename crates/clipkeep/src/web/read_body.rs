//! Bodies that are read into memory: each takes room as it comes, never for what it
//! only says that it will be.

use axum::body::Body;
use clipkeep_core::problem::Code;
use http::{HeaderMap, header};
use http_body_util::BodyExt;

use super::error::ApiError;
use crate::{
    hook_memory::{Crowded, Room},
    shares::Share,
};

/// How much room a body gets before anybody knows how long it is.
const FIRST_ROOM: u64 = 4 * 1024;

/// Where a body's room comes from.
pub(super) trait Grow {
    /// Takes `by` bytes more, or says why there are none.
    fn more(&mut self, by: u64) -> impl Future<Output = Result<(), ApiError>> + Send;
}

impl Grow for Room {
    async fn more(&mut self, by: u64) -> Result<(), ApiError> {
        Ok(self.grow(by).await?)
    }
}

impl Grow for Share {
    async fn more(&mut self, by: u64) -> Result<(), ApiError> {
        if self.grow(by) { Ok(()) } else { Err(Crowded.into()) }
    }
}

impl From<Crowded> for ApiError {
    fn from(crowded: Crowded) -> Self {
        Self::new(Code::Unavailable, format!("{crowded}; send it again")).retry_after(5)
    }
}

/// The length that a body says it has.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// All of a body that is no longer than `max`, in one piece; `length` is what it
/// says of itself.
///
/// # Errors
/// If it is longer, breaks off, or there is no room for it.
pub(super) async fn read_body(
    room: &mut impl Grow,
    mut body: Body,
    (max, limit): (u64, &str),
    length: Option<u64>,
) -> Result<Vec<u8>, ApiError> {
    let too_large = || ApiError::new(Code::TooLarge, format!("the body is larger than {limit}"));
    if length.is_some_and(|length| length > max) {
        return Err(too_large());
    }
    let mut gathered = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::new(Code::InvalidRequest, "the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        let needed = (gathered.len() + data.len()) as u64;
        if needed > max {
            return Err(too_large());
        }
        let held = gathered.capacity() as u64;
        if needed > held {
            // Room for what came, and as much again.
            let whole = length.unwrap_or(max).max(needed);
            let wanted = (2 * held).max(FIRST_ROOM).max(needed).min(whole);
            room.more(wanted - held).await?;
            gathered.reserve_exact((wanted - gathered.len() as u64) as usize);
        }
        gathered.extend_from_slice(&data);
    }
    Ok(gathered)
}
