//! Who may see what: public and internal links, and links that were revoked.

mod matrix;
mod promised;
mod revoked;

use clipkeep_core::{
    link::{Audience, LinkTarget},
    state::ClipState,
    time::Timestamp,
    token::{TOKEN_BYTES, TokenInfo, token_hash, token_text},
};
use fal_sim::{Fault, Faults, Media};
use reqwest::{Client, Response, redirect};
use serde_json::{Value, json};

use crate::support::app::TestApp;

/// A client that tells of redirects and does not follow them.
fn client() -> Client {
    Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap()
}

/// One clip that waits, one that is stored, one that is lost.
async fn clips(t: &TestApp) -> String {
    let media = Media::named("silent.mp4");
    let source = t.sim.add_file("a.mp4", media.clone());
    t.hook("waiting", &source, "?policy=on_demand&tenant=acme").await;
    t.hook("stored", &t.sim.add_file("a.mp4", media.clone()), "?tenant=acme").await;
    t.hook("lost", &t.sim.add_faulty_file("a.mp4", media, Faults::always(Fault::status(404))), "").await;
    t.until("stored.mp4", ClipState::Stored).await;
    t.until("lost.mp4", ClipState::Lost).await;
    source
}

async fn post(t: &TestApp, token: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = t.client.post(format!("{}/api/v1/{path}", t.url)).bearer_auth(token).json(body);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// A link that the API makes.
async fn link(t: &TestApp, key: &str, body: &Value) -> String {
    let (status, row) = post(t, &t.token, &format!("clips/{key}/links"), body).await;
    assert_eq!(status, 201, "{row}");
    row["url"].as_str().unwrap().to_owned()
}

/// A tenant's token.
async fn token(t: &TestApp, tenant: &str, byte: u8) -> String {
    let token = token_text(&[byte; TOKEN_BYTES]);
    let (name, tenant) = (tenant.to_owned(), Some(tenant.parse().unwrap()));
    let at = Timestamp::from_secs(1);
    let info = TokenInfo { id: name.clone(), name, tenant, created_at: at, last_used_at: None, revoked_at: None };
    t.app.catalog.create_token(&info, &token_hash(&token)).await.unwrap();
    token
}

fn header<'r>(answer: &'r Response, name: &str) -> &'r str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// A link as an app signs it, of these words.
fn signed(t: &TestApp, audience: Audience, key: &str, expires: i64, download: Option<&str>) -> String {
    let key = key.parse().unwrap();
    let path = LinkTarget::of(audience).path(&key);
    let query = t.app.links.keys(audience).sign(&path, 0, Timestamp::from_secs(expires), download);
    format!("{}{path}?{query}", t.app.config.public_url)
}

fn now(t: &TestApp) -> i64 {
    t.app.clock.now().secs()
}

fn kid(text: &str) -> Value {
    json!({ "kid": text })
}
