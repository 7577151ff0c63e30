//! Asking for generations whose webhook never came.

use std::{collections::HashSet, time::Duration};

use clipkeep::catalog::{Fault, polls::Poll};
use clipkeep_core::{
    generation::{Facts, HookRecord},
    state::GenerationStatus,
};

use super::{Bed, HOUR, at, hook, id, on_both, registration};

on_both![
    a_registered_generation_is_asked_for_after_a_while_and_not_before,
    an_end_clears_the_poll,
    case_32_a_webhook_without_its_result_is_asked_for_at_once,
    a_model_that_is_known_later_makes_it_askable,
    what_leads_nowhere_is_counted_and_not_asked_for,
    two_nodes_never_ask_for_the_same,
    who_asks_late_changes_nothing,
    a_hold_that_runs_out_is_asked_for_again,
];

fn facts(model: &str) -> Facts {
    Facts { model: Some(model.to_owned()), ..Facts::default() }
}

fn missing(request_id: &str, model: Option<&str>) -> HookRecord {
    HookRecord {
        status: GenerationStatus::ResultMissing,
        clips: Vec::new(),
        facts: model.map(facts).unwrap_or_default(),
        received_at: at(5),
        ..hook(request_id)
    }
}

fn ids(polls: &[Poll]) -> Vec<&str> {
    polls.iter().map(|poll| poll.generation.request_id.as_str()).collect()
}

async fn a_registered_generation_is_asked_for_after_a_while_and_not_before(bed: Bed) {
    let catalog = bed.open().await;
    let told = catalog.register(&registration("r", facts("fal-ai/veo3"))).await.unwrap();
    assert_eq!(told.poll_at, Some(at(60)));
    assert!(catalog.claim_polls(at(59), at(200), 10).await.unwrap().is_empty());
    assert_eq!(catalog.pending_counts(at(60)).await.unwrap().polls, 1);
    let polls = catalog.claim_polls(at(60), at(200), 10).await.unwrap();
    assert_eq!((ids(&polls), polls[0].polls, polls[0].misses), (vec!["r"], 1, 0));
    assert_eq!(polls[0].generation.facts.model.as_deref(), Some("fal-ai/veo3"));
    catalog.poll_later(&polls[0], at(90), None, None).await.unwrap();
    // Told again, it stays as it is.
    let again = catalog.register(&registration("r", facts("fal-ai/veo3"))).await.unwrap();
    assert_eq!(again.poll_at, Some(at(90)));
    assert!(catalog.claim_polls(at(89), at(200), 10).await.unwrap().is_empty());
    let polls = catalog.claim_polls(at(90), at(200), 10).await.unwrap();
    catalog.poll_later(&polls[0], at(100), Some(Fault::Source), Some("unknown")).await.unwrap();
    let polls = catalog.claim_polls(at(100), at(200), 10).await.unwrap();
    assert_eq!((polls[0].polls, polls[0].misses, polls[0].error.as_deref()), (3, 1, Some("unknown")));
}

async fn an_end_clears_the_poll(bed: Bed) {
    let catalog = bed.open().await;
    for request_id in ["done", "failed"] {
        catalog.register(&registration(request_id, facts("fal-ai/veo3"))).await.unwrap();
    }
    let failed = HookRecord { status: GenerationStatus::Failed, clips: Vec::new(), ..hook("failed") };
    catalog.record_hooks(&[hook("done"), failed]).await.unwrap();
    for request_id in ["done", "failed"] {
        assert_eq!(catalog.generation(&id(request_id)).await.unwrap().unwrap().poll_at, None);
    }
    assert!(catalog.claim_polls(at(999 * HOUR), at(9999 * HOUR), 10).await.unwrap().is_empty());
    assert_eq!(catalog.count_unasked().await.unwrap(), 0);
}

