//! Lineage: what a clip was made from, and what from it.

use std::sync::Arc;

use clipkeep::catalog::{
    Catalog,
    lineage::{Lineage, lineage},
    open::{Prompts, Rules},
};
use clipkeep_core::{
    config::{Config, Layers},
    generation::Facts,
    lineage::OwnUrls,
};
use serde_json::{Value, json};

use super::{Bed, hook, key, on_both, registration};

on_both![
    image_to_video_to_extended_video_whichever_is_heard_of_first,
    a_lineage_is_known_where_inputs_are_not_kept,
    circles_and_crowds_are_cut,
    other_tenants_are_cut_off,
];

async fn open(bed: &Bed, prompts: Prompts) -> Arc<dyn Catalog> {
    let flags = [("public_url", "https://clips.example.com".to_owned())];
    let config = Config::from_layers(Layers::new().with_flags(flags)).unwrap();
    let own_urls = OwnUrls::new(&config.public_url, &config.final_url_template);
    bed.open_with(Rules { own_urls, prompts, ..Rules::default() }).await
}

fn url(key: &str) -> String {
    format!("https://clips.example.com/v/{key}?expires=1&kid=k&signature=s")
}

/// Facts of a generation that was made from these clips.
fn from(keys: &[&str]) -> Facts {
    let urls: Vec<String> = keys.iter().map(|key| url(key)).collect();
    Facts { input: Some(json!({"elements": [{"image_url": urls}]}).into()), ..Facts::default() }
}

fn names(lineage: &Lineage) -> Value {
    let names = |all: &[clipkeep::catalog::lineage::Relative]| -> Vec<Value> {
        all.iter().map(|one| json!([one.clip.key, one.of, one.depth])).collect()
    };
    json!([names(&lineage.ancestors), names(&lineage.descendants), lineage.complete])
}

async fn image_to_video_to_extended_video_whichever_is_heard_of_first(bed: Bed) {
    let catalog = open(&bed, Prompts::Keep).await;
    // The child's child comes first, by its webhook; then the facts by registering.
    catalog.record_hooks(&[hook("long")]).await.unwrap();
    catalog.register(&registration("long", from(&["video.mp4"]))).await.unwrap();
    let mut video = hook("video");
    video.facts = from(&["image.mp4", "unknown.png"]);
    catalog.record_hooks(&[video.clone()]).await.unwrap();
    assert_eq!(
        names(&lineage(&*catalog, &key("video.mp4"), None).await.unwrap()),
        json!([[], [["long.mp4", "video.mp4", 1]], true])
    );
    catalog.record_hooks(&[hook("image"), video]).await.unwrap();
    let seen = names(&lineage(&*catalog, &key("image.mp4"), None).await.unwrap());
    assert_eq!(seen, json!([[], [["video.mp4", "image.mp4", 1], ["long.mp4", "video.mp4", 2]], true]));
    let seen = names(&lineage(&*catalog, &key("long.mp4"), None).await.unwrap());
    assert_eq!(seen, json!([[["video.mp4", "long.mp4", 1], ["image.mp4", "video.mp4", 2]], [], true]));
    // Another input, told later, is not the one that is kept.
    catalog.register(&registration("long", from(&["image.mp4"]))).await.unwrap();
    assert_eq!(catalog.parents(&key("long.mp4"), None, 9).await.unwrap().len(), 1);
}

async fn a_lineage_is_known_where_inputs_are_not_kept(bed: Bed) {
    let catalog = open(&bed, Prompts::HashOnly).await;
    catalog.register(&registration("video", from(&["image.mp4"]))).await.unwrap();
    catalog.record_hooks(&[hook("image"), hook("video")]).await.unwrap();
    let children = catalog.children(&key("image.mp4"), None, 9).await.unwrap();
    assert_eq!((children.len(), &children[0].facts.input), (1, &None));
}

async fn circles_and_crowds_are_cut(bed: Bed) {
    let catalog = open(&bed, Prompts::Keep).await;
    let mut hooks = vec![];
    for (name, parents) in [("a", &["c.mp4"][..]), ("b", &["a.mp4"]), ("c", &["b.mp4", "c.mp4"])] {
        let mut hook = hook(name);
        hook.facts = from(parents);
        hooks.push(hook);
    }
    catalog.record_hooks(&hooks).await.unwrap();
    let seen = names(&lineage(&*catalog, &key("a.mp4"), None).await.unwrap());
    assert_eq!(seen[0], json!([["c.mp4", "a.mp4", 1], ["b.mp4", "c.mp4", 2]]));
    assert_eq!(seen[1], json!([["b.mp4", "a.mp4", 1], ["c.mp4", "b.mp4", 2]]));
    let crowd = (0..600).map(|n| {
        let mut hook = hook(&format!("n{n:03}"));
        hook.facts = from(&["star.mp4"]);
        hook
    });
    let crowd: Vec<_> = crowd.chain([hook("star")]).collect();
    catalog.record_hooks(&crowd).await.unwrap();
    let seen = lineage(&*catalog, &key("star.mp4"), None).await.unwrap();
    assert_eq!((seen.descendants.len(), seen.complete), (500, false));
    let chain: Vec<_> = (0..50)
        .map(|n| {
            let mut hook = hook(&format!("deep{n}"));
            hook.facts = from(&[&format!("deep{}.mp4", n + 1)]);
            hook
        })
        .collect();
    catalog.record_hooks(&chain).await.unwrap();
    let seen = lineage(&*catalog, &key("deep0.mp4"), None).await.unwrap();
    assert_eq!((seen.ancestors.len(), seen.complete), (32, false));
}

async fn other_tenants_are_cut_off(bed: Bed) {
    let catalog = open(&bed, Prompts::Keep).await;
    let mut hooks = Vec::new();
    for (name, tenant, parents) in
        [("mine", "a", &[][..]), ("theirs", "b", &["mine.mp4"]), ("mine-too", "a", &["theirs.mp4", "mine.mp4"])]
    {
        let mut hook = hook(name);
        hook.facts = Facts { tenant: Some(tenant.parse().unwrap()), ..from(parents) };
        hooks.push(hook);
    }
    catalog.record_hooks(&hooks).await.unwrap();
    let tenant = "a".parse().unwrap();
    let seen = names(&lineage(&*catalog, &key("mine.mp4"), Some(&tenant)).await.unwrap());
    assert_eq!(seen, json!([[], [["mine-too.mp4", "mine.mp4", 1]], true]));
    let seen = names(&lineage(&*catalog, &key("mine-too.mp4"), Some(&tenant)).await.unwrap());
    assert_eq!(seen, json!([[["mine.mp4", "mine-too.mp4", 1]], [], true]));
}
