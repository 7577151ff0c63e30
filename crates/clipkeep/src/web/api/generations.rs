//! Generations: register, one.

use axum::{
    Json,
    extract::{Path, State},
};
use clipkeep_core::{
    generation::{Facts, Generation, Hearsay, HookRecord, NewClip, Origin},
    hook::HookQuery,
    id::{ClipKey, Provider, RequestId},
    media_type::MediaType,
    problem::Code,
    secret::SourceUrl,
    seed::Seed,
    state::GenerationStatus,
};
use data_encoding::HEXLOWER;
use http::{HeaderMap, StatusCode};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    model::{ClipRow, GenerationRow, UnreadInfo},
    submit::{self, FalOptions, Wanted},
};
use crate::{
    auth::Caller,
    catalog::{ClipFilter, Registration, page::collect_clips},
    web::{AppState, auth::Authenticated, error::ApiError, json::JsonObject},
};

/// The most bytes of an unread result in an answer; a command prints all.
const MAX_INPUT_SHOWN: usize = 256 * 1024;

/// What an app tells of a generation. Each field is kept from whoever said it
/// first; telling it again changes nothing.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterRequest {
    /// Who generates; `fal` unless given.
    #[schema(pattern = "^[a-z0-9-]+$", max_length = 32)]
    provider: Option<String>,
    /// The provider's id of it. Must be there, except with `submit`.
    #[schema(pattern = "^[A-Za-z0-9._~-]+$", max_length = 128)]
    request_id: Option<String>,
    /// The model's endpoint id.
    model: Option<String>,
    /// The prompt.
    prompt: Option<String>,
    /// Lower-case hex SHA-256 of the prompt after NFC and trimming.
    #[schema(pattern = "^[0-9A-Fa-f]{64}$")]
    prompt_hash: Option<String>,
    /// Whose it is. A tenant's token makes it that tenant's, and can say no other.
    #[schema(pattern = "^[A-Za-z0-9._~:@|/+-]+$", max_length = 128)]
    tenant: Option<String>,
    /// `eager`, `deferred` or `on_demand`.
    #[schema(value_type = Option<crate::schemas::Policy>)]
    policy: Option<String>,
    /// The whole model input. Its `prompt` and `seed` are used where those
    /// fields are not given.
    input: Option<Value>,
    /// The seed.
    #[schema(schema_with = crate::dto::seed_schema)]
    seed: Option<Seed>,
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
    /// Whether to submit it to fal, with `fal_key` and our webhook: `model` and
    /// `input` must be there, and fal gives the `request_id`.
    #[serde(default)]
    submit: bool,
    /// What fal is told beside the input; with `submit` alone.
    fal: Option<FalOptions>,
}

/// Registers a generation, before or after its webhook came; or submits it.
///
/// With `submit` it is registered before the answer leaves, and a failed submit
/// leaves nothing. A call that bears an `Idempotency-Key` is submitted once:
/// called again with it, it answers the generation that came of it. What fal
/// refuses is answered in fal's words: 422, 429 or 502.
#[utoipa::path(post, path = "/api/v1/generations", tag = "generations", request_body = RegisterRequest,
    security(("token" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "With `submit`: what makes calling again safe")),
    responses(
        (status = 200, body = GenerationRow),
        (status = 201, body = GenerationRow, description = "Submitted, and registered"),
        (status = 400, description = "Not understood"),
        (status = 401, description = "No valid token"),
        (status = 403, description = "`adopt` by a tenant"),
        (status = 404, description = "A tenant names another `tenant`"),
        (status = 409, description = "The idempotency key is in use, or the clip's key is"),
        (status = 422, description = "fal refuses it"),
        (status = 429, description = "fal wants to be left alone for a while"),
        (status = 502, description = "fal failed, or did not say whether it took it"),
        (status = 503, description = "Not kept: try again"),
    ))]
pub(crate) async fn register_generation(
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    headers: HeaderMap,
    JsonObject { body, .. }: JsonObject<RegisterRequest>,
) -> Result<(StatusCode, Json<GenerationRow>), ApiError> {
    if body.submit {
        let key = submit::idempotency_key(&headers)?;
        let generation = submit::submit(&app, &caller, key, body.wanted()?).await?;
        return Ok((StatusCode::CREATED, Json(with_clips(&caller, &app, generation).await?)));
    }
    if body.fal.is_some() {
        return Err(ApiError::new(Code::InvalidRequest, "fal: is for submit alone"));
    }
    let (adopt, ending) = (body.adopt, body.ending.clone());
    let mut registration = body.read(&app)?;
    // Another's is spoken of as one that is not there.
    if !caller.restrict(&mut registration.facts.tenant) {
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
        let own = app.catalog.register_own(tenant, &registration).await?;
        own.visible_at(app.clock.now(), app.config.poll_timeout)
    } else {
        app.catalog.register(&registration).await?
    };
    Ok((StatusCode::OK, Json(with_clips(&caller, &app, generation).await?)))
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
        hearsay: Hearsay::default(),
        clips: vec![clip],
        unread: None,
        received_at: at,
        created_at: None,
        origin: Origin::Store,
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
    Authenticated(caller): Authenticated,
    State(app): State<AppState>,
    Path(request_id): Path<String>,
) -> Result<Json<GenerationRow>, ApiError> {
    let request_id: RequestId = request_id.parse().map_err(|_| missing())?;
    let generation = match caller.tenant() {
        None => app.catalog.generation(&request_id).await?,
        Some(tenant) => {
            let own = app.catalog.own_generation(tenant, &request_id).await?;
            own.map(|own| own.visible_at(app.clock.now(), app.config.poll_timeout))
        }
    };
    Ok(Json(with_clips(&caller, &app, generation.ok_or_else(missing)?).await?))
}

