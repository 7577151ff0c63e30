//! Generations: register, one.

use axum::{
    Json,
    extract::{Path, State},
};
use clipkeep_core::{
    generation::{Bringer, Facts, Generation, HookRecord, NewClip},
    id::{ClipKey, Provider, RequestId, Tenant},
    media_type::MediaType,
    policy::Policy,
    problem::Code,
    prompt::prompt_hash,
    secret::SourceUrl,
    state::GenerationStatus,
};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::model::{ClipRow, GenerationRow};
use crate::{
    callers::Caller,
    catalog::{ClipFilter, Registration},
    web::{AppState, auth::By, error::ApiError, json::JsonObject},
};

/// What an app tells of a generation. Each field is kept from whoever said it
/// first; telling it again changes nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterRequest {
    /// Who generates; `fal` unless given.
    #[schema(pattern = "^[a-z0-9-]+$", max_length = 32)]
    provider: Option<String>,
    /// The provider's id of it.
    #[schema(pattern = "^[A-Za-z0-9._~-]+$", max_length = 128)]
    request_id: String,
    /// The model's endpoint id.
    model: Option<String>,
    /// The prompt.
    prompt: Option<String>,
    /// Lower-case hex SHA-256 of the prompt after NFC and trimming.
    #[schema(pattern = "^[0-9A-Fa-f]{64}$")]
    prompt_hash: Option<String>,
    /// Whose it is; a tenant's token can say only its own.
    #[schema(pattern = "^[A-Za-z0-9._~:@|/+-]+$", max_length = 128)]
    tenant: Option<String>,
    /// `eager`, `deferred` or `on_demand`.
    #[schema(pattern = "^(eager|deferred|on_demand)$")]
    policy: Option<String>,
    /// The whole model input. Its `prompt` and `seed` are used where those
    /// fields are not given.
    input: Option<Value>,
    /// The seed.
    seed: Option<i64>,
    /// Whether its clips may be fetched without a signature.
    public: Option<bool>,
    /// Whether the provider writes its clip straight into our store, under the
    /// clip's key. It is waited for (`adopt_within`), hashed, probed, recorded.
    /// For admins alone.
    #[serde(default)]
    adopt: bool,
    /// The file ending of the clip that is adopted; `mp4` unless given.
    #[schema(pattern = "^[A-Za-z0-9]+$", max_length = 8)]
    ending: Option<String>,
}

/// Registers a generation, before or after its webhook came.
#[utoipa::path(post, path = "/api/v1/generations", tag = "generations", request_body = RegisterRequest,
    security(("token" = [])),
    responses((status = 200, body = GenerationRow), (status = 400, description = "Not understood"), (status = 401, description = "No valid token"),
        (status = 403, description = "`adopt` by a tenant"), (status = 404, description = "A tenant speaks of a generation that is not its own"),
        (status = 409, description = "The clip's key is taken")))]
pub(crate) async fn register_generation(
    By(caller): By,
    State(app): State<AppState>,
    JsonObject(body): JsonObject<RegisterRequest>,
) -> Result<Json<GenerationRow>, ApiError> {
    let (adopt, ending) = (body.adopt, body.ending.clone());
    let mut registration = body.read(&app)?;
    // Another's is spoken of as one that is not there.
    if !caller.narrow(&mut registration.facts.tenant) {
        return Err(missing());
    }
    let generation = if adopt {
        if caller != Caller::Admin {
            // Who could name any object of the store could read it.
            return Err(ApiError::new(Code::Forbidden, "adopt: is for admins"));
        }
        let adopting = adopting(registration, ending.as_deref().unwrap_or("mp4"))?;
        app.catalog.record_hooks(std::slice::from_ref(&adopting)).await?;
        app.engine.wake();
        app.catalog.generation(&adopting.request_id).await?.ok_or_else(missing)?
    } else if ending.is_some() {
        return Err(ApiError::new(Code::InvalidRequest, "ending: is for adopt alone"));
    } else if let Some(tenant) = caller.tenant() {
        app.catalog.register_own(tenant, &registration).await?.ok_or_else(missing)?
    } else {
        app.catalog.register(&registration).await?
    };
    Ok(Json(with_clips(&caller, &app, generation).await?))
}

