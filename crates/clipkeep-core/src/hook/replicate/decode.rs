//! What a prediction says. Read only after it was verified, or asked for.

use bytes::Bytes;

use crate::{
    generation::{Facts, Hearsay, HookRecord, Origin},
    hook::{
        DecodeError, Decoded, Form, HookQuery,
        json::Node,
        members::Members,
        payload::{self, Media, Scope},
        redact::redact,
    },
    id::{Provider, RequestId},
    input::Input,
    prompt::prompt_hash,
    state::GenerationStatus,
    time::Timestamp,
};

const STATUSES: &str = "starting, processing, succeeded, failed, canceled, aborted";

/// Reads a verified webhook: the prediction as it is, or was. One that has not
/// ended yet tells what is generated, and none of its output: that may be half
/// of it. What the hook URL's query tells goes over what the prediction tells.
pub fn decode(body: &Bytes, query: &HookQuery, received_at: Timestamp) -> Result<Decoded, DecodeError> {
    let prediction = Prediction::read(body)?;
    // What comes without an output may be asked for.
    let status = match prediction.status {
        GenerationStatus::Completed if prediction.output.is_none() => GenerationStatus::ResultMissing,
        status => status,
    };
    Ok(prediction.decoded(status, query.hearsay(), received_at, (Origin::Webhook, Form::Webhook), body))
}

/// Reads what the API answered of the prediction `request_id`.
pub fn fetched(request_id: &RequestId, body: &Bytes, at: Timestamp) -> Result<Decoded, DecodeError> {
    let prediction = Prediction::read(body)?;
    if prediction.id != *request_id {
        return Err(DecodeError::OtherRequest);
    }
    // There is nobody else to ask: a result without output is all there is.
    let status = match prediction.status {
        GenerationStatus::Completed if prediction.is_removed && prediction.output.is_none() => GenerationStatus::Failed,
        status => status,
    };
    Ok(prediction.decoded(status, Hearsay::default(), at, (Origin::Poll, Form::Result), body))
}

struct Prediction<'a> {
    id: RequestId,
    status: GenerationStatus,
    /// Its own word for its status.
    word: String,
    model: Option<String>,
    input: Option<Node<'a>>,
    output: Option<Node<'a>>,
    error: Option<Node<'a>>,
    created_at: Option<Timestamp>,
    /// The provider has forgotten input and output.
    is_removed: bool,
}

impl<'a> Prediction<'a> {
    fn read(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut members = Members::read(body)?;
        let id = members.must("id")?.try_into()?;
        let word = members.must("status")?;
        let status = match word.as_str() {
            "starting" | "processing" => GenerationStatus::Pending,
            "succeeded" => GenerationStatus::Completed,
            "failed" | "canceled" | "aborted" => GenerationStatus::Failed,
            _ => return Err(DecodeError::UnknownStatus { field: "status", known: STATUSES }),
        };
        let version = members.fact("version");
        let created_at = members.fact("created_at");
        Ok(Self {
            id,
            status,
            word,
            // Official models have a name and a version that says nothing.
            model: members.fact("model").or(version).filter(|model| !model.is_empty()),
            input: members.present("input")?,
            output: members.present("output")?,
            error: members.present("error")?,
            created_at: created_at.and_then(|text| text.parse().ok()),
            is_removed: matches!(members.present("data_removed")?, Some(Node::Bool(true))),
        })
    }

    fn decoded(
        mut self,
        status: GenerationStatus,
        hearsay: Hearsay,
        at: Timestamp,
        (origin, form): (Origin, Form),
        body: &Bytes,
    ) -> Decoded {
        let error = match status {
            GenerationStatus::Failed => Some(self.failure()),
            GenerationStatus::ResultMissing => Some("the webhook came without an output".to_owned()),
            _ => None,
        };
        let scope = if status == GenerationStatus::Failed { Scope::Sure } else { Scope::All };
        let output = self.output.take().filter(|_| status != GenerationStatus::Pending);
        let (id, created_at, facts) = (self.id.clone(), self.created_at, self.facts());
        // In the order of their names, so that a webhook and a poll give the same
        // clips the same keys.
        let media = output.map_or_else(Media::default, |output| {
            payload::output_clips(&output.sorted(), scope, facts.input.as_ref().map(Input::value).as_ref(), body, &id)
        });
        let record = HookRecord {
            provider: Provider::replicate(),
            request_id: id,
            status,
            error,
            facts,
            hearsay,
            clips: Vec::new(),
            unread: None,
            received_at: at,
            created_at,
            origin,
        };
        Decoded::new(record, media, form, body)
    }

