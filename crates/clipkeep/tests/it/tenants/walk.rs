//! All operations of the OpenAPI document, by an admin and two tenants, against
//! rows of both tenants and of nobody.

use std::time::Duration;

use clipkeep_core::state::ClipState;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{
    OWNERS, World, on_both, sees, tells_only_of_own,
    verdicts::{VERDICTS, Verdict},
};

on_both![every_operation_shows_each_caller_its_own_rows_only];

const CALLERS: [&str; 3] = ["admin", "alpha", "beta"];

/// One operation of the document.
struct Operation {
    method: Method,
    path: String,
    verdict: Verdict,
    /// Its parameters' names.
    params: Vec<String>,
}

async fn every_operation_shows_each_caller_its_own_rows_only(world: World) {
    let document: Value = world.bare(Method::GET, "/openapi.json").send().await.unwrap().json().await.unwrap();
    let mut operations = operations(&document);
    // What changes rows comes after what lists them, and deleting last.
    operations.sort_by_key(|operation| (operation.method == Method::DELETE, operation.verdict == Verdict::Row));
    for operation in &operations {
        needs_a_token(&world, operation).await;
        match operation.verdict {
            Verdict::Open | Verdict::Register | Verdict::Fal | Verdict::Named => {}
            Verdict::Usage => usage(&world, operation).await,
            Verdict::AdminOnly => for_admins_only(&world, operation).await,
            Verdict::Row => rows(&world, operation).await,
            Verdict::Export => export(&world, operation).await,
            Verdict::List => list(&world, operation).await,
            Verdict::Stream => stream(&world, operation).await,
        }
    }
    world.t.stop().await;
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let verdict = VERDICTS.iter().find(|(m, p, _)| m == method && p == path).map(|(_, _, verdict)| *verdict);
            let verdict =
                verdict.unwrap_or_else(|| panic!("what do tenants get of {method} {path}? Say it in verdicts.rs"));
            let scheme = operation["security"][0].as_object().and_then(|scheme| scheme.keys().next().cloned());
            let documented = match verdict {
                Verdict::Open => None,
                Verdict::AdminOnly => Some("admin_token"),
                _ => Some("token"),
            };
            assert_eq!(scheme.as_deref(), documented, "{method} {path}: the document says otherwise");
            let params = operation["parameters"].as_array().into_iter().flatten();
            let params = params.map(|param| param["name"].as_str().unwrap().to_owned()).collect();
            let method = method.to_uppercase().parse().unwrap();
            found.push(Operation { method, path: path.clone(), verdict, params });
        }
    }
    assert_eq!(found.len(), VERDICTS.len(), "verdicts.rs speaks of operations that are not there");
    found
}

async fn needs_a_token(world: &World, operation: &Operation) {
    if operation.verdict == Verdict::Open {
        return;
    }
    let wrong = format!("ck_{}", "A".repeat(43));
    let path = operation.path.replace("{key}", "alpha-stored.mp4").replace("{request_id}", "alpha-stored");
    for token in [None, Some("nonsense"), Some(wrong.as_str())] {
        let request = world.bare(operation.method.clone(), &path);
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        let refused = request.send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{} {path} with {token:?}", operation.method);
        tells_only_of_own("stranger", &refused.text().await.unwrap(), &path);
    }
}

async fn for_admins_only(world: &World, Operation { method, path, .. }: &Operation) {
    for who in CALLERS {
        let answer = world.call(who, method.clone(), path).send().await.unwrap();
        assert_eq!(answer.status() == StatusCode::FORBIDDEN, who != "admin", "{method} {path} by {who}");
    }
}

/// An operation on one row: by each caller, on each owner's rows; first by those
/// who may not.
async fn rows(world: &World, operation: &Operation) {
    for owner in OWNERS {
        for kind in ["stored", "waiting"] {
            let (mut who, id) = (CALLERS, format!("{owner}-{kind}"));
            who.sort_by_key(|who| sees(who, owner));
            for who in who {
                row(world, operation, who, owner, &id).await;
            }
        }
    }
}

async fn row(world: &World, Operation { method, path, .. }: &Operation, who: &str, owner: &str, id: &str) {
    let named = |id: &str| path.replace("{key}", &format!("{id}.mp4")).replace("{request_id}", id);
    let before = world.rows(id).await;
    let answer = world.call(who, method.clone(), &named(id)).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    let what = format!("{method} {path} of {id}");
    if sees(who, owner) {
        let over = status == StatusCode::GONE || status == StatusCode::CONFLICT;
        assert!(status.is_success() || over, "{what} by {who}: {status} {text}");
        if who != "admin" {
            assert!(!text.contains("source_url") && !text.contains("127.0.0.1:1"), "{what} by {who}: {text}");
        }
        tells_only_of_own(who, &text, &what);
        if path.ends_with("/fill") && status.is_success() {
            // It goes on when it is answered; nobody else's call is to be taken for its doing.
            world.t.until(&format!("{id}.mp4"), ClipState::Stored).await;
        }
        return;
    }
    let unknown = world.call(who, method.clone(), &named("unknown")).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND, "{what}");
    let unknown = unknown.text().await.unwrap().replace("unknown", id);
    assert_eq!((status, text), (StatusCode::NOT_FOUND, unknown), "{what} by {who}");
    assert_eq!(world.rows(id).await, before, "{what} by {who} changed it");
}

