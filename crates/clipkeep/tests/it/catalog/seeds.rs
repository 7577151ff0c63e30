//! Seeds of all 64 bits, in either range.

use clipkeep::catalog::ClipFilter;
use clipkeep_core::seed::Seed;

use super::{Bed, clip, hook, on_both};

on_both![k15_seeds_are_kept_exactly_and_found_by];

async fn k15_seeds_are_kept_exactly_and_found_by(bed: Bed) {
    let catalog = bed.open().await;
    let seeds = ["-9223372036854775808", "0", "9223372036854775807", "9223372036854775808", "18446744073709551615"];
    for (number, text) in seeds.iter().enumerate() {
        let mut hook = hook(&format!("r{number}"));
        hook.facts.seed = Some(text.parse().unwrap());
        catalog.record_hooks(&[hook]).await.unwrap();
    }
    for (number, text) in seeds.iter().enumerate() {
        let seed: Seed = text.parse().unwrap();
        assert_eq!(clip(&*catalog, &format!("r{number}")).await.facts.seed, Some(seed));
        let filter = ClipFilter { seed: Some(seed), ..ClipFilter::default() };
        let found = catalog.clips(&filter, None, 10).await.unwrap().clips;
        let found: Vec<_> = found.iter().map(|clip| clip.key.to_string()).collect();
        assert_eq!(found, [format!("r{number}.mp4")], "{text}");
    }
}
