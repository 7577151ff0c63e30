//! What is told of an event: `{type, timestamp, data}` as one line of JSON.

use clipkeep_core::event::{Event, EventType};
use serde_json::{Map, Value, json};

use crate::{
    catalog::{Catalog, Result},
    dto::ClipRow,
    final_urls::FinalUrls,
};

/// Fields of a clip's row that are not told: what the app sent may hold other
/// clips' sources, and the prompt is nobody's business on the way.
const PRIVATE_FIELDS: [&str; 3] = ["input", "prompt", "source_url"];

/// What is told of `event`. A clip's row is as it is now.
///
/// # Errors
/// If the catalogue does not answer.
pub async fn text(catalog: &dyn Catalog, urls: &FinalUrls, event: &Event) -> Result<String> {
    let mut data = match &event.key {
        _ if event.kind == EventType::BudgetExceeded => event.detail_json().unwrap_or_default(),
        Some(_) => clip(catalog, urls, event).await?,
        None => generation(catalog, event).await?,
    };
    if event.kind != EventType::BudgetExceeded {
        data.insert("reason".to_owned(), json!(event.reason()));
    }
    Ok(json!({"type": event.kind, "timestamp": event.at, "data": data}).to_string())
}

async fn clip(catalog: &dyn Catalog, urls: &FinalUrls, event: &Event) -> Result<Map<String, Value>> {
    let mut data = ids(event);
    let Some(key) = &event.key else { return Ok(data) };
    data.insert("key".to_owned(), json!(key));
    if let Some(clip) = catalog.clip(key).await?
        && let Ok(Value::Object(row)) = serde_json::to_value(ClipRow::new(clip, urls))
    {
        data.extend(row.into_iter().filter(|(field, _)| !PRIVATE_FIELDS.contains(&field.as_str())));
    }
    if event.kind == EventType::ClipDeleted {
        data.insert("purge".to_owned(), json!(urls.cached(key)));
    }
    Ok(data)
}

async fn generation(catalog: &dyn Catalog, event: &Event) -> Result<Map<String, Value>> {
    let mut data = ids(event);
    let Some((provider, request_id)) = &event.generation else { return Ok(data) };
    let known = catalog.generation(request_id).await?;
    if let Some(known) = known.filter(|known| known.provider == *provider) {
        data.insert("model".to_owned(), json!(known.facts.model));
        data.insert("tenant".to_owned(), json!(known.facts.tenant));
        data.insert("prompt_hash".to_owned(), json!(known.facts.prompt_hash));
    }
    Ok(data)
}

fn ids(event: &Event) -> Map<String, Value> {
    let provider = event.generation.as_ref().map(|(provider, _)| provider);
    let ids = [("provider", json!(provider)), ("request_id", json!(event.request_id()))];
    ids.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
