//! Made-up clips that look like real ones: words that occur by Zipf's law, a few
//! clips per prompt, tenants and models of all sizes. All follows from a number.

use clipkeep::catalog::sqlite::search::places;
use clipkeep_core::{prompt::prompt_hash, search};

/// What prompts are made of, the most frequent first.
const FREQUENT: [&str; 40] = [
    "a",
    "the",
    "of",
    "in",
    "with",
    "and",
    "cinematic",
    "on",
    "at",
    "shot",
    "light",
    "camera",
    "slow",
    "motion",
    "4k",
    "red",
    "woman",
    "man",
    "city",
    "night",
    "fox",
    "through",
    "over",
    "ocean",
    "golden",
    "hour",
    "close",
    "up",
    "rain",
    "forest",
    "drone",
    "neon",
    "street",
    "mountain",
    "snow",
    "dog",
    "cat",
    "walking",
    "dancing",
    "portrait",
];
const VOCABULARY: usize = 20_000;
const TENANTS: usize = 1_000;
const MODELS: usize = 40;
/// Clips per prompt, in the mean.
const PER_PROMPT: u64 = 4;
/// One clip in so many milliseconds: ten million are most of a year.
const PACE: i64 = 3_000;
/// When the last one was made.
const NOW: i64 = 1_790_000_000_000;

/// SplitMix64: quick, and good enough for made-up rows.
#[derive(Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }
}

/// Ranks that occur as often as Zipf's law says.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(ranks: usize) -> Self {
        let mut sum = 0.0;
        let sums: Vec<f64> = (1..=ranks)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        Self(sums.iter().map(|part| part / sum).collect())
    }

    fn draw(&self, dice: &mut Dice) -> usize {
        let at = (dice.roll() >> 11) as f64 / (1_u64 << 53) as f64;
        self.0.partition_point(|sum| *sum < at).min(self.0.len() - 1)
    }
}

/// One clip with its generation.
pub(super) struct Row {
    pub(super) request_id: String,
    pub(super) key: String,
    pub(super) created_at: i64,
    pub(super) prompt: String,
    pub(super) prompt_hash: String,
    pub(super) tenant: String,
    pub(super) model: String,
    pub(super) seed: u32,
    pub(super) words: Vec<String>,
}

impl Row {
    /// Its place in SQLite's index of words.
    pub(super) fn place(&self) -> i64 {
        places(self.created_at, &self.key).0
    }
}

/// All of them.
pub(crate) struct World {
    pub(super) rows: u64,
    vocabulary: Vec<String>,
    words: Zipf,
    tenants: Zipf,
    models: Zipf,
}

impl World {
    pub(crate) fn new(rows: u64) -> Self {
        const SYLLABLES: [&str; 16] =
            ["ba", "ko", "ri", "te", "lu", "sha", "men", "vor", "qui", "dal", "zen", "pho", "gri", "nak", "sol", "wyr"];
        let made = |n: usize| -> String { [n, n / 16, n / 256, n / 4096].map(|part| SYLLABLES[part % 16]).concat() };
        let frequent = FREQUENT.iter().map(|word| (*word).to_owned());
        let vocabulary = frequent.chain((0..VOCABULARY - FREQUENT.len()).map(made)).collect();
        let (words, tenants, models) = (Zipf::new(VOCABULARY), Zipf::new(TENANTS), Zipf::new(MODELS));
        Self { rows, vocabulary, words, tenants, models }
    }

    /// The word of this rank, from 0.
    pub(super) fn word(&self, rank: u64) -> &str {
        &self.vocabulary[rank as usize]
    }

    /// A prompt among those there are.
    pub(super) fn prompt_of(&self, clip: u64) -> String {
        let prompts = (self.rows / PER_PROMPT).max(1);
        let mut dice = Dice::new(Dice::new(clip ^ 0x5eed).below(prompts));
        let count = 8 + dice.below(18);
        (0..count).map(|_| self.vocabulary[self.words.draw(&mut dice)].as_str()).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn created_at(&self, clip: u64) -> i64 {
        NOW - (self.rows - clip) as i64 * PACE
    }

    pub(super) fn key(&self, clip: u64) -> String {
        format!("{}.mp4", self.request_id(clip))
    }

    /// Like a UUID of version 7: by time, then at random.
    fn request_id(&self, clip: u64) -> String {
        let (time, chance) = (self.created_at(clip), Dice::new(clip).roll());
        format!("{:08x}-{:04x}-7000-8000-{:012x}", time >> 16, time & 0xffff, chance >> 16)
    }

    pub(super) fn tenant(&self, dice: &mut Dice) -> String {
        format!("tenant-{}", self.tenants.draw(dice))
    }

    pub(super) fn model(&self, dice: &mut Dice) -> String {
        format!("fal-ai/model-{}/text-to-video", self.models.draw(dice))
    }

    pub(super) fn row(&self, clip: u64) -> Row {
        let mut dice = Dice::new(clip ^ 0xacce55);
        let (prompt, tenant, model) = (self.prompt_of(clip), self.tenant(&mut dice), self.model(&mut dice));
        let mut words = search::of_prompt(&prompt);
        words.extend([search::of_tenant(&tenant), search::of_model(&model)]);
        Row {
            request_id: self.request_id(clip),
            key: self.key(clip),
            created_at: self.created_at(clip),
            prompt_hash: prompt_hash(&prompt),
            prompt,
            tenant,
            model,
            seed: dice.roll() as u32,
            words: words.into_iter().collect(),
        }
    }
}
