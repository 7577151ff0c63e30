//! Long inputs and prompts: bounded, shared, and in pages that end in time.

use clipkeep::catalog::{ClipFilter, page::collect_clips};
use clipkeep_core::{
    generation::{Facts, HookRecord},
    input::MAX_INPUT,
};
use serde_json::json;

use super::{Bed, HOUR, at, hook, id, new_clip, on_both, registration};

on_both![
    h07_an_input_is_bounded_however_it_comes,
    h07_a_page_of_long_inputs_ends_before_it_is_full,
    h07_clips_of_one_generation_share_its_input,
];

fn input(value: serde_json::Value) -> Facts {
    Facts { input: Some(value.into()), ..Facts::default() }
}

async fn h07_an_input_is_bounded_however_it_comes(bed: Bed) {
    let catalog = bed.open().await;
    let long = input(json!({"prompt": "a fox", "image": "x".repeat(1_800_000)}));
    catalog.register(&registration("registered", long.clone())).await.unwrap();
    let tenant = "acme".parse().unwrap();
    catalog.register_own(&tenant, &registration("own", long.clone())).await.unwrap();
    catalog.record_hooks(&[HookRecord { facts: long, ..hook("told") }]).await.unwrap();
    catalog.register(&registration("many", input(json!(vec![0; 900_000])))).await.unwrap();
    for request_id in ["registered", "own", "told"] {
        let kept = catalog.generation(&id(request_id)).await.unwrap().unwrap().facts.input.unwrap();
        let image = json!({"$omitted_bytes": 1_800_000});
        assert_eq!(kept.value(), json!({"prompt": "a fox", "image": image}), "{request_id}");
    }
    let many = catalog.generation(&id("many")).await.unwrap().unwrap().facts.input.unwrap();
    assert_eq!(many.value(), json!({"$omitted_bytes": 1_800_001}));
    // A prompt that is longer than an input may be stays as its hash.
    let prompt = Facts { prompt: Some("x".repeat(MAX_INPUT + 1)), prompt_hash: Some("h".into()), ..Facts::default() };
    let kept = catalog.register(&registration("prompt", prompt)).await.unwrap().facts;
    assert_eq!((kept.prompt, kept.prompt_hash.as_deref()), (None, Some("h")));
}

async fn h07_a_page_of_long_inputs_ends_before_it_is_full(bed: Bed) {
    let catalog = bed.open().await;
    for number in 0..80 {
        let text = format!("{number}{}", "x".repeat(250_000));
        let facts = input(json!({"text": text}));
        let webhook = HookRecord { facts, received_at: at(HOUR + number), ..hook(&format!("r{number}")) };
        catalog.record_hooks(&[webhook]).await.unwrap();
    }
    let filter = ClipFilter::default();
    let (mut after, mut seen, mut pages) = (None, Vec::new(), 0);
    loop {
        let page = catalog.clips(&filter, after.as_ref(), 100).await.unwrap();
        let bytes: usize = page.clips.iter().map(|clip| clip.facts.text_len()).sum();
        assert!(bytes <= 8 * 1024 * 1024, "{bytes}");
        seen.extend(page.clips.into_iter().map(|clip| clip.key.to_string()));
        pages += 1;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let all: Vec<_> = (0..80).rev().map(|number| format!("r{number}.mp4")).collect();
    assert_eq!(seen, all);
    assert!(pages >= 3, "{pages}");
    assert_eq!(collect_clips(&*catalog, &filter, 1000).await.unwrap().len(), 80);
    assert_eq!(collect_clips(&*catalog, &filter, 40).await.unwrap().len(), 40);
}

async fn h07_clips_of_one_generation_share_its_input(bed: Bed) {
    let catalog = bed.open().await;
    catalog.register(&registration("r", input(json!({"text": "x".repeat(250_000)})))).await.unwrap();
    let clips = (0..64).map(|index| new_clip("r", index)).collect();
    catalog.record_hooks(&[HookRecord { clips, ..hook("r") }]).await.unwrap();
    let filter = ClipFilter { request_id: Some(id("r")), ..ClipFilter::default() };
    let clips = collect_clips(&*catalog, &filter, 1000).await.unwrap();
    let inputs: Vec<_> = clips.iter().map(|clip| clip.facts.input.as_ref().unwrap().as_str()).collect();
    assert_eq!(inputs.len(), 64);
    let first_page = &inputs[..30];
    assert!(first_page.iter().all(|text| std::ptr::eq(*text, inputs[0])));
}
