//! Costs at the edge: the API, the command, the page.

use std::{process::Command, sync::Arc, time::Duration};

use clipkeep_core::state::ClipState;
use fal_sim::{Media, Sim, SimOptions};
use serde_json::Value;

use crate::{
    cli::clipkeep,
    support::{app::TestApp, garage},
};

const LEN: u64 = 5_000_000;

/// A node with one clip that was watched once.
async fn watched(settings: &[(&'static str, String)], aws: &[(String, String)]) -> TestApp {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let t = TestApp::on(sim, Arc::new(tempfile::tempdir().unwrap()), settings, aws).await;
    t.hook("c", &t.sim.add_file("a.mp4", Media::padded(LEN, 3)), "?tenant=acme&model=m1").await;
    t.until("c.mp4", ClipState::Stored).await;
    let whole = t.client.get(t.link("c.mp4")).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(whole.len() as u64, LEN);
    t.app.usage.flush().await;
    t
}

#[tokio::test(flavor = "multi_thread")]
async fn costs_are_told_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let mine = dir.path().join("mine.toml");
    let list = include_str!("../../../clipkeep-core/src/cost/lists/cloudflare_r2.toml");
    std::fs::write(
        &mine,
        list.replace("cloudflare-r2", "mine").replace("egress_per_gb = \"0\"", "egress_per_gb = \"1\""),
    )
    .unwrap();
    let settings = [("price_lists", mine.display().to_string()), ("generation_prices", "model=m*:0.25".to_owned())];
    let t = watched(&settings, &[]).await;
    let costs = t.api("/api/v1/costs?by=clip").await;
    let row = &costs["costs"][0];
    assert_eq!((&row["name"], &row["viewer_bytes"]), (&"c.mp4".into(), &LEN.into()));
    let egress: Vec<_> =
        row["costs"].as_array().unwrap().iter().map(|on| (on["list"].clone(), on["egress"].clone())).collect();
    let expected = [("aws-s3-standard", "0.00045"), ("cloudflare-r2", "0.00"), ("mine", "0.005")];
    assert_eq!(egress, expected.map(|(list, egress)| (list.into(), egress.into())));
    assert_eq!(row["costs"][0]["generation"], "0.25", "a clip's whole cost is known");
    assert!(costs["forecast"][0]["total"].is_string());
    for by in ["tenant", "model", "prompt", "day", "month"] {
        let one = t.api(&format!("/api/v1/costs?by={by}&list=mine")).await;
        assert_eq!(one["total"]["costs"][0]["egress"], "0.005", "{by}");
        assert_eq!(one["costs"][0]["costs"][0]["egress"], "0.005", "{by}");
    }
    assert_eq!(t.api("/api/v1/costs?tenant=nobody&by=clip").await["costs"], Value::Array(Vec::new()));
    for wrong in ["by=hour", "by=week", "list=none", "from=yesterday", "cursor=%25"] {
        let request = t.client.get(format!("{}/api/v1/costs?{wrong}", t.url)).bearer_auth(&t.token);
        assert_eq!(request.send().await.unwrap().status(), 400, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_buckets_operations_are_counted() {
    let place = garage::place();
    let t = watched(&[("store", place.url())], &place.aws()).await;
    let hours = t.app.catalog.operations(t.app.clock.now().minus(Duration::from_secs(7200)), t.app.clock.now()).await;
    let (writes, reads) = hours.unwrap().iter().fold((0, 0), |sums, row| (sums.0 + row.writes, sums.1 + row.reads));
    // At least: a put; a look at the object, and its bytes.
    assert!((1..100).contains(&writes) && (2..100).contains(&reads), "{writes} {reads}");
    let s3 = t.api("/api/v1/costs?list=aws-s3-standard").await["total"]["costs"][0].clone();
    assert_ne!(s3["operations"], "0.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_opens_in_a_browser_and_asks_nobody_for_anything() {
    let t = watched(&[], &[]).await;
    let dir = tempfile::tempdir().unwrap();
    for command in ["costs", "usage"] {
        let page = dir.path().join(format!("{command}.html"));
        let path = page.display().to_string();
        let (code, out, log) = clipkeep(&t.sim, t.data.path(), &[command, "--by", "tenant", "--html", &path], &[]);
        assert_eq!(code, 0, "{log}");
        assert!(log.contains(&format!("wrote {path}")), "{log}");
        assert!(
            out.contains("acme") && out.contains("total") && !out.contains('█'),
            "plain where no person looks: {out}"
        );
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(!text.contains("src=") && !text.contains("href=") && !text.contains("url("), "{text}");
        let browser = Command::new("chromium")
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .arg(format!("--user-data-dir={}", dir.path().join("profile").display()))
            .args(["--dump-dom", &format!("file://{path}")])
            .output()
            .expect("the tests need Chromium: apt-get install chromium");
        let dom = String::from_utf8_lossy(&browser.stdout);
        assert!(dom.contains("<svg") && dom.contains("<rect") && dom.contains("acme"), "{dom}");
    }
    let page = dir.path().join("quiet.html").display().to_string();
    let (_, _, log) = clipkeep(&t.sim, t.data.path(), &["costs", "--json", "--html", &page], &[]);
    assert!(!log.contains("wrote"), "{log}");
    let nowhere = dir.path().join("no/such/folder.html").display().to_string();
    let (code, _, log) = clipkeep(&t.sim, t.data.path(), &["costs", "--html", &nowhere], &[]);
    assert!(code == 1 && log.contains("folder.html"), "{code} {log}");
    assert!(!dir.path().join("no").exists());
}
