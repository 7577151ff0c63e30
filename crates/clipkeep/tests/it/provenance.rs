//! From prompts to clips and back, lineage, and exports: over HTTP and on the
//! command line.

use std::{path::Path, process::Command};

use clipkeep_core::token::{TOKEN_BYTES, TokenInfo, token_hash, token_text};
use fal_sim::Media;
use serde_json::{Value, json};

use crate::{cli::clipkeep, support::app::TestApp};

/// A node with an image, the video made from it, and that one's extension; and
/// one clip of another tenant. No clip is fetched.
async fn family() -> TestApp {
    let t = TestApp::with(&[("policy", "on_demand".to_owned())]).await;
    let source = t.sim.add_file("a.mp4", Media::named("silent.mp4"));
    let link = |key: &str| format!("{}/v/{key}?expires=1", t.url);
    for (name, tenant, prompt, input) in [
        ("image", "acme", "a red fox", json!({})),
        ("video", "acme", "=the FOX runs", json!({"image_url": link("image.mp4")})),
        ("long", "acme", "the fox, on and on", json!({"video_url": link("video.mp4")})),
        ("theirs", "evil", "a stolen fox", json!({"image_url": link("image.mp4")})),
    ] {
        t.register(&json!({"request_id": name, "model": "fal-ai/veo3", "prompt": prompt, "tenant": tenant,
            "seed": -7, "input": input}))
            .await;
        t.hook(name, &source, "").await;
    }
    t
}

async fn get(t: &TestApp, path: &str, token: &str) -> (u16, Vec<u8>) {
    let answer = t.client.get(format!("{}{path}", t.url)).bearer_auth(token).send().await.unwrap();
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

fn keys(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap()).collect()
}

async fn tenant_token(t: &TestApp, tenant: &str) -> String {
    let token = token_text(&[7; TOKEN_BYTES]);
    let (tenant, created_at) = (Some(tenant.parse().unwrap()), t.app.clock.now());
    let info =
        TokenInfo { id: "t".to_owned(), name: String::new(), tenant, created_at, last_used_at: None, revoked_at: None };
    t.app.catalog.create_token(&info, &token_hash(&token)).await.unwrap();
    token
}

