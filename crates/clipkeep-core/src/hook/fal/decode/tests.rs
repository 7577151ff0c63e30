use super::*;
use crate::generation::Kind;

const ID: &str = "019f6af7-0000-7000-8000-000000000001";

fn read(body: &str) -> Result<Decoded, DecodeError> {
    decode(&Bytes::copy_from_slice(body.as_bytes()), Some(ID), &HookQuery::default(), Timestamp::from_secs(1))
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
    let Decoded { record, notes, .. } = decode(&body.into(), Some(ID), &query, Timestamp::from_secs(5)).unwrap();
    assert_eq!(record.facts.model, None, "the query is hearsay");
    let record = record.believed();
    assert_eq!((record.provider, record.request_id.as_str()), (Provider::fal(), ID));
    assert_eq!((record.status, record.error), (GenerationStatus::Completed, None));
    assert_eq!((record.facts.seed, record.facts.model.as_deref()), (Some(7_i64.into()), Some("fal-ai/veo3")));
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

/// What is recorded of a signed body that is not understood: why.
fn unread(body: &[u8]) -> String {
    let body = Bytes::copy_from_slice(body);
    let query = HookQuery::parse("model=fal-ai/veo3").unwrap();
    let record = decode(&body, Some(ID), &query, Timestamp::from_secs(1)).unwrap().record;
    let unread = record.unread.clone().unwrap();
    assert_eq!((record.request_id.as_str(), record.status), (ID, GenerationStatus::Unreadable));
    assert_eq!((record.hearsay.facts.model.as_deref(), record.clips.len()), (Some("fal-ai/veo3"), 0));
    assert_eq!((&unread.payload[..], unread.is_to_be_asked), (&body[..], true));
    assert_eq!(record.error.as_ref(), Some(&unread.why));
    // Whom nobody signed for, nobody can be asked for.
    assert!(decode(&body, None, &query, Timestamp::from_secs(1)).is_err());
    unread.why.clone()
}

#[test]
fn k14_a_signed_body_that_cannot_be_read_is_kept_and_asked_for() {
    for (bad, why) in [
        (&b""[..], "the body is not valid JSON: the document breaks off at byte 0"),
        (b"<html>", "the body is not valid JSON: no value stands at byte 0"),
        (b"{'a': 1}", "the body is not valid JSON: a member has no name at byte 1"),
        (
            b"{\"status\": \"OK\", \"payload\": {\"video\": {\"url\": \"https://h/a.mp4",
            "the body is not valid JSON: a string has no end at byte 46",
        ),
        (b"[]", "the body is not a JSON object"),
        (b"{\"status\": 200}", "the body's field status is missing or of the wrong type"),
        (b"{\"status\": \"DONE\", \"payload\": {}}", "the body's status is none of: OK, ERROR"),
        (b"{}", "the body's field status is missing or of the wrong type"),
    ] {
        assert_eq!(unread(bad), why, "{}", bad.escape_ascii());
    }
}

#[test]
fn k14_what_python_writes_of_infinities_and_odd_bytes_is_read() {
    let body = |payload: &[u8]| [br#"{"error": null, "status": "OK", "payload": "#, payload, b"}"].concat();
    for payload in [
        &br#"{"video": {"url": "https://h.example/x.mp4"}, "score": NaN, "loss": [-Infinity, Infinity]}"#[..],
        b"{\"video\": {\"url\": \"https://h.example/x.mp4\"}, \"note\": \"\\ud83d \xff\n\"}",
        br#"{"video": {"url": "https://h.example/x.mp4"}, "video": {"url": "https://h.example/x.mp4"}, "n": 1,}"#,
    ] {
        let record =
            decode(&body(payload).into(), Some(ID), &HookQuery::default(), Timestamp::from_secs(1)).unwrap().record;
        assert_eq!((record.status, keys(&record)), (GenerationStatus::Completed, vec![".mp4"]));
    }
}

#[test]
fn case_31_a_field_that_is_said_in_two_ways_is_not_believed_in_either() {
    let twice = |fields: &str| unread(format!("{{{fields}}}").as_bytes());
    for (field, fields) in [
        ("status", r#""status": "OK", "status": "ERROR""#.to_owned()),
        ("payload", r#""status": "OK", "payload": {}, "payload": null"#.to_owned()),
        ("result", r#""result": {}, "result": {"a": 1}"#.to_owned()),
        ("request_id", format!(r#""request_id": "{ID}", "request_id": "x", "status": "OK""#)),
    ] {
        assert_eq!(twice(&fields), format!("the body's field {field} is there more than once"));
    }
    let same = format!(r#"{{"request_id": "{ID}", "request_id": "{ID}", "status": "OK", "other": 1, "other": 2}}"#);
    assert!(read(&same).unwrap().record.unread.is_none());
}

#[test]
fn a_result_that_holds_nothing_understood_is_kept() {
    let record = fal(r#""status": "OK", "payload": {"video": {"url": "gs://bucket/a.mp4"}, "seed": 7}"#);
    let unread = record.unread.unwrap();
    assert_eq!((record.status, record.clips.len()), (GenerationStatus::Unreadable, 0));
    assert_eq!(unread.why, "/video has a URL that is not http or https");
    assert!(!unread.is_to_be_asked && unread.form == Form::Webhook);
    assert!(std::str::from_utf8(&unread.payload).unwrap().contains("gs://bucket"));
}

#[test]
fn the_body_must_speak_of_the_signed_request() {
    let body = Bytes::from_static(br#"{"request_id": "other", "status": "OK"}"#);
    let read = |signed| decode(&body, signed, &HookQuery::default(), Timestamp::from_secs(1));
    assert!(matches!(read(Some(ID)), Err(DecodeError::OtherRequest)));
    assert!(read(Some("other")).is_ok() && read(None).is_ok());
    let nameless = Bytes::from_static(br#"{"status": "OK", "payload": {}}"#);
    let record = decode(&nameless, Some(ID), &HookQuery::default(), Timestamp::from_secs(1)).unwrap().record;
    assert_eq!(record.request_id.as_str(), ID);
    let traversal = Bytes::from_static(br#"{"request_id": "../x", "status": "OK"}"#);
    let refused = decode(&traversal, None, &HookQuery::default(), Timestamp::from_secs(1));
    assert!(matches!(refused, Err(DecodeError::BadRequestId(_))));
}

#[test]
fn d07_a_result_that_stands_elsewhere_in_the_body_is_read() {
    for fields in [
        r#""status": "OK", "video": {"url": "https://h.example/x.mp4"}"#,
        r#""status": "OK", "payload": null, "output": "https://h.example/x.mp4""#,
        r#""status": "OK", "payload": {}, "data": {"video": {"url": "https://h.example/x.mp4"}}"#,
        r#""status": "OK", "result": {"video": {"url": "https://h.example/x.mp4"}}"#,
        r#""video": {"url": "https://h.example/x.mp4"}"#,
    ] {
        let record = fal(fields);
        assert_eq!((record.status, keys(&record)), (GenerationStatus::Completed, vec![".mp4"]), "{fields}");
    }
    let record = fal(r#""status": "OK", "output": "gs://bucket/a.mp4""#);
    assert_eq!(record.unread.unwrap().why, "/output has a URL that is not http or https");
    // Where there is nothing at all, the queue is asked.
    for fields in [
        r#""status": "OK", "metrics": {"inference_time": 1.5}, "logs": null"#,
        r#""status": "OK", "payload": null, "input": {"image_url": "https://h.example/in.png"}"#,
    ] {
        assert_eq!(fal(fields).status, GenerationStatus::ResultMissing, "{fields}");
    }
    // Beside a result of words, only what is surely media is one.
    let record = fal(r#""status": "OK", "payload": {"output": "a fox", "seed": 7}, "more": "https://fal.example/x""#);
    assert_eq!((record.status, record.clips.len()), (GenerationStatus::Completed, 0));
    assert_eq!(record.facts.seed, Some(7_i64.into()));
}

#[test]
fn d18_what_was_made_before_a_failure_is_kept() {
    let record =
        fal(r#""status": "ERROR", "error": "no more", "payload": {"video": {"url": "https://h.example/x.mp4"},
        "detail": [{"msg": "no", "url": "https://docs.fal.ai/errors", "input": "https://h.example/in.png"}]}"#);
    assert_eq!((record.status, keys(&record)), (GenerationStatus::Failed, vec![".mp4"]));
    assert_eq!(record.error.as_deref(), Some("no more: no"));
}
