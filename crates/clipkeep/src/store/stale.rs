//! Uploads that were begun in a bucket and never ended: finding and aborting them.
//!
//! The bucket keeps, and charges for, the parts of such an upload for ever, and
//! its client library cannot list them.

use std::sync::Arc;

use clipkeep_core::time::Timestamp;
use futures_util::{StreamExt, stream, stream::BoxStream};
use object_store::{Error, multipart::MultipartStore};
use serde::Deserialize;
use url::Url;

use super::{
    ObjectKey, Result, StaleUpload,
    ask::{UNUSABLE, unavailable},
    error::from_client,
    s3::S3,
};

const DOING: &str = "listing the open uploads of";
/// How many uploads of one clip are ended at a time: a listing may have no end.
const MAX_UPLOADS: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_upload_id_marker: Option<String>,
    #[serde(default, rename = "Upload")]
    uploads: Vec<Upload>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    upload_id: String,
    initiated: String,
}

/// After which upload a page starts.
#[derive(Default, PartialEq, PartialOrd)]
struct Marker {
    key: String,
    upload_id: String,
}

impl S3 {
    pub(super) async fn abort_stale(&self, key: &ObjectKey) -> Result<usize> {
        let mut aborted = 0;
        for upload in self.list(key.as_str(), key).await? {
            // The listing goes by prefix: `a.mp4` finds `a.mp4x` too.
            if upload.key != key.as_str() {
                continue;
            }
            match self.client.abort_multipart(key.path(), &upload.upload_id).await {
                Ok(()) => aborted += 1,
                Err(Error::NotFound { .. }) => {}
                Err(e) => return Err(from_client("aborting a stale upload of", key, &e)),
            }
        }
        Ok(aborted)
    }

    /// Page by page, all uploads under the prefix.
    pub(super) fn stale(self: Arc<Self>) -> BoxStream<'static, Result<Vec<StaleUpload>>> {
        let next = |(s3, marker): (Arc<Self>, Option<Marker>)| async move {
            let Some(at) = marker else { return Ok(None) };
            let (found, next) = s3.list_page(&s3.prefix.listing(), &s3.prefix.named(), &at).await?;
            Ok(Some((found, (s3, next))))
        };
        stream::try_unfold((self, Some(Marker::default())), next).boxed()
    }

    /// Ends one upload.
    pub(super) async fn abort_one(&self, key: &ObjectKey, upload_id: &String) -> Result<()> {
        match self.client.abort_multipart(key.path(), upload_id).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(from_client("aborting a stale upload of", key, &e)),
        }
    }

    async fn list(&self, prefix: &str, named: &ObjectKey) -> Result<Vec<StaleUpload>> {
        let mut found = Vec::new();
        let mut marker = Some(Marker::default());
        while let Some(at) = marker {
            let (page, next) = self.list_page(prefix, named, &at).await?;
            found.extend(page);
            marker = next.filter(|_| found.len() < MAX_UPLOADS);
        }
        Ok(found)
    }

    /// The uploads after `at`, and where the next page starts.
    async fn list_page(
        &self,
        prefix: &str,
        named: &ObjectKey,
        at: &Marker,
    ) -> Result<(Vec<StaleUpload>, Option<Marker>)> {
        let unusable = || unavailable(DOING, named, UNUSABLE);
        let url = self.page_url(prefix, at).ok_or_else(unusable)?;
        let page: Page = self.ask(DOING, &url, named).await?;
        let mut found = Vec::with_capacity(page.uploads.len());
        for upload in page.uploads {
            let initiated: Timestamp = upload.initiated.parse().map_err(|_| unusable())?;
            found.push(StaleUpload { key: upload.key, upload_id: upload.upload_id, initiated });
        }
        let next = Marker {
            key: page.next_key_marker.unwrap_or_default(),
            upload_id: page.next_upload_id_marker.unwrap_or_default(),
        };
        // A server that does not move on would keep us here for ever.
        let moves_on = page.is_truncated && next > *at;
        Ok((found, moves_on.then_some(next)))
    }

    fn page_url(&self, prefix: &str, at: &Marker) -> Option<Url> {
        let mut url = Url::parse(&self.bucket_url).ok()?;
        url.query_pairs_mut().append_pair("uploads", "").append_pair("prefix", prefix);
        if !at.key.is_empty() {
            url.query_pairs_mut().append_pair("key-marker", &at.key).append_pair("upload-id-marker", &at.upload_id);
        }
        Some(url)
    }
}
