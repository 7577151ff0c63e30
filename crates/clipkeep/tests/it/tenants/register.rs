//! Registering by tenants: what is another's, or nobody's, is as if it were new.

use clipkeep_core::state::ClipState;
use fal_sim::Media;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{World, on_both, tells_only_of_own};

on_both![
    a_tenant_registers_for_itself_alone,
    tenants_that_race_for_one_id_learn_nothing_of_each_other,
    an_admin_registers_for_whomever,
    h52_an_id_that_is_taken_is_answered_as_a_new_one,
    h52_who_registers_an_id_first_takes_nothing_of_whose_it_is,
    h04_what_a_terminal_would_obey_is_no_models_name,
    h15_internal_links_are_for_admins,
];

async fn register(world: &World, who: &str, body: Value) -> (StatusCode, Value) {
    let answer = world.call(who, Method::POST, "/api/v1/generations").json(&body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn get(world: &World, who: &str, path: &str) -> (StatusCode, Value) {
    let answer = world.call(who, Method::GET, path).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn a_tenant_registers_for_itself_alone(world: World) {
    for (id, body) in [
        ("beta-stored", json!({"request_id": "beta-stored", "prompt": "mine", "public": true})),
        ("nobody-waiting", json!({"request_id": "nobody-waiting", "policy": "eager"})),
        // The names of that id's clips are held, whichever provider's the other is.
        ("beta-stored", json!({"request_id": "beta-stored", "provider": "replicate", "prompt": "mine"})),
    ] {
        let before = world.rows(id).await;
        let (status, row) = register(&world, "alpha", body.clone()).await;
        assert_eq!((status, &row["tenant"]), (StatusCode::OK, &json!("alpha")), "{body} {row}");
        assert!(row["clips"] == json!([]) && row["prompt"] == body["prompt"], "{row}");
        assert_eq!(world.rows(id).await, before, "{body}");
    }
    for id in ["beta-stored", "fresh"] {
        let (status, problem) = register(&world, "alpha", json!({"request_id": id, "tenant": "beta"})).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{id} {problem}");
        assert_eq!(problem["detail"], "no generation has that request_id");
    }
    let (status, problem) = register(&world, "alpha", json!({"request_id": "fresh", "adopt": true})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
    for _ in 0..2 {
        let (status, row) = register(&world, "alpha", json!({"request_id": "fresh", "prompt": "p"})).await;
        assert_eq!((status, &row["tenant"], &row["prompt"]), (StatusCode::OK, &json!("alpha"), &json!("p")));
    }
    for who in ["beta", "admin"] {
        let row = get(&world, who, "/api/v1/generations/beta-stored").await.1;
        assert_eq!(row["prompt"], "a prompt of beta", "{who}");
    }
    world.t.stop().await;
}

async fn tenants_that_race_for_one_id_learn_nothing_of_each_other(world: World) {
    for round in 0..20 {
        let body = |who: &str| json!({"request_id": format!("race-{round}"), "prompt": format!("of {who}")});
        let (a, b) = tokio::join!(register(&world, "alpha", body("alpha")), register(&world, "beta", body("beta")));
        for (who, (status, row)) in [("alpha", a), ("beta", b)] {
            assert_eq!((status, &row["prompt"]), (StatusCode::OK, &json!(format!("of {who}"))), "{row}");
            tells_only_of_own(who, &row.to_string(), "its registration");
            let again = get(&world, who, &format!("/api/v1/generations/race-{round}")).await;
            assert_eq!(again, (StatusCode::OK, row), "{who}");
        }
    }
    world.t.stop().await;
}

async fn an_admin_registers_for_whomever(world: World) {
    let (status, row) = register(&world, "admin", json!({"request_id": "given", "tenant": "beta"})).await;
    assert_eq!((status, &row["tenant"]), (StatusCode::OK, &json!("beta")));
    for (who, expected) in [("beta", 200), ("alpha", 404)] {
        let answer = world.call(who, Method::GET, "/api/v1/generations/given").send().await.unwrap();
        assert_eq!(answer.status(), expected, "{who}");
    }
    world.t.stop().await;
}

/// All that a tenant can ask of an id, without what tells ids and moments apart.
async fn asked(world: &World, body: &Value) -> String {
    let id = body["request_id"].as_str().unwrap();
    let mut told = Vec::new();
    for facts in [json!({"prompt": "mine"}), json!({"prompt": "other", "seed": 7})] {
        let mut body = body.clone();
        body.as_object_mut().unwrap().extend(facts.as_object().unwrap().clone());
        told.push(register(world, "alpha", body).await);
    }
    for path in [
        format!("/api/v1/generations/{id}"),
        format!("/api/v1/clips?request_id={id}"),
        format!("/api/v1/clips/{id}.mp4"),
        format!("/api/v1/clips/{id}.mp4/history"),
        format!("/api/v1/clips/{id}.mp4/receipt"),
        format!("/api/v1/clips/{id}.mp4/lineage"),
    ] {
        told.push(get(world, "alpha", &path).await);
    }
    for (method, path) in
        [(Method::POST, "/links"), (Method::POST, "/fill"), (Method::POST, "/links/revoke"), (Method::DELETE, "")]
    {
        let answer = world.call("alpha", method, &format!("/api/v1/clips/{id}.mp4{path}")).send().await.unwrap();
        told.push((answer.status(), answer.json().await.unwrap()));
    }
    let mut text = String::new();
    for (status, mut answer) in told {
        let fields = answer.as_object_mut().unwrap();
        fields.retain(|name, _| !["created_at", "instance"].contains(&name.as_str()));
        text.push_str(&format!("{status} {answer}\n").replace(id, "ID"));
    }
    text
}

async fn h52_an_id_that_is_taken_is_answered_as_a_new_one(world: World) {
    register(&world, "beta", json!({"request_id": "bare", "model": "m"})).await;
    register(&world, "admin", json!({"request_id": "at-luma", "provider": "luma", "tenant": "beta"})).await;
    register(&world, "admin", json!({"request_id": "nobodys"})).await;
    for (provider, ids) in [
        ("fal", &["beta-stored", "beta-waiting", "nobody-stored", "nobody-waiting", "at-luma", "bare", "nobodys"][..]),
        ("luma", &["beta-stored", "nobody-waiting", "at-luma"]),
    ] {
        let body = |id: &str| json!({"request_id": id, "provider": provider, "public": true});
        let new = asked(&world, &body("new-one")).await;
        assert!(new.contains("\"status\":\"pending\"") && new.contains("\"prompt\":\"mine\""), "{new}");
        for id in ids {
            let before = world.rows(id).await;
            assert_eq!(asked(&world, &body(id)).await, new, "{provider} {id}");
            assert_eq!(world.rows(id).await, before, "{provider} {id}");
        }
    }
    world.t.stop().await;
}

async fn h52_who_registers_an_id_first_takes_nothing_of_whose_it_is(world: World) {
    let facts = |prompt: &str| json!({"request_id": "squat", "prompt": prompt, "public": true});
    register(&world, "alpha", facts("mine")).await;
    let row = register(&world, "beta", json!({"request_id": "squat", "prompt": "a prompt of beta"})).await.1;
    assert_eq!((&row["status"], &row["public"]), (&json!("pending"), &Value::Null));
    let path = "/api/v1/generations/squat";
    let before = get(&world, "alpha", path).await;
    let source = world.t.sim.add_file("squat.mp4", Media::named("silent.mp4"));
    assert_eq!(world.t.hook("squat", &source, "?tenant=beta").await.status(), StatusCode::OK);
    world.t.until("squat.mp4", ClipState::Stored).await;
    let row = get(&world, "beta", path).await.1;
    let told = (&row["status"], &row["prompt"], &row["public"], row["clips"].as_array().unwrap().len());
    assert_eq!(told, (&json!("completed"), &json!("a prompt of beta"), &Value::Null, 1), "{row}");
    // Whoever was wrong learns nothing of it, and can say it again.
    assert_eq!(get(&world, "alpha", path).await, before);
    assert_eq!(register(&world, "alpha", facts("mine")).await, before);
    // With another provider's id of this name it is the same.
    let other = json!({"request_id": "beta-stored", "provider": "luma"});
    let row = register(&world, "alpha", other).await.1;
    assert_eq!((&row["provider"], &row["status"], &row["error"]), (&json!("luma"), &json!("pending"), &Value::Null));
    world.t.stop().await;
}

async fn h04_what_a_terminal_would_obey_is_no_models_name(world: World) {
    for odd in ["a\u{1b}[31mb", "a\u{7}", "a\u{9b}2J", "a\rb", "a\nb", "a\u{202e}b", "a\u{200b}b", "a b", "a\0b"] {
        for name in ["model", "tenant"] {
            let (status, problem) = register(&world, "admin", json!({"request_id": "odd", name: odd})).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{name} {odd:?} {problem}");
            assert!(problem["detail"].as_str().unwrap().starts_with(name), "{problem}");
        }
        let token = world.call("admin", Method::POST, "/api/v1/tokens").json(&json!({"name": odd, "admin": true}));
        let status = token.send().await.unwrap().status();
        assert_eq!(status.is_success(), odd == "a b", "{odd:?}");
    }
    let (status, _) = register(&world, "admin", json!({"request_id": "long", "model": "m".repeat(257)})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, row) = register(&world, "admin", json!({"request_id": "lines", "prompt": "two\nlines"})).await;
    assert_eq!((status, &row["prompt"]), (StatusCode::OK, &json!("two\nlines")));
    world.t.stop().await;
}

async fn h15_internal_links_are_for_admins(world: World) {
    for key in ["alpha-waiting.mp4", "alpha-stored.mp4", "beta-waiting.mp4", "unknown.mp4"] {
        let path = format!("/api/v1/clips/{key}/links");
        let asked = world.call("alpha", Method::POST, &path).json(&json!({"audience": "internal"}));
        let (status, problem) = {
            let answer = asked.send().await.unwrap();
            (answer.status(), answer.json::<Value>().await.unwrap())
        };
        assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("forbidden")), "{key}");
    }
    let path = "/api/v1/clips/alpha-waiting.mp4/links";
    for (who, audience) in [("alpha", "public"), ("admin", "internal")] {
        let made = world.call(who, Method::POST, path).json(&json!({"audience": audience})).send().await.unwrap();
        assert_eq!(made.status(), StatusCode::CREATED, "{who}");
    }
    world.t.stop().await;
}
