//! Word searches that go far back in time: whatever way a database takes, it
//! shows what a plain look at all clips shows.

use clipkeep::catalog::{Catalog, ClipFilter};
use clipkeep_core::{
    generation::{Facts, HookRecord},
    prompt::prompt_hash,
    search::Words,
    state::ClipState,
    time::Timestamp,
};

use super::{Bed, at, hook, on_both};

on_both![searches_far_back_show_what_a_look_at_all_shows];

/// A clip as the plain look sees it: in the order of pages.
type Seen = (i64, String, &'static str, &'static str);

/// Clips with few of the sought among the newest thousands, with some around the
/// borders of spans of every length, with many within a millisecond and within a
/// minute, and with some that are older than all time in between.
fn clips() -> Vec<Seen> {
    let now = at(0).millis();
    let mut seen: Vec<(i64, &str)> =
        (0..4_500).map(|n| (now - n * 997, if n % 900 == 7 { "a fox" } else { "dull" })).collect();
    for bits in [20, 24, 28, 32] {
        for back in 1..=4 {
            let border = ((now >> bits) - back) << bits;
            let prompts = ["a fox", "fox den", "dull", "the den"];
            seen.extend((border - 2..border + 2).zip(prompts));
            // The only one of its span, in its first millisecond.
            seen.push((border - (20 << bits), "a lone fox"));
        }
    }
    let dense = now - (2 << 28) - 5_000_000;
    seen.extend((0..700).map(|_| (dense, "a fox")));
    seen.extend((0..900).map(|n| (dense - 1 - n * 40, if n % 2 == 0 { "fox den" } else { "dull" })));
    seen.extend([-1, 0, 1, 2_000_000].map(|millis| (millis, "fox den")));
    let tenant = |n: usize| if n.is_multiple_of(3) { "third" } else { "other" };
    let numbered = seen.into_iter().enumerate();
    numbered.map(|(n, (millis, prompt))| (millis, format!("r{n:05}.mp4"), prompt, tenant(n))).collect()
}

fn told((millis, key, prompt, tenant): &Seen) -> HookRecord {
    let facts = Facts {
        prompt: Some((*prompt).into()),
        prompt_hash: Some(prompt_hash(prompt)),
        tenant: Some(tenant.parse().unwrap()),
        ..Facts::default()
    };
    let hook = hook(key.trim_end_matches(".mp4"));
    HookRecord { facts, created_at: Some(Timestamp::from_millis(*millis)), ..hook }
}

fn words(text: &str) -> ClipFilter {
    ClipFilter { words: Some(text.parse().unwrap()), ..ClipFilter::default() }
}

fn look(seen: &[Seen], filter: &ClipFilter) -> Vec<String> {
    let words: &Words = filter.words.as_ref().unwrap();
    let passes = |(millis, _, prompt, tenant): &&Seen| {
        let after = filter.created_after.is_none_or(|after| *millis >= after.millis());
        let before = filter.created_before.is_none_or(|before| *millis < before.millis());
        let its = filter.tenant.as_ref().is_none_or(|wanted| wanted.as_str() == *tenant);
        after && before && its && words.occur_in(prompt)
    };
    seen.iter().rev().filter(passes).map(|(_, key, ..)| key.clone()).collect()
}

async fn pages(catalog: &dyn Catalog, filter: &ClipFilter, limit: u32) -> Vec<String> {
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let page = catalog.clips(filter, after.as_ref(), limit).await.unwrap();
        assert!(page.next.is_none() || page.clips.len() == limit as usize, "{filter:?}");
        keys.extend(page.clips.iter().map(|clip| clip.key.to_string()));
        after = page.next;
        if after.is_none() {
            return keys;
        }
    }
}

async fn searches_far_back_show_what_a_look_at_all_shows(bed: Bed) {
    let catalog = bed.open().await;
    let mut seen = clips();
    for batch in seen.chunks(500) {
        catalog.record_hooks(&batch.iter().map(told).collect::<Vec<_>>()).await.unwrap();
    }
    seen.sort();
    let time = |millis| Some(Timestamp::from_millis(millis));
    let now = at(0).millis();
    let border = ((now >> 28) - 2) << 28;
    let mut filters = vec![words("fox"), words("den"), words("fox den"), words("dull"), words("nothing")];
    filters.push(ClipFilter { tenant: Some("third".parse().unwrap()), ..words("fox") });
    filters.push(ClipFilter { state: Some(ClipState::Waiting), ..words("fox") });
    // Span by span to the very end: all of time is not asked for.
    filters.push(ClipFilter { created_after: time(-5), ..words("lone") });
    for edge in [border - 1, border, border + 1, now - (2 << 28) - 5_000_000, 0] {
        filters.push(ClipFilter { created_after: time(edge), ..words("fox") });
        filters.push(ClipFilter { created_before: time(edge), ..words("fox") });
        filters.push(ClipFilter { created_after: time(edge), created_before: time(edge + 1), ..words("fox") });
    }
    assert!(look(&seen, &filters[0]).len() > 1_000);
    for filter in filters {
        let expected = look(&seen, &filter);
        for limit in [7, 100, 1000] {
            assert_eq!(pages(&*catalog, &filter, limit).await, expected, "{limit} of {filter:?}");
        }
    }
}
