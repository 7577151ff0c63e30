//! What went wrong at a source. Says what, never at which: no text here holds a
//! host, an address or a URL, and the causes, which might, are left behind.

use std::{error::Error, io};

use clipkeep_core::{
    address::Forbidden,
    secret::Secret,
    verdict::{Verdict, Why},
};
use hyper_util::client::legacy as client;

use super::resolver::Unresolved;

/// A source did not give what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct SourceError {
    what: String,
    verdict: Verdict,
    /// Where no request may go to, if that is why: for the catalogue alone.
    refused: Option<Secret<String>>,
}

impl SourceError {
    pub(super) fn new(what: impl Into<String>, verdict: Verdict) -> Self {
        Self { what: what.into(), verdict, refused: None }
    }

    pub(super) fn retry(what: impl Into<String>, why: Why) -> Self {
        Self::new(what, Verdict::retry(why))
    }

    /// The source serves another version than the one begun.
    pub fn changed() -> Self {
        Self::new(
            "what the source gave before could not be gone on with: it names another version now, or none",
            Verdict::Changed,
        )
    }

    /// No answer came while another one ran.
    pub fn late() -> Self {
        Self::retry("the source does not answer beside another request", Why::FirstByteTimeout)
    }

    /// The URL the fill was given may not be asked for, and will not become
    /// allowed by asking again.
    pub(super) fn forbidden(forbidden: Forbidden) -> Self {
        Self::new(format!("the source may not be asked: {forbidden}"), Verdict::Rejected(Why::ForbiddenAddress))
    }

    /// A redirect or a name led somewhere forbidden: not our fault and not the
    /// clip's, so it may be better next time.
    pub(super) fn led_astray(forbidden: Forbidden) -> Self {
        Self::new(format!("the source leads elsewhere: {forbidden}"), Verdict::Missing(Why::ForbiddenAddress))
    }

    /// The same, at a URL of this origin.
    pub(super) fn at(self, origin: Option<String>) -> Self {
        Self { refused: origin.map(Secret::new), ..self }
    }

    /// An answer whose head was judged unusable.
    pub(super) fn refused(status: u16, verdict: Verdict) -> Self {
        let what = match verdict.why() {
            Why::Changed => return Self::changed(),
            Why::Encoded => "the source sends an encoded body".to_owned(),
            Why::BadResponse => "the source's answer contradicts itself".to_owned(),
            Why::WrongRange => "the source sends another range than was asked for".to_owned(),
            Why::WrongLength => "the source's range and length contradict each other".to_owned(),
            _ => format!("the source answers {status}"),
        };
        Self::new(what, verdict)
    }

    /// A URL that no request can carry.
    pub(super) fn unaskable() -> Self {
        Self::new("the source's URL fits in no request", Verdict::Missing(Why::BadRedirect))
    }

    /// Interim answers, and no end of them.
    pub(super) fn flooded() -> Self {
        Self::retry("the source sends too many interim answers (1xx) and no other", Why::BadResponse)
    }

    /// A request that got no answer.
    pub(super) fn unanswered(error: &client::Error) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(next) = cause {
            if let Some(known) = known(next) {
                return known;
            }
            // An `io::Error` hands out its payload's source, not its payload.
            let payload = next.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            cause = payload.map(|payload| payload as &(dyn Error + 'static)).or_else(|| next.source());
        }
        if error.is_connect() {
            return Self::retry("the source cannot be connected to", Why::Connect);
        }
        Self::retry("the source broke off before it answered", Why::Cut)
    }

    /// The origin that would have to be allowed, if that is all that is wrong.
    pub fn refused_origin(&self) -> Option<&str> {
        self.refused.as_ref().map(|origin| origin.expose().as_str())
    }

    /// What follows from it.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }
}

/// The causes that tell more than where in the request they happened.
fn known(cause: &(dyn Error + 'static)) -> Option<SourceError> {
    match cause.downcast_ref::<Unresolved>() {
        Some(Unresolved::Forbidden(forbidden)) => return Some(SourceError::led_astray(*forbidden)),
        Some(Unresolved::Unknown) => return Some(SourceError::retry("the source's name does not resolve", Why::Dns)),
        None => {}
    }
    if cause.downcast_ref::<hyper::Error>().is_some_and(|e| e.is_parse() || e.is_parse_too_large()) {
        return Some(SourceError::retry("the source's answer is no HTTP, or its head is too large", Why::BadResponse));
    }
    if cause.is::<rustls::Error>() {
        return Some(SourceError::retry("no TLS connection to the source", Why::Tls));
    }
    None
}
