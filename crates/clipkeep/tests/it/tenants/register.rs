//! Registering by tenants: what is another's, or nobody's, is as if unknown.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{World, on_both};

on_both![
    a_tenant_registers_for_itself_alone,
    tenants_that_race_for_one_id_learn_nothing_of_each_other,
    an_admin_registers_for_whomever,
    h52_an_id_that_is_taken_is_answered_alike_whoever_has_it,
    h04_what_a_terminal_would_obey_is_no_models_name,
    h15_internal_links_are_for_admins,
];

async fn register(world: &World, who: &str, body: Value) -> (StatusCode, Value) {
    let answer = world.call(who, Method::POST, "/api/v1/generations").json(&body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn a_tenant_registers_for_itself_alone(world: World) {
    for (id, body) in [
        ("beta-stored", json!({"request_id": "beta-stored", "prompt": "mine", "public": true})),
        ("beta-stored", json!({"request_id": "beta-stored", "tenant": "beta"})),
        ("nobody-waiting", json!({"request_id": "nobody-waiting", "policy": "eager"})),
        ("fresh", json!({"request_id": "fresh", "tenant": "beta"})),
    ] {
        let before = world.rows(id).await;
        let (status, problem) = register(&world, "alpha", body.clone()).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{body} {problem}");
        assert_eq!(problem["detail"], "no generation has that request_id");
        assert_eq!(world.rows(id).await, before, "{body}");
    }
    let (status, problem) = register(&world, "alpha", json!({"request_id": "fresh", "adopt": true})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
    for _ in 0..2 {
        let (status, row) = register(&world, "alpha", json!({"request_id": "fresh", "prompt": "p"})).await;
        assert_eq!((status, &row["tenant"], &row["prompt"]), (StatusCode::OK, &json!("alpha"), &json!("p")));
    }
    // The names of that id's clips are held, whichever provider's the other is.
    let other = json!({"request_id": "beta-stored", "provider": "replicate", "prompt": "mine"});
    let (status, problem) = register(&world, "alpha", other).await;
    assert_eq!((status, &problem["detail"]), (StatusCode::NOT_FOUND, &json!("no generation has that request_id")));
    let path = "/api/v1/generations/beta-stored";
    assert_eq!(world.call("alpha", Method::GET, path).send().await.unwrap().status(), 404);
    for who in ["beta", "admin"] {
        let row: Value = world.call(who, Method::GET, path).send().await.unwrap().json().await.unwrap();
        assert_eq!(row["prompt"], "a prompt of beta", "{who}");
    }
    world.t.stop().await;
}

async fn tenants_that_race_for_one_id_learn_nothing_of_each_other(world: World) {
    for round in 0..20 {
        let body = |who: &str| json!({"request_id": format!("race-{round}"), "prompt": format!("of {who}")});
        let (a, b) = tokio::join!(register(&world, "alpha", body("alpha")), register(&world, "beta", body("beta")),);
        let (winner, (won, row), (lost, problem)) = match a.0.is_success() {
            true => ("alpha", a, b),
            false => ("beta", b, a),
        };
        assert_eq!((won, lost), (StatusCode::OK, StatusCode::NOT_FOUND), "{row} {problem}");
        assert_eq!(row["prompt"], format!("of {winner}"));
        assert!(!problem.to_string().contains(winner), "{problem}");
        let loser = if winner == "alpha" { "beta" } else { "alpha" };
        assert!(!world.rows(&format!("race-{round}")).await.contains(loser));
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

async fn h52_an_id_that_is_taken_is_answered_alike_whoever_has_it(world: World) {
    register(&world, "beta", json!({"request_id": "bare"})).await;
    register(&world, "admin", json!({"request_id": "luma", "provider": "luma", "tenant": "beta"})).await;
    let mut answers = Vec::new();
    for body in [
        json!({"request_id": "beta-stored"}),
        json!({"request_id": "beta-waiting", "public": true}),
        json!({"request_id": "nobody-stored"}),
        json!({"request_id": "beta-stored", "provider": "luma"}),
        json!({"request_id": "luma"}),
        json!({"request_id": "bare"}),
        json!({"request_id": "unknown", "tenant": "beta"}),
    ] {
        let (status, mut problem) = register(&world, "alpha", body).await;
        problem.as_object_mut().unwrap().remove("instance");
        answers.push((status, problem));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(answers[0].0, StatusCode::NOT_FOUND);
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
