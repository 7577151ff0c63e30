//! What we prove is what we give: downloads and files with a signed mark keep
//! their bytes' order, and every digest is that of what it speaks of.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use clipkeep_core::{link::LinkTarget, state::ClipState};
use data_encoding::{BASE64, HEXLOWER};
use fal_sim::{Fault, Faults, Media};
use reqwest::Response;
use serde_json::{Value, json};

use crate::{
    cli::clipkeep,
    cold::{all, header, served},
    support::app::TestApp,
};

fn run(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// A certificate authority of the tests' own, and a signer that it certified.
struct Signer(tempfile::TempDir);

impl Signer {
    fn new() -> Self {
        const EXTENSIONS: &str = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
            extendedKeyUsage=emailProtection\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("extensions"), EXTENSIONS).unwrap();
        for line in [
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca.key",
            "req -x509 -new -key ca.key -days 30 -subj /O=clipkeep/CN=ca -out ca.pem \
             -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem",
            "req -new -key key.pem -subj /O=clipkeep/CN=signer -out request.pem",
            "x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile extensions -out leaf.pem",
        ] {
            run(Command::new("openssl").args(line.split_whitespace()).current_dir(dir.path()));
        }
        let chain = ["leaf.pem", "ca.pem"].map(|name| std::fs::read(dir.path().join(name)).unwrap()).concat();
        std::fs::write(dir.path().join("chain.pem"), chain).unwrap();
        Self(dir)
    }

    /// The file with a manifest.
    fn sign(&self, name: &str) -> Bytes {
        let path = |name: &str| self.0.path().join(name);
        std::fs::write(path(name), all(&Media::named(name))).unwrap();
        let signed = path(&format!("signed-{name}"));
        run(tool().arg("sign").args([path("chain.pem"), path("key.pem"), path(name), signed.clone()]));
        std::fs::read(signed).unwrap().into()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// c2pa-python, which shares no code with us.
fn tool() -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("../../target/tools/c2pa/bin/python"));
    command.arg(root.join("tests/it/marked/c2pa_tool.py"));
    command
}

fn verdicts(files: &[PathBuf]) -> Vec<String> {
    run(tool().arg("verify").args(files)).lines().map(str::to_owned).collect()
}

fn download(t: &TestApp, key: &str) -> String {
    let clip = (&key.parse().unwrap(), 0);
    let hour = std::time::Duration::from_secs(3600);
    t.app.sign_link(LinkTarget::Clip, clip, hour, Some("My clip.mp4")).unwrap().url
}

fn digest_of(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64.encode(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref()))
}

async fn body(response: Response) -> Bytes {
    assert!(response.status().is_success(), "{}", response.status());
    response.bytes().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn k17_signed_files_stay_valid_on_every_way_out() {
    let (signer, t) = (Signer::new(), TestApp::start().await);
    let get = async |url: String| t.client.get(url).send().await.unwrap();
    for (name, kind, key) in [
        ("moov-last.mp4", "video/mp4", "a.mp4"),
        ("still.jpg", "image/jpeg", "b.jpg"),
        ("still.png", "image/png", "c.png"),
    ] {
        let bytes = signer.sign(name);
        let (id, slot) = (&key[..1], if kind == "video/mp4" { "video" } else { "image" });
        let source = t.sim.add_file(name, Media::new(kind, bytes.clone()));
        t.hook_payload(id, &json!({slot: {"url": source, "content_type": kind}}), "?policy=on_demand").await;
        // Cold, and then from the store.
        let cold = [body(get(t.link(key)).await).await, body(get(download(&t, key)).await).await];
        let row = t.until(key, ClipState::Stored).await;
        assert_eq!(row.sealed.unwrap().media.c2pa, Some(true), "{name}");
        let warm = [body(get(t.link(key)).await).await, body(get(download(&t, key)).await).await];
        let object = std::fs::read(t.app.store.local_path(&key.parse().unwrap()).unwrap()).unwrap();
        let ways: Vec<Bytes> = cold.into_iter().chain(warm).chain([object.into()]).collect();
        let files: Vec<PathBuf> =
            ways.iter().enumerate().map(|(n, way)| signer.file(&format!("{n}-{name}"), way)).collect();
        assert_eq!(verdicts(&files), ["Valid"; 5], "{name}");
        assert!(ways.iter().all(|way| *way == bytes));
        let answer = get(t.link(key)).await;
        assert_eq!(header(&answer, "repr-digest"), digest_of(&bytes), "{name}");
        assert_eq!(
            header(&answer, "etag"),
            header(&get(download(&t, key)).await, "etag"),
            "{name}: one representation"
        );
    }
    // The verifier does see what rearranging does.
    let moved = signer.file("moved.mp4", b"");
    let signed = signer.0.path().join("signed-moov-last.mp4");
    run(Command::new("qt-faststart").args([signed, moved.clone()]));
    assert_eq!(verdicts(&[moved]), ["Invalid"]);

    t.hook("d", &t.sim.add_file("d.mp4", Media::named("moov-last.mp4")), "").await;
    t.until("d.mp4", ClipState::Stored).await;
    for (query, flag, expected) in
        [("c2pa=true", "--marked", vec!["c.png", "b.jpg", "a.mp4"]), ("c2pa=false", "--unmarked", vec!["d.mp4"])]
    {
        let keys = |found: &Value| -> Vec<String> {
            found["clips"].as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap().to_owned()).collect()
        };
        let listed = t.api(&format!("/api/v1/clips?{query}")).await;
        assert_eq!(keys(&listed), expected);
        assert_eq!(listed["clips"][0]["c2pa"], json!(flag == "--marked"));
        let (code, out, _) = clipkeep(&t.sim, t.data.path(), &["--json", "find", flag], &[]);
        assert_eq!(
            (code, keys(&serde_json::from_str(&out).unwrap())),
            (0, expected.iter().map(|&key| key.to_owned()).collect())
        );
        let file = signer.0.path().join("found.jsonl");
        let args = ["find", flag, "--export", file.to_str().unwrap()];
        assert_eq!(clipkeep(&t.sim, t.data.path(), &args, &[]).0, 0);
        let text = std::fs::read_to_string(file).unwrap();
        assert!(
            text.lines().count() == expected.len() && text.contains(&format!("\"c2pa\":{}", flag == "--marked")),
            "{text}"
        );
    }
}