#[tokio::test(flavor = "multi_thread")]
async fn clips_are_found_by_words_and_seed_over_http() {
    let t = family().await;
    let found = t.api("/api/v1/clips?words=FOX+red").await;
    assert_eq!(keys(&found["clips"]), ["image.mp4"]);
    let found = t.api("/api/v1/clips?words=fox&tenant=acme&seed=-7&limit=2").await;
    assert_eq!(found["clips"].as_array().unwrap().len(), 2);
    let next = found["next_cursor"].as_str().unwrap();
    let rest = t.api(&format!("/api/v1/clips?words=fox&tenant=acme&seed=-7&limit=2&cursor={next}")).await;
    assert_eq!((rest["clips"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));
    for bad in ["words=%21", "words=", "seed=x"] {
        assert_eq!(get(&t, &format!("/api/v1/clips?{bad}"), &t.token).await.0, 400, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_cannot_find_anything_says_so() {
    let t = TestApp::with(&[("prompts", "hash_only".to_owned())]).await;
    let found = t.api("/api/v1/clips?words=fox").await;
    assert!(found["note"].as_str().unwrap().contains("hashes only"), "{found}");
    assert!(t.api("/api/v1/clips").await.get("note").is_none());
    let hash_only = [("CLIPKEEP_PROMPTS", "hash_only")];
    let (code, _, err) = clipkeep(&t.sim, t.data.path(), &["find", "--words", "fox"], &hash_only);
    assert!(code == 1 && err.contains("hashes only"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lineage_is_told_over_http_and_drawn_as_a_tree() {
    let t = family().await;
    let told = t.api("/api/v1/clips/video.mp4/lineage").await;
    assert_eq!(told["clip"]["key"], "video.mp4");
    assert_eq!((keys(&told["ancestors"]), keys(&told["descendants"])), (vec!["image.mp4"], vec!["long.mp4"]));
    assert_eq!(told["ancestors"][0]["prompt"], "a red fox");
    assert!(!told.to_string().contains("source_url"), "{told}");
    assert_eq!(get(&t, "/api/v1/clips/none.mp4/lineage", &t.token).await.0, 404);
    let (code, out, err) = clipkeep(&t.sim, t.data.path(), &["find", "long.mp4", "--tree"], &[]);
    assert_eq!(code, 0, "{err}");
    let expected = "image.mp4  waiting  fal-ai/veo3  «a red fox»\n\
        └─ video.mp4  waiting  fal-ai/veo3  «=the FOX runs»\n   \
           └─ long.mp4  waiting  fal-ai/veo3  «the fox, on and on»  ← this one\n";
    assert_eq!(out, expected);
    let (_, out, _) = clipkeep(&t.sim, t.data.path(), &["--json", "find", "image.mp4", "--tree"], &[]);
    assert_eq!(keys(&serde_json::from_str::<Value>(&out).unwrap()["descendants"]).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_token_sees_its_own_clips_only() {
    let t = family().await;
    let token = tenant_token(&t, "evil").await;
    let (_, list) = get(&t, "/api/v1/clips?words=fox", &token).await;
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(keys(&list["clips"]), ["theirs.mp4"]);
    assert!(list["clips"][0].get("source_url").is_none());
    let (_, told) = get(&t, "/api/v1/clips/theirs.mp4/lineage", &token).await;
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!((told["ancestors"].clone(), told["complete"].clone()), (json!([]), json!(true)));
    assert_eq!(get(&t, "/api/v1/clips/image.mp4/lineage", &token).await.0, 404);
    let (_, lines) = get(&t, "/api/v1/clips/export", &token).await;
    let lines = String::from_utf8(lines).unwrap();
    assert!(lines.lines().count() == 1 && lines.contains("theirs.mp4"), "{lines}");
    let (status, body) = get(&t, "/api/v1/clips/export?tenant=acme", &token).await;
    assert!(status == 403 && !String::from_utf8_lossy(&body).contains("image.mp4"), "{status}");
}

/// Reads a Parquet file with DuckDB: types and rows.
fn parquet(path: &Path) -> Value {
    const SCRIPT: &str = "import duckdb, json, sys\n\
        r = duckdb.sql(f\"select * from read_parquet('{sys.argv[1]}')\")\n\
        rows = [dict(zip(r.columns, map(lambda v: v if v is None or isinstance(v, (int, float)) else str(v), row))) for row in r.fetchall()]\n\
        print(json.dumps({'types': {c: str(t) for c, t in zip(r.columns, r.types)}, 'rows': rows}))";
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/parquet/bin/python");
    let out = Command::new(python).args(["-c", SCRIPT]).arg(path).output().expect("./test installs DuckDB");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_hold_what_is_found_in_three_formats() {
    let t = family().await;
    let folder = tempfile::tempdir().unwrap();
    let export = |name: &str, more: &[&str]| {
        let path = folder.path().join(name);
        let file = path.display().to_string();
        let mut args = vec!["--json", "find", "--tenant", "acme", "--export", &file];
        args.extend(more);
        let (code, out, err) = clipkeep(&t.sim, t.data.path(), &args, &[]);
        (code, out, err, path)
    };
    let (code, out, err, lines) = export("all.jsonl", &[]);
    assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()["clips"].clone()), (0, json!(3)), "{err}");
    let lines = std::fs::read_to_string(lines).unwrap();
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows[0]["key"], "long.mp4");
    assert!(!lines.contains("source_url") && !lines.contains("/a.mp4"), "{lines}");

    let (_, _, _, table) = export("all.csv", &["--words", "runs"]);
    let mut table = csv::Reader::from_path(table).unwrap();
    let header = table.headers().unwrap().clone();
    let row = table.records().next().unwrap().unwrap();
    let cell = |name: &str| row.get(header.iter().position(|one| one == name).unwrap()).unwrap();
    assert_eq!((cell("key"), cell("prompt"), cell("seed")), ("video.mp4", "'=the FOX runs", "-7"));

    let (_, _, _, file) = export("all.parquet", &[]);
    let read = parquet(&file);
    for (column, kind) in [
        ("key", "VARCHAR"),
        ("created_at", "TIMESTAMP WITH TIME ZONE"),
        ("seed", "DECIMAL(20,0)"),
        ("duration", "DOUBLE"),
        ("public", "BOOLEAN"),
    ] {
        assert_eq!(read["types"][column], kind, "{column}");
    }
    assert_eq!(read["rows"].as_array().unwrap().len(), 3);
    assert_eq!(
        (read["rows"][1]["prompt"].clone(), read["rows"][1]["seed"].clone()),
        (json!("=the FOX runs"), json!("-7"))
    );
    assert_eq!(read["rows"][1]["public"], Value::Null);

    let (code, _, err, file) = export("all.txt", &[]);
    assert!(code == 2 && err.contains(".parquet") && !file.exists(), "{err}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 3, "whole or not at all");
}

/// Twelve hundred clips, of which the oldest cannot be read.
async fn broken() -> TestApp {
    let t = family().await;
    let db = rusqlite::Connection::open(t.data.path().join("clipkeep.db")).unwrap();
    db.execute_batch(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1200)
         INSERT INTO generations (provider, request_id, status, created_at) SELECT 'fal', 'old' || n, 'completed', n FROM n;
         INSERT INTO clips (key, provider, request_id, idx, slot, source_url, kind, content_type, state, policy, epoch,
            created_at, queued, fence, attempts)
         SELECT request_id || '.mp4', 'fal', request_id, 0, '/video', 'https://s.example/', 'video', 'video/mp4',
            'lost', CASE created_at WHEN 1 THEN 'whenever' ELSE 'eager' END, 1, created_at, 0, 0, 0
         FROM generations WHERE request_id LIKE 'old%';",
    )
    .unwrap();
    t
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_cut_off_does_not_look_whole() {
    let t = broken().await;
    for format in ["jsonl", "csv", "parquet"] {
        let url = format!("{}/api/v1/clips/export?format={format}", t.url);
        let answer = t.client.get(&url).bearer_auth(&t.token).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.bytes().await.is_err(), "{format}");
        let whole = t.client.get(format!("{url}&tenant=acme")).bearer_auth(&t.token).send().await.unwrap();
        assert!(whole.bytes().await.is_ok(), "{format}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.jsonl");
    std::fs::write(&file, "before").unwrap();
    let name = file.display().to_string();
    let (code, _, err) = clipkeep(&t.sim, t.data.path(), &["find", "--export", &name], &[]);
    assert!(code == 1 && err.contains("policy is unreadable"), "{err}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "before");
    assert_eq!(folder.path().read_dir().unwrap().count(), 1);
}
