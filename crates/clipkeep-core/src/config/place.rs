//! Where the catalogue and the clips are kept: the `database` and `store`
//! values, and what `AWS_*` says about a bucket.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use super::{
    error::ConfigError,
    parse::{self, Problem},
};
use crate::secret::Secret;

/// Which database holds the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    Sqlite(PathBuf),
    /// A PostgreSQL database. The URL may hold a password.
    Postgres(Secret<String>),
}

/// Why a `database` or `store` value was refused. The text is fit for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlaceError(&'static str);

impl FromStr for DatabaseUrl {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("sqlite://") {
            // SQLite itself gives these two a meaning: no file, and a URI.
            if path.starts_with(":memory:") || path.starts_with("file:") {
                return Err(PlaceError("must name a file on disk"));
            }
            return file_path(path).map(Self::Sqlite);
        }
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        match rest {
            Some(rest) if rest.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(PlaceError("must name a host or database, with special characters percent-encoded"))
            }
            Some(_) => Ok(Self::Postgres(Secret::new(text.to_owned()))),
            None => Err(PlaceError("must start with sqlite://, postgres:// or postgresql://")),
        }
    }
}

/// Which store keeps the clips.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    Folder(PathBuf),
    /// An S3-compatible bucket.
    S3 {
        bucket: String,
        /// What every object's key starts with: segments with slashes between
        /// them, none outside. Empty for the bucket's root.
        prefix: String,
    },
}

