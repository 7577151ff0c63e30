use serde_json::{Value, json};

use super::*;

/// RFC 8037, appendix A: the seed, the public key and its thumbprint.
const SEED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const THUMBPRINT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

fn key() -> ReceiptKey {
    SEED.parse().unwrap()
}

fn receipt() -> Receipt {
    Receipt {
        version: Receipt::VERSION,
        key: "a.mp4".parse().unwrap(),
        request_id: "a".parse().unwrap(),
        provider: Provider::fal(),
        tenant: Some("acme".parse().unwrap()),
        representation: Named::Stored,
        sha256: "ab".repeat(32),
        size: 7,
        content_type: "video/mp4".to_owned(),
        source_host: Some("v3.fal.media".to_owned()),
        source_etag: Some("\"x\"".to_owned()),
        source_last_modified: None,
        fetched_at: Some(Timestamp::from_secs(1)),
        stored_at: Timestamp::from_secs(2),
        stored_in: StoredIn::Bucket { bucket: "clips".to_owned(), object: "p/a.mp4".to_owned() },
        verified_at: None,
        issuer: "https://clips.example.com".to_owned(),
        issued_at: Timestamp::from_secs(3),
    }
}

fn signed() -> Value {
    serde_json::to_value(key().sign(receipt())).unwrap()
}

fn verify(value: &Value) -> Result<Receipt, ReceiptError> {
    key().checks().verify(value.to_string().as_bytes())
}

/// The same, with another header, signed or not.
fn with_header(header: &Value, resign: bool) -> Value {
    let mut value = signed();
    let protected = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
    if resign {
        let signing = format!("{protected}.{}", value["payload"].as_str().unwrap());
        value["signature"] = json!(BASE64URL_NOPAD.encode(&key().sign_bytes(signing.as_bytes())));
    }
    value["protected"] = json!(protected);
    value
}

#[test]
fn the_key_is_that_of_rfc_8037() {
    assert_eq!(key().kid(), THUMBPRINT);
    assert_eq!(key().jwks()["keys"][0]["x"], PUBLIC);
    assert_eq!(key().sign_bytes(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"), {
        let text = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
    });
    assert_eq!(format!("{:?}", key()), "[secret]");
}

#[test]
fn what_was_signed_is_read_back() {
    let expected = receipt();
    assert_eq!(verify(&signed()).unwrap(), expected);
    let mut bare = signed();
    bare.as_object_mut().unwrap().remove("receipt");
    assert_eq!(verify(&bare).unwrap(), expected, "the readable part is for people alone");
}

#[test]
fn keys_are_read_from_a_set_or_from_base64() {
    let text = signed().to_string();
    for keys in [PUBLIC.to_owned(), format!("{PUBLIC}="), key().jwks().to_string()] {
        assert!(keys.parse::<ReceiptKeys>().unwrap().verify(text.as_bytes()).is_ok(), "{keys}");
    }
    for wrong in ["", "AAAA", "{\"keys\":[]}", "-----BEGIN"] {
        assert_eq!(wrong.parse::<ReceiptKeys>(), Err(ReceiptKeysError), "{wrong}");
    }
    assert!("AAAA".parse::<ReceiptKey>().is_err());
}

#[test]
fn another_key_is_told_from_a_broken_signature() {
    let other: ReceiptKey = ReceiptKey::text(&[7; 32]).parse().unwrap();
    assert_eq!(other.checks().verify(signed().to_string().as_bytes()), Err(ReceiptError::UnknownKey));
    // Another's key under our key's name.
    let forged = with_header(&json!({"alg": "EdDSA", "typ": TYPE, "kid": other.kid()}), true);
    assert_eq!(other.checks().verify(forged.to_string().as_bytes()), Err(ReceiptError::BadSignature));
}

#[test]
fn nothing_signed_can_be_changed() {
    for member in ["protected", "payload", "signature"] {
        let text = signed()[member].as_str().unwrap().to_owned();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let mut value = signed();
            value[member] = json!(String::from_utf8(changed).unwrap());
            assert!(verify(&value).is_err(), "{member} at {at}");
        }
    }
    let mut shown = signed();
    shown["receipt"]["size"] = json!(8);
    assert_eq!(verify(&shown), Err(ReceiptError::Differs));
}

#[test]
fn each_refusal_has_its_reason() {
    let kid = key().kid();
    for (header, resign, expected) in [
        (json!({"alg": "none", "typ": TYPE, "kid": kid}), false, ReceiptError::Algorithm),
        (json!({"alg": "None", "typ": TYPE, "kid": kid}), true, ReceiptError::Algorithm),
        (json!({"alg": "HS256", "typ": TYPE, "kid": kid}), true, ReceiptError::Algorithm),
        (json!({"typ": TYPE, "kid": kid}), true, ReceiptError::Algorithm),
        (json!({"alg": "EdDSA", "typ": "JWT", "kid": kid}), true, ReceiptError::Type),
        (json!({"alg": "EdDSA", "typ": TYPE, "kid": kid, "crit": ["b64"]}), true, ReceiptError::Critical),
        (json!({"alg": "EdDSA", "typ": TYPE}), true, ReceiptError::UnknownKey),
        (json!({"alg": "EdDSA", "typ": TYPE, "kid": kid, "x": 1}), false, ReceiptError::BadSignature),
        (json!([]), true, ReceiptError::Encoding),
    ] {
        assert_eq!(verify(&with_header(&header, resign)), Err(expected), "{header}");
    }
    let mut unsigned = signed();
    unsigned["signature"] = json!("");
    assert_eq!(verify(&unsigned), Err(ReceiptError::BadSignature));
    let later = Receipt { version: 2, ..receipt() };
    assert_eq!(verify(&serde_json::to_value(key().sign(later)).unwrap()), Err(ReceiptError::Version));
}

#[test]
fn a_receipt_that_was_cut_short_is_refused() {
    let text = signed().to_string();
    for len in 0..text.len() {
        assert_eq!(key().checks().verify(&text.as_bytes()[..len]), Err(ReceiptError::Shape), "{len}");
    }
    assert_eq!(key().checks().verify(" ".repeat(MAX_LEN + 1).as_bytes()), Err(ReceiptError::Shape));
}
