//! Webhooks and registrations.

use clipkeep::catalog::{
    CatalogError, HookOutcome, Quota,
    open::{Database, Rules},
};
use clipkeep_core::{
    generation::Facts,
    policy::{Policies, Policy, PolicyRule},
    secret::SourceUrl,
    state::{ClipState, GenerationStatus},
};
use serde_json::json;

use super::{Bed, HOUR, at, clip, ended, hook, id, key, new_clip, on_both, registration, story};

on_both![
    a_webhook_becomes_a_generation_a_due_clip_and_a_line_of_history,
    case_29_one_hundred_duplicates_in_parallel_are_one_clip,
    case_29_duplicates_in_one_batch_are_one_clip,
    case_30_facts_merge_whichever_came_first,
    case_30_what_was_said_first_stays,
    a_prompt_travels_with_its_own_hash,
    a_late_registration_moves_a_fill_that_has_not_started,
    case_32_a_changed_source_starts_the_clip_over,
    case_32_a_changed_source_does_not_touch_a_stored_clip,
    case_32_several_clips_of_one_webhook_each_have_a_row,
    status_moves_by_rank_only,
    a_key_of_another_provider_is_refused_and_nothing_of_its_batch_stays,
    the_older_of_two_generations_with_one_id_is_found,
    policies_come_from_the_merged_facts,
    under_hash_only_no_prompt_is_written,
    odd_text_is_kept_as_far_as_it_can_be,
];

fn recorded(keys: &[&str]) -> HookOutcome {
    HookOutcome::Recorded { clips: keys.iter().map(|text| key(text)).collect() }
}

async fn a_webhook_becomes_a_generation_a_due_clip_and_a_line_of_history(bed: Bed) {
    let catalog = bed.open().await;
    let mut webhook = hook("r");
    webhook.facts = Facts {
        model: Some("fal-ai/veo3".into()),
        prompt: Some("a fox".into()),
        prompt_hash: Some("h".into()),
        tenant: Some("acme".parse().unwrap()),
        policy: None,
        input: Some(json!({"prompt": "a fox", "n": 1.5}).into()),
        seed: Some(i64::MAX.into()),
        public: Some(true),
    };
    webhook.clips[0].source_expires_at = Some(at(HOUR));
    assert_eq!(catalog.record_hooks(std::slice::from_ref(&webhook)).await.unwrap(), [recorded(&["r.mp4"])]);

    let generation = catalog.generation(&id("r")).await.unwrap().unwrap();
    assert_eq!(generation.facts, webhook.facts);
    assert_eq!((generation.status, generation.completed_at), (GenerationStatus::Completed, Some(at(0))));
    let clip = clip(&*catalog, "r").await;
    assert_eq!(clip.facts, webhook.facts);
    assert_eq!((clip.state, clip.policy, clip.attempts, clip.epoch), (ClipState::Waiting, Policy::Eager, 0, 1));
    assert_eq!((clip.created_at, clip.due_at, clip.source_expires_at), (at(0), Some(at(0)), Some(at(HOUR))));
    assert_eq!(clip.source_url.expose(), "https://source.example/r/0.mp4");
    assert_eq!((clip.sealed, clip.stored_at, clip.last_error), (None, None, None));
    let history = catalog.history(&key("r.mp4")).await.unwrap();
    assert_eq!((history.len(), history[0].at, history[0].event.as_str()), (1, at(0), "received"));
    assert_eq!(catalog.count_by_state().await.unwrap(), [(ClipState::Waiting, 1)]);
    catalog.ping().await.unwrap();
}

async fn case_29_one_hundred_duplicates_in_parallel_are_one_clip(bed: Bed) {
    let nodes = [bed.open().await, bed.open().await];
    let sent = (0..100).map(|n| {
        let catalog = nodes[n % 2].clone();
        tokio::spawn(async move { catalog.record_hooks(&[hook("r")]).await })
    });
    let mut outcomes = Vec::new();
    for sent in sent.collect::<Vec<_>>() {
        outcomes.extend(sent.await.unwrap().unwrap());
    }
    let new = outcomes.iter().filter(|outcome| **outcome == recorded(&["r.mp4"])).count();
    assert_eq!((new, outcomes.len()), (1, 100));
    assert_eq!(nodes[0].count_by_state().await.unwrap(), [(ClipState::Waiting, 1)]);
    assert_eq!(story(&*nodes[0], "r").await, ["received"]);
}

