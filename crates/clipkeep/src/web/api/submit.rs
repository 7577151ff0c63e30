//! Submitting to fal, for apps without a fal client of their own.

use std::sync::Arc;

use clipkeep_core::{generation::Generation, hook::callback_query, id::Provider, problem::Code, time::Timestamp};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    app::App,
    auth::Caller,
    catalog::{
        Registration,
        submissions::{Begun, SubmitCall},
    },
    provider::{Submission, SubmitError},
    web::{AppState, error::ApiError},
};

/// How long a submit may run; after that it was cut off.
const MAX_SUBMIT_TIME: std::time::Duration = std::time::Duration::from_secs(60);
/// The longest `Idempotency-Key`.
const MAX_KEY: usize = 255;

/// What fal is told beside the model's input.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FalOptions {
    /// Its place in fal's queue: `normal` (the default) or `low`.
    priority: Option<Priority>,
    /// How many seconds it may wait before it starts.
    #[schema(minimum = 2, maximum = 86400)]
    start_timeout: Option<u32>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Priority {
    Normal,
    Low,
}

impl FalOptions {
    /// Says what is wrong with them.
    fn check(self) -> Result<Self, ApiError> {
        match self.start_timeout {
            Some(secs) if !(2..=86_400).contains(&secs) => {
                Err(ApiError::new(Code::InvalidRequest, "fal.start_timeout: must be from 2 to 86400"))
            }
            _ => Ok(self),
        }
    }
}

/// A request to be submitted: all of a registration but the id.
pub(crate) struct Wanted {
    /// What is known of it; its model and input are what is submitted.
    pub(crate) facts: clipkeep_core::generation::Facts,
    pub(crate) fal: FalOptions,
    /// A hash of the whole request.
    pub(crate) hash: String,
}

/// The `Idempotency-Key` of a request.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all("idempotency-key").iter();
    let bad =
        || ApiError::new(Code::InvalidRequest, "idempotency-key: must be 1 to 255 visible ASCII characters, once");
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    let text = text.filter(|text| (1..=MAX_KEY).contains(&text.len()) && values.next().is_none());
    text.map(|text| Some(text.to_owned())).ok_or_else(bad)
}

/// Submits, and registers what came of it; or answers what came of an earlier
/// call with this key. Runs to its end once it is polled: what fal took is paid
/// for. Killed between fal's answer and the commit, it leaves the key open, and
/// fal's webhook brings the generation.
pub(crate) async fn submit(
    app: &AppState,
    caller: &Caller,
    key: Option<String>,
    mut wanted: Wanted,
) -> Result<Generation, ApiError> {
    wanted.fal.check()?;
    if let Some(own) = caller.tenant() {
        wanted.facts.tenant = Some(own.clone());
    }
    // No tenant's name is empty, so the admin's keys are nobody else's.
    let caller = caller.tenant().map(ToString::to_string).unwrap_or_default();
    let call = key.map(|key| SubmitCall { caller, key, request: wanted.hash.clone(), at: app.clock.now() });
    let node = Arc::clone(app);
    let submitting = app.tasks.spawn(async move { begin(&node, call, wanted).await });
    submitting.await.map_err(|_| ApiError::new(Code::Internal, "the submit broke off; see the log"))?
}

async fn begin(app: &App, call: Option<SubmitCall>, wanted: Wanted) -> Result<Generation, ApiError> {
    // What could not be written down is not paid for. A node that drains still can.
    let trouble = app.vitals.trouble(&app.catalog, &app.intake, &app.custody).await;
    if let Some(trouble) = trouble.filter(|_| !app.vitals.draining.is_cancelled()) {
        let detail = format!("nothing was submitted: {trouble}");
        return Err(ApiError::new(Code::Unavailable, detail).retry_after(5));
    }
    let Some(call) = call else {
        let registration = paid(app, wanted).await?;
        return kept(app.catalog.register(&registration).await, &registration);
    };
    match app.catalog.begin_submit(&call).await? {
        Begun::New => {}
        Begun::Done(provider, request_id) => return earlier(app, &provider, &request_id).await,
        Begun::Open(since) => return Err(open(since, call.at)),
        Begun::Other => {
            return Err(ApiError::new(Code::Conflict, "idempotency-key: was used for another request already"));
        }
    }
    match paid(app, wanted).await {
        Ok(registration) => kept(app.catalog.finish_submit(&call, &registration).await, &registration),
        Err(SubmitError::Unknown) => Err(SubmitError::Unknown.into()),
        Err(refused) => {
            app.catalog.forget_submit(&call).await?;
            Err(refused.into())
        }
    }
}

/// What an earlier call with this key brought.
async fn earlier(
    app: &App,
    provider: &Provider,
    request_id: &clipkeep_core::id::RequestId,
) -> Result<Generation, ApiError> {
    let known = app.catalog.generation(request_id).await?.filter(|known| known.provider == *provider);
    known.ok_or_else(|| ApiError::new(Code::NotFound, "the generation of that idempotency-key is not there any more"))
}

fn open(since: Timestamp, now: Timestamp) -> ApiError {
    if now.since(since) < MAX_SUBMIT_TIME {
        let detail = "a call with this idempotency-key is being submitted";
        return ApiError::new(Code::Conflict, detail).retry_after(5);
    }
    let detail = "how the submit with this idempotency-key ended is not known: if fal took it, its webhook brings the \
        generation; use another key to submit once more";
    ApiError::new(Code::Conflict, detail)
}

/// Submits; what came of it is to be registered.
async fn paid(app: &App, wanted: Wanted) -> Result<Registration, SubmitError> {
    let Wanted { facts, fal, .. } = wanted;
    let submission = Submission {
        model: facts.model.clone().unwrap_or_default(),
        input: facts.input.as_ref().map(|input| input.as_str().into()).unwrap_or_default(),
        webhook: format!("{}/hooks/fal?{}", app.config.public_url, callback_query(&facts)),
        priority: fal.priority.map(|priority| match priority {
            Priority::Normal => "normal",
            Priority::Low => "low",
        }),
        start_timeout: fal.start_timeout,
    };
    let request_id = app.providers.fal.submit(submission).await?.request_id;
    Ok(Registration { provider: Provider::fal(), request_id, facts, at: app.clock.now() })
}

/// What fal took is not lost if it cannot be written down now.
fn kept(
    registered: crate::catalog::Result<Generation>,
    Registration { request_id, .. }: &Registration,
) -> Result<Generation, ApiError> {
    registered.map_err(|error| {
        tracing::error!(%request_id, error = &error as &dyn std::error::Error, "a submit was not registered");
        let detail = format!("fal took it as {request_id}, but it could not be registered; its webhook brings it");
        ApiError::new(Code::Unavailable, detail)
    })
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        let words = error.to_string();
        match error {
            SubmitError::NoApp => Self::new(Code::InvalidRequest, format!("model: {words}")),
            SubmitError::NoKey => Self::new(Code::Unavailable, words),
            SubmitError::Refused { code: 408 | 429, after, .. } => {
                let secs = after.map_or(5, |after| u32::try_from(after.as_secs()).unwrap_or(u32::MAX));
                Self::new(Code::ProviderBusy, words).retry_after(secs)
            }
            SubmitError::Refused { code: 400..=499, .. } => Self::new(Code::ProviderRejected, words),
            SubmitError::Refused { .. } => Self::new(Code::ProviderFailed, words),
            SubmitError::NotSent(_) => Self::new(Code::ProviderUnreachable, words),
            SubmitError::Unknown => {
                Self::new(Code::ProviderUnreachable, format!("{words}; if it did, its webhook brings the generation"))
            }
        }
    }
}
