//! The store as an S3-compatible bucket: opening it, and everything but uploads.

use std::{
    ops::Range,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    client::{HttpClient, HttpConnector},
};
use tokio::sync::Semaphore;
use url::{Host, Url};

use clipkeep_core::config::S3Settings;

use super::{
    ByteStream, ObjectKey, ObjectMeta, Pin, Result, StoreError, UploadLimits, counted::Counted, error::from_client,
    key::Prefix,
};
use crate::{request_counts::RequestCounts, tls};

/// How long one try of a request may stand still. A part must fit in it.
const STALL_TIMEOUT: Duration = Duration::from_secs(120);
const MIB: u64 = 1024 * 1024;
/// R2 and S3 alike: at most this many parts, all but the last of one size.
pub(super) const MAX_PARTS: u64 = 10_000;

/// A bucket.
pub(super) struct S3 {
    pub(super) client: AmazonS3,
    pub(super) prefix: Prefix,
    /// For the requests the client does not know.
    pub(super) http: HttpClient,
    pub(super) operations: Arc<RequestCounts>,
    pub(super) bucket_url: String,
    pub(super) region: String,
    pub(super) part_size: u64,
    /// Whether the bucket takes conditional puts, as far as it told.
    pub(super) knows_conditions: AtomicBool,
    /// One permit for each part in memory, whichever upload it belongs to.
    pub(super) parts: Arc<Semaphore>,
}

impl S3 {
    pub(super) fn open(bucket: &str, prefix: Prefix, settings: S3Settings, limits: UploadLimits) -> Result<Self> {
        tls::choose_ring();
        let region = settings.region;
        let endpoint = settings.endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let in_host = if settings.force_path_style { None } else { with_bucket(&endpoint, bucket) };
        let options = client_options(&endpoint);
        let operations = Arc::<RequestCounts>::default();
        let counted = Counted(Arc::clone(&operations));
        let builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&region)
            .with_virtual_hosted_style_request(in_host.is_some())
            .with_endpoint(in_host.as_ref().unwrap_or(&endpoint))
            .with_client_options(options.clone())
            .with_http_connector(counted.clone())
            .with_retry(retries())
            // A single DELETE is understood everywhere, the bulk one is not.
            .with_disable_bulk_delete(true);
        let builder = match (settings.access_key_id, settings.secret_access_key) {
            (Some(id), Some(secret)) => builder.with_access_key_id(id).with_secret_access_key(secret.expose()),
            (None, None) => builder,
            _ => return setup("the access key id and its secret must be given together"),
        };
        let builder = settings.session_token.iter().fold(builder, |builder, token| builder.with_token(token.expose()));
        let unusable = |_| StoreError::Setup { why: "its endpoint, region or bucket name is not usable".to_owned() };
        let part_size = part_size(limits.clip_size);
        let permits = usize::try_from(limits.memory / part_size).unwrap_or(usize::MAX);
        Ok(Self {
            client: builder.build().map_err(unusable)?,
            prefix,
            http: counted.connect(&options).map_err(unusable)?,
            operations,
            bucket_url: in_host.unwrap_or_else(|| format!("{endpoint}/{bucket}")),
            region,
            part_size,
            knows_conditions: AtomicBool::new(true),
            parts: Arc::new(Semaphore::new(permits.clamp(1, Semaphore::MAX_PERMITS))),
        })
    }

    pub(super) const fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    pub(super) async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectMeta>> {
        match self.client.head(key.path()).await {
            Ok(meta) => Ok(Some(ObjectMeta { size: meta.size })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(from_client("looking up", key, &e)),
        }
    }

    pub(super) async fn delete(&self, key: &ObjectKey) -> Result<()> {
        match self.client.delete(key.path()).await {
            Err(e) if !matches!(e, object_store::Error::NotFound { .. }) => Err(from_client("deleting", key, &e)),
            _ => Ok(()),
        }
    }

    pub(super) async fn copy(&self, from: &ObjectKey, to: &ObjectKey) -> Result<()> {
        self.client.copy(from.path(), to.path()).await.map_err(|e| from_client("copying", from, &e))
    }

    /// All of an object, unless it is larger than `most`, or not there.
    pub(super) async fn small(&self, key: &ObjectKey, most: u64) -> Result<Option<Bytes>> {
        let failed = |e| from_client("reading", key, &e);
        match self.client.get(key.path()).await {
            Ok(got) if got.meta.size <= most => got.bytes().await.map(Some).map_err(failed),
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(failed(e)),
        }
    }

    pub(super) async fn read(&self, key: &ObjectKey, range: Range<u64>, pin: &Pin) -> Result<ByteStream> {
        if range.is_empty() {
            return Ok(stream::empty().boxed());
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            if_match: pin.tag().map(str::to_owned),
            ..GetOptions::default()
        };
        let got = match self.client.get_opts(key.path(), options).await {
            Err(object_store::Error::Precondition { .. }) => return Err(StoreError::Changed { key: key.clone() }),
            got => got.map_err(|e| from_client("reading", key, &e))?,
        };
        // A gateway may not know conditions; the answer's own tag tells as well.
        if got.meta.e_tag.clone().is_some_and(|tag| !pin.fits(tag)) {
            return Err(StoreError::Changed { key: key.clone() });
        }
        let of = key.clone();
        let body = got.into_stream().map_err(move |e| from_client("reading", &of, &e));
        Ok(exactly(range.end - range.start, body.boxed(), key.clone()))
    }
}

