//! What a Standard Webhook says, in the form of docs/hooks.md.

use bytes::Bytes;

use crate::{
    generation::{Facts, HookRecord, Origin},
    hook::{
        DecodeError, Decoded, Form, HookQuery, QueryError,
        json::Node,
        members::Members,
        payload::{self, Media, Scope},
        profile::is_reserved,
        redact::redact,
    },
    id::{Provider, RequestId},
    state::GenerationStatus,
    time::Timestamp,
};

/// The events that are known, and what each says of its generation.
const TYPES: &[(&str, GenerationStatus)] = &[
    ("generation.started", GenerationStatus::Pending),
    ("generation.completed", GenerationStatus::Completed),
    ("generation.failed", GenerationStatus::Failed),
];

/// Reads a verified body. `speaks_for` is the provider that the key which signed
/// it is for, if it is for one alone. What the hook URL's query tells goes over
/// what the body tells; fields it does not know are ignored.
pub fn decode(
    body: &Bytes,
    speaks_for: Option<&Provider>,
    query: &HookQuery,
    received_at: Timestamp,
) -> Result<Decoded, DecodeError> {
    let mut message = Members::read(body)?;
    let kind = message.must("type")?;
    let status = TYPES.iter().find(|(name, _)| *name == kind).map(|(_, status)| *status).ok_or(UNKNOWN_TYPE)?;
    let mut data = message.below("data")?;
    let provider = provider(data.text("provider")?, speaks_for)?;
    let request_id: RequestId = data.must("request_id")?.try_into()?;
    let facts = facts(&mut data)?;
    let (created_at, expires_at) = (time(&mut data, "created_at"), time(&mut data, "source_expires_at"));
    let error = data.present("error").ok().flatten();
    let outputs = data.present("outputs")?.filter(|outputs| *outputs != Node::List(Vec::new()));
    if status == GenerationStatus::Completed && outputs.is_none() {
        // Nobody could be asked for them later.
        let problem = "must list what was generated: a generation.completed without outputs is none".to_owned();
        return Err(DecodeError::BadFact { name: "data.outputs", problem });
    }
    let mut media = match (status, &outputs) {
        (GenerationStatus::Completed, Some(outputs)) => payload::listed_clips(outputs, Scope::All, body, &request_id),
        (GenerationStatus::Failed, Some(outputs)) => payload::listed_clips(outputs, Scope::Sure, body, &request_id),
        _ => Media::default(),
    };
    media.clips.iter_mut().for_each(|clip| clip.source_expires_at = expires_at);
    let error = (status == GenerationStatus::Failed).then(|| failure(error.as_ref()));
    let (hearsay, origin) = (query.hearsay(), Origin::Webhook);
    let (clips, unread) = (Vec::new(), None);
    let record = HookRecord {
        provider,
        request_id,
        status,
        error,
        facts,
        hearsay,
        clips,
        unread,
        received_at,
        created_at,
        origin,
    };
    Ok(Decoded::new(record, media, Form::Webhook, body))
}

const UNKNOWN_TYPE: DecodeError =
    DecodeError::UnknownStatus { field: "type", known: "generation.started, generation.completed, generation.failed" };

/// A key for one provider speaks for that one alone; any other key for all that
/// have no way of their own.
fn provider(said: Option<String>, speaks_for: Option<&Provider>) -> Result<Provider, DecodeError> {
    let problem =
        |error: crate::id::IdError| DecodeError::BadFact { name: "data.provider", problem: error.to_string() };
    let said = said.map(Provider::try_from).transpose().map_err(problem)?;
    match (said, speaks_for) {
        (None, None) => Err(DecodeError::BadField("data.provider")),
        (None, Some(own)) => Ok(own.clone()),
        (Some(said), Some(own)) if said == *own => Ok(said),
        (Some(said), None) if !is_reserved(&said) => Ok(said),
        _ => Err(DecodeError::OtherProvider),
    }
}