async fn case_29_duplicates_in_one_batch_are_one_clip(bed: Bed) {
    let catalog = bed.open().await;
    let outcomes = catalog.record_hooks(&[hook("a"), hook("b"), hook("a")]).await.unwrap();
    assert_eq!(outcomes, [recorded(&["a.mp4"]), recorded(&["b.mp4"]), HookOutcome::Duplicate]);
    assert_eq!(catalog.record_hooks(&[hook("b")]).await.unwrap(), [HookOutcome::Duplicate]);
}

async fn case_30_facts_merge_whichever_came_first(bed: Bed) {
    let catalog = bed.open().await;
    let told = Facts { model: Some("m".into()), tenant: Some("t".parse().unwrap()), ..Facts::default() };
    let delivered = Facts { seed: Some(7_i64.into()), ..Facts::default() };
    let both = Facts { seed: Some(7_i64.into()), ..told.clone() };
    for (request_id, register_first) in [("first", true), ("last", false)] {
        let webhook = [clipkeep_core::generation::HookRecord { facts: delivered.clone(), ..hook(request_id) }];
        if !register_first {
            catalog.record_hooks(&webhook).await.unwrap();
        }
        let registered = catalog.register(&registration(request_id, told.clone())).await.unwrap();
        assert_eq!(registered.facts.model, told.model);
        if register_first {
            assert_eq!(registered.status, GenerationStatus::Pending);
            assert_eq!(catalog.record_hooks(&webhook).await.unwrap(), [recorded(&["first.mp4"])]);
        }
        let generation = catalog.generation(&id(request_id)).await.unwrap().unwrap();
        assert_eq!((generation.status, &generation.facts), (GenerationStatus::Completed, &both));
        assert_eq!(clip(&*catalog, request_id).await.facts, both);
        let filter = clipkeep::catalog::ClipFilter {
            request_id: Some(id(request_id)),
            model: Some("m".into()),
            tenant: Some("t".parse().unwrap()),
            ..Default::default()
        };
        assert_eq!(catalog.clips(&filter, None, 10).await.unwrap().clips.len(), 1, "{request_id}");
    }
    assert_eq!(story(&*catalog, "first").await, ["registered", "received"]);
    assert_eq!(story(&*catalog, "last").await, ["received", "registered"]);
}

async fn case_30_what_was_said_first_stays(bed: Bed) {
    let catalog = bed.open().await;
    let first = Facts { model: Some("m".into()), public: Some(false), ..Facts::default() };
    let other = Facts { model: Some("n".into()), public: Some(true), seed: Some(1_i64.into()), ..Facts::default() };
    catalog.register(&registration("r", first.clone())).await.unwrap();
    let merged = catalog.register(&registration("r", other.clone())).await.unwrap();
    assert_eq!(merged.facts, Facts { seed: Some(1_i64.into()), ..first });
    assert_eq!(catalog.register(&registration("r", other)).await.unwrap(), merged);
}

async fn a_prompt_travels_with_its_own_hash(bed: Bed) {
    let catalog = bed.open().await;
    let facts = |prompt: Option<&str>, hash: Option<&str>| Facts {
        prompt: prompt.map(Into::into),
        prompt_hash: hash.map(Into::into),
        ..Facts::default()
    };
    catalog.register(&registration("r", facts(None, Some("fox")))).await.unwrap();
    let other = catalog.register(&registration("r", facts(Some("a cat"), Some("cat")))).await.unwrap();
    assert_eq!(other.facts, facts(None, Some("fox")));
    let own = catalog.register(&registration("r", facts(Some("a fox"), Some("fox")))).await.unwrap();
    assert_eq!(own.facts, facts(Some("a fox"), Some("fox")));
}

async fn a_late_registration_moves_a_fill_that_has_not_started(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("untouched"), hook("begun")]).await.unwrap();
    let lease = catalog.claim(&key("begun.mp4"), &"n".into(), at(1), std::time::Duration::from_secs(9)).await;
    let lease = lease.unwrap().unwrap().lease;
    let on_demand = Facts { policy: Some(Policy::OnDemand), ..Facts::default() };
    for request_id in ["untouched", "begun"] {
        catalog.register(&registration(request_id, on_demand.clone())).await.unwrap();
        assert_eq!(clip(&*catalog, request_id).await.policy, Policy::OnDemand);
    }
    assert_eq!(clip(&*catalog, "untouched").await.due_at, None);
    assert_eq!(catalog.next_due().await.unwrap(), Some(at(10)));
    catalog.renew(&lease, at(20), 0).await.unwrap();
    assert_eq!(catalog.next_due().await.unwrap(), Some(at(20)));
}

