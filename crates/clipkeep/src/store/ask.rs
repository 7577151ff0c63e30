//! Questions to a bucket that its client library does not know: signed and sent
//! here, answered in XML.

use std::time::Duration;

use http::StatusCode;
use http_body_util::{BodyExt as _, Limited};
use object_store::{
    Error,
    aws::AwsAuthorizer,
    client::{HttpRequest, HttpRequestBody},
};
use serde::de::DeserializeOwned;
use url::Url;

use super::{
    ObjectKey, Result, StoreError,
    error::{answer, from_client},
    s3::S3,
};

const MAX_TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest answer: a thousand names of a kilobyte, each escaped three times
/// over, are less.
const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// What the error says of an answer that was not understood.
pub(super) const UNUSABLE: &str = "an unusable answer";

impl S3 {
    /// Asks `url`, a few times if the bucket cannot answer now.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        doing: &'static str,
        url: &Url,
        named: &ObjectKey,
    ) -> Result<T> {
        let mut wait = FIRST_WAIT;
        for _ in 1..MAX_TRIES {
            match self.try_ask(doing, url, named).await {
                Err(StoreError::Unavailable { .. }) => tokio::time::sleep(wait).await,
                done => return done,
            }
            wait *= 2;
        }
        self.try_ask(doing, url, named).await
    }

    async fn try_ask<T: DeserializeOwned>(&self, doing: &'static str, url: &Url, named: &ObjectKey) -> Result<T> {
        let request = self.signed(url).await.map_err(|e| from_client(doing, named, &e))?;
        let lost = |_| unavailable(doing, named, "no answer");
        let response = self.http.execute(request).await.map_err(lost)?;
        let status = response.status();
        let unusable = |_| unavailable(doing, named, UNUSABLE);
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(unusable)?.to_bytes();
        let text = String::from_utf8_lossy(&body);
        if status == StatusCode::OK {
            return quick_xml::de::from_str(&text).map_err(|_| unavailable(doing, named, UNUSABLE));
        }
        let why = format!("{status}, {}", answer(&text));
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(unavailable(doing, named, &why));
        }
        Err(StoreError::Denied { doing, key: named.clone(), why })
    }

    async fn signed(&self, url: &Url) -> Result<HttpRequest, Error> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.as_str().parse().expect("a URL is a URI");
        let credential = self.client.credentials().get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(&mut request, None)?;
        Ok(request)
    }
}

pub(super) fn unavailable(doing: &'static str, named: &ObjectKey, why: &str) -> StoreError {
    StoreError::Unavailable { doing, key: named.clone(), why: why.to_owned() }
}
