use super::*;
use crate::generation::Kind;

const ID: &str = "019f6af7-0000-7000-8000-000000000001";

fn read(body: &str) -> Result<Decoded, DecodeError> {
    decode(body.as_bytes(), Some(ID), &HookQuery::default(), Timestamp::from_secs(1))
}

/// fal's form around the given fields.
fn fal(fields: &str) -> HookRecord {
    read(&format!(r#"{{"gateway_request_id": "g", {fields}, "request_id": "{ID}"}}"#)).unwrap().record
}

fn plain(result: &str) -> HookRecord {
    read(&format!(r#"{{"request_id": "{ID}", "result": {result}}}"#)).unwrap().record
}

fn keys(record: &HookRecord) -> Vec<&str> {
    record.clips.iter().map(|clip| clip.key.as_str().trim_start_matches(ID)).collect()
}

#[test]
fn a_result_becomes_a_record() {
    let query = HookQuery::parse("model=fal-ai/veo3&prompt=a+cat&tenant=acme").unwrap();
    let body = format!(
        r#"{{"error": null, "payload": {{"seed": 7, "video": {{"content_type": "video/mp4", "file_size": null,
        "url": "https://v3b.fal.media/files/b/out.mp4"}}}}, "request_id": "{ID}", "status": "OK", "new": [1.5, true]}}"#
    );
    let Decoded { record, notes } = decode(body.as_bytes(), Some(ID), &query, Timestamp::from_secs(5)).unwrap();
    assert_eq!(record.facts.model, None, "the query is hearsay");
    let record = record.believed();
    assert_eq!((record.provider, record.request_id.as_str()), (Provider::fal(), ID));
    assert_eq!((record.status, record.error), (GenerationStatus::Completed, None));
    assert_eq!((record.facts.seed, record.facts.model.as_deref()), (Some(7), Some("fal-ai/veo3")));
    assert_eq!(record.received_at, Timestamp::from_secs(5));
    assert_eq!(notes, []);
    let [clip] = record.clips.as_slice() else { panic!("one clip") };
    assert_eq!((clip.key.as_str(), clip.slot.as_str()), (format!("{ID}.mp4").as_str(), "/video"));
    assert_eq!((clip.kind, clip.content_type.as_str()), (Kind::Video, "video/mp4"));
    assert_eq!(clip.source_url.expose(), "https://v3b.fal.media/files/b/out.mp4");
}

#[test]
fn the_plain_form_is_a_finished_generation() {
    for result in [
        r#"{"video": {"url": "https://h.example/x.mp4"}}"#,
        r#""https://h.example/x.mp4""#,
        r#"["https://h.example/x.mp4"]"#,
        r#"{"output": "https://h.example/x.mp4"}"#,
        r#"{"output": ["https://h.example/x.mp4"]}"#,
    ] {
        let record = plain(result);
        assert_eq!(record.status, GenerationStatus::Completed, "{result}");
        assert_eq!(keys(&record), [".mp4"], "{result}");
    }
    assert_eq!(plain("null").status, GenerationStatus::ResultMissing);
}

