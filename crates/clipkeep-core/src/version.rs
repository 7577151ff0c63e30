//! Whether two answers of a source speak of the same bytes.

/// What a source says to tell one version of a clip from the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceVersion {
    /// `ETag`, as it came.
    pub etag: Option<String>,
    /// `Last-Modified`, as it came.
    pub last_modified: Option<String>,
    /// The whole length, where known.
    pub len: Option<u64>,
}

impl SourceVersion {
    /// What to send as `If-Range`: the strong ETag, else the date, else nothing,
    /// and then bytes must not be joined to earlier ones (RFC 9110, 13.1.5).
    pub fn if_range(&self) -> Option<String> {
        self.strong_etag().or(self.last_modified.as_deref()).map(str::to_owned)
    }

    fn strong_etag(&self) -> Option<&str> {
        self.etag.as_deref().filter(|tag| !tag.starts_with("W/"))
    }
}

/// Whether nothing speaks against `a` and `b` being the same version. A
/// validator that only one of them has says nothing.
pub fn same_version(a: &SourceVersion, b: &SourceVersion) -> bool {
    fn agree<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
        a.zip(b).is_none_or(|(a, b)| a == b)
    }
    agree(a.etag.as_deref(), b.etag.as_deref())
        && agree(a.last_modified.as_deref(), b.last_modified.as_deref())
        && agree(a.len, b.len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(etag: Option<&str>, modified: Option<&str>, len: Option<u64>) -> SourceVersion {
        SourceVersion { etag: etag.map(Into::into), last_modified: modified.map(Into::into), len }
    }

    #[test]
    fn case_22_any_differing_validator_is_another_version() {
        let held = version(Some("\"a\""), Some("Mon"), Some(10));
        assert!(same_version(&held, &held));
        assert!(same_version(&held, &version(None, None, Some(10))));
        assert!(!same_version(&held, &version(Some("\"b\""), Some("Mon"), Some(10))));
        assert!(!same_version(&held, &version(Some("\"a\""), Some("Tue"), Some(10))));
        assert!(!same_version(&held, &version(Some("\"a\""), Some("Mon"), Some(11))));
    }

    #[test]
    fn only_what_proves_sameness_goes_into_if_range() {
        assert_eq!(version(Some("\"a\""), Some("Mon"), None).if_range().as_deref(), Some("\"a\""));
        assert_eq!(version(Some("W/\"a\""), Some("Mon"), None).if_range().as_deref(), Some("Mon"));
        assert_eq!(version(Some("W/\"a\""), None, Some(1)).if_range(), None);
    }
}
