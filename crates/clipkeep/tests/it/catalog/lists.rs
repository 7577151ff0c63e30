//! Lists, page by page.

use clipkeep::catalog::{Catalog, ClipFilter};
use clipkeep_core::{
    generation::{HookRecord, MediaInfo, Sealed},
    prompt::prompt_hash,
    state::ClipState,
};

use super::{Bed, at, costs::keep, hook, on_both, queue::sealed};

on_both![
    paging_shows_every_clip_once_whatever_the_filter,
    a_page_is_never_empty_nor_endless,
    i14_marked_and_unmarked_clips_are_told_apart,
];

/// A thousand clips: ten models, seven tenants, three prompts, ten a second.
fn thousand() -> Vec<HookRecord> {
    let one = |n: i64| {
        let mut webhook = hook(&format!("r{n:04}"));
        webhook.received_at = at(n / 10);
        webhook.facts.model = Some(format!("model-{}", n % 10));
        webhook.facts.tenant = Some(format!("tenant-{}", n % 7).parse().unwrap());
        webhook.facts.prompt_hash = Some(format!("hash-{}", n % 3));
        webhook
    };
    (0..1000).map(one).collect()
}

/// All that a filter shows, newest first, by pages of 17.
async fn walk(catalog: &dyn Catalog, filter: &ClipFilter) -> Vec<String> {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = catalog.clips(filter, after.as_ref(), 17).await.unwrap();
        assert!(page.next.is_none() || page.clips.len() == 17);
        seen.extend(page.clips.into_iter().map(|clip| clip.key.to_string()));
        after = page.next;
        if after.is_none() {
            return seen;
        }
    }
}

async fn paging_shows_every_clip_once_whatever_the_filter(bed: Bed) {
    let catalog = bed.open().await;
    for batch in thousand().chunks(250) {
        catalog.record_hooks(batch).await.unwrap();
    }
    super::queue::store(&*catalog, "r0500").await;
    let none = ClipFilter::default;
    let model = || Some("model-3".to_owned());
    let tenant = || Some("tenant-2".parse().unwrap());
    type Shows = fn(i64) -> bool;
    let cases: [(ClipFilter, Shows); 9] = [
        (none(), |_| true),
        (ClipFilter { request_id: Some("r0042".parse().unwrap()), ..none() }, |n| n == 42),
        (ClipFilter { model: model(), ..none() }, |n| n % 10 == 3),
        (ClipFilter { prompt_hash: Some("hash-1".into()), ..none() }, |n| n % 3 == 1),
        (ClipFilter { tenant: tenant(), ..none() }, |n| n % 7 == 2),
        (ClipFilter { state: Some(ClipState::Waiting), ..none() }, |n| n != 500),
        (ClipFilter { created_after: Some(at(50)), ..none() }, |n| n >= 500),
        (ClipFilter { created_before: Some(at(50)), ..none() }, |n| n < 500),
        (ClipFilter { model: model(), tenant: tenant(), created_before: Some(at(90)), ..none() }, |n| {
            n % 10 == 3 && n % 7 == 2 && n < 900
        }),
    ];
    for (filter, shows) in cases {
        let expected: Vec<_> = (0..1000).rev().filter(|&n| shows(n)).map(|n| format!("r{n:04}.mp4")).collect();
        assert_eq!(walk(&*catalog, &filter).await, expected, "{filter:?}");
    }
}

async fn a_page_is_never_empty_nor_endless(bed: Bed) {
    let catalog = bed.open().await;
    assert!(catalog.clips(&ClipFilter::default(), None, 10).await.unwrap().clips.is_empty());
    let mut hooks = thousand();
    hooks.push(hook("one-more"));
    catalog.record_hooks(&hooks).await.unwrap();
    for (asked, got) in [(0, 1), (1, 1), (1000, 1000), (u32::MAX, 1000)] {
        let page = catalog.clips(&ClipFilter::default(), None, asked).await.unwrap();
        assert_eq!((page.clips.len(), page.next.is_some()), (got, true));
    }
}

/// Those whose bytes were not looked at are neither.
async fn i14_marked_and_unmarked_clips_are_told_apart(bed: Bed) {
    let catalog = bed.open().await;
    for (n, c2pa) in [Some(true), Some(false), None, Some(true), None].into_iter().enumerate() {
        let mut webhook = hook(&format!("m{n}"));
        webhook.facts.prompt = Some("a red fox".to_owned());
        webhook.facts.prompt_hash = Some(prompt_hash("a red fox"));
        webhook.received_at = at(n as i64);
        catalog.record_hooks(&[webhook]).await.unwrap();
        if n != 4 {
            let media = MediaInfo { c2pa, ..sealed().media };
            let bytes = Sealed { sha256: format!("{n:064}"), media, ..sealed() };
            keep(&*catalog, &format!("m{n}"), &bytes, at(9), false).await;
        }
    }
    let none = ClipFilter::default;
    for filter in [none(), ClipFilter { words: Some("fox".parse().unwrap()), ..none() }] {
        for (c2pa, expected) in [(Some(true), &["m3.mp4", "m0.mp4"][..]), (Some(false), &["m1.mp4"])] {
            assert_eq!(walk(&*catalog, &ClipFilter { c2pa, ..filter.clone() }).await, expected);
        }
        assert_eq!(walk(&*catalog, &filter).await.len(), 5);
    }
}
