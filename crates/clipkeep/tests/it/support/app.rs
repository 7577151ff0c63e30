//! A simulator and a node in this process.

use std::{sync::Arc, time::Duration};

use clipkeep::{app::App, data_dir::Role, web};
use clipkeep_core::{
    config::{Config, Layers},
    generation::Clip,
    id::ClipKey,
    link::{Audience, LinkTarget},
    state::ClipState,
};
use fal_sim::{Delivery, Sim, SimOptions};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::eventually::PATIENCE;

/// A running node with its simulator. Stops when dropped; [`TestApp::stop`]
/// stops it in peace.
pub(crate) struct TestApp {
    pub(crate) sim: Sim,
    pub(crate) app: Arc<App>,
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) client: Client,
    pub(crate) data: Arc<TempDir>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl TestApp {
    /// On SQLite and a folder.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With these settings over the tests' own.
    pub(crate) async fn with(settings: &[(&'static str, String)]) -> Self {
        let sim = Sim::start(SimOptions::default()).await.unwrap();
        Self::on(sim, Arc::new(tempfile::tempdir().unwrap()), settings, &[]).await
    }

    /// On a given simulator and data folder (to start again on), with settings
    /// and `AWS_*` names.
    pub(crate) async fn on(
        sim: Sim,
        data: Arc<TempDir>,
        settings: &[(&'static str, String)],
        aws: &[(String, String)],
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let token = "test-admin-token-0123456789".to_owned();
        let flags = own_settings(&sim, &url, data.path(), &token);
        let layers = Layers::new().with_env(aws.iter().cloned()).with_flags(flags).with_flags(settings.iter().cloned());
        let app = App::open(Config::from_layers(layers).unwrap(), Role::Node).await.unwrap();
        let stop = CancellationToken::new();
        let node = Arc::clone(&app);
        let tasks = vec![
            tokio::spawn(async move { node.run().await }),
            tokio::spawn(web::serve(Arc::clone(&app), listener, stop.clone())),
        ];
        let client = Client::builder().no_proxy().build().unwrap();
        Self { sim, app, url, token, client, data, stop, tasks }
    }

    /// Ends it as a signal would; all tasks are over when this returns.
    pub(crate) async fn stop(mut self) -> (Sim, Arc<TempDir>) {
        self.stop.cancel();
        self.app.close().await;
        for task in self.tasks.drain(..) {
            task.await.unwrap();
        }
        (self.sim.clone(), Arc::clone(&self.data))
    }

    /// Sends a signed webhook whose payload is one video at `source`.
    pub(crate) async fn hook(&self, request_id: &str, source: &str, query: &str) -> Response {
        let payload =
            json!({"video": {"url": source, "content_type": "video/mp4", "file_name": null, "file_size": null}});
        self.hook_payload(request_id, &payload, query).await
    }

    /// Sends a signed webhook with this payload.
    pub(crate) async fn hook_payload(&self, request_id: &str, payload: &Value, query: &str) -> Response {
        let body = self.sim.webhook_body(request_id, payload);
        self.deliver(self.sim.sign(request_id, body), query).await
    }

    /// Sends a delivery as it is.
    pub(crate) async fn deliver(&self, delivery: Delivery, query: &str) -> Response {
        let mut request = self.client.post(format!("{}/hooks/fal{query}", self.url));
        for (name, value) in delivery.headers {
            request = request.header(name, value);
        }
        request.body(delivery.body).send().await.unwrap()
    }

    /// A GET on the API with the admin token; its JSON.
    pub(crate) async fn api(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}{path}", self.url)).bearer_auth(&self.token);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Registers a generation.
    pub(crate) async fn register(&self, generation: &Value) {
        let request = self.client.post(format!("{}/api/v1/generations", self.url)).bearer_auth(&self.token);
        let status = request.json(generation).send().await.unwrap().status();
        assert!(status.is_success(), "{status}");
    }

    /// A link to `key`.
    pub(crate) fn link(&self, key: &str) -> String {
        self.link_for(Audience::Public, key)
    }

    /// A link to `key` for this audience, as if none had been revoked yet.
    pub(crate) fn link_for(&self, audience: Audience, key: &str) -> String {
        self.app
            .sign_link(LinkTarget::of(audience), (&key.parse().unwrap(), 0), Duration::from_secs(3600), None)
            .unwrap()
            .url
    }

    /// The clip, once it is in `state`. Fails if that takes too long.
    pub(crate) async fn until(&self, key: &str, state: ClipState) -> Clip {
        let key: ClipKey = key.parse().unwrap();
        let began = tokio::time::Instant::now();
        loop {
            let clip = self.app.catalog.clip(&key).await.unwrap();
            if let Some(clip) = clip.clone().filter(|clip| clip.state == state) {
                return clip;
            }
            assert!(began.elapsed() < PATIENCE, "{key} is not {state} but {clip:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop.cancel();
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What every test node has: the simulator as its provider, quick retries.
pub(crate) fn own_settings(sim: &Sim, url: &str, data: &std::path::Path, token: &str) -> Vec<(&'static str, String)> {
    vec![
        ("public_url", url.to_owned()),
        ("data", data.display().to_string()),
        ("admin_token", token.to_owned()),
        ("link_keys", "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".to_owned()),
        ("internal_link_keys", "i-1:YGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn8=".to_owned()),
        ("fal_queue_url", sim.queue_url()),
        ("fal_jwks_url", sim.jwks_url()),
        ("source_hosts", "127.0.0.1".to_owned()),
        ("source_allow_private", "true".to_owned()),
        ("source_allow_http", "true".to_owned()),
        ("source_stall_timeout", "20s".to_owned()),
        ("source_first_byte_timeout", "30s".to_owned()),
        ("retry_base", "20ms".to_owned()),
        ("retry_max", "200ms".to_owned()),
        ("not_found_timeout", "0s".to_owned()),
        ("shutdown_grace", "2s".to_owned()),
        ("drain", "0s".to_owned()),
        // Whoever tests what it makes says so: it takes a fifth of a second each.
        ("ffmpeg", "off".to_owned()),
    ]
}
