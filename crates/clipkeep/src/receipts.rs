//! What a receipt certifies of a clip, from its row and its history.

use clipkeep_core::{
    config::{Config, StoreUrl},
    generation::{Clip, HistoryEntry},
    receipt::{Named, Receipt, StoredIn},
    secret::SourceUrl,
    state::ClipState,
    time::Timestamp,
};

use crate::store::Store;

/// The receipt of a clip, as of `now`; none if it is not stored.
pub(crate) fn receipt(
    clip: Clip,
    history: &[HistoryEntry],
    store: &Store,
    config: &Config,
    now: Timestamp,
) -> Option<Receipt> {
    let object = store.object_key(clip.object()).as_str().to_owned();
    let (Some(sealed), Some(stored_at), ClipState::Stored) = (clip.sealed, clip.stored_at, clip.state) else {
        return None;
    };
    let stored_in = match &config.store {
        StoreUrl::Folder(_) => StoredIn::Folder { object },
        StoreUrl::S3 { bucket, .. } => StoredIn::Bucket { bucket: bucket.clone(), object },
    };
    let found = clip.source_url.is_own_store() || was_found(history, stored_at);
    let version = clip.version.filter(|_| !found).unwrap_or_default();
    Some(Receipt {
        version: Receipt::VERSION,
        source_host: source(&clip.source_url).filter(|_| !found),
        source_etag: version.etag,
        source_last_modified: version.last_modified,
        fetched_at: fetched_at(history, stored_at),
        key: clip.key,
        request_id: clip.request_id,
        provider: clip.provider,
        tenant: clip.facts.tenant,
        representation: Named::Stored,
        sha256: sealed.sha256,
        size: sealed.size,
        content_type: sealed.media.content_type,
        stored_at,
        stored_in,
        verified_at: clip.verified_at,
        issuer: config.public_url.to_string(),
        issued_at: now,
    })
}

/// Where bytes came from: a host, or the provider's own word, if they stood in it.
fn source(url: &SourceUrl) -> Option<String> {
    match url.inline_sha256() {
        Some(_) => Some("inline".to_owned()),
        None => url.host(),
    }
}

/// When the bytes were complete that were stored at `stored_at`. The history
/// may have gone on since the row was read.
fn fetched_at(history: &[HistoryEntry], stored_at: Timestamp) -> Option<Timestamp> {
    let stored = history.iter().rposition(|line| line.event == "stored" && line.at == stored_at)?;
    history[..stored].iter().rfind(|line| matches!(line.event.as_str(), "sealed" | "shared")).map(|line| line.at)
}

/// Whether the bytes that were stored at `stored_at` were in the store before it
/// was known whose they are: then nothing is known of a source.
fn was_found(history: &[HistoryEntry], stored_at: Timestamp) -> bool {
    let stored = history.iter().rposition(|line| line.event == "stored" && line.at == stored_at);
    let sealed = stored.and_then(|stored| history[..stored].iter().rposition(|line| line.event == "sealed"));
    sealed.is_some_and(|sealed| history[sealed..].iter().any(|line| line.event == "provider_known"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_fetched_is_what_the_row_speaks_of() {
        let line = |secs, event: &str| HistoryEntry {
            at: Timestamp::from_secs(secs),
            event: event.to_owned(),
            detail: None,
            bytes: None,
        };
        // The object was lost and fetched anew; and it was sealed twice.
        let history = [
            line(1, "sealed"),
            line(2, "sealed"),
            line(3, "stored"),
            line(4, "object_lost"),
            line(5, "sealed"),
            line(6, "stored"),
        ];
        let at = |secs| fetched_at(&history, Timestamp::from_secs(secs)).map(Timestamp::secs);
        assert_eq!((at(3), at(6), at(7)), (Some(2), Some(5), None));
        assert_eq!(fetched_at(&[line(3, "stored")], Timestamp::from_secs(3)), None);
        // Found there, and only then known whose it is; then lost, and fetched.
        let taken = [history[0].clone(), line(3, "stored"), line(4, "provider_known"), history[3].clone()];
        let found = |history: &[HistoryEntry], secs| was_found(history, Timestamp::from_secs(secs));
        assert!(found(&taken, 3) && !found(&history, 3));
        let again = [&taken[..], &[line(5, "sealed"), line(6, "stored")]].concat();
        assert!(!found(&again, 6));
    }
}
