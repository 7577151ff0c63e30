//! Uploads that were begun in a bucket and never ended: finding and aborting them.
//!
//! The bucket keeps, and charges for, the parts of such an upload for ever, and
//! its client library cannot list them; so this request is signed and sent here.

use std::time::Duration;

use clipkeep_core::time::Timestamp;
use http::StatusCode;
use object_store::{
    Error,
    aws::AwsAuthorizer,
    client::{HttpRequest, HttpRequestBody},
    multipart::MultipartStore,
};
use serde::Deserialize;
use url::Url;

use super::{
    ObjectKey, Result, StaleUpload, StoreError,
    error::{answer, from_client},
    s3::S3,
};

const TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const DOING: &str = "listing the open uploads of";

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

    pub(super) async fn list_stale(&self) -> Result<Vec<StaleUpload>> {
        self.list(&self.prefix.listing(), &self.prefix.named()).await
    }

    async fn list(&self, prefix: &str, named: &ObjectKey) -> Result<Vec<StaleUpload>> {
        let unusable = || unavailable(named, "an unusable answer");
        let mut found = Vec::new();
        let mut marker = Some(Marker::default());
        while let Some(at) = marker {
            let url = self.page_url(prefix, &at).ok_or_else(unusable)?;
            let page = self.page(&url, named).await?;
            for upload in page.uploads {
                let initiated: Timestamp = upload.initiated.parse().map_err(|_| unusable())?;
                found.push(StaleUpload { key: upload.key, upload_id: upload.upload_id, initiated });
            }
            let next = Marker {
                key: page.next_key_marker.unwrap_or_default(),
                upload_id: page.next_upload_id_marker.unwrap_or_default(),
            };
            // A server that does not move on would keep us here for ever.
            marker = (page.is_truncated && next > at).then_some(next);
        }
        Ok(found)
    }

    fn page_url(&self, prefix: &str, at: &Marker) -> Option<Url> {
        let mut url = Url::parse(&self.bucket_url).ok()?;
        url.query_pairs_mut().append_pair("uploads", "").append_pair("prefix", prefix);
        if !at.key.is_empty() {
            url.query_pairs_mut().append_pair("key-marker", &at.key).append_pair("upload-id-marker", &at.upload_id);
        }
        Some(url)
    }

    async fn page(&self, url: &Url, named: &ObjectKey) -> Result<Page> {
        let mut wait = FIRST_WAIT;
        for _ in 1..TRIES {
            match self.try_page(url, named).await {
                Err(StoreError::Unavailable { .. }) => tokio::time::sleep(wait).await,
                done => return done,
            }
            wait *= 2;
        }
        self.try_page(url, named).await
    }

    async fn try_page(&self, url: &Url, named: &ObjectKey) -> Result<Page> {
        let request = self.signed(url).await.map_err(|e| from_client(DOING, named, &e))?;
        let lost = |_| unavailable(named, "no answer");
        let response = self.http.execute(request).await.map_err(lost)?;
        let status = response.status();
        let body = response.into_body().bytes().await.map_err(lost)?;
        let text = String::from_utf8_lossy(&body);
        if status == StatusCode::OK {
            return quick_xml::de::from_str(&text).map_err(|_| unavailable(named, "an unusable answer"));
        }
        let why = format!("{status}, {}", answer(&text));
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(unavailable(named, &why));
        }
        Err(StoreError::Denied { doing: DOING, key: named.clone(), why })
    }

    async fn signed(&self, url: &Url) -> Result<HttpRequest, Error> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.as_str().parse().expect("a URL is a URI");
        let credential = self.client.credentials().get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(&mut request, None)?;
        Ok(request)
    }
}

fn unavailable(named: &ObjectKey, why: &str) -> StoreError {
    StoreError::Unavailable { doing: DOING, key: named.clone(), why: why.to_owned() }
}
