//! A source behind real TLS, as providers have it.

use std::{path::Path, process::Command, sync::Arc, time::Duration};

use fal_sim::{Media, Sim, SimOptions};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::support::node::{Node, NodeConfig};

/// A certificate of its own for 127.0.0.1, in `dir`.
fn certificate(dir: &Path, name: &str) -> TlsAcceptor {
    let (key, cert) = (dir.join(format!("{name}.key")), dir.join(format!("{name}.pem")));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=source", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .expect("the tests need openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    clipkeep::tls::choose_ring();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(
        vec![CertificateDer::from_pem_file(&cert).unwrap()],
        PrivateKeyDer::from_pem_file(&key).unwrap(),
    );
    TlsAcceptor::from(Arc::new(config.unwrap()))
}

/// TLS in front of `upstream`, with a certificate that can be changed.
async fn front(upstream: String, acceptor: Arc<Mutex<TlsAcceptor>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, upstream) = (acceptor.lock().clone(), upstream.clone());
            tokio::spawn(async move {
                let Ok(mut outer) = acceptor.accept(stream).await else { return };
                let mut inner = TcpStream::connect(upstream).await.unwrap();
                let _ = copy_bidirectional(&mut outer, &mut inner).await;
            });
        }
    });
    port
}

async fn until(node: &Node, key: &str, done: impl Fn(&Value) -> bool) -> Value {
    let began = tokio::time::Instant::now();
    loop {
        let row = node.api(&format!("/api/v1/clips/{key}")).await.unwrap();
        if done(&row) {
            return row;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{row}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i08_case_28_only_a_source_that_proves_its_name_is_asked() {
    let sim = Sim::start(SimOptions::default()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (trusted, stranger) = (certificate(dir.path(), "trusted"), certificate(dir.path(), "stranger"));
    let acceptor = Arc::new(Mutex::new(stranger));
    let port = front(sim.media_url().replace("http://", ""), Arc::clone(&acceptor)).await;
    let mut config = NodeConfig::new(&dir.path().join("data")).set("source_allow_http", "false");
    config.aws.push(("SSL_CERT_FILE".to_owned(), dir.path().join("trusted.pem").display().to_string()));
    let node = config.start(&sim).await;

    let media = Media::named("moov-last.mp4");
    let plain = sim.add_file("a.mp4", media.clone());
    let secure = plain.replace(&sim.media_url(), &format!("https://127.0.0.1:{port}"));
    assert_eq!(node.hook(&sim, "tls", &secure).await, Some(200));
    let row = until(&node, "tls.mp4", |row| row["last_error"].is_string()).await;
    assert_eq!(
        (&row["state"] != "stored", row["last_error"].as_str()),
        (true, Some("no TLS connection to the source"))
    );
    assert!(sim.requests_for(&plain).is_empty());

    // The source's certificate changes to one that is trusted.
    *acceptor.lock() = trusted;
    let row = until(&node, "tls.mp4", |row| row["state"] == "stored").await;
    assert_eq!(row["sha256"], media.sha256());

    // And without TLS nothing is asked at all.
    assert_eq!(node.hook(&sim, "plain", &plain).await, Some(200));
    let served = sim.requests_for(&plain).len();
    until(&node, "plain.mp4", |row| row["state"] == "rejected").await;
    assert_eq!(sim.requests_for(&plain).len(), served);
}
