//! Results that were not understood, and outputs whose names are known.

use std::sync::Arc;

use clipkeep::catalog::{Catalog, HookOutcome};
use clipkeep_core::{
    event::EventType,
    generation::{Facts, HookRecord, NewClip, Origin},
    hook::{Form, Unread},
    id::Provider,
    secret::SourceUrl,
    state::GenerationStatus,
};
use serde_json::json;

use super::{Bed, HOUR, at, hook, id, key, new_clip, on_both, registration};

on_both![
    a_result_that_is_not_understood_is_kept_told_once_and_goes_when_it_is,
    only_what_may_be_said_better_is_asked_for,
    without_prompts_nothing_of_one_is_kept_unread,
    what_is_kept_unread_is_erased_with_the_last_clip,
    k12_outputs_keep_their_names_and_echoes_get_none,
    k16_an_inline_clip_is_due_at_once_whatever_its_policy,
];

fn unread(request_id: &str, body: &str) -> HookRecord {
    let unread = Unread::new("/video has no valid URL", Form::Webhook, &body.to_owned().into());
    HookRecord {
        status: GenerationStatus::Unreadable,
        error: Some(unread.why.clone()),
        clips: Vec::new(),
        unread: Some(Arc::new(unread)),
        ..hook(request_id)
    }
}

async fn kept(catalog: &dyn Catalog, request_id: &str) -> Option<Vec<u8>> {
    let found = catalog.unread(&Provider::fal(), &id(request_id)).await.unwrap();
    found.and_then(|(_, payload)| payload)
}

async fn status(catalog: &dyn Catalog, request_id: &str) -> GenerationStatus {
    catalog.generation(&id(request_id)).await.unwrap().unwrap().status
}