#[test]
fn case_32_a_null_payload_is_a_missing_result() {
    let record =
        fal(r#""status": "OK", "payload": null, "payload_error": "Response payload is not JSON serializable""#);
    assert_eq!(record.status, GenerationStatus::ResultMissing);
    assert_eq!(record.error.as_deref(), Some("Response payload is not JSON serializable"));
    assert_eq!(fal(r#""status": "OK""#).status, GenerationStatus::ResultMissing);
}

#[test]
fn case_32_a_payload_without_media_is_a_completed_generation() {
    let record = fal(r#""status": "OK", "payload": {"description": "no", "has_nsfw_concepts": [true]}"#);
    assert_eq!((record.status, record.error), (GenerationStatus::Completed, None));
    assert!(record.clips.is_empty());
}

#[test]
fn case_32_an_error_tells_why_without_an_address() {
    let error = |fields: &str| {
        let record = fal(fields);
        assert_eq!((record.status, record.clips.len()), (GenerationStatus::Failed, 0));
        record.error.unwrap()
    };
    let detail = r#"{"detail": [{"loc": ["body", "image_url"], "msg": "Could not load https://v3.fal.media/x.png",
        "type": "image_load_error", "url": "https://docs.fal.ai/errors#image_load_error", "input": "https://h.example/in.png"}]}"#;
    let text = error(&format!(r#""status": "ERROR", "error": "Invalid status code: 422", "payload": {detail}"#));
    assert_eq!(text, "Invalid status code: 422: Could not load [url] (image_load_error)");
    let text = error(
        r#""status": "ERROR", "error": "Invalid status code: 404", "payload": null, "payload_error": "not JSON""#,
    );
    assert_eq!(text, "Invalid status code: 404: not JSON");
    assert_eq!(error(r#""status": "ERROR", "payload": {"detail": "User is locked."}"#), "User is locked.");
    assert_eq!(error(r#""status": "ERROR", "error": null"#), "the provider reported an error without words");
    assert!(error(&format!(r#""status": "ERROR", "error": "{}""#, "x".repeat(1 << 20))).len() <= 2048);
}

#[test]
fn case_31_repeated_fields_are_refused() {
    for (field, body) in [
        ("request_id", format!(r#"{{"request_id": "{ID}", "request_id": "{ID}", "status": "OK"}}"#)),
        ("status", format!(r#"{{"request_id": "{ID}", "status": "OK", "status": "ERROR"}}"#)),
        ("payload", format!(r#"{{"request_id": "{ID}", "status": "OK", "payload": {{}}, "payload": null}}"#)),
        ("result", format!(r#"{{"request_id": "{ID}", "result": {{}}, "result": {{}}}}"#)),
    ] {
        assert!(matches!(read(&body), Err(DecodeError::RepeatedField(name)) if name == field), "{body}");
    }
    let body = format!(r#"{{"request_id": "{ID}", "status": "OK", "other": 1, "other": 2}}"#);
    assert!(read(&body).is_ok());
}

#[test]
fn case_31_what_is_no_json_object_is_refused() {
    let deep =
        format!(r#"{{"request_id": "{ID}", "status": "OK", "payload": {}{}}}"#, "[".repeat(500), "]".repeat(500));
    for bad in ["", "{", "\u{feff}{}", "{'a': 1}", "{} x", deep.as_str()] {
        assert!(matches!(read(bad), Err(DecodeError::NotJson(_))), "{bad:.20}");
    }
    assert!(matches!(read("[]"), Err(DecodeError::NotAnObject)));
    let bytes = b"{\"request_id\": \"\xff\", \"status\": \"OK\"}";
    let refused = decode(bytes, None, &HookQuery::default(), Timestamp::from_secs(1));
    assert!(matches!(refused, Err(DecodeError::NotJson(_))));
    assert!(read(&format!("{{\"request_id\": \"{ID}\", \"status\": \"OK\"}}\n")).is_ok());
}

#[test]
fn fields_of_the_wrong_shape_are_named() {
    let refused = |body: &str| read(body).unwrap_err().to_string();
    assert_eq!(refused("{}"), "the body's field request_id is missing or of the wrong type");
    assert_eq!(refused(r#"{"request_id": 1}"#), "the body's field request_id is missing or of the wrong type");
    let with = |rest: &str| refused(&format!(r#"{{"request_id": "{ID}"{rest}}}"#));
    assert_eq!(with(""), "the body's field status is missing or of the wrong type");
    assert_eq!(with(r#", "status": 200"#), "the body's field status is missing or of the wrong type");
    assert_eq!(with(r#", "status": "COMPLETED""#), "the body's status is none of: OK, ERROR");
}

#[test]
fn the_body_must_speak_of_the_signed_request() {
    let body = br#"{"request_id": "other", "status": "OK"}"#;
    let read = |signed| decode(body, signed, &HookQuery::default(), Timestamp::from_secs(1));
    assert!(matches!(read(Some(ID)), Err(DecodeError::OtherRequest)));
    assert!(read(Some("other")).is_ok() && read(None).is_ok());
    let traversal = br#"{"request_id": "../x", "status": "OK"}"#;
    let refused = decode(traversal, None, &HookQuery::default(), Timestamp::from_secs(1));
    assert!(matches!(refused, Err(DecodeError::BadRequestId(_))));
}
