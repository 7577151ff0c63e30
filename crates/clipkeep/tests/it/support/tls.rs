//! Real TLS with a certificate of the tests' own.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use parking_lot::Mutex;
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

/// TLS in front of a server, as a reverse proxy would have it.
pub(crate) struct Front {
    pub(crate) port: u16,
    /// The certificate that its clients must trust.
    pub(crate) certificate: PathBuf,
}

impl Front {
    /// In front of `upstream`, an address with a port.
    pub(crate) async fn start(dir: &Path, upstream: &str) -> Self {
        let acceptor = Arc::new(Mutex::new(certificate(dir, "front")));
        Self { port: front(upstream.to_owned(), acceptor).await, certificate: dir.join("front.pem") }
    }
}

/// A certificate of its own for this machine, in `dir`.
pub(crate) fn certificate(dir: &Path, name: &str) -> TlsAcceptor {
    let (key, cert) = (dir.join(format!("{name}.key")), dir.join(format!("{name}.pem")));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=source"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:queue.localhost"])
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

/// TLS in front of `upstream`, with a certificate that can be changed; its port.
pub(crate) async fn front(upstream: String, acceptor: Arc<Mutex<TlsAcceptor>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, upstream) = (acceptor.lock().clone(), upstream.clone());
            tokio::spawn(async move {
                let Ok(mut outer) = acceptor.accept(stream).await else { return };
                let Ok(mut inner) = TcpStream::connect(upstream).await else { return };
                let _ = copy_bidirectional(&mut outer, &mut inner).await;
            });
        }
    });
    port
}
