//! A clip's story in plain words: what each line of its history means, and what
//! will happen next. The one place that has these words.

use crate::{
    generation::{Clip, HistoryEntry, Origin},
    human::{size, span},
    state::{ClipState, GenerationStatus},
    time::Timestamp,
};

/// The words of history that have a sentence of their own. Any other word
/// still reads well.
pub const EVENTS: &[&str] = &[
    "registered",
    "received",
    "adopting",
    "provider_known",
    "source_replaced",
    "returned",
    "requeued",
    "claimed",
    "vanished",
    "version_changed",
    "renamed",
    "sealed",
    "stored",
    "retry",
    "released",
    "lost",
    "rejected",
    "deleted",
    "removed",
    "not_removed",
    "object_lost",
    "damaged",
    "at_risk",
    "links_revoked",
    "shared",
    "unshared",
    "spared",
];

/// What a line of history tells.
pub fn describe(entry: &HistoryEntry) -> String {
    let detail = entry.detail.as_deref().filter(|detail| !detail.is_empty());
    let because = |text: &str| detail.map_or_else(|| text.to_owned(), |detail| format!("{text}: {detail}"));
    let read = |text: String| match entry.bytes {
        Some(0) => format!("{text} (nothing read from the source)"),
        Some(bytes) => format!("{text} ({} read from the source)", size(bytes)),
        None => text,
    };
    match entry.event.as_str() {
        "registered" => "the app registered its generation".to_owned(),
        "received" => because("clipkeep heard of the clip"),
        "adopting" => because("the clip is awaited in our own store"),
        "provider_known" => because("its provider told of it, and its generation is that one's now"),
        "source_replaced" => with("another source was announced; the clip starts over", detail),
        "returned" => with("the same source was announced once more; the clip starts over", detail),
        "requeued" => with("the clip is tried again from its source", detail),
        "claimed" => began(detail),
        "vanished" => with("the attempt before ended without an answer: whoever made it was killed, or hung", detail),
        "version_changed" => with("the source became another version; the copy starts over", detail),
        "renamed" => with("its bytes are not what its name said, so it has another", detail),
        "sealed" => match entry.bytes {
            Some(bytes) => format!("all bytes are here and were checked: {}", size(bytes)),
            None => because("all bytes are here and were checked"),
        },
        "stored" => read("the object is confirmed in the store".to_owned()),
        "retry" => read(because("the attempt failed, to be tried again")),
        "released" => read("the node let go of it".to_owned()),
        "lost" => read(because("lost, the source is gone")),
        "rejected" => read(because("rejected, no acceptable media")),
        "deleted" => because("deleted, its row stays as a tombstone"),
        "removed" => because("its object is gone from the store"),
        "not_removed" => "the store does not remove its object; it is tried again, later each time".to_owned(),
        "object_lost" => because("its object is not what was stored; the clip starts over"),
        "damaged" => because("its stored bytes are damaged"),
        "links_revoked" => with("all links to it were revoked", detail),
        "shared" => "these bytes were stored before: one object serves both clips".to_owned(),
        "unshared" => "it has an object of its own from now on".to_owned(),
        "spared" => "its object stays, other clips refer to it".to_owned(),
        "at_risk" => because("at risk, the time of its source runs out"),
        other => {
            let text = because(&other.replace('_', " "));
            entry.bytes.map_or_else(|| text.clone(), |bytes| format!("{text} ({})", size(bytes)))
        }
    }
}

fn with(text: &str, detail: Option<&str>) -> String {
    detail.map_or_else(|| text.to_owned(), |detail| format!("{text} ({detail})"))
}

/// `node, attempt 3`, as the queue writes it; or what [`without_node`] left of that.
fn began(detail: Option<&str>) -> String {
    match detail.and_then(|detail| detail.rsplit_once("attempt ")) {
        Some(("", number)) => format!("attempt {number} began"),
        Some((node, number)) => format!("attempt {number} began on {}", node.trim_end_matches(", ")),
        None => with("an attempt began", detail),
    }
}

/// The line as a tenant may read it: what our nodes are called is our affair.
pub fn without_node(entry: HistoryEntry) -> HistoryEntry {
    if entry.event != "claimed" {
        return entry;
    }
    let number = entry.detail.as_deref().and_then(|detail| detail.rsplit_once(", attempt "));
    let detail = number.map(|(_, number)| format!("attempt {number}"));
    HistoryEntry { detail, ..entry }
}

