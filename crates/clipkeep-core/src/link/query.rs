//! A link's query string: read strictly, written plainly.

use data_encoding::BASE64URL_NOPAD;

use super::LinkError;

/// A query longer than this is no link of ours.
const MAX_QUERY_LEN: usize = 16 * 1024;

const SIGNATURE_LEN: usize = 32;
const SIGNATURE_TEXT_LEN: usize = 43;

/// The parameters of a link as they stand in the query, undecoded.
#[derive(Default)]
pub(super) struct Params<'q> {
    pub(super) expires: Option<&'q str>,
    pub(super) kid: Option<&'q str>,
    pub(super) download: Option<&'q str>,
    pub(super) signature: Option<&'q str>,
}

impl<'q> Params<'q> {
    /// Names are compared as written: `%6Bid` and `KID` are parameters of
    /// somebody else's. `;` separates nothing.
    pub(super) fn parse(query: &'q str) -> Result<Self, LinkError> {
        if query.len() > MAX_QUERY_LEN {
            return Err(LinkError::Malformed);
        }
        let mut params = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match name {
                "expires" => &mut params.expires,
                "kid" => &mut params.kid,
                "download" => &mut params.download,
                "signature" => &mut params.signature,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(LinkError::Malformed);
            }
        }
        Ok(params)
    }
}

/// One number has one spelling: no sign, no leading zero, no encoded digit.
pub(super) fn plain_decimal(text: &str) -> Result<i64, LinkError> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if !plain {
        return Err(LinkError::Malformed);
    }
    text.parse().map_err(|_| LinkError::Malformed)
}

pub(super) fn decode_signature(text: &str) -> Result<[u8; SIGNATURE_LEN], LinkError> {
    if text.len() != SIGNATURE_TEXT_LEN {
        return Err(LinkError::Malformed);
    }
    let mut signature = [0; SIGNATURE_LEN];
    BASE64URL_NOPAD.decode_mut(text.as_bytes(), &mut signature).map_err(|_| LinkError::Malformed)?;
    Ok(signature)
}