async fn a_result_that_is_not_understood_is_kept_told_once_and_goes_when_it_is(bed: Bed) {
    let catalog = bed.open().await;
    let before = catalog.last_event().await.unwrap();
    let said = unread("r", "\u{1}{\"x\": NaN}");
    assert!(matches!(
        catalog.record_hooks(std::slice::from_ref(&said)).await.unwrap()[..],
        [HookOutcome::Recorded { .. }]
    ));
    assert_eq!(catalog.record_hooks(&[said]).await.unwrap(), [HookOutcome::Duplicate]);
    assert_eq!(status(&*catalog, "r").await, GenerationStatus::Unreadable);
    assert_eq!(kept(&*catalog, "r").await.unwrap(), b"\x01{\"x\": NaN}");
    let rows = catalog.unreads(None, None, 10).await.unwrap();
    assert_eq!((rows.len(), rows[0].len, rows[0].kept, rows[0].form), (1, 11, Some(11), Form::Webhook));
    assert_eq!(catalog.unreads(None, Some(&rows[0].cursor()), 10).await.unwrap(), []);
    // Another database's long transaction on the same server holds events up.
    let mut told = Vec::new();
    let began = tokio::time::Instant::now();
    while told.is_empty() && began.elapsed() < crate::support::eventually::PATIENCE {
        told = catalog.events(before, 10).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let told: Vec<_> = told.iter().map(|(_, event)| (event.kind, event.reason())).collect();
    assert_eq!(told, [(EventType::GenerationUnreadable, Some("/video has no valid URL".to_owned()))]);
    // A failure does not hide it, nor the other way round; a result does away with it.
    let failed = HookRecord { status: GenerationStatus::Failed, clips: Vec::new(), ..hook("r") };
    catalog.record_hooks(&[failed]).await.unwrap();
    assert_eq!((status(&*catalog, "r").await, kept(&*catalog, "r").await), (GenerationStatus::Failed, None));
    catalog.record_hooks(&[unread("r", "{}")]).await.unwrap();
    assert_eq!(status(&*catalog, "r").await, GenerationStatus::Unreadable);
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    assert_eq!((status(&*catalog, "r").await, kept(&*catalog, "r").await), (GenerationStatus::Completed, None));
    catalog.record_hooks(&[unread("r", "{}")]).await.unwrap();
    assert_eq!((status(&*catalog, "r").await, kept(&*catalog, "r").await), (GenerationStatus::Completed, None));
    assert_eq!(catalog.unreads(None, None, 10).await.unwrap(), []);
}

async fn only_what_may_be_said_better_is_asked_for(bed: Bed) {
    let catalog = bed.open().await;
    let known = Facts { model: Some("fal-ai/veo3".to_owned()), ..Facts::default() };
    let told = HookRecord { facts: known, ..unread("told", "{}") };
    let mut asked = HookRecord { request_id: id("asked"), ..told.clone() };
    asked.unread =
        Some(Arc::new(Unread::new("no JSON", Form::Webhook, &bytes::Bytes::from_static(b"{")).to_be_asked()));
    catalog.record_hooks(&[told, asked.clone()]).await.unwrap();
    let claimed = catalog.claim_polls(at(0), at(HOUR), 10).await.unwrap();
    let claimed: Vec<_> = claimed.iter().map(|poll| poll.generation.request_id.as_str()).collect();
    assert_eq!(claimed, ["asked"]);
    // The provider says no better: it is not asked again.
    let answer = Unread::new("still none", Form::Result, &bytes::Bytes::from_static(b"[]"));
    let answer = HookRecord { unread: Some(Arc::new(answer)), origin: Origin::Poll, ..asked };
    catalog.record_hooks(&[answer]).await.unwrap();
    assert_eq!(kept(&*catalog, "asked").await.unwrap(), b"[]");
    assert!(catalog.claim_polls(at(9 * HOUR), at(10 * HOUR), 10).await.unwrap().is_empty());
}

async fn without_prompts_nothing_of_one_is_kept_unread(bed: Bed) {
    let catalog = bed.hash_only().await;
    let body = r#"{"request_id": "r", "status": "OK", "payload": {"prompt": "a fox", "video": {"url": "gs://b/a"}}}"#;
    catalog.record_hooks(&[unread("r", body), unread("s", "a fox")]).await.unwrap();
    let text = String::from_utf8(kept(&*catalog, "r").await.unwrap()).unwrap();
    assert!(!text.contains("fox") && text.contains("gs://b/a") && text.contains("OK"), "{text}");
    assert_eq!(kept(&*catalog, "s").await.unwrap(), b"");
}

async fn what_is_kept_unread_is_erased_with_the_last_clip(bed: Bed) {
    let catalog = bed.open().await;
    let half = HookRecord { clips: vec![new_clip("r", 0)], ..unread("r", "{\"prompt\": \"a fox\"}") };
    catalog.record_hooks(&[half, unread("alone", "{}")]).await.unwrap();
    catalog.delete(&key("r.mp4"), at(1), at(2), "asked for").await.unwrap();
    let rows = catalog.unreads(None, None, 10).await.unwrap();
    let kept: Vec<_> = rows.iter().map(|row| (row.request_id.as_str(), row.kept)).collect();
    assert_eq!(kept, [("alone", Some(2)), ("r", None)]);
    catalog.erase_unread(&Provider::fal(), &id("alone")).await.unwrap();
    assert!(catalog.unreads(None, None, 10).await.unwrap().iter().all(|row| row.kept.is_none()));
}

fn output(request_id: &str, index: u32, slot: &str, url: &str) -> NewClip {
    NewClip { slot: slot.to_owned(), source_url: SourceUrl::new(url), ..new_clip(request_id, index) }
}

async fn k12_outputs_keep_their_names_and_echoes_get_none(bed: Bed) {
    let catalog = bed.open().await;
    let (video, mask) = ("https://h.example/v.mp4", "https://h.example/m.mp4");
    // As an older version numbered them.
    let old =
        HookRecord { clips: vec![output("r", 0, "/mask_video", mask), output("r", 1, "/video", video)], ..hook("r") };
    catalog.record_hooks(&[old]).await.unwrap();
    let new = HookRecord {
        clips: vec![output("r", 0, "/video", video), output("r", 1, "/mask_video", mask)],
        origin: Origin::Poll,
        ..hook("r")
    };
    assert_eq!(catalog.record_hooks(std::slice::from_ref(&new)).await.unwrap(), [HookOutcome::Duplicate]);
    let more = HookRecord {
        clips: [vec![output("r", 0, "/final", "https://h.example/f.mp4")], new.clips].concat(),
        ..hook("r")
    };
    let more = catalog.record_hooks(&[more]).await.unwrap();
    assert_eq!(more, [HookOutcome::Recorded { clips: vec![key("r.2.mp4")] }]);
    // What was put in is no output, whoever told of the input, and neither is a clip of ours.
    let input = json!({"video_url": mask});
    catalog.register(&registration("s", Facts { input: Some(input.into()), ..Facts::default() })).await.unwrap();
    let echo = HookRecord { clips: vec![output("s", 0, "/a", mask), output("s", 1, "/b", video)], ..hook("s") };
    let told = catalog.record_hooks(&[echo]).await.unwrap();
    assert_eq!(told, [HookOutcome::Recorded { clips: vec![key("s.mp4")] }]);
    let clip = catalog.clip(&key("s.mp4")).await.unwrap().unwrap();
    assert_eq!((clip.slot.as_str(), clip.source_url.expose()), ("/b", video));
}

async fn k16_an_inline_clip_is_due_at_once_whatever_its_policy(bed: Bed) {
    let catalog = bed.open().await;
    let sha256 = "ab".repeat(32);
    let mut told = hook("r");
    told.facts.policy = Some(clipkeep_core::policy::Policy::OnDemand);
    told.clips[0].source_url = SourceUrl::inline(&sha256);
    catalog.record_hooks(&[told.clone()]).await.unwrap();
    let clip = catalog.clip(&key("r.mp4")).await.unwrap().unwrap();
    assert_eq!((clip.due_at, clip.source_expires_at), (Some(at(0)), None));
    assert_eq!(catalog.inlines().await.unwrap(), [(Provider::fal(), id("r"), format!("inline:{sha256}"))]);
    // A URL for it does not take the place of bytes that are here.
    told.clips[0].source_url = SourceUrl::new("https://h.example/v.mp4");
    assert_eq!(catalog.record_hooks(&[told]).await.unwrap(), [HookOutcome::Duplicate]);
}
