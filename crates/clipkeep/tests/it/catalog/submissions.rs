//! Submits that bear an idempotency key.

use clipkeep::catalog::submissions::{Begun, SubmitCall};
use clipkeep_core::{
    generation::Facts,
    id::Provider,
    state::{ClipState, GenerationStatus},
};

use super::{Bed, at, hook, id, on_both, registration};

on_both![
    a_key_is_taken_once_and_leads_to_what_came_of_it,
    what_was_not_taken_may_be_tried_again,
    callers_do_not_share_keys,
    a_webhook_that_is_faster_is_merged,
    case_29_of_many_at_once_one_begins,
];

fn call(key: &str) -> SubmitCall {
    SubmitCall { caller: String::new(), key: key.to_owned(), request: "hash".to_owned(), at: at(0) }
}

fn facts() -> Facts {
    Facts { model: Some("fal-ai/veo3".to_owned()), prompt: Some("a fox".to_owned()), ..Facts::default() }
}

async fn a_key_is_taken_once_and_leads_to_what_came_of_it(bed: Bed) {
    let catalog = bed.open().await;
    assert_eq!(catalog.begin_submit(&call("k")).await.unwrap(), Begun::New);
    let later = SubmitCall { at: at(5), ..call("k") };
    assert_eq!(catalog.begin_submit(&later).await.unwrap(), Begun::Open(at(0)));
    let other = SubmitCall { request: "another".to_owned(), ..call("k") };
    assert_eq!(catalog.begin_submit(&other).await.unwrap(), Begun::Other);
    let generation = catalog.finish_submit(&call("k"), &registration("r", facts())).await.unwrap();
    assert_eq!((generation.status, generation.poll_at), (GenerationStatus::Pending, Some(at(60))));
    // As durable as anything: another node, after a restart.
    let again = bed.open().await;
    let done = Begun::Done(Provider::fal(), id("r"));
    assert_eq!(again.begin_submit(&later).await.unwrap(), done);
    assert_eq!(again.begin_submit(&other).await.unwrap(), Begun::Other);
    // What is done is not forgotten.
    again.forget_submit(&call("k")).await.unwrap();
    assert_eq!(again.begin_submit(&later).await.unwrap(), done);
}

async fn what_was_not_taken_may_be_tried_again(bed: Bed) {
    let catalog = bed.open().await;
    assert_eq!(catalog.begin_submit(&call("k")).await.unwrap(), Begun::New);
    catalog.forget_submit(&call("k")).await.unwrap();
    let other = SubmitCall { request: "another".to_owned(), ..call("k") };
    assert_eq!(catalog.begin_submit(&other).await.unwrap(), Begun::New);
}

async fn callers_do_not_share_keys(bed: Bed) {
    let catalog = bed.open().await;
    assert_eq!(catalog.begin_submit(&call("k")).await.unwrap(), Begun::New);
    let other = SubmitCall { caller: "acme".to_owned(), ..call("k") };
    assert_eq!(catalog.begin_submit(&other).await.unwrap(), Begun::New);
}

async fn a_webhook_that_is_faster_is_merged(bed: Bed) {
    let catalog = bed.open().await;
    catalog.begin_submit(&call("k")).await.unwrap();
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    let generation = catalog.finish_submit(&call("k"), &registration("r", facts())).await.unwrap();
    assert_eq!((generation.status, generation.poll_at), (GenerationStatus::Completed, None));
    let clip = super::clip(&*catalog, "r").await;
    assert_eq!((clip.state, clip.facts.prompt.as_deref()), (ClipState::Waiting, Some("a fox")));
}

async fn case_29_of_many_at_once_one_begins(bed: Bed) {
    let catalog = bed.open().await;
    let call = call("k");
    let begun = futures_util::future::join_all((0..20).map(|_| catalog.begin_submit(&call))).await;
    let new = begun.iter().filter(|begun| *begun.as_ref().unwrap() == Begun::New).count();
    assert_eq!(new, 1);
}
