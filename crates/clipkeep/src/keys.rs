//! The secrets of this installation: the admin token, the link keys, and what
//! events and receipts are signed with.
//!
//! What the configuration does not give is made once, on first start, and kept
//! in `data` with mode 0600. Processes that start at once agree: a secret's
//! file appears whole under its name or not at all, and who comes second reads
//! what the first one wrote. No secret is logged.

use std::{
    fs::{DirBuilder, File, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use clipkeep_core::{config::Config, receipt::ReceiptKey, secret::Secret, standard_webhook::EventSecret};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use ring::rand::{SecureRandom, SystemRandom};

/// What a secret's file may hold at most.
const MAX_FILE: u64 = 64 * 1024;

/// What a secret's file must hold at least: less is a torn or emptied file.
const MIN_LEN: usize = 16;

/// The secrets, wherever they came from.
#[derive(Clone, Debug)]
pub struct Keys {
    /// What API callers must show.
    pub admin_token: Secret<String>,
    /// The link keys as `kid:base64,…`; the first signs.
    pub link_keys_text: Secret<String>,
    /// The keys of internal links likewise.
    pub internal_link_keys_text: Secret<String>,
    /// What events are signed with, as `whsec_…`.
    pub event_secret: Secret<String>,
    /// What receipts are signed with, in base64.
    pub receipt_key: Secret<String>,
}

/// Why a secret could be neither read nor made.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file or folder would not do.
    #[error("{doing} {}", path.display())]
    Io {
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Others may read the file, and that could not be changed.
    #[error("{} can be read by others, and its mode cannot be tightened to 0600", path.display())]
    Exposed {
        path: PathBuf,
        /// Why it could not be tightened.
        #[source]
        source: io::Error,
    },
    /// The file is there but holds no secret. It is left as it is: a new
    /// secret in its place would void every link that is out.
    #[error("{} holds no secret of {MIN_LEN} or more visible ASCII characters; restore it, or remove it to have a new one made", path.display())]
    NoSecret { path: PathBuf },
    /// The system has no random bytes.
    #[error("the system gives no random bytes")]
    NoRandom,
}

/// The secrets that `config` gives, and for those it does not, the ones kept
/// in its `data` folder, made if this is the first start. Blocks on disk.
///
/// # Errors
/// If a file cannot be read or made, or holds no secret.
pub fn load_or_create(config: &Config) -> Result<Keys, KeysError> {
    Ok(Keys {
        admin_token: admin_token(config)?,
        link_keys_text: link_keys_text(config)?,
        internal_link_keys_text: internal_link_keys_text(config)?,
        event_secret: event_secret(config)?,
        receipt_key: given_or_kept(config, config.receipt_key.as_ref(), "receipt_key", new_receipt_key)?,
    })
}

/// The admin token alone; see [`load_or_create`].
///
/// # Errors
/// As [`load_or_create`].
pub fn admin_token(config: &Config) -> Result<Secret<String>, KeysError> {
    given_or_kept(config, config.admin_token.as_ref(), "admin_token", new_token)
}

/// The link keys alone; see [`load_or_create`].
///
/// # Errors
/// As [`load_or_create`].
pub fn link_keys_text(config: &Config) -> Result<Secret<String>, KeysError> {
    given_or_kept(config, config.link_keys.as_ref(), "link_keys", new_link_key)
}

/// The keys of internal links alone; see [`load_or_create`].
///
/// # Errors
/// As [`load_or_create`].
pub fn internal_link_keys_text(config: &Config) -> Result<Secret<String>, KeysError> {
    given_or_kept(config, config.internal_link_keys.as_ref(), "internal_link_keys", new_internal_link_key)
}

/// What events are signed with, alone; see [`load_or_create`].
///
/// # Errors
/// As [`load_or_create`].
pub fn event_secret(config: &Config) -> Result<Secret<String>, KeysError> {
    given_or_kept(config, config.event_secret.as_ref(), "event_secret", new_event_secret)
}

/// What receipts are signed with, alone, if it was given or made before.
///
/// # Errors
/// If its file cannot be read, or holds no secret.
pub fn receipt_key_if_there(config: &Config) -> Result<Option<Secret<String>>, KeysError> {
    match &config.receipt_key {
        Some(secret) => Ok(Some(secret.clone())),
        None => Ok(read(&config.data.join("receipt_key"))?.map(Secret::new)),
    }
}

fn given_or_kept(
    config: &Config,
    given: Option<&Secret<String>>,
    name: &str,
    make: fn() -> Result<String, KeysError>,
) -> Result<Secret<String>, KeysError> {
    match given {
        Some(secret) => Ok(secret.clone()),
        None => kept_or_made(&config.data, name, make).map(Secret::new),
    }
}

fn kept_or_made(
    folder: &Path,
    name: &str,
    make: impl FnOnce() -> Result<String, KeysError>,
) -> Result<String, KeysError> {
    let path = folder.join(name);
    if let Some(secret) = read(&path)? {
        return Ok(secret);
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io_error("making the folder", folder))?;
    create_if_absent(folder, &path, &make()?)?;
    // Ours, or that of another process which was quicker.
    read(&path)?.ok_or(KeysError::NoSecret { path })
}

/// The secret in the file, or none if there is no such file.
fn read(path: &Path) -> Result<Option<String>, KeysError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("opening", path)(error)),
    };
    tighten(&file, path)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(io_error("reading", path))?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    let secret = text.trim();
    if secret.len() < MIN_LEN || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(KeysError::NoSecret { path: path.to_owned() });
    }
    Ok(Some(secret.to_owned()))
}

