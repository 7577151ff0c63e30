//! API tokens: what they look like, and the hash under which they are known.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};

use crate::{id::Tenant, printable::is_hidden, time::Timestamp};

/// What a token begins with, so that people and scanners for leaked secrets
/// know one when they see it.
const PREFIX: &str = "ck_";
/// As many random bytes as are in a token.
pub const TOKEN_BYTES: usize = 32;

/// A token of these random bytes.
pub fn token_text(random: &[u8; TOKEN_BYTES]) -> String {
    format!("{PREFIX}{}", BASE64URL_NOPAD.encode(random))
}

/// Whether a token could be one of those that [`token_text`] makes. What is not
/// need not be looked up.
pub fn is_token(text: &str) -> bool {
    let body = text.strip_prefix(PREFIX);
    body.is_some_and(|body| BASE64URL_NOPAD.decode_len(body.len()) == Ok(TOKEN_BYTES))
}

/// Under what a token is kept: lower-case hex SHA-256 of its text. It has 256
/// random bits, so no slow hash is needed.
pub fn token_hash(token: &str) -> String {
    HEXLOWER.encode(ring::digest::digest(&ring::digest::SHA256, token.as_bytes()).as_ref())
}

/// What is known of a token: all but the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInfo {
    /// Its name in lists and for revoking it.
    pub id: String,
    /// What it is for, in somebody's words.
    pub name: String,
    /// Whose rows it sees; none is an admin's token, which sees all.
    pub tenant: Option<Tenant>,
    pub created_at: Timestamp,
    /// When it was used, to a few minutes.
    pub last_used_at: Option<Timestamp>,
    /// Since when it is not valid any more.
    pub revoked_at: Option<Timestamp>,
}

/// The longest name of a token, in bytes.
pub const MAX_TOKEN_NAME: usize = 100;

/// Checks a token's name.
///
/// # Errors
/// What is wrong with it, for people.
pub fn check_token_name(name: &str) -> Result<(), &'static str> {
    match name {
        "" => Err("must not be empty"),
        long if long.len() > MAX_TOKEN_NAME => Err("must not be longer than 100 bytes"),
        odd if odd.chars().any(is_hidden) => Err("must not hold control characters"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_looks_and_its_hash() {
        let token = token_text(&[7; TOKEN_BYTES]);
        assert!(is_token(&token) && token.starts_with("ck_"));
        for other in ["", "ck_", "ck_abc", "test-admin-token-0123456789", &token[3..], &format!("{token}A")] {
            assert!(!is_token(other), "{other}");
        }
        // By `printf abc | sha256sum`.
        assert_eq!(token_hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn names_are_short_plain_text() {
        assert_eq!(check_token_name("web, staging"), Ok(()));
        for bad in ["", "a\nb", "a\u{1b}[2Jb", "a\u{202e}b", &"x".repeat(101)] {
            assert!(check_token_name(bad).is_err(), "{bad}");
        }
    }
}