/// How word of a clip in this slot came, as the end of a line's detail; `was` is
/// where its generation stood before.
pub fn describe_origin(origin: Origin, slot: &str, was: Option<GenerationStatus>) -> String {
    match origin {
        Origin::Webhook => "; by its webhook".to_owned(),
        Origin::Poll if was == Some(GenerationStatus::ResultMissing) => {
            "; asked for at the provider, as its webhook lacked the result".to_owned()
        }
        Origin::Poll => "; asked for at the provider, as no webhook came".to_owned(),
        Origin::Proxy => "; by its result, as the app asked for it through the proxy".to_owned(),
        Origin::Import => match slot.rsplit_once('/') {
            Some((_, line)) => format!("; imported (line {line})"),
            None => "; imported".to_owned(),
        },
        Origin::Reread => "; by a result that was kept unread until then".to_owned(),
        // The line's own word says so.
        Origin::Store | Origin::Nobody => String::new(),
    }
}

/// Who fills a clip, and until when that holds.
pub type Held<'a> = Option<(&'a str, Timestamp)>;

/// What will happen next, as things stand at `now`; `last` is the last line of
/// its history.
pub fn next(clip: &Clip, last: Option<&HistoryEntry>, held: Held<'_>, final_url: &str, now: Timestamp) -> String {
    match clip.state {
        ClipState::Stored if last.is_some_and(|last| is_damage(last, clip)) => {
            if !clip.source_url.has_url() {
                "damaged, and there is no other copy; put back as it was, it is right again".to_owned()
            } else {
                format!("damaged: `clipkeep verify {} --mend` fills it again from its source", clip.key)
            }
        }
        ClipState::Stored => format!("served from {final_url}"),
        ClipState::Filling => match held {
            Some((node, until)) if until > now => {
                format!("{node} fills it; its lease holds until {until} and is renewed while it works")
            }
            _ => "the lease ran out; whoever looks next goes on".to_owned(),
        },
        ClipState::Waiting => match clip.due_at {
            None => "filled when its first viewer comes".to_owned(),
            Some(due) if due <= now => "due now; the next free node fills it".to_owned(),
            Some(due) => format!("due at {due}, in {}", span(due.since(now))),
        },
        ClipState::Lost | ClipState::Rejected => format!(
            "not tried again, unless its webhook comes once more, or by `clipkeep sweep --retry {}`",
            clip.state
        ),
        ClipState::Deleted => "gone for good; viewers get 410".to_owned(),
    }
}