async fn case_32_a_webhook_without_its_result_is_asked_for_at_once(bed: Bed) {
    let catalog = bed.open().await;
    catalog.register(&registration("known", facts("fal-ai/veo3"))).await.unwrap();
    catalog.record_hooks(&[missing("known", None), missing("told", Some("fal-ai/veo3"))]).await.unwrap();
    let polls = catalog.claim_polls(at(5), at(200), 10).await.unwrap();
    assert_eq!(ids(&polls).into_iter().collect::<HashSet<_>>(), HashSet::from(["known", "told"]));
    // The same webhook again does not hurry it.
    catalog.record_hooks(&[missing("known", None)]).await.unwrap();
    assert!(catalog.claim_polls(at(6), at(200), 10).await.unwrap().is_empty());
}

async fn a_model_that_is_known_later_makes_it_askable(bed: Bed) {
    let catalog = bed.open().await;
    catalog.register(&registration("r", Facts::default())).await.unwrap();
    catalog.record_hooks(&[missing("m", None)]).await.unwrap();
    assert!(catalog.claim_polls(at(HOUR), at(2 * HOUR), 10).await.unwrap().is_empty());
    for request_id in ["r", "m"] {
        let mut told = registration(request_id, facts("fal-ai/veo3/fast"));
        told.at = at(HOUR);
        catalog.register(&told).await.unwrap();
    }
    assert_eq!(catalog.generation(&id("r")).await.unwrap().unwrap().poll_at, Some(at(60)));
    assert_eq!(ids(&catalog.claim_polls(at(HOUR), at(2 * HOUR), 10).await.unwrap()).len(), 2);
}

async fn what_leads_nowhere_is_counted_and_not_asked_for(bed: Bed) {
    let catalog = bed.open().await;
    let mut other = registration("other", facts("owner/app"));
    other.provider = "luma".parse().unwrap();
    let told = [registration("bare", Facts::default()), registration("odd", facts("no slash")), other];
    for registration in &told {
        catalog.register(registration).await.unwrap();
    }
    assert_eq!(catalog.count_unasked().await.unwrap(), 3);
    assert!(catalog.claim_polls(at(999 * HOUR), at(9999 * HOUR), 10).await.unwrap().is_empty());
}

async fn two_nodes_never_ask_for_the_same(bed: Bed) {
    let nodes = [bed.open().await, bed.open().await];
    for n in 0..60 {
        nodes[0].register(&registration(&format!("r{n}"), facts("fal-ai/veo3"))).await.unwrap();
    }
    let claimers: Vec<_> = (0..8)
        .map(|n: usize| {
            let catalog = nodes[n % 2].clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let polls = catalog.claim_polls(at(60), at(HOUR), 3).await.unwrap();
                    if polls.is_empty() {
                        return mine;
                    }
                    mine.extend(polls.into_iter().map(|poll| poll.generation.request_id));
                }
            })
        })
        .collect();
    let mut asked = Vec::new();
    for claimer in claimers {
        asked.extend(tokio::time::timeout(Duration::from_secs(30), claimer).await.unwrap().unwrap());
    }
    assert_eq!((asked.len(), asked.into_iter().collect::<HashSet<_>>().len()), (60, 60));
}

async fn who_asks_late_changes_nothing(bed: Bed) {
    let catalog = bed.open().await;
    catalog.register(&registration("r", facts("fal-ai/veo3"))).await.unwrap();
    let slow = catalog.claim_polls(at(60), at(100), 1).await.unwrap().remove(0);
    let fast = catalog.claim_polls(at(100), at(200), 1).await.unwrap().remove(0);
    catalog.poll_later(&slow, at(0), Some(Fault::Source), Some("late")).await.unwrap();
    assert!(catalog.claim_polls(at(199), at(300), 1).await.unwrap().is_empty());
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    catalog.poll_later(&fast, at(0), None, None).await.unwrap();
    assert_eq!(catalog.generation(&id("r")).await.unwrap().unwrap().poll_at, None);
}

async fn a_hold_that_runs_out_is_asked_for_again(bed: Bed) {
    let catalog = bed.open().await;
    catalog.register(&registration("r", facts("fal-ai/veo3"))).await.unwrap();
    assert_eq!(catalog.claim_polls(at(60), at(100), 9).await.unwrap().len(), 1);
    // Killed here.
    assert!(catalog.claim_polls(at(99), at(200), 9).await.unwrap().is_empty());
    assert_eq!(catalog.claim_polls(at(100), at(200), 9).await.unwrap().len(), 1);
}