fn tighten(file: &File, path: &Path) -> Result<(), KeysError> {
    let mode = file.metadata().map_err(io_error("looking at", path))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let tightened = file.set_permissions(Permissions::from_mode(0o600));
    tightened.map_err(|source| KeysError::Exposed { path: path.to_owned(), source })?;
    tracing::warn!(path = %path.display(), "others could read this secret; its mode is 0600 now");
    Ok(())
}

/// Puts the secret under `path`, whole and on disk, unless something is there
/// already: then that stays.
fn create_if_absent(folder: &Path, path: &Path, secret: &str) -> Result<(), KeysError> {
    // Made with mode 0600, and gone again if we fail before it has its name.
    let mut staged =
        tempfile::Builder::new().prefix(".secret-").tempfile_in(folder).map_err(io_error("making", path))?;
    writeln!(staged, "{secret}").map_err(io_error("writing", path))?;
    staged.as_file().sync_all().map_err(io_error("writing", path))?;
    match std::fs::hard_link(staged.path(), path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io_error("making", path)(error)),
        _ => {}
    }
    // The name must be on disk before anybody is handed the secret, also if it
    // was another process that gave it.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error("writing", folder))
}

fn io_error<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> KeysError + 'a {
    move |source| KeysError::Io { doing, path: path.to_owned(), source }
}

/// 256 random bits, with a beginning by which a leaked token is recognised.
fn new_token() -> Result<String, KeysError> {
    Ok(format!("clipkeep_{}", BASE64URL_NOPAD.encode(&random::<32>()?)))
}

/// 256 random bits under a random key id: keys that were made apart must not
/// bear one name.
fn new_link_key() -> Result<String, KeysError> {
    Ok(format!("k{}:{}", HEXLOWER.encode(&random::<4>()?), BASE64.encode(&random::<32>()?)))
}

fn new_internal_link_key() -> Result<String, KeysError> {
    Ok(format!("i-{}:{}", HEXLOWER.encode(&random::<4>()?), BASE64.encode(&random::<32>()?)))
}

fn new_event_secret() -> Result<String, KeysError> {
    Ok(EventSecret::text(&random::<32>()?))
}

fn new_receipt_key() -> Result<String, KeysError> {
    Ok(ReceiptKey::text(&random::<32>()?))
}

