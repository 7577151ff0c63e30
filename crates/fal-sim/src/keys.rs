//! The webhook keys: the JWKS and what is signed with it.

use data_encoding::{BASE64URL, HEXLOWER};
use parking_lot::Mutex;
use ring::{
    digest,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};

/// A webhook ready to be sent.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The four signed headers and the media type.
    pub headers: Vec<(&'static str, String)>,
    /// The body, byte for byte as signed.
    pub body: Vec<u8>,
}

/// fal's account and keys.
pub struct Signer {
    keys: Mutex<Vec<Ed25519KeyPair>>,
    /// The account that webhooks come from: Auth0-like, with a pipe.
    pub user_id: String,
}

impl Signer {
    /// Two keys made from `seed`, of which the second signs.
    pub fn new(seed: u8) -> Self {
        let keys = vec![key(seed), key(seed.wrapping_add(1))];
        Self { keys: Mutex::new(keys), user_id: "github|1234567".to_owned() }
    }

    /// The key set as fal publishes it: `x` padded, `kid` opaque.
    pub fn jwks(&self) -> Value {
        let keys = self.keys.lock();
        let row = |(i, key): (usize, &Ed25519KeyPair)| {
            let x = BASE64URL.encode(key.public_key().as_ref());
            let kid = BASE64URL.encode(digest::digest(&digest::SHA256, x.as_bytes()).as_ref());
            json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": format!("{i}{}", &kid[..42]), "x": x})
        };
        json!({"keys": keys.iter().enumerate().map(row).collect::<Vec<_>>()})
    }

    /// Replaces both keys.
    pub fn rotate(&self, seed: u8) {
        *self.keys.lock() = vec![key(seed), key(seed.wrapping_add(1))];
    }

    /// Signs `body` as sent at `timestamp` (unix seconds).
    pub fn sign(&self, request_id: &str, body: Vec<u8>, timestamp: i64) -> Delivery {
        let body_hash = HEXLOWER.encode(digest::digest(&digest::SHA256, &body).as_ref());
        let message = format!("{request_id}\n{}\n{timestamp}\n{body_hash}", self.user_id);
        let signature = match self.keys.lock().last() {
            Some(key) => HEXLOWER.encode(key.sign(message.as_bytes()).as_ref()),
            None => String::new(),
        };
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-fal-webhook-request-id", request_id.to_owned()),
            ("x-fal-webhook-user-id", self.user_id.clone()),
            ("x-fal-webhook-timestamp", timestamp.to_string()),
            ("x-fal-webhook-signature", signature),
        ];
        Delivery { headers, body }
    }
}

fn key(seed: u8) -> Ed25519KeyPair {
    let bytes: [u8; 32] = std::array::from_fn(|i| seed.wrapping_mul(31).wrapping_add(i as u8));
    Ed25519KeyPair::from_seed_unchecked(&bytes).expect("32 bytes are a seed")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A synthetic delivery whose signature was computed by another program.
    #[test]
    fn signs_as_the_published_vector() {
        let body = concat!(
            r#"{"error": null, "gateway_request_id": "019f6af7-0000-7000-8000-000000000001", "payload": {"seed": 7, "#,
            r#""video": {"content_type": "video/mp4", "file_name": "out.mp4", "file_size": null, "#,
            r#""url": "https://v3b.fal.media/files/b/0a86c7d1/out.mp4"}}, "#,
            r#""request_id": "019f6af7-0000-7000-8000-000000000001", "status": "OK"}"#
        );
        assert_eq!(body.len(), 311);
        // Seed 0 makes the key 00 01 .. 1f.
        let signer = Signer { keys: Mutex::new(vec![key(0)]), user_id: "github|1234567".into() };
        let delivery = signer.sign("019f6af7-0000-7000-8000-000000000001", body.into(), 1_784_206_014);
        let expected = concat!(
            "e2f31c0a522e6f7994373bac95f950ea23b56fcf792bfec50dd395225972c9b5",
            "be311597c25b121e66f980e6f89df3e14e0ebe0d6beae6635d4a914809fced09"
        );
        assert_eq!(delivery.headers[4].1, expected);
        assert_eq!(signer.jwks()["keys"][0]["x"], "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=");
    }
}
