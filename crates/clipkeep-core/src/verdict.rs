//! What a source's answer means for the clip.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, StatusCode, header};

use crate::{state::text_enum, time::Timestamp};

/// The longest `Retry-After` that is honoured.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

text_enum! {
    /// Why a source did not give a clip's bytes.
    Why {
        /// 404 or 410 and their like: not there (any more).
        NotThere = "not_there",
        /// 401, 403, 451: not for us (any more).
        Denied = "denied",
        /// 429: too many requests.
        TooManyRequests = "too_many_requests",
        /// 5xx or 408.
        ServerError = "server_error",
        /// Any other status that brings no clip.
        UnexpectedStatus = "unexpected_status",
        /// The name did not resolve.
        Dns = "dns",
        /// No connection, or TLS failed.
        Connect = "connect",
        /// The answer did not begin in time.
        FirstByteTimeout = "first_byte_timeout",
        /// The answer stopped, or trickled.
        Stalled = "stalled",
        /// The connection ended before the clip did.
        Cut = "cut",
        /// More bytes came than were promised.
        TooLong = "too_long",
        /// The answer broke the protocol.
        BadAnswer = "bad_answer",
        /// The answer was not the range that was asked for.
        WrongRange = "wrong_range",
        /// The body was compressed although that was declined.
        Encoded = "encoded",
        /// A redirect without a usable target, or too many.
        BadRedirect = "bad_redirect",
        /// The address may not be asked (`source_hosts`, private networks).
        Forbidden = "forbidden",
        /// The source is another version than before.
        Changed = "changed",
    }
}

/// What follows from an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again, not before `after`.
    Retry {
        /// `Retry-After`, where the source gave it.
        after: Option<Duration>,
        /// Why.
        why: Why,
    },
    /// Not there now. Said often enough, it is gone.
    Missing(Why),
    /// It will never be acceptable.
    Rejected(Why),
    /// Another version: start over.
    Changed,
}

impl Verdict {
    /// Try again after the usual pause.
    pub const fn retry(why: Why) -> Self {
        Self::Retry { after: None, why }
    }
}

/// The verdict on a status that brings no clip; none for 200 and 206.
///
/// A 404 need not be the end: fal hands out URLs of files that are still being
/// uploaded (seen 2026-08). A 403 or 410 counts the same, since hosts differ in
/// how they say «expired».
pub fn judge_status(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<Verdict> {
    let after = || retry_after(headers, now);
    Some(match status.as_u16() {
        200 | 206 => return None,
        401 | 403 | 451 => Verdict::Missing(Why::Denied),
        404 | 410 => Verdict::Missing(Why::NotThere),
        429 => Verdict::Retry { after: after(), why: Why::TooManyRequests },
        408 | 425 | 500..=599 => Verdict::Retry { after: after(), why: Why::ServerError },
        400..=499 => Verdict::Missing(Why::UnexpectedStatus),
        _ => Verdict::retry(Why::UnexpectedStatus),
    })
}

/// `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), at most an hour.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wanted = match text.parse::<u64>() {
        Ok(secs) => Duration::from_secs(secs),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            let now = UNIX_EPOCH + Duration::from_millis(u64::try_from(now.millis()).unwrap_or(0));
            SystemTime::duration_since(&date, now).unwrap_or_default()
        }
    };
    Some(wanted.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_23_what_statuses_mean() {
        let judge = |status: u16| judge_status(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), NOW);
        assert_eq!(judge(200), None);
        assert_eq!(judge(206), None);
        for (status, why) in
            [(404, Why::NotThere), (410, Why::NotThere), (403, Why::Denied), (400, Why::UnexpectedStatus)]
        {
            assert_eq!(judge(status), Some(Verdict::Missing(why)), "{status}");
        }
        for (status, why) in [
            (429, Why::TooManyRequests),
            (500, Why::ServerError),
            (503, Why::ServerError),
            (204, Why::UnexpectedStatus),
        ] {
            assert_eq!(judge(status), Some(Verdict::retry(why)), "{status}");
        }
    }

    const NOW: Timestamp = Timestamp::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT

    #[test]
    fn retry_after_is_read_in_both_forms_and_capped() {
        for (text, secs) in [
            ("7", Some(7)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("99999999", Some(3600)),
            ("soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            assert_eq!(retry_after(&headers, NOW).map(|d| d.as_secs()), secs, "{text}");
        }
    }
}
