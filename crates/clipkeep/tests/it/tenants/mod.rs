//! Tenants' tokens: each sees and touches its own rows, and learns of no others,
//! whatever the endpoint.

mod register;
mod revoke;
mod verdicts;
mod walk;

use clipkeep_core::state::ClipState;
use fal_sim::Media;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::support::{app::TestApp, postgres};

/// Runs each test of a list on both databases.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::tenants::World::new(Vec::new()).await).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let database = $crate::support::postgres::database().await;
                super::$name($crate::tenants::World::new(vec![("database", database)]).await).await;
            })+
        }
    };
}
use on_both;

/// Whose a row is. Each row's request id and prompt bear its owner's word, so
/// that an answer that holds the word tells of the row.
const OWNERS: [&str; 3] = ["alpha", "beta", "nobody"];

/// A node with rows of two tenants and of nobody: for each one that is stored,
/// one with the same bytes, and one that waits, whose source runs out soon.
struct World {
    t: TestApp,
    alpha: String,
    beta: String,
}

impl World {
    async fn new(mut settings: Vec<(&'static str, String)>) -> Self {
        settings.push(("source_expires_after", "1h".to_owned()));
        let t = TestApp::with(&settings).await;
        let alpha = token(&t, json!({"name": "a", "tenant": "alpha"})).await["token"].as_str().unwrap().to_owned();
        let beta = token(&t, json!({"name": "b", "tenant": "beta"})).await["token"].as_str().unwrap().to_owned();
        let world = Self { t, alpha, beta };
        for owner in OWNERS {
            for (kind, policy) in [("stored", "eager"), ("again", "eager"), ("waiting", "on_demand")] {
                world.row(owner, kind, policy).await;
            }
            for kind in ["stored", "again"] {
                world.t.until(&format!("{owner}-{kind}.mp4"), ClipState::Stored).await;
            }
        }
        world
    }

    /// A generation of `owner`'s with its clip, as an app makes it known.
    async fn row(&self, owner: &str, kind: &str, policy: &str) {
        let (id, prompt) = (format!("{owner}-{kind}"), format!("a prompt of {owner}"));
        if owner != "nobody" {
            let body = json!({"request_id": id, "prompt": prompt, "model": format!("m-{owner}"), "policy": policy});
            let made = self.call(owner, Method::POST, "/api/v1/generations").json(&body).send().await.unwrap();
            assert_eq!(made.status(), StatusCode::OK, "{}", made.text().await.unwrap());
        }
        let source = self.t.sim.add_file(&format!("{id}.mp4"), Media::named("silent.mp4"));
        let query = format!("?policy={policy}&prompt=a%20prompt%20of%20{owner}&model=m-{owner}");
        assert_eq!(self.t.hook(&id, &source, &query).await.status(), StatusCode::OK);
    }

    /// A request by `who`: `admin`, `alpha` or `beta`.
    fn call(&self, who: &str, method: Method, path: &str) -> RequestBuilder {
        let token = match who {
            "alpha" => &self.alpha,
            "beta" => &self.beta,
            _ => &self.t.token,
        };
        self.bare(method, path).bearer_auth(token)
    }

    /// A request without a token.
    fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.t.client.request(method, format!("{}{path}", self.t.url))
    }

    /// A generation's row in the catalogue, and its clip's, with all they say.
    async fn rows(&self, request_id: &str) -> String {
        let generation = self.t.app.catalog.generation(&request_id.parse().unwrap()).await.unwrap();
        let key = format!("{request_id}.mp4").parse().unwrap();
        let clip = self.t.app.catalog.clip(&key).await.unwrap();
        let history = self.t.app.catalog.history(&key).await.unwrap();
        format!("{generation:?} {clip:?} {history:?}")
    }
}

/// Who may see a row of `owner`'s.
fn sees(who: &str, owner: &str) -> bool {
    who == "admin" || who == owner
}

/// Makes a token; what was answered.
async fn token(t: &TestApp, body: Value) -> Value {
    let request = t.client.post(format!("{}/api/v1/tokens", t.url)).bearer_auth(&t.token).json(&body);
    let made = request.send().await.unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    made.json().await.unwrap()
}

/// Fails if `text` tells of a row that `who` may not see.
fn tells_only_of_own(who: &str, text: &str, what: &str) {
    for owner in OWNERS.into_iter().filter(|owner| !sees(who, owner)) {
        assert!(!text.contains(owner), "{what} tells {who} of {owner}: {text}");
    }
}
