//! The simulator as a whole: its state, its listeners, its handles.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, task::AbortHandle};

use crate::{
    admin,
    api::{self, Api, Wire},
    faults::{Faults, Source},
    host,
    keys::{Delivery, Signer},
    media::Media,
    queue::Jobs,
    record::{Log, Recorded},
    replicate::{self, Replicate},
    sender::{self, Retries, Sent, WebhookFaults},
};

/// How the simulator behaves as a whole.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// Where queue and keys listen.
    pub listen: SocketAddr,
    /// Where the media host listens.
    pub media_listen: SocketAddr,
    /// The key that `Authorization: Key …` must hold, if any.
    pub key: Option<String>,
    /// How long a job waits in the queue.
    pub queue_time: Duration,
    /// How long a job runs.
    pub run_time: Duration,
    /// How long a result is kept.
    pub result_ttl: Duration,
    pub retries: Retries,
    /// Pauses between retries are divided by this.
    pub time_factor: f64,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            media_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            key: None,
            queue_time: Duration::from_millis(50),
            run_time: Duration::from_millis(100),
            result_ttl: Duration::from_secs(3600),
            retries: Retries::Current,
            time_factor: 1.0,
        }
    }
}

/// A file on the media host.
pub(crate) struct File {
    pub(crate) media: Media,
    pub(crate) etag: String,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) source: Mutex<Source>,
    pub(crate) asked: AtomicU64,
    /// How many answers run now.
    pub(crate) running: Arc<AtomicUsize>,
    pub(crate) answered: AtomicU64,
    /// Whether answers that are held go on.
    pub(crate) is_free: watch::Sender<bool>,
    /// What a signed URL of it holds.
    pub(crate) signature: String,
}

struct State {
    options: SimOptions,
    address: SocketAddr,
    media_address: SocketAddr,
    files: Mutex<HashMap<String, Arc<File>>>,
    numbers: AtomicU64,
    log: Log,
    signer: Signer,
    jwks_asked: AtomicU64,
    jwks_away: std::sync::atomic::AtomicBool,
    jobs: Jobs,
    replicate: Replicate,
    api: Api,
    webhook_faults: Mutex<WebhookFaults>,
    sent: Mutex<Vec<Sent>>,
    client: reqwest::Client,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// A running simulator. Cheap to clone; it stops with [`Sim::shutdown`] or with
/// its runtime.
#[derive(Clone)]
pub struct Sim(Arc<State>);

impl Sim {
    /// Starts it in the current runtime.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(options: SimOptions) -> io::Result<Self> {
        // Another part of the process may have chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind(options.listen).await?;
        let media_listener = TcpListener::bind(options.media_listen).await?;
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build();
        let sim = Self(Arc::new(State {
            address: listener.local_addr()?,
            media_address: media_listener.local_addr()?,
            options,
            files: Mutex::default(),
            numbers: AtomicU64::new(1),
            log: Log::default(),
            signer: Signer::new(7),
            jwks_asked: AtomicU64::new(0),
            jwks_away: false.into(),
            jobs: Jobs::default(),
            replicate: Replicate::default(),
            api: Api::default(),
            webhook_faults: Mutex::default(),
            sent: Mutex::default(),
            client: client.map_err(io::Error::other)?,
            tasks: Mutex::default(),
        }));
        let router = api::router().merge(admin::router()).merge(replicate::router()).with_state(sim.clone());
        let service = router.into_make_service_with_connect_info::<Wire>();
        let api = tokio::spawn(async move { axum::serve(listener, service).await });
        let media = tokio::spawn(host::serve(sim.clone(), media_listener));
        sim.0.tasks.lock().extend([api.abort_handle(), media.abort_handle()]);
        Ok(sim)
    }

    /// Where it listens.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// The keys, for `fal_jwks_url`.
    pub fn jwks_url(&self) -> String {
        format!("{}/.well-known/jwks.json", self.base_url())
    }

    /// The media host.
    pub fn media_url(&self) -> String {
        format!("http://{}", self.0.media_address)
    }

    /// Puts a file on the media host; answers its URL.
    pub fn add_file(&self, name: &str, media: Media) -> String {
        self.add_faulty_file(name, media, Faults::none())
    }

    /// Puts a misbehaving file on the media host; answers its URL.
    pub fn add_faulty_file(&self, name: &str, media: Media, faults: Faults) -> String {
        let url = self.new_file_url(name);
        self.put(&url, media, faults);
        url
    }

    /// A URL on the media host where nothing stands yet.
    pub(crate) fn new_file_url(&self, name: &str) -> String {
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let name = name.replace(|c| !plain(c), "_");
        format!("{}/files/b/{number:08x}/{number}_{name}", self.media_url())
    }

    /// Puts a file at such a URL.
    pub(crate) fn put_file(&self, url: &str, media: Media) {
        self.put(url, media, Faults::none());
    }

    fn put(&self, url: &str, media: Media, faults: Faults) {
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        let etag = format!("\"{number:x}-1\"");
        let file = File {
            media,
            etag,
            faults: Mutex::new(faults),
            source: Mutex::default(),
            asked: AtomicU64::new(0),
            running: Arc::default(),
            answered: AtomicU64::new(0),
            is_free: watch::Sender::new(false),
            signature: format!("sim-{number:016x}"),
        };
        self.0.files.lock().insert(self.path(url).to_owned(), Arc::new(file));
    }