async fn case_32_a_changed_source_starts_the_clip_over(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    let lease = std::time::Duration::from_secs(60);
    let old = catalog.claim(&key("r.mp4"), &"n".into(), at(1), lease).await.unwrap().unwrap().lease;
    let mut again = hook("r");
    again.received_at = at(2);
    again.clips[0].source_url = SourceUrl::new("https://source.example/other.mp4");
    assert_eq!(catalog.record_hooks(std::slice::from_ref(&again)).await.unwrap(), [recorded(&["r.mp4"])]);
    assert_eq!(catalog.record_hooks(std::slice::from_ref(&again)).await.unwrap(), [HookOutcome::Duplicate]);

    let row = clip(&*catalog, "r").await;
    assert_eq!(row.source_url.expose(), "https://source.example/other.mp4");
    assert_eq!((row.state, row.attempts, row.epoch, row.due_at), (ClipState::Waiting, 0, 2, Some(at(2))));
    assert!(matches!(catalog.mark_stored(&old, ended(at(3))).await, Err(CatalogError::LeaseLost { .. })));
    let claims = catalog.claim_due(&"n".into(), at(3), lease, Quota::halves(10)).await.unwrap();
    assert!(claims[0].lease.fence > old.fence);
    assert_eq!(story(&*catalog, "r").await, ["received", "claimed", "source_replaced", "claimed"]);

    catalog.mark_lost(&claims[0].lease, ended(at(4)), "gone").await.unwrap();
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    let row = clip(&*catalog, "r").await;
    assert_eq!((row.state, row.last_error), (ClipState::Waiting, None));
}

async fn case_32_a_changed_source_does_not_touch_a_stored_clip(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    super::queue::store(&*catalog, "r").await;
    let before = clip(&*catalog, "r").await;
    let mut again = hook("r");
    again.clips[0].source_url = SourceUrl::new("https://source.example/other.mp4");
    assert_eq!(catalog.record_hooks(&[again]).await.unwrap(), [HookOutcome::Duplicate]);
    assert_eq!(clip(&*catalog, "r").await, before);
}

async fn case_32_several_clips_of_one_webhook_each_have_a_row(bed: Bed) {
    let catalog = bed.open().await;
    let mut webhook = hook("r");
    webhook.clips.extend([new_clip("r", 1), new_clip("r", 2)]);
    assert_eq!(catalog.record_hooks(&[webhook]).await.unwrap(), [recorded(&["r.mp4", "r.1.mp4", "r.2.mp4"])]);
    assert_eq!(catalog.clip(&key("r.2.mp4")).await.unwrap().unwrap().index, 2);
}

async fn status_moves_by_rank_only(bed: Bed) {
    use GenerationStatus::{Completed, Failed, ResultMissing};
    let catalog = bed.open().await;
    for (status, error, expected, kept) in [
        (ResultMissing, Some("no payload"), ResultMissing, Some("no payload")),
        (Failed, Some("failed"), Failed, Some("failed")),
        (ResultMissing, Some("late"), Failed, Some("failed")),
        (Completed, None, Completed, None),
        (Failed, Some("late"), Completed, None),
    ] {
        let mut webhook = hook("r");
        (webhook.status, webhook.error, webhook.clips) = (status, error.map(Into::into), Vec::new());
        catalog.record_hooks(&[webhook]).await.unwrap();
        let generation = catalog.generation(&id("r")).await.unwrap().unwrap();
        assert_eq!((generation.status, generation.error.as_deref()), (expected, kept), "after {status}");
    }
}

async fn a_key_of_another_provider_is_refused_and_nothing_of_its_batch_stays(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    let mut other = hook("r");
    other.provider = "replicate".parse().unwrap();
    for batch in [[hook("x"), other.clone()], [other, hook("x")]] {
        let refused = catalog.record_hooks(&batch).await;
        assert!(matches!(refused, Err(CatalogError::KeyTaken { .. })), "{refused:?}");
        assert_eq!(catalog.generation(&id("x")).await.unwrap(), None);
    }
}

async fn the_older_of_two_generations_with_one_id_is_found(bed: Bed) {
    let catalog = bed.open().await;
    for (provider, secs) in [("a", 2), ("b", 1)] {
        let mut one = registration("r", Facts::default());
        (one.provider, one.at) = (provider.parse().unwrap(), at(secs));
        catalog.register(&one).await.unwrap();
    }
    assert_eq!(catalog.generation(&id("r")).await.unwrap().unwrap().provider.as_str(), "b");
}