impl FromStr for StoreUrl {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("file://") {
            return file_path(path).map(Self::Folder);
        }
        let rest = text.strip_prefix("s3://").ok_or(PlaceError("must start with file:// or s3://"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let bucket_char = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if bucket.is_empty() || !bucket.bytes().all(bucket_char) {
            return Err(PlaceError("must name a bucket"));
        }
        let prefix = prefix.trim_matches('/');
        let segment_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!-_.*'()=+@:,$&".contains(&byte);
        let plain = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(segment_char);
        if !prefix.is_empty() && !prefix.split('/').all(plain) {
            return Err(PlaceError("must have a prefix of plain segments"));
        }
        Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "file://{}", path.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// The path as it stands: no percent-decoding, so that any name can be
/// written, and no parameters, so that none is taken for part of a name.
fn file_path(path: &str) -> Result<PathBuf, PlaceError> {
    if path.contains(['?', '#']) {
        return Err(PlaceError("must be a path without parameters"));
    }
    parse::folder(path).map_err(|_| PlaceError("must name a path"))
}

/// How to reach the bucket, by the names that every S3 tool uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Settings {
    /// The endpoint, without a slash at the end; none is AWS itself.
    /// `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` or `AWS_ENDPOINT`.
    pub endpoint: Option<String>,
    /// The region: `AWS_REGION` or `AWS_DEFAULT_REGION`; `us-east-1` if neither
    /// is set.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`. Without keys, the machine's role is asked.
    pub access_key_id: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`, there exactly if the key id is.
    pub secret_access_key: Option<Secret<String>>,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: Option<Secret<String>>,
    /// Whether the bucket is named in the path, not in the host:
    /// `AWS_S3_FORCE_PATH_STYLE`; if unset, yes for an endpoint of one's own.
    pub force_path_style: bool,
}

impl S3Settings {
    /// Reads the names from `aws`. An empty value is as good as none, as it is
    /// for every S3 tool. What is wrong is added to `errors`.
    pub(super) fn read(aws: &BTreeMap<String, String>, errors: &mut Vec<ConfigError>) -> Self {
        let value = |name: &str| aws.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        let mut wrong = |name, problem| errors.push(ConfigError::Aws { name, problem });
        let endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]
            .into_iter()
            .find_map(|name| value(name).map(|text| (name, text)));
        let endpoint = endpoint.and_then(|(name, text)| {
            let checked = BaseUrl::parse(text);
            checked.map_err(|_| wrong(name, "must be an http or https URL without credentials or parameters")).ok()
        });
        match (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY")) {
            (Some(_), None) => wrong("AWS_SECRET_ACCESS_KEY", "is missing, but AWS_ACCESS_KEY_ID is set"),
            (None, Some(_)) => wrong("AWS_ACCESS_KEY_ID", "is missing, but AWS_SECRET_ACCESS_KEY is set"),
            _ => {}
        }
        let path_style = value("AWS_S3_FORCE_PATH_STYLE").and_then(|text| {
            parse::boolean(text).map_err(|_| wrong("AWS_S3_FORCE_PATH_STYLE", "must be true or false")).ok()
        });
        let secret = |name| value(name).map(|text| Secret::new(text.to_owned()));
        Self {
            region: value("AWS_REGION").or_else(|| value("AWS_DEFAULT_REGION")).unwrap_or("us-east-1").to_owned(),
            access_key_id: value("AWS_ACCESS_KEY_ID").map(str::to_owned),
            secret_access_key: secret("AWS_SECRET_ACCESS_KEY"),
            session_token: secret("AWS_SESSION_TOKEN"),
            force_path_style: path_style.unwrap_or(endpoint.is_some()),
            endpoint: endpoint.map(|url| url.as_str().to_owned()),
        }
    }
}

/// An http or https URL that paths are added to: it has no query, and no slash
/// at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let url = parse::web_url(text)?;
        if url.query().is_some() {
            return Err("must not hold parameters".to_owned());
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL, for a look at its parts.
    pub fn to_url(&self) -> url::Url {
        self.0.parse().expect("it was a URL when it was checked")
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A URL in which `{key}` stands once, behind the host, for a clip's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlTemplate {
    before: String,
    after: String,
}

impl UrlTemplate {
    pub(crate) fn parse(text: &str, public_url: &BaseUrl) -> Result<Self, Problem> {
        let text = text.trim().replace("{public_url}", public_url.as_str());
        let (before, after) = text.split_once("{key}").ok_or("must hold {key}")?;
        if before.contains(['{', '}']) || after.contains(['{', '}']) {
            return Err("must hold {key} once, and no other placeholder than {public_url}".to_owned());
        }
        let sample = "k-e-y.mp4";
        let filled = parse::web_url(&format!("{before}{sample}{after}"))?;
        if !filled.path().contains(sample) && !filled.query().is_some_and(|query| query.contains(sample)) {
            return Err("must hold {key} behind the host".to_owned());
        }
        Ok(Self { before: before.to_owned(), after: after.to_owned() })
    }

    /// What stands before a clip's key, and what behind it.
    pub fn around_key(&self) -> (&str, &str) {
        (&self.before, &self.after)
    }

    /// Whether its URLs lead to our own `/v/`, as far as one can tell.
    pub(super) fn is_ours(&self, public_url: &BaseUrl) -> bool {
        self.before == format!("{public_url}/v/")
    }

    /// Whether its URLs cannot lead to our own `/v/`, whatever stands in front.
    pub(super) fn leads_past_us(&self) -> bool {
        !self.before.ends_with("/v/")
    }

    /// The URL of one clip. A clip key needs no percent-encoding.
    pub fn fill(&self, key: &crate::id::ClipKey) -> String {
        format!("{}{key}{}", self.before, self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_a_file_or_postgres() {
        let sqlite = |path: &str| Ok(DatabaseUrl::Sqlite(path.into()));
        assert_eq!("sqlite://keep.db".parse(), sqlite("keep.db"));
        assert_eq!("sqlite:///var/lib/keep.db".parse(), sqlite("/var/lib/keep.db"));
        for url in ["postgres://u:p@db/keep", "postgresql://a:5432,b:5432/keep?sslmode=require", "postgres:///keep"] {
            assert_eq!(url.parse(), Ok(DatabaseUrl::Postgres(Secret::new(url.to_owned()))));
        }
        for bad in [
            "",
            "keep.db",
            "sqlite:keep.db",
            "sqlite://",
            "sqlite://:memory:",
            "sqlite://file:x",
            "sqlite://x?mode=rwc",
            "postgres://",
            "postgres://a b",
            "mysql://db/keep",
        ] {
            assert!(bad.parse::<DatabaseUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_store_is_a_folder_or_a_bucket() {
        for (text, printed) in [
            ("file://clips", "file://clips"),
            ("file:///srv/clips", "file:///srv/clips"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ] {
            assert_eq!(text.parse::<StoreUrl>().unwrap().to_string(), printed);
        }
        for bad in ["", "clips", "file://", "s3://", "s3:///x", "s3://b/../x", "s3://b/a//b", "s3://b/ä", "s3://k:s@b"]
        {
            assert!(bad.parse::<StoreUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_final_url_holds_the_key_once_and_behind_the_host() {
        let public = BaseUrl::parse("https://clips.example.com/app/").unwrap();
        let template = UrlTemplate::parse("{public_url}/v/{key}", &public).unwrap();
        let key = "a.mp4".parse().unwrap();
        assert_eq!(template.fill(&key), "https://clips.example.com/app/v/a.mp4");
        assert!(UrlTemplate::parse("https://cdn.example.com/?clip={key}", &public).is_ok());
        assert!(template.is_ours(&public) && !template.leads_past_us());
        for (text, leads_past_us) in [
            ("https://cdn.example.com/v/{key}", false),
            ("https://cdn.example.com/{key}", true),
            ("https://x/?v={key}", true),
        ] {
            let template = UrlTemplate::parse(text, &public).unwrap();
            assert_eq!((template.is_ours(&public), template.leads_past_us()), (false, leads_past_us), "{text}");
        }
        for bad in ["{public_url}/v", "/v/{key}", "https://{key}/x", "https://x/{key}/{key}", "https://x/{id}/{key}"] {
            assert!(UrlTemplate::parse(bad, &public).is_err(), "{bad}");
        }
    }
}