    /// Changes how a file misbehaves; its requests are counted afresh.
    pub fn set_faults(&self, url: &str, faults: Faults) {
        if let Some(file) = self.file(self.path(url)) {
            *file.faults.lock() = faults;
            file.asked.store(0, Ordering::Relaxed);
            file.answered.store(0, Ordering::Relaxed);
        }
    }

    /// Lets answers go on that a fault holds ([`Fault::hold_at`](crate::Fault::hold_at)).
    pub fn let_go(&self, url: &str) {
        if let Some(file) = self.file(self.path(url)) {
            file.is_free.send_replace(true);
        }
    }

    /// Changes what a file's server allows.
    pub fn set_source(&self, url: &str, source: Source) {
        if let Some(file) = self.file(self.path(url)) {
            *file.source.lock() = source;
            file.answered.store(0, Ordering::Relaxed);
        }
    }

    /// The URL that lets anybody read a file, whatever its access control list.
    pub(crate) fn sign_file(&self, url: &str) -> Option<String> {
        let file = self.file(self.path(url))?;
        Some(format!("{url}?identity={}", file.signature))
    }

    /// The file behind a URL, as it is meant to be.
    pub fn media(&self, url: &str) -> Option<Media> {
        self.file(self.path(url)).map(|file| file.media.clone())
    }

    /// Puts a file on the media host at this path, written as requests write it;
    /// answers its URL.
    pub fn add_file_at(&self, path: &str, media: Media) -> String {
        let url = format!("{}{path}", self.media_url());
        self.put(&url, media, Faults::none());
        url
    }

    /// Takes a file away, as it was.
    pub(crate) fn take_file(&self, url: &str) -> Option<Media> {
        let file = self.0.files.lock().remove(self.path(url))?;
        Some(file.media.clone())
    }

    /// Every request to the media host so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.0.log.all()
    }

    /// The requests for one file.
    pub fn requests_for(&self, url: &str) -> Vec<Recorded> {
        let path = self.path(url);
        self.0.log.all().into_iter().filter(|request| request.path == path).collect()
    }

    /// How many bytes of a file were sent in all.
    pub fn bytes_served(&self, url: &str) -> u64 {
        self.requests_for(url).iter().map(Recorded::sent).sum()
    }

    /// The account and its keys.
    pub fn signer(&self) -> &Signer {
        &self.0.signer
    }

    /// Signs a body as fal would now.
    pub fn sign(&self, request_id: &str, body: Vec<u8>) -> Delivery {
        self.signer().sign(request_id, body, self.now_secs())
    }

    /// The body of the webhook that ends a job with this payload.
    pub fn webhook_body(&self, request_id: &str, payload: &Value) -> Vec<u8> {
        sender::body(request_id, payload, &WebhookFaults::default())
    }

    /// What goes wrong with the webhooks of coming jobs.
    pub fn set_webhook_faults(&self, faults: WebhookFaults) {
        *self.0.webhook_faults.lock() = faults;
    }

    /// Whether the JWKS endpoint answers 503.
    pub fn set_jwks_away(&self, away: bool) {
        self.0.jwks_away.store(away, Ordering::Relaxed);
    }

    /// How often the keys were asked for.
    pub fn jwks_requests(&self) -> u64 {
        self.0.jwks_asked.load(Ordering::Relaxed)
    }

    /// How often a job's status was asked for.
    pub fn status_requests(&self, request_id: &str) -> u64 {
        self.0.jobs.asked(request_id)
    }

    /// Every attempt at a webhook so far.
    pub fn sent(&self) -> Vec<Sent> {
        self.0.sent.lock().clone()
    }

    pub fn shutdown(&self) {
        for task in self.0.tasks.lock().drain(..) {
            task.abort();
        }
    }

    fn path<'u>(&self, url: &'u str) -> &'u str {
        url.strip_prefix(&self.media_url()).unwrap_or(url)
    }

    pub(crate) fn file(&self, path: &str) -> Option<Arc<File>> {
        self.0.files.lock().get(path).cloned()
    }

    pub(crate) fn options(&self) -> &SimOptions {
        &self.0.options
    }

    pub(crate) fn log(&self) -> &Log {
        &self.0.log
    }

    pub(crate) fn replicate_state(&self) -> &Replicate {
        &self.0.replicate
    }

    pub(crate) fn jobs(&self) -> &Jobs {
        &self.0.jobs
    }

    pub(crate) fn api(&self) -> &Api {
        &self.0.api
    }

    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.0.client
    }

    pub(crate) fn webhook_faults(&self) -> WebhookFaults {
        self.0.webhook_faults.lock().clone()
    }

    pub(crate) fn record_sent(&self, sent: Sent) {
        self.0.sent.lock().push(sent);
    }

    /// The key set, unless it is away.
    pub(crate) fn published_keys(&self) -> Option<Value> {
        self.0.jwks_asked.fetch_add(1, Ordering::Relaxed);
        (!self.0.jwks_away.load(Ordering::Relaxed)).then(|| self.0.signer.jwks())
    }

    /// An id like fal's: UUIDv7 in form, rising.
    pub(crate) fn next_id(&self) -> String {
        let millis = self.now_secs() * 1000;
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        let salt = u64::from(self.0.address.port());
        format!("{:08x}-{:04x}-7{:03x}-8{:03x}-{number:012x}", millis >> 16, millis & 0xffff, salt & 0xfff, salt >> 4)
    }

    #[expect(clippy::disallowed_methods, reason = "the simulator's clock")]
    pub(crate) fn now_secs(&self) -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }
}
