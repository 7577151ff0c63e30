//! Where the bytes of an upload go: one PUT, or numbered parts and `complete`.
//! The URL is signed, so the account's key is not asked for. What was uploaded
//! stands on the media host.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use axum::{
    Json,
    body::{Bytes, to_bytes},
    http::{Method, StatusCode, header::ETAG},
    response::{IntoResponse, Response},
};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{
    api::{Asked, detail},
    input,
    media::Media,
    server::Sim,
};

/// How much is kept of all uploads together.
const MOST: usize = 512 << 20;
/// The largest body of one PUT.
const LARGEST: usize = 128 << 20;
/// The least that a part has which is not the last.
const LEAST_PART: usize = 5 << 20;

#[derive(Default)]
pub(crate) struct Uploads {
    open: Mutex<HashMap<String, Arc<Upload>>>,
    held: Mutex<usize>,
}

struct Upload {
    signature: String,
    file_url: String,
    content_type: &'static str,
    multipart: bool,
    parts: Mutex<BTreeMap<u64, Bytes>>,
}

pub(crate) async fn answer(sim: &Sim, asked: Asked) -> Response {
    let segments: Vec<String> = asked.segments().into_iter().map(str::to_owned).collect();
    let upload = segments.first().and_then(|id| sim.api().uploads.open.lock().get(id).cloned());
    let signed = upload.filter(|upload| asked.query.get("signature") == Some(&upload.signature));
    let Some(upload) = signed else {
        input::drain(asked.body).await;
        return detail(StatusCode::FORBIDDEN, "no such upload, or a wrong signature");
    };
    let rest: Vec<&str> = segments[1..].iter().map(String::as_str).collect();
    match (asked.method, rest.as_slice(), upload.multipart) {
        (Method::PUT, [], false) => put(sim, &upload, 1, asked.body).await,
        (Method::PUT, [number], true) => match number.parse() {
            Ok(number @ 1..=10_000) => put(sim, &upload, number, asked.body).await,
            _ => detail(StatusCode::BAD_REQUEST, "no part has such a number"),
        },
        (Method::POST, ["complete"], true) => match input::read(asked.body).await {
            Ok(body) => complete(sim, &upload, &body),
            Err(text) => detail(StatusCode::BAD_REQUEST, text),
        },
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

async fn put(sim: &Sim, upload: &Upload, number: u64, body: axum::body::Body) -> Response {
    let Ok(bytes) = to_bytes(body, LARGEST).await else {
        return detail(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large, or broke off");
    };
    if !sim.api().uploads.hold(bytes.len()) {
        return detail(StatusCode::INSUFFICIENT_STORAGE, "the simulator keeps no more");
    }
    let etag = etag(&bytes);
    upload.parts.lock().insert(number, bytes);
    let said = json!({"partNumber": number, "etag": etag});
    if !upload.multipart {
        stand(sim, upload);
    }
    ([(ETAG, etag)], Json(said)).into_response()
}

fn etag(bytes: &[u8]) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
    format!("\"{}\"", data_encoding::HEXLOWER.encode(&hash.as_ref()[..16]))
}

/// Puts what was uploaded on the media host.
fn stand(sim: &Sim, upload: &Upload) {
    let parts = upload.parts.lock().values().cloned().collect();
    sim.put_file(&upload.file_url, Media::of_parts(upload.content_type, parts));
}

fn complete(sim: &Sim, upload: &Upload, body: &Value) -> Response {
    let held = upload.parts.lock().clone();
    let named = body["parts"].as_array().cloned().unwrap_or_default();
    let fits = |(at, part): (usize, &Value)| {
        let number = part["partNumber"].as_u64().unwrap_or_default();
        let bytes = held.get(&number).filter(|bytes| at + 1 == held.len() || bytes.len() >= LEAST_PART);
        number == at as u64 + 1 && bytes.is_some_and(|bytes| part["etag"] == json!(etag(bytes)))
    };
    if named.is_empty() || named.len() != held.len() || !named.iter().enumerate().all(fits) {
        return detail(StatusCode::BAD_REQUEST, "InvalidPart");
    }
    stand(sim, upload);
    Json(json!({"file_url": upload.file_url})).into_response()
}

impl Uploads {
    fn hold(&self, len: usize) -> bool {
        let mut held = self.held.lock();
        let fits = *held + len <= MOST;
        *held += if fits { len } else { 0 };
        fits
    }
}

impl Sim {
    /// Begins an upload: where its bytes go, and where they will stand.
    pub(crate) fn open_upload(&self, content_type: &str, file_name: &str, multipart: bool) -> (String, String) {
        let (id, signature) = (self.next_id(), self.next_id());
        let file_url = self.new_file_url(file_name);
        let upload_url = format!("{}/{id}?signature={signature}&expires=900", self.upload_url());
        let upload = Upload {
            signature,
            file_url: file_url.clone(),
            content_type: Media::known_type(content_type),
            multipart,
            parts: Mutex::default(),
        };
        self.api().uploads.open.lock().insert(id, Arc::new(upload));
        (upload_url, file_url)
    }

    /// Ends a multipart upload by its file's URL.
    pub(crate) fn complete_upload(&self, file_url: &str, body: &Value) -> Response {
        let open = self.api().uploads.open.lock();
        let upload = open.values().find(|upload| upload.multipart && upload.file_url == file_url).cloned();
        drop(open);
        match upload {
            Some(upload) => complete(self, &upload, body),
            None => detail(StatusCode::NOT_FOUND, "no such upload"),
        }
    }
}