    fn facts(self) -> Facts {
        let of_input = |name: &str| self.input.as_ref().and_then(|input| input.get(name));
        let prompt = of_input("prompt").and_then(Node::text).filter(|text| !text.is_empty()).map(str::to_owned);
        Facts {
            model: self.model.clone(),
            prompt_hash: prompt.as_deref().map(prompt_hash),
            prompt,
            seed: of_input("seed").and_then(Node::seed),
            // One that was removed reads as `{}`.
            input: self.input.filter(|_| !self.is_removed).map(|input| input.into_value().into()),
            ..Facts::default()
        }
    }

    fn failure(&self) -> String {
        let words = self.error.as_ref().and_then(|error| error.text().or_else(|| error.get("detail")?.text()));
        let words = redact(words.unwrap_or_default());
        match (words.is_empty(), self.status) {
            (false, _) => words,
            (true, GenerationStatus::Completed) => "the provider has removed its output already".to_owned(),
            (true, _) if self.word == "failed" => "the provider reported an error without words".to_owned(),
            (true, _) => format!("the prediction was {}", self.word),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn prediction(status: &str, output: Value) -> Value {
        json!({
            "id": "ufawqhfynnddngldkgtslldrkq", "model": "minimax/video-01", "version": "hidden", "status": status,
            "input": {"prompt": "a fox", "seed": 7, "first_frame_image": "https://replicate.delivery/in.png", "cfg": 1.5},
            "output": output, "error": null, "logs": "frame 1 of 9", "metrics": {"predict_time": 1.5},
            "created_at": "1970-01-01T00:01:00.123456Z", "started_at": null, "completed_at": null, "data_removed": false,
            "urls": {"get": "https://api.replicate.com/v1/predictions/ufawqhfynnddngldkgtslldrkq"},
        })
    }

    fn read(body: &Value) -> Result<HookRecord, DecodeError> {
        let query = HookQuery::parse("tenant=acme").unwrap();
        let decoded = decode(&body.to_string().into(), &query, Timestamp::from_secs(99));
        decoded.map(|decoded| decoded.record.believed())
    }

    fn asked(body: &Value) -> Result<HookRecord, DecodeError> {
        let id = "ufawqhfynnddngldkgtslldrkq".parse().unwrap();
        fetched(&id, &body.to_string().into(), Timestamp::from_secs(99)).map(|decoded| decoded.record)
    }

    fn keys(record: &HookRecord) -> Vec<String> {
        record.clips.iter().map(|clip| format!("{} {}", clip.key.ending(), clip.slot)).collect()
    }

    #[test]
    fn a_prediction_tells_model_prompt_input_and_clips() {
        let record = read(&prediction("succeeded", json!("https://replicate.delivery/x/out.mp4"))).unwrap();
        assert_eq!((record.provider.as_str(), record.status), ("replicate", GenerationStatus::Completed));
        assert_eq!(record.request_id.as_str(), "ufawqhfynnddngldkgtslldrkq");
        let facts = &record.facts;
        assert_eq!((facts.model.as_deref(), facts.seed), (Some("minimax/video-01"), Some(7_i64.into())));
        assert_eq!((facts.prompt.as_deref(), facts.prompt_hash.clone()), (Some("a fox"), Some(prompt_hash("a fox"))));
        assert_eq!(facts.tenant.as_ref().unwrap().as_str(), "acme");
        assert_eq!(facts.input.as_ref().unwrap().value()["cfg"], 1.5);
        assert_eq!(record.created_at, Some(Timestamp::from_millis(60_123)));
        assert_eq!((keys(&record), record.error.clone()), (vec!["mp4 /output".to_owned()], None));
        // What is asked for is the same, but for who brought it.
        let poll = asked(&prediction("succeeded", json!("https://replicate.delivery/x/out.mp4"))).unwrap();
        let facts = Facts { tenant: None, ..record.facts.clone() };
        assert_eq!(poll, HookRecord { origin: Origin::Poll, facts, ..record });
    }

    #[test]
    fn case_32_every_shape_of_output_is_walked() {
        for (output, expected) in [
            (json!(["https://h/1.png", "https://h/2.png"]), vec!["png /output/0", "png /output/1"]),
            (json!({"z": "https://h/z.png", "video": "https://h/v.mp4"}), vec!["mp4 /output/video", "png /output/z"]),
            (json!(["https://replicate.delivery/in.png", "https://h/2.png"]), vec!["png /output/1"]),
            (json!(["once", " upon"]), vec![]),
            (json!({"score": 0.5}), vec![]),
        ] {
            let record = read(&prediction("succeeded", output.clone())).unwrap();
            assert_eq!(
                (record.status, keys(&record)),
                (GenerationStatus::Completed, expected.into_iter().map(str::to_owned).collect()),
                "{output}"
            );
        }
    }

    #[test]
    fn case_30_what_has_not_ended_tells_the_request_and_none_of_its_output() {
        for status in ["starting", "processing"] {
            let record = read(&prediction(status, json!(["https://h/half.mp4"]))).unwrap();
            assert_eq!((record.status, record.clips.len(), record.error), (GenerationStatus::Pending, 0, None));
            assert_eq!(record.facts.prompt.as_deref(), Some("a fox"));
            assert_eq!(asked(&prediction(status, json!(null))).unwrap().status, GenerationStatus::Pending);
        }
    }

    #[test]
    fn d18_a_failed_or_canceled_one_says_why_and_keeps_what_it_made() {
        let mut failed = prediction("failed", json!(["https://h/half.mp4"]));
        failed["error"] = json!("cannot read https://h/in.png");
        let untold = "the prediction was canceled; of what came beside it, /output has a URL that is not http or https";
        for (body, words, clips) in [
            (failed, "cannot read [url]", 1),
            (prediction("failed", json!(null)), "the provider reported an error without words", 0),
            (prediction("failed", json!("no")), "the provider reported an error without words", 0),
            (prediction("canceled", json!(["https://h/half.mp4", "https://h/page"])), "the prediction was canceled", 1),
            (prediction("canceled", json!("gs://b/half.mp4")), untold, 0),
            (prediction("aborted", json!(null)), "the prediction was aborted", 0),
        ] {
            for record in [read(&body).unwrap(), asked(&body).unwrap()] {
                assert_eq!((record.status, record.error.as_deref()), (GenerationStatus::Failed, Some(words)));
                assert_eq!(record.clips.len(), clips, "{body}");
            }
        }
    }

    #[test]
    fn case_32_an_output_that_is_missing_is_asked_for_once_and_what_was_removed_is_gone() {
        let missing = prediction("succeeded", json!(null));
        assert_eq!(read(&missing).unwrap().status, GenerationStatus::ResultMissing);
        assert_eq!(asked(&missing).unwrap().status, GenerationStatus::Completed);
        let mut removed = missing;
        removed["data_removed"] = json!(true);
        removed["input"] = json!({});
        let record = asked(&removed).unwrap();
        assert_eq!(record.error.as_deref(), Some("the provider has removed its output already"));
        assert_eq!((record.status, record.facts.input), (GenerationStatus::Failed, None));
    }

    #[test]
    fn case_31_a_version_stands_for_a_model_and_odd_bodies_are_refused() {
        let mut body = prediction("starting", json!(null));
        body["model"] = json!(null);
        body["version"] = json!("5c7d5dc6");
        assert_eq!(read(&body).unwrap().facts.model.as_deref(), Some("5c7d5dc6"));
        for (name, value) in [("id", json!(null)), ("id", json!("../x")), ("status", json!("dreaming"))] {
            let mut odd = prediction("succeeded", json!(null));
            odd[name] = value.clone();
            assert!(read(&odd).is_err(), "{name} {value}");
        }
        for (name, value) in [("created_at", json!(5)), ("model", json!(7)), ("version", json!([]))] {
            let mut odd = prediction("succeeded", json!("https://h/a.mp4"));
            odd[name] = value.clone();
            assert_eq!(read(&odd).unwrap().clips.len(), 1, "d17: {name} {value}");
        }
        let mut other = prediction("succeeded", json!(null));
        other["id"] = json!("other");
        assert!(matches!(asked(&other), Err(DecodeError::OtherRequest)));
        let twice = decode(
            &Bytes::from_static(br#"{"id":"a","status":"failed","status":"succeeded"}"#),
            &HookQuery::default(),
            Timestamp::from_secs(1),
        );
        assert!(matches!(twice, Err(DecodeError::RepeatedField("status"))));
    }
}