async fn with_clips(caller: &Caller, app: &AppState, generation: Generation) -> Result<GenerationRow, ApiError> {
    let filter = ClipFilter { request_id: Some(generation.request_id.clone()), ..ClipFilter::default() };
    let mut clips = collect_clips(&*app.catalog, &filter, super::query::MAX_LIMIT).await?;
    clips.retain(|clip| clip.provider == generation.provider && caller.may_see_clip(clip));
    clips.sort_by_key(|clip| clip.index);
    let clips = clips.into_iter().map(|clip| ClipRow::seen_by(caller, clip, &app.final_urls)).collect();
    let unread = match generation.status {
        GenerationStatus::Unreadable => app.catalog.unread(&generation.provider, &generation.request_id).await?,
        _ => None,
    };
    let unreadable = unread.map(|(row, payload)| {
        let shown = payload.as_deref().filter(|_| *caller == Caller::Admin);
        UnreadInfo::new(row, shown.map(|payload| &payload[..payload.len().min(MAX_INPUT_SHOWN)]))
    });
    Ok(GenerationRow { unreadable, ..GenerationRow::new(generation, clips, &app.final_urls) })
}

impl RegisterRequest {
    fn read(mut self, app: &AppState) -> Result<Registration, ApiError> {
        let provider = match self.provider.take() {
            Some(name) => name.parse::<Provider>().map_err(|e| bad("provider", &e))?,
            None => Provider::fal(),
        };
        let request_id = self.request_id.take().ok_or_else(|| bad("request_id", &"must be there"))?;
        let request_id = request_id.parse().map_err(|e| bad("request_id", &e))?;
        Ok(Registration { provider, request_id, facts: self.facts()?, at: app.clock.now() })
    }

    /// What is to be submitted.
    fn wanted(self) -> Result<Wanted, ApiError> {
        if self.provider.as_ref().is_some_and(|name| name != Provider::fal().as_str()) {
            return Err(bad("provider", &"only fal can be submitted to"));
        }
        let is_input = self.input.as_ref().is_some_and(Value::is_object);
        for (name, is_right, problem) in [
            ("request_id", self.request_id.is_none(), "is given by fal, with submit"),
            ("adopt", !self.adopt && self.ending.is_none(), "does not go with submit"),
            ("model", self.model.is_some(), "must be there, with submit"),
            ("input", is_input, "must be an object, with submit"),
        ] {
            if !is_right {
                return Err(bad(name, &problem));
            }
        }
        let hash = serde_json::to_vec(&self).map_err(|error| bad("body", &error))?;
        let hash = HEXLOWER.encode(digest(&SHA256, &hash).as_ref());
        Ok(Wanted { fal: self.fal.unwrap_or_default(), facts: self.facts()?, hash })
    }

    /// As the query of a hook URL would tell them, and refused as there.
    fn facts(self) -> Result<Facts, ApiError> {
        let of_input = |name: &str| self.input.as_ref().and_then(|input| input.get(name));
        let take = |name: &'static str| {
            let text = match name {
                "model" => self.model.clone(),
                "prompt" => self.prompt.clone().or_else(|| of_input(name).and_then(Value::as_str).map(str::to_owned)),
                "prompt_hash" => self.prompt_hash.clone(),
                "tenant" => self.tenant.clone(),
                "policy" => self.policy.clone(),
                _ => None,
            };
            Ok(text.filter(|text| !text.is_empty()))
        };
        let told = HookQuery::of(take).map_err(|error| bad(error.name, &error.problem))?.facts();
        Ok(Facts {
            seed: self.seed.or_else(|| of_input("seed").and_then(|seed| Seed::of_json(&seed.as_number()?.to_string()))),
            public: self.public,
            input: self.input.map(Into::into),
            ..told
        })
    }
}

fn bad(name: &str, problem: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(Code::InvalidRequest, format!("{name}: {problem}"))
}
