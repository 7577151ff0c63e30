//! Finding clips by the words of their prompts: the same on both databases.

use clipkeep::catalog::{Catalog, ClipFilter};
use clipkeep_core::{
    generation::{Facts, HookRecord},
    prompt::prompt_hash,
    state::ClipState,
};

use super::{Bed, at, hook, id, key, new_clip, on_both, registration};

on_both![
    words_find_clips_in_any_order_and_case_and_together_with_every_filter,
    pages_of_a_search_show_every_clip_once_within_one_second_too,
    what_is_rare_among_many_is_found_newest_first,
    what_is_told_late_is_found_from_then_on,
    a_deleted_clip_leaves_no_words_and_the_last_one_no_texts,
    a_lost_clip_does_not_keep_its_generations_texts,
    hash_only_finds_nothing,
];

fn told(request_id: &str, prompt: &str) -> HookRecord {
    let mut hook = hook(request_id);
    hook.facts = facts(prompt);
    hook
}

fn facts(prompt: &str) -> Facts {
    Facts { prompt: Some(prompt.into()), prompt_hash: Some(prompt_hash(prompt)), ..Facts::default() }
}

fn words(text: &str) -> ClipFilter {
    ClipFilter { words: Some(text.parse().unwrap()), ..ClipFilter::default() }
}

/// The generations that a filter shows, by pages of two.
async fn found(catalog: &dyn Catalog, filter: &ClipFilter) -> Vec<String> {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = catalog.clips(filter, after.as_ref(), 2).await.unwrap();
        assert!(page.next.is_none() || page.clips.len() == 2, "{filter:?}");
        seen.extend(page.clips.into_iter().map(|clip| clip.request_id.to_string()));
        after = page.next;
        if after.is_none() {
            return seen;
        }
    }
}