/// What it tells as the query of a hook URL would, and what that cannot. A fact
/// that is not well told is left out, for the outputs are worth more; but for whose
/// they are. Whoever says in odd words whether all may see them does not say so.
fn facts(data: &mut Members<'_>) -> Result<Facts, DecodeError> {
    let told = |name: &'static str, text: Option<String>| {
        let of = |other| Ok(text.clone().filter(|text| other == name && !text.is_empty()));
        HookQuery::of(of).map(|query| query.facts())
    };
    let refused = |error: QueryError| DecodeError::BadFact { name: error.name, problem: error.problem };
    let tenant = told("tenant", data.text("tenant")?).map_err(refused)?.tenant;
    let public = match data.present("public") {
        Ok(None) => None,
        Ok(Some(Node::Bool(public))) => Some(public),
        Ok(Some(_)) | Err(_) => Some(false),
    };
    let input = data.present("input").ok().flatten();
    let of_input = |name: &str| input.as_ref().and_then(|input| input.get(name));
    let seed = data.present("seed").ok().flatten().as_ref().or_else(|| of_input("seed")).and_then(Node::seed);
    let prompt = data.fact("prompt").or_else(|| of_input("prompt").and_then(Node::text).map(str::to_owned));
    let mut fact = |name| told(name, data.fact(name)).unwrap_or_default();
    let (model, hash, policy) = (fact("model").model, fact("prompt_hash").prompt_hash, fact("policy").policy);
    let Facts { prompt, prompt_hash, .. } = told("prompt", prompt).unwrap_or_default();
    Ok(Facts {
        model,
        prompt,
        // The prompt's own goes over one that is not its.
        prompt_hash: prompt_hash.or(hash),
        tenant,
        policy,
        input: input.map(|input| input.into_value().into()),
        seed,
        public,
    })
}

fn time(data: &mut Members<'_>, name: &'static str) -> Option<Timestamp> {
    data.fact(name)?.parse().ok()
}