/// A mark that stands behind the data is known before the first byte leaves.
#[tokio::test(flavor = "multi_thread")]
async fn i14_a_mark_at_the_end_is_seen_in_time() {
    const TYPE: &str = "d8fec3d61b0e483c92975828877ec481";
    let t = TestApp::start().await;
    let body_of = [&HEXLOWER.decode(TYPE.as_bytes()).unwrap()[..], &[0; 4], b"manifest\0", &[0; 3000]].concat();
    let mark = [&(body_of.len() as u32 + 8).to_be_bytes(), &b"uuid"[..], &body_of].concat();
    let plain = all(&Media::padded_slow_start(3 << 20, 5));
    let marked = Bytes::from([&plain[..], &mark].concat());
    assert_ne!(served(&plain), plain);
    for (n, fault) in [Fault::rate(6_000_000), Fault { no_ranges: true, ..Fault::default() }].into_iter().enumerate() {
        let source = t.sim.add_faulty_file("m.mp4", Media::new("video/mp4", marked.clone()), Faults::always(fault));
        t.hook(&format!("m{n}"), &source, "?policy=on_demand").await;
        let key = format!("m{n}.mp4");
        let cold = t.client.get(t.link(&key)).send().await.unwrap();
        let etag = header(&cold, "etag");
        assert!(body(cold).await == marked);
        assert_eq!(t.until(&key, ClipState::Stored).await.sealed.unwrap().media.c2pa, Some(true));
        let warm = t.client.get(t.link(&key)).send().await.unwrap();
        assert_eq!((header(&warm, "etag"), header(&warm, "repr-digest")), (etag, digest_of(&marked)));
        assert!(body(warm).await == marked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn k17_a_download_is_the_stored_bytes_that_the_receipt_names() {
    let t = TestApp::start().await;
    let media = Media::padded_slow_start(3 << 20, 9);
    let (bytes, moved) = (all(&media), served(&all(&media)));
    let source = t.sim.add_faulty_file("a.mp4", media, Faults::always(Fault::rate(6_000_000)));
    t.hook("a", &source, "?policy=on_demand").await;
    let get = async |url: String| t.client.get(url).send().await.unwrap();
    let (viewed, saved) = (get(t.link("a.mp4")).await, get(download(&t, "a.mp4")).await);
    let tags = (header(&viewed, "etag"), header(&saved, "etag"));
    assert!(!tags.0.is_empty() && !tags.1.is_empty() && tags.0 != tags.1, "{tags:?}");
    assert!(header(&saved, "content-disposition").starts_with("attachment"));
    assert!(body(viewed).await == moved && body(saved).await == bytes, "cold");
    t.until("a.mp4", ClipState::Stored).await;
    let (viewed, saved) = (get(t.link("a.mp4")).await, get(download(&t, "a.mp4")).await);
    assert_eq!((header(&viewed, "etag"), header(&saved, "etag")), tags);
    // The stored bytes' digest is no digest of the moved ones.
    assert_eq!((header(&viewed, "repr-digest"), header(&saved, "repr-digest")), (String::new(), digest_of(&bytes)));
    assert!(body(viewed).await == moved);
    let saved = body(saved).await;
    assert!(saved == bytes);

    let ask =
        async |name: &str, value: &str| t.client.get(download(&t, "a.mp4")).header(name, value).send().await.unwrap();
    let part = ask("range", "bytes=1000000-1000099").await;
    assert_eq!((part.status().as_u16(), header(&part, "repr-digest")), (206, digest_of(&bytes)));
    assert!(body(part).await == bytes[1_000_000..1_000_100]);
    let head = t.client.head(download(&t, "a.mp4")).send().await.unwrap();
    assert_eq!(header(&head, "repr-digest"), digest_of(&bytes));
    let known = ask("if-none-match", &tags.1).await;
    assert_eq!((known.status().as_u16(), header(&known, "repr-digest")), (304, String::new()));
    assert_eq!(ask("if-none-match", &tags.0).await.status(), 200, "the view's tag is another's");
    assert_eq!(header(&ask("want-repr-digest", "sha-256=0").await, "repr-digest"), "");
    assert_eq!(header(&ask("want-repr-digest", "sha-512=10").await, "repr-digest"), digest_of(&bytes));

    let receipt = t.api("/api/v1/clips/a.mp4/receipt").await;
    assert_eq!(receipt["receipt"]["representation"], "stored");
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let receipt = file("receipt.json", receipt.to_string().as_bytes());
    let verify = |clip: &str| clipkeep(&t.sim, t.data.path(), &["verify", "--receipt", &receipt, "--clip", clip], &[]);
    assert_eq!(verify(&file("saved.mp4", &saved)).0, 0);
    let (code, out, _) = verify(&file("viewed.mp4", &moved));
    assert!(code == 1 && out.contains("download link"), "{out}");
}
