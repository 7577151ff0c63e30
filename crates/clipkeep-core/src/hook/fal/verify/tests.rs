//! Against a synthetic vector, made with the Ed25519 seed `00 01 .. 1f`.

use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::hook::jwks;

const REQUEST: &str = "019f6af7-0000-7000-8000-000000000001";
const USER: &str = "github|1234567";
const AT: i64 = 1_784_206_014;
const KEY_SET: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"k","x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="}]}"#;
const BODY: &str = r#"{"error": null, "gateway_request_id": "019f6af7-0000-7000-8000-000000000001", "payload": {"seed": 7, "video": {"content_type": "video/mp4", "file_name": "out.mp4", "file_size": null, "url": "https://v3b.fal.media/files/b/0a86c7d1/out.mp4"}}, "request_id": "019f6af7-0000-7000-8000-000000000001", "status": "OK"}"#;
const SIGNED: &str = "e2f31c0a522e6f7994373bac95f950ea23b56fcf792bfec50dd395225972c9b5\
                      be311597c25b121e66f980e6f89df3e14e0ebe0d6beae6635d4a914809fced09";
const TOLERANCE: Duration = Duration::from_secs(300);

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(REQUEST_ID, HeaderValue::from_static(REQUEST));
    headers.insert(USER_ID, HeaderValue::from_static(USER));
    headers.insert(TIMESTAMP, HeaderValue::from(AT));
    headers.insert(SIGNATURE, HeaderValue::from_static(SIGNED));
    headers
}

fn with(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = headers();
    headers.insert(name, value.parse().unwrap());
    headers
}

fn check(headers: &HeaderMap, body: &[u8], now: i64) -> Result<usize, HookError> {
    let keys = jwks::parse(KEY_SET).unwrap();
    verify(headers, body, &keys, Timestamp::from_secs(now), TOLERANCE).map(|verified| verified.key_index)
}

/// Signs as fal does.
fn sign(seed: u8, parts: [&str; 3], body: &[u8]) -> (HeaderMap, JwksKey) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let [request, user, at] = parts;
    let hash = HEXLOWER.encode(digest(&SHA256, body).as_ref());
    let signature = pair.sign(format!("{request}\n{user}\n{at}\n{hash}").as_bytes());
    let mut headers = with(SIGNATURE, &HEXLOWER.encode(signature.as_ref()));
    headers.insert(REQUEST_ID, request.parse().unwrap());
    headers.insert(USER_ID, user.parse().unwrap());
    headers.insert(TIMESTAMP, at.parse().unwrap());
    let public = pair.public_key().as_ref().try_into().unwrap();
    (headers, JwksKey { kid: String::new(), public })
}

#[test]
fn the_vector_verifies() {
    assert_eq!(BODY.len(), 311);
    let hash = HEXLOWER.encode(digest(&SHA256, BODY.as_bytes()).as_ref());
    assert_eq!(hash, "ff50ee77965fd94fd18ebd7f033962548287e2e1142e023c5fb9d82883007d05");
    let keys = jwks::parse(KEY_SET).unwrap();
    let verified = verify(&headers(), BODY.as_bytes(), &keys, Timestamp::from_secs(AT), TOLERANCE).unwrap();
    assert_eq!(verified, Verified { request_id: REQUEST.to_owned(), user_id: USER.into(), key_index: 0 });
}

#[test]
fn the_message_is_four_lines_without_a_newline_at_the_end() {
    let headers = headers();
    let signed = SignedHeaders::read(&headers, Timestamp::from_secs(AT), TOLERANCE).unwrap();
    let message = signed.message(BODY.as_bytes());
    assert_eq!(message.len(), 127);
    assert_eq!(message.iter().filter(|&&b| b == b'\n').count(), 3);
}

#[test]
fn an_upper_case_signature_is_accepted() {
    assert_eq!(check(&with(SIGNATURE, &SIGNED.to_ascii_uppercase()), BODY.as_bytes(), AT), Ok(0));
}

#[test]
fn case_31_a_changed_body_is_refused() {
    let reserialised: serde_json::Value = serde_json::from_str(BODY).unwrap();
    let bodies = [
        BODY.replace("out.mp4", "oux.mp4"),
        format!("{BODY}\n"),
        reserialised.to_string(),
        format!("\u{feff}{BODY}"),
        BODY[..310].to_owned(),
        String::new(),
    ];
    for body in bodies {
        assert_eq!(check(&headers(), body.as_bytes(), AT), Err(HookError::NoKeyFits), "{body}");
    }
}