/// Whether the line says that the bytes are damaged, and they were not found
/// right since.
fn is_damage(line: &HistoryEntry, clip: &Clip) -> bool {
    line.event == "damaged" && clip.verified_at.is_none_or(|verified| verified <= line.at)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn told(event: &str, detail: Option<&str>, bytes: Option<u64>) -> String {
        let (event, detail) = (event.to_owned(), detail.map(str::to_owned));
        describe(&HistoryEntry { at: Timestamp::from_secs(0), event, detail, bytes })
    }

    #[test]
    fn every_word_has_a_sentence_of_its_own() {
        for word in EVENTS {
            let bare = told(word, None, None);
            assert_ne!(bare, word.replace('_', " "), "{word}");
            assert!(!bare.contains("  ") && !bare.ends_with([':', ' ', '(']), "{bare}");
        }
    }

    #[test]
    fn sentences_carry_reasons_and_bytes() {
        assert_eq!(told("claimed", Some("host:7, attempt 2"), None), "attempt 2 began on host:7");
        assert_eq!(
            told("retry", Some("http_503"), Some(1536)),
            "the attempt failed, to be tried again: http_503 (1.5 KiB read from the source)"
        );
        assert_eq!(
            told("lost", Some("http_404"), Some(0)),
            "lost, the source is gone: http_404 (nothing read from the source)"
        );
        assert_eq!(told("sealed", None, Some(10)), "all bytes are here and were checked: 10 B");
        assert_eq!(told("received", Some("video, eager"), None), "clipkeep heard of the clip: video, eager");
    }

    pub(crate) fn clip(state: ClipState, due_at: Option<Timestamp>) -> Clip {
        Clip {
            key: "r.mp4".parse().unwrap(),
            was_key: None,
            provider: crate::id::Provider::fal(),
            request_id: "r".parse().unwrap(),
            index: 0,
            slot: String::new(),
            state,
            policy: crate::policy::Policy::Eager,
            source_url: crate::secret::SourceUrl::new("https://v3.fal.media/a.mp4"),
            source_expires_at: None,
            facts: crate::generation::Facts::default(),
            kind: crate::generation::Kind::Video,
            content_type: "video/mp4".into(),
            sealed: None,
            epoch: 1,
            created_at: Timestamp::from_secs(0),
            stored_at: None,
            due_at,
            attempts: 0,
            version: None,
            view: None,
            served_type: None,
            misses: 0,
            vanished: 0,
            returned: 0,
            last_error: None,
            restarted_at: None,
            verified_at: None,
            link_generation: 0,
            object_key: None,
            poster: crate::generation::Poster::Untried,
        }
    }

    #[test]
    fn what_comes_next_is_told_for_every_state() {
        let at = |secs: i64| Timestamp::from_secs(1_800_000_000 + secs);
        let told = |state, due, held| next(&clip(state, due), None, held, "https://clips.example/r.mp4", at(0));
        assert_eq!(told(ClipState::Stored, None, None), "served from https://clips.example/r.mp4");
        assert_eq!(told(ClipState::Waiting, None, None), "filled when its first viewer comes");
        assert_eq!(told(ClipState::Waiting, Some(at(0)), None), "due now; the next free node fills it");
        assert_eq!(told(ClipState::Waiting, Some(at(90)), None), "due at 2027-01-15T08:01:30.000Z, in 1 min 30 s");
        let held = told(ClipState::Filling, None, Some(("node7", at(60))));
        assert!(held.starts_with("node7 fills it; its lease holds until 2027-01-15T08:01:00.000Z"), "{held}");
        assert!(told(ClipState::Filling, None, Some(("node7", at(0)))).starts_with("the lease ran out"));
        for over in [ClipState::Lost, ClipState::Rejected, ClipState::Deleted] {
            assert!(!told(over, None, None).contains("http"), "{over}");
        }
    }

    #[test]
    fn an_attempt_names_its_node_to_admins_alone() {
        let entry = |detail: Option<&str>| HistoryEntry {
            at: Timestamp::from_secs(1),
            event: "claimed".to_owned(),
            detail: detail.map(str::to_owned),
            bytes: None,
        };
        for (detail, whole, tenants) in [
            (Some("node-7, attempt 3"), "attempt 3 began on node-7", "attempt 3 began"),
            (Some("a, attempt 9, attempt 3"), "attempt 3 began on a, attempt 9", "attempt 3 began"),
            (Some("node-7"), "an attempt began (node-7)", "an attempt began"),
            (None, "an attempt began", "an attempt began"),
        ] {
            assert_eq!(describe(&entry(detail)), whole);
            assert_eq!(describe(&without_node(entry(detail))), tenants);
        }
    }

    #[test]
    fn a_damaged_clip_is_not_said_to_be_served_until_it_is_found_right() {
        let (event, at) = ("damaged".to_owned(), Timestamp::from_secs(100));
        let line = HistoryEntry { at, event, detail: None, bytes: None };
        let mut clip = clip(ClipState::Stored, None);
        let told = |clip: &Clip| next(clip, Some(&line), None, "https://clips.example/r.mp4", at);
        assert_eq!(told(&clip), "damaged: `clipkeep verify r.mp4 --mend` fills it again from its source");
        clip.verified_at = Some(Timestamp::from_secs(50));
        assert!(told(&clip).starts_with("damaged"));
        clip.verified_at = Some(Timestamp::from_secs(101));
        assert!(told(&clip).starts_with("served"));
        clip.verified_at = None;
        clip.source_url = crate::secret::SourceUrl::own_store(&clip.key);
        assert!(told(&clip).contains("no other copy"));
    }

    #[test]
    fn how_a_clip_was_heard_of_is_told() {
        let told = |origin, was| describe_origin(origin, "/imports/0a1b/12", was);
        assert_eq!(told(Origin::Webhook, None), "; by its webhook");
        assert!(told(Origin::Poll, Some(GenerationStatus::Pending)).ends_with("as no webhook came"));
        assert!(told(Origin::Poll, Some(GenerationStatus::ResultMissing)).ends_with("lacked the result"));
        assert!(told(Origin::Proxy, None).ends_with("through the proxy"));
        assert_eq!(told(Origin::Import, None), "; imported (line 12)");
        assert_eq!(told(Origin::Store, None), "");
    }

    #[test]
    fn unknown_words_still_read_well() {
        assert_eq!(told("read_again", Some("checksum fits"), Some(1024)), "read again: checksum fits (1.0 KiB)");
        assert_eq!(told("verified", None, None), "verified");
    }
}
