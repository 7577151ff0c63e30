//! fal's queue: where a generation is asked for, and what the answers mean.

use serde::Deserialize;

use super::path::{FalPath, is_segment};
use crate::{hook::json::Node, id::RequestId, percent};

/// How far a generation is, by the queue's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Running,
    /// It is over: its result tells how.
    Ended,
    /// The queue does not know it, or not any more.
    Unknown,
    /// The key is wrong or may not ask.
    Refused,
    /// No answer to rely on: try again.
    Away,
}

/// The path under which the queue speaks of a generation: `owner/app/requests/id`.
/// What follows owner and app in a model's name plays no part in it. `None` if
/// the model's name has no owner and app.
pub fn generation_path(model: &str, request_id: &RequestId) -> Option<String> {
    if !is_segment(request_id.as_str()) {
        return None;
    }
    Some(format!("{}/requests/{request_id}", app(model)?))
}

/// Where a request to `model` is submitted to, so that `webhook` is called when
/// it is over. `None` if the model's name has no owner and app.
pub fn submit_target(model: &str, webhook: &str) -> Option<String> {
    let app = app(model)?;
    let model = model.trim_matches('/');
    let mut target = if model.contains('/') { model.to_owned() } else { app };
    target.push_str("?fal_webhook=");
    percent::encode(webhook, &mut target);
    Some(target)
}

/// Owner and app of a model.
fn app(model: &str) -> Option<String> {
    let model = model.trim_matches('/');
    if !model.contains('/') {
        return is_segment(model).then(|| legacy(model))?;
    }
    let FalPath { model, app, request } = FalPath::read(model)?;
    request.is_none().then(|| model[..app].join("/"))
}

/// `1234-some-app`, as apps were called once, is `1234/some-app`.
fn legacy(model: &str) -> Option<String> {
    let (owner, alias) = model.split_once('-')?;
    let fits = !owner.is_empty() && owner.bytes().all(|b| b.is_ascii_digit());
    let alias_fits = !alias.is_empty() && alias.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (fits && alias_fits).then(|| format!("{owner}/{alias}"))
}

#[derive(Deserialize)]
struct Status {
    status: Option<String>,
}

fn status_of(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Status>(body).ok()?.status
}

/// What the answer to «how far is it?» means.
pub fn status_stage(code: u16, body: &[u8]) -> Stage {
    match (code, status_of(body).as_deref()) {
        (200..=299, Some("COMPLETED")) => Stage::Ended,
        (200..=299, Some("IN_QUEUE" | "IN_PROGRESS")) => Stage::Running,
        (401 | 403, _) => Stage::Refused,
        (404, _) => Stage::Unknown,
        _ => Stage::Away,
    }
}

