//! Which version of itself a source served, and whether two answers are one
//! version (invariant 5).

use http::{
    HeaderMap,
    header::{ETAG, HeaderName, LAST_MODIFIED},
};
use serde::{Deserialize, Serialize};

/// A validator longer than this is taken as absent: it is kept per clip.
const VALIDATOR_MAX: usize = 512;

/// What a source said of the version it served. Kept beside the bytes, so that
/// a resume after a restart can prove that it continues the same ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceVersion {
    /// The `ETag` as it came, quotes and weakness mark included.
    pub etag: Option<String>,
    /// The `Last-Modified` as it came.
    pub last_modified: Option<String>,
    /// Bytes of the whole, where the source said.
    pub len: Option<u64>,
}

impl SourceVersion {
    /// Reads the validators of an answer whose whole is `len` bytes long.
    pub fn from_headers(headers: &HeaderMap, len: Option<u64>) -> Self {
        let text = |name: HeaderName| {
            let value = headers.get(name)?.to_str().ok()?;
            (!value.is_empty() && value.len() <= VALIDATOR_MAX).then(|| value.to_owned())
        };
        Self { etag: text(ETAG), last_modified: text(LAST_MODIFIED), len }
    }

    /// What to send as `If-Range`: the strong ETag, else the modification
    /// date, else nothing, and then a resume cannot be proven.
    pub fn if_range(&self) -> Option<&str> {
        self.strong_etag().or(self.last_modified.as_deref())
    }

    fn strong_etag(&self) -> Option<&str> {
        self.etag.as_deref().filter(|tag| tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"'))
    }
}

/// Whether two answers are provably one version. Equal strong ETags prove it
/// alone (RFC 9110, 8.8.1), whatever the dates say: edges of one host may differ
/// by a second. Where neither has a strong one, one modification date does,
/// unless weak ETags differ. Lengths that differ say no; equal lengths, weak
/// ETags and silence prove nothing.
pub fn same_version(a: &SourceVersion, b: &SourceVersion) -> bool {
    fn differ<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
        matches!((a, b), (Some(a), Some(b)) if a != b)
    }
    if differ(a.len.as_ref(), b.len.as_ref()) {
        return false;
    }
    match (a.strong_etag(), b.strong_etag()) {
        (Some(a), Some(b)) => a == b,
        (None, None) => {
            let is_dated = a.last_modified.is_some() && a.last_modified == b.last_modified;
            is_dated && !differ(a.etag.as_ref(), b.etag.as_ref())
        }
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MON: &str = "Mon, 03 Aug 2026 10:00:00 GMT";
    const TUE: &str = "Tue, 04 Aug 2026 10:00:00 GMT";

    fn version(etag: &str, last_modified: &str, len: u64) -> SourceVersion {
        let text = |t: &str| (!t.is_empty()).then(|| t.to_owned());
        SourceVersion { etag: text(etag), last_modified: text(last_modified), len: (len > 0).then_some(len) }
    }

    #[test]
    fn case_22_only_a_proof_makes_two_answers_one_version() {
        for (a, b, same) in [
            (version("\"a\"", "", 9), version("\"a\"", "", 9), true),
            (version("\"a\"", MON, 9), version("\"a\"", "", 9), true),
            (version("\"a\"", "", 9), version("\"b\"", "", 9), false),
            (version("\"a\"", MON, 9), version("\"a\"", TUE, 9), true),
            (version("\"a\"", MON, 9), version("\"a\"", MON, 8), false),
            (version("\"a\"", MON, 9), version("\"b\"", MON, 9), false),
            (version("\"a\"", MON, 9), version("\"a\"", MON, 8), false),
            (version("\"a\"", MON, 9), version("", MON, 9), false),
            (version("\"a\"", "", 9), version("W/\"a\"", "", 9), false),
            (version("W/\"a\"", "", 9), version("W/\"a\"", "", 9), false),
            (version("W/\"a\"", MON, 9), version("W/\"a\"", MON, 9), true),
            (version("W/\"a\"", MON, 9), version("W/\"b\"", MON, 9), false),
            (version("", MON, 9), version("", MON, 9), true),
            (version("", MON, 9), version("", MON, 0), true),
            (version("", MON, 9), version("", "", 9), false),
            (version("", "", 9), version("", "", 9), false),
            (version("", "", 0), version("", "", 0), false),
        ] {
            assert_eq!(same_version(&a, &b), same, "{a:?} {b:?}");
            assert_eq!(same_version(&b, &a), same, "{b:?} {a:?}");
        }
    }

    #[test]
    fn if_range_is_the_strongest_there_is() {
        for (version, expected) in [
            (version("\"a\"", MON, 9), Some("\"a\"")),
            (version("W/\"a\"", MON, 9), Some(MON)),
            (version("unquoted", MON, 9), Some(MON)),
            (version("\"", "", 9), None),
            (version("W/\"a\"", "", 9), None),
            (version("", "", 9), None),
        ] {
            assert_eq!(version.if_range(), expected, "{version:?}");
        }
    }

    #[test]
    fn validators_are_read_as_they_came_and_bounded() {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, "W/\"a\"".parse().unwrap());
        headers.insert(LAST_MODIFIED, "x".repeat(VALIDATOR_MAX + 1).parse().unwrap());
        let version = SourceVersion::from_headers(&headers, Some(7));
        assert_eq!(version, SourceVersion { etag: Some("W/\"a\"".into()), last_modified: None, len: Some(7) });
    }
}