#[test]
fn case_31_every_signed_part_counts() {
    let timestamp = (AT + 1).to_string();
    for (name, value) in [(REQUEST_ID, "other"), (USER_ID, "github|1"), (TIMESTAMP, timestamp.as_str())] {
        assert_eq!(check(&with(name, value), BODY.as_bytes(), AT), Err(HookError::NoKeyFits), "{name}");
    }
    let at = AT.to_string();
    let (headers, key) = sign(1, [REQUEST, USER, &at], BODY.as_bytes());
    let now = Timestamp::from_secs(AT);
    assert!(verify(&headers, BODY.as_bytes(), std::slice::from_ref(&key), now, TOLERANCE).is_ok());
    // The same parts in another order, signed by the same key.
    let mut swapped = headers;
    let (wrong, _) = sign(1, [USER, REQUEST, &at], BODY.as_bytes());
    swapped.insert(SIGNATURE, wrong[SIGNATURE].clone());
    assert_eq!(verify(&swapped, BODY.as_bytes(), &[key], now, TOLERANCE), Err(HookError::NoKeyFits));
}

#[test]
fn case_31_the_clock_may_differ_by_300_seconds_both_ways() {
    for skew in [-300, -299, 0, 299, 300] {
        assert_eq!(check(&headers(), BODY.as_bytes(), AT + skew), Ok(0), "{skew}");
    }
    for skew in [-301, 301, 86_400] {
        assert_eq!(check(&headers(), BODY.as_bytes(), AT + skew), Err(HookError::Stale), "{skew}");
    }
    let keys = jwks::parse(KEY_SET).unwrap();
    let late = Timestamp::from_millis((AT + 300) * 1000 + 999);
    assert!(verify(&headers(), BODY.as_bytes(), &keys, late, TOLERANCE).is_ok());
}

#[test]
fn case_31_any_key_of_the_set_may_fit() {
    let at = AT.to_string();
    let (_, first) = sign(1, [REQUEST, USER, &at], b"x");
    let (headers, second) = sign(2, [REQUEST, USER, &at], b"x");
    let now = Timestamp::from_secs(AT);
    let index = |keys: &[JwksKey]| verify(&headers, b"x", keys, now, TOLERANCE).map(|verified| verified.key_index);
    assert_eq!(index(&[first.clone(), second.clone()]), Ok(1));
    assert_eq!(index(&[second, first.clone()]), Ok(0));
    assert_eq!(index(&[first]), Err(HookError::NoKeyFits));
    assert_eq!(index(&[]), Err(HookError::NoKeyFits));
}

#[test]
fn case_31_a_body_that_is_no_utf8_is_signed_as_bytes() {
    let (headers, key) = sign(3, ["r", "u|ü", "1784206014"], b"\xff\xfe\0");
    let now = Timestamp::from_secs(AT);
    assert!(verify(&headers, b"\xff\xfe\0", &[key], now, TOLERANCE).is_ok());
}

#[test]
fn each_header_must_be_there_once() {
    for name in [REQUEST_ID, USER_ID, TIMESTAMP, SIGNATURE] {
        let mut without = headers();
        without.remove(name);
        assert_eq!(check(&without, BODY.as_bytes(), AT), Err(HookError::MissingHeader(name)));
        let mut twice = headers();
        twice.append(name, twice[name].clone());
        assert_eq!(check(&twice, BODY.as_bytes(), AT), Err(HookError::RepeatedHeader(name)));
    }
}

#[test]
fn headers_in_bad_form_are_told_apart() {
    for bad in ["", "+1784206014", "-1", "1784206014.0", "0x1", " ", "2026-07-16T12:46:54Z", "99999999999999999999"] {
        assert_eq!(check(&with(TIMESTAMP, bad), BODY.as_bytes(), AT), Err(HookError::BadTimestamp), "{bad:?}");
    }
    let base64 = "4vMcClIub3mUNzuslflQ6iO1b895K/7FDdOVIllyybW+MRWXwlsSHmb5gOb4nfPhTg6+DWvq5mNdSpFICfztCQ==";
    for bad in ["", "00", base64, &SIGNED.replace('e', "g"), &format!("{SIGNED}00")] {
        assert_eq!(check(&with(SIGNATURE, bad), BODY.as_bytes(), AT), Err(HookError::BadSignatureForm), "{bad:?}");
    }
    assert_eq!(check(&with(REQUEST_ID, "ü"), BODY.as_bytes(), AT), Err(HookError::BadRequestId));
}