/// What the answer to «give me the result» means. A failed generation answers
/// with the model's own 4xx or 5xx and a `detail`; what has none is a word of
/// the queue itself, or of something before it.
pub fn result_stage(code: u16, body: &[u8]) -> Stage {
    let words = Node::read(body).ok();
    let detail = words.as_ref().and_then(|words| words.get("detail")).filter(|detail| **detail != Node::Null);
    let in_progress = detail.and_then(Node::text).is_some_and(|text| text.contains("still in progress"));
    match code {
        200..=299 if words.is_some() => Stage::Ended,
        400 if in_progress => Stage::Running,
        401 | 403 => Stage::Refused,
        404 if detail.is_none() => Stage::Unknown,
        408 | 429 => Stage::Away,
        400..=599 if detail.is_some() => Stage::Ended,
        _ => Stage::Away,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(model: &str) -> Option<String> {
        generation_path(model, &"r1".parse().unwrap())
    }

    #[test]
    fn only_owner_and_app_lead_to_a_generation() {
        for (model, expected) in [
            ("fal-ai/veo3", "fal-ai/veo3/requests/r1"),
            ("fal-ai/flux-2/edit", "fal-ai/flux-2/requests/r1"),
            ("fal-ai/kling-video/v2.5-turbo/pro/image-to-video", "fal-ai/kling-video/requests/r1"),
            ("workflows/acme/cut/fast", "workflows/acme/cut/requests/r1"),
            ("comfy/acme/cut", "comfy/acme/cut/requests/r1"),
            ("110602490-lora", "110602490/lora/requests/r1"),
        ] {
            assert_eq!(path(model).as_deref(), Some(expected), "{model}");
        }
        for model in
            ["", "m1", "veo3", "workflows/acme", "a/../b", "a/b?c", "a/./b", "-x", "1234-", "a b/c", "a//b", "é/b"]
        {
            assert_eq!(path(model), None, "{model}");
        }
        assert_eq!(
            generation_path("fal-ai/veo3", &"a~b".parse().unwrap()).as_deref(),
            Some("fal-ai/veo3/requests/a~b")
        );
    }

    #[test]
    fn a_submit_names_the_whole_model_and_the_webhook() {
        let hook = "https://c.example/hooks/fal?model=fal-ai/veo3&tenant=a%20b";
        let asked = "?fal_webhook=https%3A%2F%2Fc.example%2Fhooks%2Ffal%3Fmodel%3Dfal-ai%2Fveo3%26tenant%3Da%2520b";
        let target = |model: &str| submit_target(model, hook);
        assert_eq!(target("fal-ai/flux-2/edit"), Some(format!("fal-ai/flux-2/edit{asked}")));
        assert_eq!(target("110602490-lora"), Some(format!("110602490/lora{asked}")));
        for model in ["", "veo3", "a/../b", "a/b?c", "https://evil.example/x", "a b/c"] {
            assert_eq!(target(model), None, "{model}");
        }
    }

    #[test]
    fn a_status_says_how_far_it_is() {
        for (code, body, stage) in [
            (202, r#"{"status":"IN_QUEUE","queue_position":3}"#, Stage::Running),
            (200, r#"{"status":"IN_PROGRESS","logs":null}"#, Stage::Running),
            (200, r#"{"status":"COMPLETED"}"#, Stage::Ended),
            (200, r#"{"status":"COMPLETED","error":"Invalid status code: 422"}"#, Stage::Ended),
            (404, r#"{"status":"NOT_FOUND"}"#, Stage::Unknown),
            (401, "", Stage::Refused),
            (403, r#"{"detail":"User is locked"}"#, Stage::Refused),
            (502, "<html>", Stage::Away),
            (302, "", Stage::Away),
            (429, "{}", Stage::Away),
            (200, "<html>", Stage::Away),
            (200, r#"{"status":"SOMETHING_NEW"}"#, Stage::Away),
        ] {
            assert_eq!(status_stage(code, body.as_bytes()), stage, "{code} {body}");
        }
    }

    #[test]
    fn a_result_is_the_models_own_word_if_it_has_a_detail() {
        for (code, body, stage) in [
            (200, r#"{"video":{"url":"x"}}"#, Stage::Ended),
            (200, "null", Stage::Ended),
            (200, "<html>", Stage::Away),
            (400, r#"{"detail":"Request is still in progress"}"#, Stage::Running),
            (422, r#"{"detail":[{"msg":"no","type":"content_policy_violation"}]}"#, Stage::Ended),
            (404, r#"{"status":"NOT_FOUND"}"#, Stage::Unknown),
            (404, r#"{"detail":"the model answered 404"}"#, Stage::Ended),
            (500, r#"{"detail":"internal"}"#, Stage::Ended),
            (504, "<html>gateway</html>", Stage::Away),
            (503, "{}", Stage::Away),
            (401, r#"{"detail":"Authentication is required"}"#, Stage::Refused),
            (429, r#"{"detail":"slow down"}"#, Stage::Away),
        ] {
            assert_eq!(result_stage(code, body.as_bytes()), stage, "{code} {body}");
        }
    }
}
