//! H36: a bucket whose name stands in its server's, as hosted ones have it. The
//! node's world knows the server by that name alone: whatever asks for it by
//! another finds nobody.

use std::process::Command;

use clipkeep::store::{Store, StoreTarget, UploadLimits};
use clipkeep_core::config::{Config, Layers};
use fal_sim::{Media, Sim, SimOptions};
use futures_util::TryStreamExt as _;

use crate::support::{
    eventually::eventually,
    garage::{self, BUCKET, ROOT_DOMAIN},
    node::{NodeConfig, TOKEN},
};

/// Larger than one part.
const LEN: u64 = 20_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn h36_a_bucket_in_the_host_name_serves_all_that_is_asked_of_it() {
    let (sim, dir, place) =
        (Sim::start(SimOptions::default()).await.unwrap(), tempfile::tempdir().unwrap(), garage::place());
    let port = place.endpoint.rsplit_once(':').unwrap().1;
    let hosts = dir.path().join("hosts");
    std::fs::write(&hosts, format!("127.0.0.1 localhost\n127.0.0.1 {BUCKET}{ROOT_DOMAIN}\n")).unwrap();
    let mut config = NodeConfig::new(&dir.path().join("data")).set("store", place.url()).set("public", "true");
    config.aws = place.aws_through(&format!("http://{}:{port}", ROOT_DOMAIN.trim_start_matches('.')));
    config.aws.push(("AWS_S3_FORCE_PATH_STYLE".to_owned(), "false".to_owned()));
    config.hosts = Some(hosts);
    let node = config.start(&sim).await;
    let direct = Layers::new().with_env(place.aws()).with_flags([("store", place.url())]);
    let settings = Config::from_layers(direct).unwrap().s3;
    let target = StoreTarget::S3 { bucket: BUCKET.to_owned(), prefix: place.prefix.clone(), settings };
    let store = Store::open(target, UploadLimits { memory: 8 << 20, clip_size: 1 << 30 }).await.unwrap();

    let media = Media::padded(LEN, 36);
    let source = sim.add_file("a.mp4", media.clone());
    assert_eq!(node.hook(&sim, "g1", &source).await, Some(200));
    let state = async |wanted: &str| {
        let clip = node.api("/api/v1/clips/g1.mp4").await?;
        (clip["state"] == wanted).then_some(())
    };
    eventually("it is stored", || state("stored")).await;
    let kept = store.hash(&"g1.mp4".parse().unwrap()).await.unwrap();
    assert_eq!((kept.size, kept.sha256), (LEN, media.sha256()));

    // What lists, and what reads all of it back.
    for args in [&["verify", "--all"][..], &["sweep"], &["doctor"]] {
        let mut command: Command = config.command(&sim, &node.url);
        let ran = command.args(args).output().unwrap();
        let said = [ran.stdout, ran.stderr].concat();
        assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said));
    }
    let viewed = node.client.get(format!("{}/v/g1.mp4", node.url)).send().await.unwrap();
    assert_eq!(viewed.bytes().await.unwrap().len() as u64, LEN);

    let deleted = node.client.delete(format!("{}/api/v1/clips/g1.mp4", node.url)).bearer_auth(TOKEN);
    assert!(deleted.send().await.unwrap().status().is_success());
    eventually("its object is gone", async || store.list().try_concat().await.unwrap().is_empty().then_some(())).await;
}
