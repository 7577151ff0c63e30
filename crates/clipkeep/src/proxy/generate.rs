//! Calls that make a generation: what they tell is written down before the app
//! hears of its id.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use clipkeep_core::{
    generation::Facts,
    hook::{Decoded, callback_query},
    id::{RequestId, Tenant},
    prompt::prompt_hash,
    proxy::{Captured, Submitted, lifetime, with_own_webhook, with_webhook},
};
use http::Response;
use ring::rand::{SecureRandom, SystemRandom};

use super::{Passing, ProxyError, record, stream};
use crate::{app::App, shares::Share};

/// How much of a submit's answer is looked at. It is a few lines.
const MAX_SUBMITTED: usize = 1 << 20;
const REQUEST_ID: &str = "x-fal-request-id";

/// Puts a generation into the queue. Registered, or not for a reason that is
/// told in the log, once this returns.
pub(super) async fn submit(app: &App, model: String, mut call: Passing) -> Result<Response<Body>, ProxyError> {
    let facts = facts(model, &call.upload.captured, call.tenant.clone());
    let webhook = webhook(app, &facts, lifetime(&call.headers));
    let query = call.target.query.as_deref();
    call.target.query = Some(match call.of.is_some() {
        true => with_own_webhook(query, &webhook, &app.config.public_url),
        false => with_webhook(query, &webhook),
    });
    let (follow, _place) = (call.follow.clone(), Arc::clone(&call.place));
    let reply = call.send(app).await.inspect_err(|error| unanswered(&facts, error))?;
    let whole = reply.collect(MAX_SUBMITTED).await;
    let whole = whole.inspect_err(|error| unanswered(&facts, error))?;
    if whole.status.is_success() {
        match whole.copy.as_deref().and_then(Submitted::read) {
            Some(Submitted { request_id }) => register(app, &request_id, &facts).await,
            None => {
                app.metrics.passed_unrecorded("submit");
                tracing::error!(facts = facts_text(&facts), "fal took a submit, but its answer names no generation");
            }
        }
    }
    whole.pass(follow).await
}

async fn register(app: &App, request_id: &RequestId, facts: &Facts) {
    let Err(error) = record::register(app, request_id, facts).await else { return };
    app.metrics.passed_unrecorded("submit");
    tracing::error!(
        %request_id, facts = facts_text(facts), error = &error as &dyn std::error::Error,
        "a generation that fal took could not be registered; its webhook will tell of it, or register it by hand"
    );
}

/// Makes a generation whose result is the answer.
pub(super) async fn run(app: &Arc<App>, model: String, call: Passing) -> Result<Response<Body>, ProxyError> {
    let model = model.strip_suffix("/stream").filter(|model| model.contains('/')).map_or(model.clone(), str::to_owned);
    let facts = facts(model, &call.upload.captured, call.tenant.clone());
    let (source_lifetime, place) = (lifetime(&call.headers), Arc::clone(&call.place));
    let reply = call.send(app).await?;
    let given = reply.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let run = Run { request_id: given.unwrap_or_else(own_id), facts, source_lifetime, _place: place };
    if reply.is_events() && reply.status.is_success() {
        return Ok(stream::pass(app, run, reply));
    }
    if !reply.is_json() {
        return Ok(reply.pass(None));
    }
    let most = usize::try_from(app.config.hook_max_body).unwrap_or(usize::MAX);
    let mut whole = reply.collect(most).await?;
    let replace = match record::read_whole(app, "run", &run.request_id, &mut whole).await? {
        Some(decoded) => run.keep(app, decoded).await,
        None => None,
    };
    whole.pass(replace).await
}

/// A direct call's generation.
pub(super) struct Run {
    pub(super) request_id: RequestId,
    facts: Facts,
    source_lifetime: Option<Duration>,
    _place: Arc<Share>,
}

impl Run {
    /// Records what came of it; answers what is put in place of its sources. It
    /// is paid for and cannot be asked for again: what cannot be recorded is
    /// passed on as it is.
    pub(super) async fn keep(self, app: &App, decoded: Decoded) -> Option<super::Replace> {
        let (told, mut record) = (facts_text(&self.facts), decoded.record);
        let seed = self.facts.seed.or(record.facts.seed);
        record.facts = Facts { seed, ..self.facts };
        let record = record.with_source_lifetime(self.source_lifetime);
        match record::record(app, &Decoded { record, ..decoded }).await {
            Ok(replace) => replace.filter(|_| app.config.rewrite_results),
            Err(error) => {
                app.metrics.passed_unrecorded("run");
                tracing::error!(
                    request_id = %self.request_id, facts = told, error = &error as &dyn std::error::Error,
                    "a direct call's result could not be recorded; the app has it, with the source's URLs"
                );
                None
            }
        }
    }
}

fn facts(model: String, captured: &Captured, tenant: Option<Tenant>) -> Facts {
    Facts {
        model: Some(model),
        prompt_hash: captured.prompt.as_deref().map(prompt_hash),
        prompt: captured.prompt.clone(),
        tenant,
        policy: None,
        input: captured.input.clone().map(Into::into),
        seed: captured.seed,
        public: None,
    }
}

/// Our webhook for a generation of these facts.
fn webhook(app: &App, facts: &Facts, source_lifetime: Option<Duration>) -> String {
    let mut url = format!("{}/hooks/fal?{}", app.config.public_url, callback_query(facts));
    if let Some(lifetime) = source_lifetime {
        url.push_str(&format!("&source_lifetime={}", lifetime.as_secs()));
    }
    url
}

/// What the log says of a generation, so that it can be registered by hand. The
/// prompt stands there by its hash alone.
fn facts_text(facts: &Facts) -> String {
    callback_query(facts)
}

fn unanswered(facts: &Facts, error: &ProxyError) {
    let error: &dyn std::error::Error = error;
    tracing::error!(
        facts = facts_text(facts),
        error,
        "fal did not answer a submit; if it took it, its webhook will tell"
    );
}

fn own_id() -> RequestId {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).expect("the system has randomness");
    let id = format!("direct-{}", data_encoding::HEXLOWER.encode(&bytes));
    id.parse().expect("hex digits make a request id")
}