fn random<const N: usize>() -> Result<[u8; N], KeysError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeysError::NoRandom)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use clipkeep_core::{config::Layers, id::KeyId};

    use super::*;

    fn config(data: &Path, more: &[(&str, &str)]) -> Config {
        let data = ("data", data.display().to_string());
        let more = more.iter().map(|(name, text)| (*name, (*text).to_owned()));
        Config::from_layers(Layers::new().with_flags([data].into_iter().chain(more))).unwrap()
    }

    fn exposed(keys: &Keys) -> (String, String) {
        (keys.admin_token.expose().clone(), keys.link_keys_text.expose().clone())
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = entries.collect();
        names.sort();
        names
    }

    #[test]
    fn secrets_are_made_once_with_mode_0600_and_nothing_is_left_beside_them() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/b");
        let first = load_or_create(&config(&data, &[])).unwrap();
        assert_eq!(names(&data), ["admin_token", "event_secret", "internal_link_keys", "link_keys", "receipt_key"]);
        assert_eq!(
            (mode(&data), mode(&data.join("admin_token")), mode(&data.join("link_keys"))),
            (0o700, 0o600, 0o600)
        );
        let second = load_or_create(&config(&data, &[])).unwrap();
        assert_eq!(exposed(&first), exposed(&second));
        assert!(!format!("{first:?}").contains(first.admin_token.expose()));
    }

    #[test]
    fn what_is_made_is_well_formed_and_never_the_same() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (a, b) = (load_or_create(&config(a.path(), &[])).unwrap(), load_or_create(&config(b.path(), &[])).unwrap());
        let (kid, key) = a.link_keys_text.expose().split_once(':').unwrap();
        kid.parse::<KeyId>().unwrap();
        assert_eq!(BASE64.decode(key.as_bytes()).unwrap().len(), 32);
        assert!(a.event_secret.expose().parse::<EventSecret>().is_ok());
        assert!(a.receipt_key.expose().parse::<ReceiptKey>().is_ok());
        assert_ne!(a.receipt_key.expose(), b.receipt_key.expose());
        assert_ne!(a.event_secret.expose(), b.event_secret.expose());
        assert_ne!(a.link_keys_text.expose(), b.link_keys_text.expose());
        assert_ne!(a.admin_token.expose(), b.admin_token.expose());
    }

    #[test]
    fn secrets_that_are_given_are_used_and_not_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let secret = EventSecret::text(&[7; 24]);
        let receipt = ReceiptKey::text(&[7; 32]);
        let given = [
            ("admin_token", "a-token-of-our-own"),
            ("link_keys", "k1:AAECAwQFBgcICQoLDA0ODw=="),
            ("internal_link_keys", "i-1:AAECAwQFBgcICQoLDA0ODw=="),
            ("event_secret", &secret),
            ("receipt_key", &receipt),
        ];
        let keys = load_or_create(&config(folder.path(), &given)).unwrap();
        assert_eq!(exposed(&keys), ("a-token-of-our-own".to_owned(), "k1:AAECAwQFBgcICQoLDA0ODw==".to_owned()));
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn many_that_start_at_once_agree() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let config = config(folder.path(), &[]);
            let barrier = Barrier::new(8);
            let start = || {
                barrier.wait();
                exposed(&load_or_create(&config).unwrap())
            };
            let all: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(all.iter().all(|keys| *keys == all[0]));
            assert_eq!(
                names(folder.path()),
                ["admin_token", "event_secret", "internal_link_keys", "link_keys", "receipt_key"]
            );
        }
    }

    #[test]
    fn who_comes_second_takes_what_the_first_one_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin_token");
        // Both found no file, and the other one was quicker.
        let secret = kept_or_made(folder.path(), "admin_token", || {
            create_if_absent(folder.path(), &path, "the-first-ones-secret")?;
            Ok("the-second-ones-secret".to_owned())
        });
        assert_eq!(secret.unwrap(), "the-first-ones-secret");
        assert_eq!(names(folder.path()), ["admin_token"]);
    }

    #[test]
    fn a_file_that_others_can_read_is_tightened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin_token");
        std::fs::write(&path, "a-token-of-our-own\n").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let keys = load_or_create(&config(folder.path(), &[])).unwrap();
        assert_eq!(keys.admin_token.expose(), "a-token-of-our-own");
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_file_without_a_secret_is_refused_and_left_alone() {
        for content in ["", "short", "a secret with spaces in it", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("link_keys");
            std::fs::write(&path, content).unwrap();
            let error = load_or_create(&config(folder.path(), &[])).unwrap_err();
            assert!(matches!(error, KeysError::NoSecret { .. }), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
    }
}
