//! `clipkeep verify --receipt FILE`: checks a receipt, and a clip against it,
//! without asking anybody.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow};
use clipkeep_core::{
    config::Config,
    receipt::{self, Receipt, ReceiptKey, ReceiptKeys, StoredIn},
};
use data_encoding::HEXLOWER;
use ring::digest;
use serde_json::json;

use super::output;
use crate::keys;

const CHUNK: usize = 256 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Offline {
    /// Check a receipt offline: its signature and, with --clip, a file's bytes.
    #[arg(long, value_name = "FILE", conflicts_with = "mend")]
    pub(super) receipt: Option<PathBuf>,
    /// The file whose length and checksum must be those of the receipt.
    #[arg(long, value_name = "FILE", requires = "receipt")]
    clip: Option<PathBuf>,
    /// The public key: a file with a JSON Web Key Set or base64, or that text
    /// itself. This node's own unless given.
    #[arg(long, value_name = "KEY", requires = "receipt")]
    key: Option<String>,
}

/// Checks the receipt in `file`. Blocks on reading files.
pub(super) fn run(config: &Config, args: &Offline, file: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let keys = public_keys(config, args.key.as_deref())?;
    let text = read_bounded(file)?;
    let problem = match keys.verify(&text) {
        Err(error) => Err(format!("{}: {error}", file.display())),
        Ok(receipt) => match &args.clip {
            None => Ok(receipt),
            Some(clip) => compare(clip, &receipt)?.map_or(Ok(receipt), Err),
        },
    };
    print(problem, args.clip.as_deref(), as_json)
}

fn public_keys(config: &Config, given: Option<&str>) -> anyhow::Result<ReceiptKeys> {
    let Some(given) = given else {
        let secret = keys::receipt_key_if_there(config)?.ok_or_else(|| {
            anyhow!(
                "there is no receipt key in {}; hint: give the issuer's public key with --key, \
                 it is at /.well-known/clipkeep-receipts.json",
                config.data.display()
            )
        })?;
        return Ok(secret.expose().parse::<ReceiptKey>().context("receipt_key is not right")?.checks());
    };
    if let Ok(keys) = given.parse() {
        return Ok(keys);
    }
    let text = read_bounded(Path::new(given)).context("--key is neither a key nor a file with one")?;
    String::from_utf8_lossy(&text).parse().with_context(|| format!("--key {given}"))
}

/// A small file. One that is larger cannot be what it should, and is cut.
fn read_bounded(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(receipt::MAX_LEN as u64 + 1).read_to_end(&mut text));
    read.with_context(|| format!("reading {}", path.display()))?;
    Ok(text)
}

/// What is wrong with the file, if it is not what the receipt speaks of.
fn compare(path: &Path, receipt: &Receipt) -> anyhow::Result<Option<String>> {
    let (size, sha256) = hash(path).with_context(|| format!("reading {}", path.display()))?;
    let name = path.display();
    if size != receipt.size {
        return Ok(Some(format!("{name} has {size} bytes instead of {}", receipt.size)));
    }
    if sha256 != receipt.sha256 {
        return Ok(Some(format!(
            "{name} has the checksum {sha256} instead of {}; hint: a receipt names the stored bytes, which a download \
             link gives, and a viewing link may give in another order",
            receipt.sha256
        )));
    }
    Ok(None)
}

fn hash(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut hasher, mut size, mut chunk) = (digest::Context::new(&digest::SHA256), 0, vec![0; CHUNK]);
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok((size, HEXLOWER.encode(hasher.finish().as_ref())));
        }
        hasher.update(&chunk[..read]);
        size += read as u64;
    }
}

fn print(checked: Result<Receipt, String>, clip: Option<&Path>, as_json: bool) -> anyhow::Result<ExitCode> {
    let code = if checked.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    match (&checked, as_json) {
        (Ok(receipt), true) => output::json(&json!({"right": true, "clip": clip, "receipt": receipt}))?,
        (Err(problem), true) => output::json(&json!({"right": false, "problem": problem}))?,
        (Ok(receipt), false) => tell(receipt, clip).iter().for_each(output::line),
        (Err(problem), false) => output::line(problem),
    }
    Ok(code)
}

fn tell(receipt: &Receipt, clip: Option<&Path>) -> [String; 5] {
    let Receipt { key, size, sha256, stored_at, issuer, issued_at, .. } = receipt;
    let from = match (&receipt.source_host, receipt.fetched_at) {
        (Some(host), Some(at)) => format!("fetched from {host}, complete at {at}"),
        (Some(host), None) => format!("fetched from {host}"),
        (None, _) => "written into the store by its provider".to_owned(),
    };
    let place = match &receipt.stored_in {
        StoredIn::Folder { object } => format!("a folder, as {object}"),
        StoredIn::Bucket { bucket, object } => format!("the bucket {bucket}, as {object}"),
    };
    let verified = receipt.verified_at.map_or(String::new(), |at| format!(", read again and found right at {at}"));
    let bytes = match clip {
        Some(path) => format!("{} holds exactly these bytes", path.display()),
        None => "no bytes were compared: give the clip's file with --clip".to_owned(),
    };
    [
        format!("genuine: {issuer} certifies {key} at {issued_at}"),
        format!("  {}, sha256 {sha256}", output::size(*size)),
        format!("  {from}"),
        format!("  stored at {stored_at} in {place}{verified}"),
        format!("  {bytes}"),
    ]
}
