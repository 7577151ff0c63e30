//! Word search: what is indexed of a clip, and what both databases do alike.

use std::collections::{BTreeMap, BTreeSet};

use clipkeep_core::{
    generation::Clip,
    search::{self, Words},
    state::ClipState,
    time::Timestamp,
};

use super::{ClipFilter, ClipPage, Cursor, merge::MergeBatch, page};

/// How many clips are read to look for words in their prompts, where that is
/// quicker than asking the index.
pub(crate) const SCAN_LIMIT: i64 = 5000;

/// A clip's place in the index of words.
pub(crate) struct Entry<'a> {
    pub(crate) clip: &'a Clip,
    /// The words of its prompt, its tenant and its model.
    pub(crate) words: BTreeSet<String>,
}

/// What the index must say of the clips that the news touched.
pub(crate) fn entries<'a>(batch: &'a MergeBatch<'_>) -> Vec<Entry<'a>> {
    let live = batch.touched().filter(|clip| clip.state != ClipState::Deleted);
    // A generation's clips have one prompt, and it may be long.
    let mut read: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let entry = |clip: &'a Clip| {
        let prompt = clip.facts.prompt.as_deref()?;
        let mut words = read.entry(prompt).or_insert_with(|| search::of_prompt(prompt)).clone();
        words.extend(names(clip.facts.tenant.as_ref().map(AsRef::as_ref), clip.facts.model.as_deref()));
        Some(Entry { clip, words })
    };
    live.filter_map(entry).collect()
}

/// All that must stand in the index for a clip to be shown: tenant and model
/// narrow a search there, before a row is looked at.
pub(crate) fn index_terms(words: &Words, filter: &ClipFilter) -> Vec<String> {
    let names = names(filter.tenant.as_ref().map(AsRef::as_ref), filter.model.as_deref());
    words.iter().map(str::to_owned).chain(names).collect()
}

fn names(tenant: Option<&str>, model: Option<&str>) -> impl Iterator<Item = String> {
    tenant.map(search::of_tenant).into_iter().chain(model.map(search::of_model))
}

/// Whether so little has to be read without the index that it is not asked,
/// whatever the database holds.
pub(crate) fn uses_scan(filter: &ClipFilter) -> bool {
    filter.request_id.is_some() || filter.prompt_hash.is_some()
}

/// A clip that was found, as far as its order goes: newest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    pub(crate) created_at: i64,
    pub(crate) key: String,
}

impl Found {
    /// What comes before everything that a page starting here may show.
    pub(crate) fn start(filter: &ClipFilter, after: Option<&Cursor>) -> Self {
        let before = filter.created_before.map_or(i64::MAX, Timestamp::millis);
        let before = Self { created_at: before, key: String::new() };
        let after = after.map(|after| Self { created_at: after.created_at.millis(), key: after.key.to_string() });
        after.map_or(before.clone(), |after| after.min(before))
    }
}

/// A page that is gathered from a plain list, by looking for the words in each
/// clip's prompt.
pub(crate) struct FilteredScan<'a> {
    words: &'a Words,
    pub(crate) filter: ClipFilter,
    pub(crate) after: Option<Cursor>,
    limit: u32,
    kept: Vec<Clip>,
}

impl<'a> FilteredScan<'a> {
    pub(crate) fn new(words: &'a Words, filter: &ClipFilter, after: Option<&Cursor>, limit: u32) -> Self {
        let filter = ClipFilter { words: None, ..filter.clone() };
        Self { words, filter, after: after.cloned(), limit, kept: Vec::new() }
    }

    /// Takes in the next clips of the list; answers the page once it is there.
    pub(crate) fn take(&mut self, listed: ClipPage) -> Option<ClipPage> {
        let words = self.words;
        let holds = |clip: &Clip| clip.facts.prompt.as_deref().map(|prompt| words.occur_in(prompt));
        let of_one_prompt = self.filter.prompt_hash.is_some();
        let in_vain = of_one_prompt && listed.clips.iter().find_map(holds) == Some(false);
        self.kept.extend(listed.clips.into_iter().filter(|clip| holds(clip) == Some(true)));
        self.after = listed.next;
        let done = in_vain || self.after.is_none() || self.kept.len() > page::size(self.limit) as usize;
        done.then(|| page::page(std::mem::take(&mut self.kept), self.limit))
    }
}
