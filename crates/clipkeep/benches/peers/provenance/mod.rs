//! Which prompt made this clip, out of ten million.

pub(crate) mod load;
pub(crate) mod rows;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clipkeep::catalog::{
    Catalog, ClipFilter,
    open::{Database, Rules, open},
};
use clipkeep_core::{prompt::prompt_hash, secret::Secret, time::Timestamp};

use self::rows::{Dice, World};
use crate::support::postgres;

const ROWS: u64 = 10_000_000;
/// Lookups of each sort.
const LOOKUPS: u64 = 1_000;
const SEARCHES: u64 = 200;
const PAGE: u32 = 100;

type Ask = fn(&World, &mut Dice) -> ClipFilter;

/// What is asked for, and how rare it is: words of these ranks.
const SEARCHES_OF: [(&str, Ask); 6] = [
    ("a common word (in up to 80 % of all prompts)", |world, dice| words(world, &[dice.below(12)])),
    ("a middling word (0.2 to 1.5 %)", |world, dice| words(world, &[100 + dice.below(900)])),
    ("a rare word (1 in 6,000 and less)", |world, dice| words(world, &[10_000 + dice.below(10_000)])),
    ("two words, a common and a middling one", |world, dice| words(world, &[dice.below(12), 40 + dice.below(500)])),
    ("a word and a tenant", |world, dice| {
        let tenant = world.tenant(dice).parse().ok();
        ClipFilter { tenant, ..words(world, &[dice.below(500)]) }
    }),
    ("a word, a model and a month", |world, dice| {
        let from = world.created_at(dice.below(world.rows));
        ClipFilter {
            model: Some(world.model(dice)),
            created_after: Some(Timestamp::from_millis(from)),
            created_before: Some(Timestamp::from_millis(from + 30 * 86_400_000)),
            ..words(world, &[dice.below(500)])
        }
    }),
];

fn words(world: &World, ranks: &[u64]) -> ClipFilter {
    let words: Vec<&str> = ranks.iter().map(|rank| world.word(*rank)).collect();
    ClipFilter { words: words.join(" ").parse().ok(), ..ClipFilter::default() }
}

/// So many rows, in one of the databases, or in both one after the other.
pub(crate) async fn run(wanted: &[String]) {
    let rows = wanted.iter().find_map(|word| word.parse().ok());
    let asked = |name: &str| wanted.iter().all(|word| word == name || word.parse::<u64>().is_ok());
    let world = Arc::new(World::new(rows.unwrap_or(ROWS)));
    println!("\n## Provenance among {} clips\n", world.rows);
    println!(
        "| what | clips found | first time: p50 | p99 | again: p50 | p99 |\n| --- | ---: | ---: | ---: | ---: | ---: |"
    );
    if asked("sqlite") {
        // Beside the work tree: /tmp may be memory.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = dir.path().join("c.db");
        let database = Database::Sqlite(path.clone());
        drop(open(&database, Rules::default()).await.unwrap());
        load::sqlite(&path, &world);
        measure("SQLite", &*open(&database, Rules::default()).await.unwrap(), &world).await;
    }
    if asked("postgres") {
        let url = postgres::database().await;
        let database = Database::Postgres(Secret::new(url.clone()));
        drop(open(&database, Rules::default()).await.unwrap());
        load::postgres(&url, &world).await;
        measure("PostgreSQL", &*open(&database, Rules::default()).await.unwrap(), &world).await;
    }
}

async fn measure(name: &str, catalog: &dyn Catalog, world: &World) {
    let mut took = [Vec::new(), Vec::new()];
    for times in &mut took {
        let mut dice = Dice::new(1);
        for _ in 0..LOOKUPS {
            let clip = dice.below(world.rows);
            let key = world.key(clip).parse().unwrap();
            let began = Instant::now();
            let found = catalog.clip(&key).await.unwrap().unwrap();
            times.push(began.elapsed());
            assert_eq!(found.facts.prompt, Some(world.prompt_of(clip)));
        }
    }
    row(name, "from clip to prompt", LOOKUPS as usize, took);
    let by_prompt: Ask = |world, dice| ClipFilter {
        prompt_hash: Some(prompt_hash(&world.prompt_of(dice.below(world.rows)))),
        ..ClipFilter::default()
    };
    ask(name, "from prompt to clips", by_prompt, LOOKUPS, catalog, world).await;
    for (what, search) in SEARCHES_OF {
        ask(name, what, search, SEARCHES, catalog, world).await;
    }
}

async fn ask(name: &str, what: &str, ask: Ask, times: u64, catalog: &dyn Catalog, world: &World) {
    let (mut took, mut found) = ([Vec::new(), Vec::new()], 0);
    for (pass, times_of) in took.iter_mut().enumerate() {
        let mut dice = Dice::new(2);
        for _ in 0..times {
            let filter = ask(world, &mut dice);
            let began = Instant::now();
            let page = catalog.clips(&filter, None, PAGE).await.unwrap();
            times_of.push(began.elapsed());
            found += if pass == 0 { page.clips.len() } else { 0 };
        }
    }
    row(name, what, found, took);
}

fn row(name: &str, what: &str, found: usize, mut took: [Vec<Duration>; 2]) {
    let mut line = format!("| {name}: {what} | {found}");
    for times in &mut took {
        times.sort();
        for share in [0.5, 0.99] {
            let at = times[((times.len() - 1) as f64 * share) as usize];
            line.push_str(&format!(" | {:.2} ms", at.as_secs_f64() * 1000.0));
        }
    }
    println!("{line} |");
}