fn failure(error: Option<&Node<'_>>) -> String {
    let words = error.and_then(|error| error.text().or_else(|| error.get("message")?.text()));
    let words = redact(words.unwrap_or_default());
    if words.is_empty() { "the provider reported an error without words".to_owned() } else { words }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{generation::Kind, prompt::prompt_hash};

    fn read_as(body: &Value, speaks_for: Option<&str>) -> Result<HookRecord, DecodeError> {
        let speaks_for = speaks_for.map(|name| name.parse().unwrap());
        let query = HookQuery::parse("tenant=acme").unwrap();
        let decoded = decode(&body.to_string().into(), speaks_for.as_ref(), &query, Timestamp::from_secs(9));
        decoded.map(|decoded| decoded.record.believed())
    }

    fn message(kind: &str, data: Value) -> Value {
        json!({"type": kind, "timestamp": "2026-11-24T10:00:00Z", "data": data})
    }

    #[test]
    fn a_completed_generation_brings_its_facts_and_clips() {
        let record = read_as(
            &message(
                "generation.completed",
                json!({
                    "provider": "luma", "request_id": "r1", "model": "ray-2", "policy": "deferred", "public": false,
                    "input": {"prompt": "a fox", "seed": 7, "scale": 1.5}, "created_at": "1970-01-01T00:00:05Z",
                    "source_expires_at": "2026-11-24T11:00:00Z", "new": [true],
                    "outputs": [{"url": "https://h/t", "slot": "thumbnail"}, "https://h/v.mp4", {"url": "https://h/w", "content_type": "video/webm"}],
                }),
            ),
            None,
        )
        .unwrap();
        assert_eq!((record.provider.as_str(), record.request_id.as_str()), ("luma", "r1"));
        assert_eq!((record.status, record.created_at), (GenerationStatus::Completed, Some(Timestamp::from_secs(5))));
        let facts = &record.facts;
        assert_eq!(
            (facts.model.as_deref(), facts.seed, facts.public),
            (Some("ray-2"), Some(7_i64.into()), Some(false))
        );
        assert_eq!((facts.prompt.as_deref(), &facts.prompt_hash), (Some("a fox"), &Some(prompt_hash("a fox"))));
        assert_eq!(facts.tenant.as_ref().unwrap().as_str(), "acme");
        assert_eq!(facts.input, Some(json!({"prompt": "a fox", "seed": 7, "scale": 1.5}).into()));
        let clips: Vec<_> =
            record.clips.iter().map(|clip| (clip.key.as_str(), clip.slot.as_str(), clip.kind)).collect();
        let expected = [
            ("r1.mp4", "/outputs/1", Kind::Video),
            ("r1.1.webm", "/outputs/2", Kind::Video),
            ("r1.2.png", "/thumbnail", Kind::Image),
        ];
        assert_eq!(clips, expected);
        assert!(
            record.clips.iter().all(|clip| clip.source_expires_at.unwrap().to_string().starts_with("2026-11-24T11"))
        );
    }

    #[test]
    fn d18_a_failed_one_says_why_without_addresses_and_keeps_what_it_made() {
        for (error, expected) in [
            (json!("no https://h/x"), "no [url]"),
            (json!({"message": "busy", "code": 7}), "busy"),
            (json!(null), "the provider reported an error without words"),
        ] {
            let data = json!({"provider": "luma", "request_id": "r1", "error": error, "outputs": ["https://h/v.mp4"]});
            let record = read_as(&message("generation.failed", data), None).unwrap();
            assert_eq!((record.status, record.error.as_deref()), (GenerationStatus::Failed, Some(expected)));
            assert_eq!(record.clips.len(), 1);
        }
        let data = json!({"provider": "luma", "request_id": "r1", "outputs": ["https://h/half.mp4"]});
        let record = read_as(&message("generation.started", data), None).unwrap();
        assert_eq!((record.status, record.clips.len()), (GenerationStatus::Pending, 0));
    }

    #[test]
    fn a_key_speaks_for_its_own_provider_or_for_those_without_a_way_of_their_own() {
        let said = |provider: Value, key: Option<&str>| {
            let data = json!({"provider": provider, "request_id": "r1"});
            read_as(&message("generation.started", data), key).map(|record| record.provider.to_string())
        };
        assert_eq!(said(json!("luma"), None).unwrap(), "luma");
        assert_eq!(said(json!("luma"), Some("luma")).unwrap(), "luma");
        assert_eq!(said(json!(null), Some("luma")).unwrap(), "luma");
        assert_eq!(said(json!("fal"), Some("fal")).unwrap(), "fal");
        for (provider, key) in
            [("fal", None), ("replicate", None), ("adopted", None), ("fal", Some("luma")), ("x", Some("luma"))]
        {
            assert!(matches!(said(json!(provider), key), Err(DecodeError::OtherProvider)), "{provider} {key:?}");
        }
        assert!(matches!(said(json!(null), None), Err(DecodeError::BadField("data.provider"))));
        assert!(matches!(said(json!("a b"), None), Err(DecodeError::BadFact { name: "data.provider", .. })));
    }

    #[test]
    fn case_31_what_is_not_in_the_form_is_refused_by_name() {
        let whole = json!({"provider": "luma", "request_id": "r1"});
        let with = |name: &str, value: Value| {
            let mut data = whole.clone();
            data[name] = value;
            read_as(&message("generation.completed", data), None).unwrap_err().to_string()
        };
        for (name, value) in [
            ("outputs", json!([])),
            ("tenant", json!("a b")),
            ("tenant", json!(7)),
            ("provider", json!(7)),
            ("request_id", json!(null)),
        ] {
            let said = with(name, value.clone());
            assert!(said.contains(&format!("field {name} ")) || said.contains(&format!("data.{name} ")), "{said}");
        }
        assert!(read_as(&message("generation.dreamt", whole.clone()), None).unwrap_err().to_string().contains("type"));
        assert!(read_as(&json!({"type": "generation.completed"}), None).is_err());
        let twice = &Bytes::from_static(
            br#"{"type":"generation.completed","data":{"provider":"x","request_id":"a","request_id":"b"}}"#,
        );
        let refused = decode(twice, None, &HookQuery::default(), Timestamp::from_secs(9));
        assert!(matches!(refused, Err(DecodeError::RepeatedField("request_id"))));
    }
    /// A completed one with these fields, and one output.
    fn with(fields: &Value) -> HookRecord {
        let mut data = json!({"provider": "luma", "request_id": "r1", "outputs": ["https://h/v.mp4"]});
        data.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        read_as(&message("generation.completed", data), None).unwrap()
    }

    #[test]
    fn d17_a_fact_that_is_not_well_told_is_left_out_and_the_outputs_are_kept() {
        for odd in [
            json!({"model": 5}),
            json!({"model": "a b"}),
            json!({"prompt": ["a"]}),
            json!({"prompt": "x".repeat(1 << 17)}),
            json!({"prompt_hash": "abc"}),
            json!({"policy": "sometimes"}),
            json!({"created_at": "yesterday"}),
            json!({"created_at": 5, "source_expires_at": [], "error": 7, "seed": {}, "input": "x"}),
        ] {
            let record = with(&odd);
            assert_eq!((record.status, record.clips.len()), (GenerationStatus::Completed, 1), "{odd:.80}");
            let Facts { model, policy, .. } = record.facts;
            assert_eq!((model, policy, record.created_at), (None, None, None), "{odd:.80}");
        }
        let hash = with(&json!({"prompt": "a fox", "prompt_hash": prompt_hash("a dog")})).facts.prompt_hash;
        assert_eq!(hash, Some(prompt_hash("a fox")));
    }

    #[test]
    fn d17_who_may_see_it_is_never_guessed() {
        for odd in [json!("yes"), json!(1), json!("true"), json!({})] {
            assert_eq!(with(&json!({"public": odd})).facts.public, Some(false), "{odd}");
        }
        assert_eq!(
            (with(&json!({"public": null})).facts.public, with(&json!({"public": true})).facts.public),
            (None, Some(true))
        );
    }

    #[test]
    fn d17_outputs_are_taken_in_whatever_form() {
        for (outputs, expected) in [
            (json!("https://h/v.mp4"), &["r1.mp4 /outputs"][..]),
            (json!("https://h/v.mp4, https://h/w.mp4"), &["r1.mp4 /outputs", "r1.1.mp4 /outputs"]),
            (json!({"url": "https://h/v"}), &["r1.mp4 /outputs"]),
            (json!({"video": {"url": "https://h/v.mp4"}, "n": 1}), &["r1.mp4 /outputs/video"]),
            (json!([{"uri": "https://h/v", "mimeType": "video/webm"}]), &["r1.webm /outputs/0"]),
            (json!([{"b": "https://h/v.mp4"}, 7]), &["r1.mp4 /outputs/0/b"]),
        ] {
            let record = with(&json!({"outputs": outputs}));
            let clips: Vec<String> = record.clips.iter().map(|clip| format!("{} {}", clip.key, clip.slot)).collect();
            assert_eq!(
                (clips.as_slice(), record.status),
                (&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..], GenerationStatus::Completed)
            );
        }
        for outputs in [json!([7]), json!(7), json!([{"slot": "video"}]), json!({"n": 1})] {
            let record = with(&json!({"outputs": outputs}));
            assert_eq!((record.status, record.clips.len()), (GenerationStatus::Unreadable, 0), "{outputs}");
            assert!(!record.unread.unwrap().payload.is_empty());
        }
    }
}