async fn words_find_clips_in_any_order_and_case_and_together_with_every_filter(bed: Bed) {
    let catalog = bed.open().await;
    let mut hooks = Vec::new();
    for (n, (name, prompt)) in [
        ("a", "A red-FOX runs, été!"),
        ("b", "the red fox's den"),
        ("c", "a blue fox"),
        ("d", "red foxes"),
        ("e", "赤い狐 runs"),
        ("f", "' \" * & | ! ( ) : fox"),
        ("g", "red"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut hook = told(name, prompt);
        hook.received_at = at(n as i64);
        hook.facts.tenant = Some(if n % 2 == 0 { "even" } else { "odd" }.parse().unwrap());
        hook.facts.model = Some(format!("m{}", n % 3));
        hook.facts.seed = Some((n as i64 % 4 - 1).into());
        hooks.push(hook);
    }
    catalog.record_hooks(&hooks).await.unwrap();
    super::queue::store(&*catalog, "b").await;
    let fox = || words("fox");
    let cases: [(ClipFilter, &[&str]); 19] = [
        (words("red"), &["g", "d", "b", "a"]),
        (words("Fox RED"), &["b", "a"]),
        (words("fox"), &["f", "c", "b", "a"]),
        (words("FOX*"), &["f", "c", "b", "a"]),
        (words("\"e\u{301}te\u{301}\""), &["a"]),
        (words("狐"), &["e"]),
        (words("s"), &["b"]),
        (words("nothing"), &[]),
        (words("red OR blue"), &[]),
        (ClipFilter { tenant: Some("odd".parse().unwrap()), ..fox() }, &["f", "b"]),
        (ClipFilter { model: Some("m2".into()), ..fox() }, &["f", "c"]),
        (ClipFilter { model: Some("m2".into()), tenant: Some("even".parse().unwrap()), ..fox() }, &["c"]),
        (ClipFilter { state: Some(ClipState::Stored), ..fox() }, &["b"]),
        (ClipFilter { seed: Some((-1_i64).into()), ..fox() }, &["a"]),
        (ClipFilter { created_after: Some(at(1)), created_before: Some(at(5)), ..fox() }, &["c", "b"]),
        (ClipFilter { request_id: Some(id("c")), ..fox() }, &["c"]),
        (ClipFilter { request_id: Some(id("d")), ..fox() }, &[]),
        (ClipFilter { prompt_hash: Some(prompt_hash("a blue fox")), ..fox() }, &["c"]),
        (ClipFilter { prompt_hash: Some(prompt_hash("red")), ..fox() }, &[]),
    ];
    for (filter, expected) in cases {
        assert_eq!(found(&*catalog, &filter).await, expected, "{filter:?}");
    }
    let seeded = ClipFilter { seed: Some(0_i64.into()), ..ClipFilter::default() };
    assert_eq!(found(&*catalog, &seeded).await, ["f", "b"]);
}

async fn pages_of_a_search_show_every_clip_once_within_one_second_too(bed: Bed) {
    let catalog = bed.open().await;
    let one = |n: i64| {
        let mut hook = told(&format!("r{n:03}"), if n % 3 == 0 { "a fox" } else { "a dog" });
        // Eight at the same millisecond, and some more in that second.
        hook.received_at = at(n / 16).plus(std::time::Duration::from_millis(n as u64 / 8 % 2));
        hook
    };
    let hooks: Vec<_> = (0..300).map(one).collect();
    for batch in hooks.chunks(50) {
        catalog.record_hooks(batch).await.unwrap();
    }
    let expected: Vec<_> = (0..300).rev().filter(|n| n % 3 == 0).map(|n| format!("r{n:03}")).collect();
    assert_eq!(found(&*catalog, &words("fox")).await, expected);
    let part = ClipFilter { created_after: Some(at(3)), created_before: Some(at(9)), ..words("fox") };
    let expected: Vec<_> = (48..144).rev().filter(|n| n % 3 == 0).map(|n| format!("r{n:03}")).collect();
    assert_eq!(found(&*catalog, &part).await, expected);
}

/// More than PostgreSQL walks through before it asks its index.
async fn what_is_rare_among_many_is_found_newest_first(bed: Bed) {
    let catalog = bed.open().await;
    let one = |n: i64| {
        let mut prompt = "a common one".to_owned();
        for (word, every) in [("seldom", 100), ("needle", 2_500)] {
            if n % every == 0 {
                prompt.push(' ');
                prompt.push_str(word);
            }
        }
        let mut hook = told(&format!("r{n:05}"), &prompt);
        hook.received_at = at(n);
        hook
    };
    let hooks: Vec<_> = (0..9_999).map(one).collect();
    for batch in hooks.chunks(500) {
        catalog.record_hooks(batch).await.unwrap();
    }
    assert_eq!(found(&*catalog, &words("needle")).await, ["r07500", "r05000", "r02500", "r00000"]);
    let expected: Vec<_> = (0..100).rev().map(|n| format!("r{:05}", n * 100)).collect();
    assert_eq!(found(&*catalog, &words("seldom common")).await, expected);
    let page = catalog.clips(&words("common"), None, 1000).await.unwrap();
    assert_eq!((page.clips.len(), page.clips[999].request_id.as_str()), (1000, "r08999"));
}

async fn what_is_told_late_is_found_from_then_on(bed: Bed) {
    let catalog = bed.open().await;
    catalog.record_hooks(&[hook("r")]).await.unwrap();
    assert!(found(&*catalog, &words("fox")).await.is_empty());
    catalog.register(&registration("r", facts("a fox"))).await.unwrap();
    assert_eq!(found(&*catalog, &words("fox")).await, ["r"]);
    let tenant = Some("t".parse().unwrap());
    catalog.register(&registration("r", Facts { tenant: tenant.clone(), ..Facts::default() })).await.unwrap();
    assert_eq!(found(&*catalog, &ClipFilter { tenant, ..words("fox") }).await, ["r"]);
    // What is there first stays.
    catalog.register(&registration("r", facts("a dog"))).await.unwrap();
    assert!(found(&*catalog, &words("dog")).await.is_empty());
    assert_eq!(found(&*catalog, &words("fox")).await, ["r"]);
}

async fn a_deleted_clip_leaves_no_words_and_the_last_one_no_texts(bed: Bed) {
    let catalog = bed.open().await;
    let mut two = told("r", "a fox");
    two.facts.input = Some(serde_json::json!({"prompt": "a fox"}).into());
    two.clips.push(new_clip("r", 1));
    catalog.record_hooks(&[two, told("other", "a fox")]).await.unwrap();
    let texts = async || {
        let row = catalog.generation(&id("r")).await.unwrap().unwrap();
        (row.facts.prompt.is_some(), row.facts.input.is_some(), row.facts.prompt_hash)
    };
    let hash = Some(prompt_hash("a fox"));
    catalog.delete(&key("r.mp4"), at(1), at(2), "by request").await.unwrap();
    assert_eq!(found(&*catalog, &words("fox")).await.len(), 2);
    assert_eq!(texts().await, (true, true, hash.clone()));
    catalog.delete(&key("r.1.mp4"), at(1), at(2), "by request").await.unwrap();
    assert_eq!(found(&*catalog, &words("fox")).await, ["other"]);
    assert_eq!(texts().await, (false, false, hash.clone()));
    // No late news brings them back.
    catalog.record_hooks(&[told("r", "a fox")]).await.unwrap();
    let again = Facts {
        input: Some(serde_json::json!({"prompt": "a fox"}).into()),
        seed: Some(7_i64.into()),
        ..facts("a fox")
    };
    catalog.register(&registration("r", again)).await.unwrap();
    assert_eq!(texts().await, (false, false, hash));
    assert_eq!(found(&*catalog, &words("fox")).await, ["other"]);
}

async fn a_lost_clip_does_not_keep_its_generations_texts(bed: Bed) {
    let catalog = bed.open().await;
    let mut two = told("r", "a fox");
    two.clips.push(new_clip("r", 1));
    catalog.record_hooks(&[two]).await.unwrap();
    let minute = std::time::Duration::from_secs(60);
    let claim = catalog.claim(&key("r.1.mp4"), &"n".to_owned(), at(1), minute).await.unwrap().unwrap();
    catalog.mark_lost(&claim.lease, super::ended(at(2)), "gone").await.unwrap();
    assert_eq!(found(&*catalog, &words("fox")).await.len(), 2);
    catalog.delete(&key("r.mp4"), at(3), at(4), "by request").await.unwrap();
    assert!(found(&*catalog, &words("fox")).await.is_empty());
    let prompt = async || catalog.generation(&id("r")).await.unwrap().unwrap().facts.prompt;
    assert_eq!(prompt().await, None);
    // No late news brings it back.
    catalog.register(&registration("r", facts("a fox"))).await.unwrap();
    assert_eq!(prompt().await, None);
}

async fn hash_only_finds_nothing(bed: Bed) {
    let catalog = bed.hash_only().await;
    catalog.record_hooks(&[told("r", "a fox")]).await.unwrap();
    assert!(found(&*catalog, &words("fox")).await.is_empty());
    let exact = ClipFilter { prompt_hash: Some(prompt_hash("a fox")), ..ClipFilter::default() };
    assert_eq!(found(&*catalog, &exact).await, ["r"]);
}
