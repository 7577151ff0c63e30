//! The prompt hash: which clips came from which prompt, and back.

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use unicode_normalization::UnicodeNormalization;

use crate::input::MAX_INPUT;

/// The longest prompt whose text is kept: as long as an input may be that holds
/// it. Of a longer one the hash is kept alone.
pub const MAX_PROMPT: usize = MAX_INPUT;

/// The lower-case hex SHA-256 of the UTF-8 prompt after Unicode NFC and
/// trimming outer white space (Unicode `White_Space`). Inner white space and
/// case count. An app can compute it without asking.
pub fn prompt_hash(prompt: &str) -> String {
    let normal: String = prompt.nfc().collect();
    HEXLOWER.encode(digest(&SHA256, normal.trim().as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_sha256_of_the_prompt() {
        assert_eq!(prompt_hash(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(prompt_hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn composed_and_decomposed_letters_are_equal() {
        assert_eq!(prompt_hash("caf\u{e9}"), prompt_hash("cafe\u{301}"));
        assert_eq!(prompt_hash("caf\u{e9}"), "850f7dc43910ff890f8879c0ed26fe697c93a067ad93a7d50f466a7028a9bf4e");
        assert_ne!(prompt_hash("caf\u{e9}"), prompt_hash("cafe"));
    }

    #[test]
    fn only_outer_white_space_is_trimmed() {
        assert_eq!(prompt_hash("\u{3000}\u{a0} a cat\r\n\t"), prompt_hash("a cat"));
        assert_ne!(prompt_hash("a  cat"), prompt_hash("a cat"));
        // A zero-width space is no White_Space.
        assert_ne!(prompt_hash("\u{200b}a cat"), prompt_hash("a cat"));
    }
}
