//! Whole files within the input.

use std::net::TcpListener;

use super::{App, settings, simulator, text};
use crate::support::{
    node::{NodeConfig, TOKEN},
    tls::Front,
};
use serde_json::json;

/// What a node may take more while 100 MB pass.
const MORE_KIB: u64 = 16 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn i07_inputs_of_100_mb_pass_in_bounded_memory() {
    let sim = simulator().await;
    let dir = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gateway = format!("127.0.0.1:{port}");
    let mut config = NodeConfig::new(&dir.path().join("data")).set("fal_gateway_listen", gateway.clone());
    config.settings.extend(settings(&sim));
    let node = config.start(&sim).await;
    let front = Front::start(dir.path(), &gateway).await;
    let js = App::js(&sim, TOKEN).set("PROXY_URL", format!("{}/fal/proxy", node.url));
    let python = App::python(&front, TOKEN);
    let model = "fal-ai/wan/v2.2-a14b/image-to-video";
    let small = json!({"model": model, "input": {"prompt": "a fox"}});
    js.run("run", &small).await;
    python.run("run", &small).await;
    let before = node.memory_kib("VmHWM");

    let large = json!({"model": model, "input": {"prompt": "a fox"}, "fileMb": 100, "file_mb": 100});
    let mut ids = Vec::new();
    for scenario in ["submit", "run"] {
        let seen = js.run(scenario, &large).await;
        let id = if scenario == "run" { "/requestId" } else { "/request_id" };
        ids.push(text(&seen, id).to_owned());
        let sent = sim.calls().into_iter().rfind(|call| call.method == "POST").unwrap();
        assert!(sent.body_len() > 100 << 20, "{scenario}: {}", sent.body_len());
        python.run(scenario, &large).await;
    }
    let grown = node.memory_kib("VmHWM") - before;
    assert!(grown < MORE_KIB, "{grown} KiB");
    for id in ids {
        let row = node.api(&format!("/api/v1/generations/{id}")).await.unwrap();
        assert_eq!((text(&row, "/model"), text(&row, "/prompt")), (model, "a fox"));
        // The file is left out of the row, and what is left says so.
        assert!(row["input"].to_string().len() < 1000, "{id}");
    }
}