async fn policies_come_from_the_merged_facts(bed: Bed) {
    let slow = PolicyRule { model: Some("slow*".into()), tenant: None, policy: Policy::Deferred };
    let policies = Policies { rules: vec![slow], ..Policies::default() };
    let catalog = bed.open_with(Rules { policies, ..Rules::default() }).await;
    let model = Facts { model: Some("slow-1".into()), ..Facts::default() };
    catalog.register(&registration("deferred", model.clone())).await.unwrap();
    let own = Facts { policy: Some(Policy::OnDemand), ..model };
    catalog.register(&registration("on-demand", own)).await.unwrap();
    catalog.record_hooks(&[hook("deferred"), hook("on-demand"), hook("eager")]).await.unwrap();
    for (request_id, policy, due) in [
        ("deferred", Policy::Deferred, Some(at(24 * HOUR))),
        ("on-demand", Policy::OnDemand, None),
        ("eager", Policy::Eager, Some(at(0))),
    ] {
        let row = clip(&*catalog, request_id).await;
        assert_eq!((row.policy, row.due_at), (policy, due));
    }
}

async fn under_hash_only_no_prompt_is_written(bed: Bed) {
    let catalog = bed.hash_only().await;
    let facts = Facts {
        prompt: Some("a secret fox".into()),
        prompt_hash: Some("h".into()),
        input: Some(json!({"prompt": "a secret fox"}).into()),
        ..Facts::default()
    };
    catalog.register(&registration("r", facts.clone())).await.unwrap();
    catalog.record_hooks(&[clipkeep_core::generation::HookRecord { facts, ..hook("r") }]).await.unwrap();
    let kept = Facts { prompt_hash: Some("h".into()), ..Facts::default() };
    assert_eq!(clip(&*catalog, "r").await.facts, kept);
}

async fn odd_text_is_kept_as_far_as_it_can_be(bed: Bed) {
    let catalog = bed.open().await;
    let mut webhook = hook("r");
    webhook.error = Some("nul \0".into());
    webhook.facts = Facts {
        model: Some("ä".repeat(5000)),
        prompt: Some("nul \0 \u{1f98a} \" \\ '".into()),
        input: Some(json!({"a": "nul \0", "b": [1, {"c": null}]}).into()),
        ..Facts::default()
    };
    webhook.clips[0].slot = "/nul\0".into();
    catalog.record_hooks(std::slice::from_ref(&webhook)).await.unwrap();
    let row = clip(&*catalog, "r").await;
    assert_eq!(row.facts.prompt.as_deref(), Some("nul \u{fffd} \u{1f98a} \" \\ '"));
    assert_eq!(row.facts.input, webhook.facts.input);
    assert_eq!(row.facts.model.unwrap().len(), 1024);
    assert_eq!(catalog.record_hooks(&[webhook]).await.unwrap(), [HookOutcome::Duplicate]);
}

/// Another node's commit lands between our looking and our writing.
#[tokio::test]
async fn case_29_a_duplicate_that_another_node_commits_meanwhile_is_a_duplicate() {
    let bed = Bed::postgres().await;
    let catalog = bed.open().await;
    let Database::Postgres(url) = &bed.database else { panic!("not PostgreSQL") };
    let other = crate::support::postgres::connect(url.expose()).await;
    let commit = "BEGIN; INSERT INTO generations (provider, request_id, status, created_at, completed_at)
            VALUES ('fal', 'r', 'completed', 1, 1);
        INSERT INTO clips (key, provider, request_id, idx, slot, source_url, kind, content_type, state, policy,
            epoch, created_at, queued, fence, attempts)
            VALUES ('r.mp4', 'fal', 'r', 0, '/videos/0', 'https://source.example/r/0.mp4', 'video', 'video/mp4',
            'waiting', 'eager', 1, 1, FALSE, 0, 0)";
    other.batch_execute(commit).await.unwrap();
    let ours = tokio::spawn(async move { catalog.record_hooks(&[hook("r")]).await });
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while other.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(!ours.is_finished(), "it did not wait for the other node");
        // Statistics stand still within a transaction unless told otherwise.
        other.batch_execute("SELECT pg_stat_clear_snapshot()").await.unwrap();
    }
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(ours.await.unwrap().unwrap(), [HookOutcome::Duplicate]);
}