/// Passes `body` on, but makes an early or a late end an error.
fn exactly(expected: u64, body: ByteStream, key: ObjectKey) -> ByteStream {
    stream::try_unfold((body, 0), move |(mut body, seen)| {
        let key = key.clone();
        async move {
            let chunk = body.try_next().await?;
            let found = seen + chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
            let ends = chunk.is_none();
            if found > expected || (ends && found < expected) {
                return Err(StoreError::Damaged { key, expected, found });
            }
            Ok(chunk.map(|chunk| (chunk, (body, found))))
        }
    })
    .boxed()
}

/// One part size for all clips of this store: R2 wants equal parts, and a
/// source may not tell its length before its end.
fn part_size(clip_size: u64) -> u64 {
    clip_size.div_ceil(MAX_PARTS).div_ceil(MIB).max(8) * MIB
}

/// The endpoint with the bucket in its host. `None` where it cannot stand there:
/// before an address, or under a certificate for `*.`.
fn with_bucket(endpoint: &str, bucket: &str) -> Option<String> {
    let mut url = Url::parse(endpoint).ok()?;
    let Some(Host::Domain(host)) = url.host() else { return None };
    let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !bucket.bytes().all(|byte| is_label(byte) || byte == b'.' && url.scheme() == "http") {
        return None;
    }
    let host = format!("{bucket}.{host}");
    url.set_host(Some(&host)).ok()?;
    Some(url.as_str().trim_end_matches('/').to_owned())
}

fn client_options(endpoint: &str) -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(endpoint.starts_with("http://"))
        .with_connect_timeout(Duration::from_secs(10))
        .with_timeout_disabled()
        .with_read_timeout(STALL_TIMEOUT)
}

fn retries() -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(10), ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: 8, retry_timeout: Duration::from_secs(120) }
}

fn setup<T>(why: &str) -> Result<T> {
    Err(StoreError::Setup { why: why.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_36_ten_thousand_equal_parts_hold_the_largest_clip() {
        assert_eq!(part_size(0), 8 * MIB);
        assert_eq!(part_size(80_000 * MIB), 8 * MIB);
        assert_eq!(part_size(80_000 * MIB + 1), 9 * MIB);
        let five_tib = 5 * 1024 * 1024 * MIB;
        assert!(part_size(five_tib) * MAX_PARTS >= five_tib);
    }

    #[test]
    fn h36_the_bucket_stands_in_the_host_where_that_is_wanted_and_can_be() {
        for (endpoint, bucket, url) in [
            ("https://s3.eu-central-1.amazonaws.com", "clips", Some("https://clips.s3.eu-central-1.amazonaws.com")),
            ("https://s3.example.com:9000/gate", "my-clips", Some("https://my-clips.s3.example.com:9000/gate")),
            ("http://s3.localhost:3900", "a.b", Some("http://a.b.s3.localhost:3900")),
            ("https://s3.example.com", "a.b", None),
            ("https://s3.example.com", "Clips", None),
            ("https://s3.example.com", "my_clips", None),
            ("http://127.0.0.1:9000", "clips", None),
            ("http://[::1]:9000", "clips", None),
        ] {
            assert_eq!(with_bucket(endpoint, bucket).as_deref(), url, "{endpoint} {bucket}");
        }
    }

    async fn end_of(chunks: &'static [&'static str]) -> Result<usize> {
        let key = Prefix::default().doctor("x");
        let body = stream::iter(chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())))).boxed();
        exactly(4, body, key).try_fold(0, |sum, chunk| async move { Ok(sum + chunk.len()) }).await
    }

    #[tokio::test]
    async fn a_body_of_another_length_never_ends_cleanly() {
        assert_eq!(end_of(&["ab", "cd"]).await.unwrap(), 4);
        assert!(matches!(end_of(&["ab"]).await, Err(StoreError::Damaged { found: 2, .. })));
        assert!(matches!(end_of(&["abcd", "e"]).await, Err(StoreError::Damaged { found: 5, .. })));
    }
}