/// A list: whole, page by page, and narrowed to what is another's.
async fn list(world: &World, Operation { path, params, .. }: &Operation) {
    let takes = |name: &str| params.iter().any(|param| param == name);
    let mut whole = vec![""];
    if takes("limit") && takes("cursor") {
        whole.push("?limit=1");
    }
    let narrow =
        [("tenant", "beta"), ("request_id", "beta-stored"), ("prompt", "a%20prompt%20of%20beta"), ("model", "m-beta")];
    for who in CALLERS {
        for query in &whole {
            let text = all_pages(world, who, path, query).await;
            for owner in OWNERS {
                assert_eq!(text.contains(owner), sees(who, owner), "{path}{query} by {who}, of {owner}: {text}");
            }
            assert!(who == "admin" || !text.contains("source_url"), "{path}{query} by {who}: {text}");
        }
        for (name, value) in narrow.into_iter().filter(|(name, _)| takes(name)) {
            let text = all_pages(world, who, path, &format!("?{name}={value}")).await;
            tells_only_of_own(who, &text, &format!("{path}?{name}={value}"));
            assert_eq!(text.contains("beta-"), sees(who, "beta"), "{path}?{name}={value} by {who}: {text}");
        }
    }
}

/// An export in each format that is text.
async fn export(world: &World, Operation { path, .. }: &Operation) {
    for who in CALLERS {
        for format in ["jsonl", "csv"] {
            let answer = world.call(who, Method::GET, &format!("{path}?format={format}")).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            let text = answer.text().await.unwrap();
            for owner in OWNERS {
                assert_eq!(text.contains(owner), sees(who, owner), "{path} by {who}, of {owner}: {text}");
            }
        }
        let other = world.call(who, Method::GET, &format!("{path}?tenant=beta")).send().await.unwrap();
        assert_eq!(other.status() == StatusCode::OK, sees(who, "beta"));
        tells_only_of_own(who, &other.text().await.unwrap().replace("another", ""), path);
    }
}

/// All pages of a list, one after the other.
async fn all_pages(world: &World, who: &str, path: &str, query: &str) -> String {
    let (mut text, mut next) = (String::new(), format!("{path}{query}"));
    loop {
        let answer = world.call(who, Method::GET, &next).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{next} by {who}");
        let page = answer.text().await.unwrap();
        let cursor = serde_json::from_str::<Value>(&page).unwrap()["next_cursor"].as_str().map(str::to_owned);
        text.push_str(&page);
        let Some(cursor) = cursor else { return text };
        next = format!("{path}{query}&cursor={cursor}");
    }
}

/// A stream from the beginning, on which more happens while it is open.
async fn stream(world: &World, Operation { path, .. }: &Operation) {
    for (from, by) in ["last-event-id", "after"].into_iter().enumerate() {
        for (caller, who) in CALLERS.into_iter().enumerate() {
            let later = format!("later-{from}-{caller}");
            let request = match by {
                "after" => world.call(who, Method::GET, &format!("{path}?after=0-0")),
                header => world.call(who, Method::GET, path).header(header, "0-0"),
            };
            let mut open = request.send().await.unwrap();
            let mut text = String::new();
            for owner in ["nobody", "beta", "alpha"] {
                world.row(owner, &later, "eager").await;
            }
            for owner in OWNERS.into_iter().filter(|owner| sees(who, owner)) {
                let last = format!("{owner}-{later}.mp4");
                while !text.contains(&last) {
                    let chunk = tokio::time::timeout(Duration::from_secs(30), open.chunk()).await;
                    let chunk =
                        chunk.unwrap_or_else(|_| panic!("{who} is not told of {last}: {text}")).unwrap().unwrap();
                    text.push_str(std::str::from_utf8(&chunk).unwrap());
                }
                assert!(text.contains(&format!("{owner}-stored.mp4")), "{who} is not told what {owner} missed: {text}");
            }
            tells_only_of_own(who, &text, path);
        }
    }
}

/// What was delivered of each owner's clip, however it is added up.
async fn usage(world: &World, Operation { path, .. }: &Operation) {
    for owner in OWNERS {
        let played = world.t.client.get(world.t.link(&format!("{owner}-stored.mp4"))).send().await.unwrap();
        assert_eq!(played.status(), StatusCode::OK);
        played.bytes().await.unwrap();
    }
    let began = tokio::time::Instant::now();
    let ask = async |who: &'static str, query: String| {
        world.call(who, Method::GET, &format!("{path}?{query}")).send().await.unwrap().text().await.unwrap()
    };
    loop {
        let all = ask("admin", "by=clip".to_owned()).await;
        if OWNERS.iter().all(|owner| all.contains(owner)) {
            break;
        }
        assert!(began.elapsed() < crate::support::eventually::PATIENCE, "usage is not written down: {all}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for who in ["alpha", "beta"] {
        assert!(ask(who, "by=clip".to_owned()).await.contains(who));
        for by in ["clip", "tenant", "model", "day"] {
            for narrow in ["", "&tenant=beta", "&key=beta-stored.mp4", "&model=m-beta", "&tenant=alpha"] {
                let text = ask(who, format!("by={by}{narrow}")).await;
                tells_only_of_own(who, &text, &format!("{path}?by={by}{narrow}"));
            }
        }
    }
}
