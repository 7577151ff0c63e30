//! The bucket's HTTP client, with each request that leaves counted.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector},
};

use crate::request_counts::RequestCounts;

/// Connects, and counts.
#[derive(Clone, Debug)]
pub(super) struct Counted(pub(super) Arc<RequestCounts>);

#[derive(Debug)]
struct Client {
    http: HttpClient,
    operations: Arc<RequestCounts>,
}

impl HttpConnector for Counted {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let http = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Client { http, operations: Arc::clone(&self.0) }))
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.operations.count(request.method(), request.uri().query());
        self.http.execute(request).await
    }
}
