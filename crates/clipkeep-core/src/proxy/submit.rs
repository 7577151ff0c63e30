//! A submit: our webhook on its way there, its request id on the way back.

use serde::Deserialize;

use crate::{id::RequestId, percent};

const WEBHOOK: &str = "fal_webhook";

/// The query of a submit with `webhook` to be called, unless it names one.
pub fn with_webhook(query: Option<&str>, webhook: &str) -> String {
    let query = query.unwrap_or_default();
    let mut names = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    // Whatever it says: that there shall be none is for the app to say, too.
    if names.any(|name| percent::decode_query(name).is_none_or(|name| name == WEBHOOK)) {
        return query.to_owned();
    }
    let mut query = query.to_owned();
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(WEBHOOK);
    query.push('=');
    percent::encode(webhook, &mut query);
    query
}

/// What fal answers to a submit, as far as it is read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Submitted {
    /// The generation's id.
    pub request_id: RequestId,
}

impl Submitted {
    /// Reads the reply's body; `None` if it names no generation.
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}