/// A generation whose clip the provider writes into our store.
fn adopting(registration: Registration, ending: &str) -> Result<HookRecord, ApiError> {
    let media = MediaType::by_ending(ending)
        .ok_or_else(|| ApiError::new(Code::InvalidRequest, "ending: is of no media type that is kept"))?;
    let Registration { provider, request_id, facts, at } = registration;
    let key = ClipKey::new(&request_id, 0, ending);
    let clip = NewClip {
        source_url: SourceUrl::own_store(&key),
        key,
        index: 0,
        slot: "/".to_owned(),
        kind: media.kind,
        content_type: media.name.to_owned(),
        source_expires_at: None,
    };
    let status = GenerationStatus::Pending;
    Ok(HookRecord {
        provider,
        request_id,
        status,
        error: None,
        facts,
        clips: vec![clip],
        received_at: at,
        created_at: None,
        by: Bringer::Store,
    })
}

fn missing() -> ApiError {
    ApiError::new(Code::NotFound, "no generation has that request_id")
}

/// A generation with its clips.
#[utoipa::path(get, path = "/api/v1/generations/{request_id}", tag = "generations",
    params(("request_id" = String, Path, description = "The provider's id of it")), security(("token" = [])),
    responses((status = 200, body = GenerationRow), (status = 401, description = "No valid token"), (status = 404, description = "No such generation")))]
pub(crate) async fn get_generation(
    By(caller): By,
    State(app): State<AppState>,
    Path(request_id): Path<String>,
) -> Result<Json<GenerationRow>, ApiError> {
    let request_id: RequestId = request_id.parse().map_err(|_| missing())?;
    let generation = match caller.tenant() {
        None => app.catalog.generation(&request_id).await?,
        Some(tenant) => app.catalog.own_generation(tenant, &request_id).await?,
    };
    Ok(Json(with_clips(&caller, &app, generation.ok_or_else(missing)?).await?))
}

async fn with_clips(caller: &Caller, app: &AppState, generation: Generation) -> Result<GenerationRow, ApiError> {
    let filter = ClipFilter { request_id: Some(generation.request_id.clone()), ..ClipFilter::default() };
    let mut page = app.catalog.clips(&filter, None, super::query::MAX_LIMIT).await?;
    page.clips.retain(|clip| clip.provider == generation.provider && caller.sees_clip(clip));
    page.clips.sort_by_key(|clip| clip.index);
    let clips = page.clips.into_iter().map(|clip| ClipRow::seen_by(caller, clip, &app.final_urls)).collect();
    Ok(GenerationRow::new(generation, clips, &app.final_urls))
}

impl RegisterRequest {
    fn read(self, app: &AppState) -> Result<Registration, ApiError> {
        let bad =
            |name: &str, error: &dyn std::fmt::Display| ApiError::new(Code::InvalidRequest, format!("{name}: {error}"));
        let provider = match self.provider {
            Some(name) => name.parse::<Provider>().map_err(|e| bad("provider", &e))?,
            None => Provider::fal(),
        };
        let of_input = |name: &str| self.input.as_ref().and_then(|input| input.get(name));
        let prompt = self.prompt.or_else(|| of_input("prompt").and_then(Value::as_str).map(str::to_owned));
        let hash = checked_hash(prompt.as_deref(), self.prompt_hash)?;
        let facts = Facts {
            model: self.model,
            prompt_hash: hash,
            prompt,
            tenant: self.tenant.map(|t| t.parse::<Tenant>()).transpose().map_err(|e| bad("tenant", &e))?,
            policy: self.policy.map(|p| p.parse::<Policy>()).transpose().map_err(|e| bad("policy", &e))?,
            seed: self.seed.or_else(|| of_input("seed").and_then(Value::as_i64)),
            input: self.input,
            public: self.public,
        };
        let request_id = self.request_id.parse().map_err(|e| bad("request_id", &e))?;
        Ok(Registration { provider, request_id, facts, at: app.clock.now() })
    }
}

fn checked_hash(prompt: Option<&str>, given: Option<String>) -> Result<Option<String>, ApiError> {
    let given = given.map(|hash| hash.to_ascii_lowercase());
    let bad = |text| ApiError::new(Code::InvalidRequest, text);
    if given.as_ref().is_some_and(|hash| hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err(bad("prompt_hash: must be 64 hex digits"));
    }
    let Some(prompt) = prompt else { return Ok(given) };
    let hash = prompt_hash(prompt);
    if given.is_some_and(|given| given != hash) {
        return Err(bad("prompt_hash: is not the hash of prompt"));
    }
    Ok(Some(hash))
}
