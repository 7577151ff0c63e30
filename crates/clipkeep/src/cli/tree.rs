//! `clipkeep find KEY --tree`: where a clip comes from, and what was made of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

use clipkeep_core::id::ClipKey;
use serde_json::json;

use super::{output, wrong_usage};
use crate::{
    app::FinalUrls,
    catalog::{Catalog, lineage, lookup::clip_by_any_key},
    dto::lineage::{LineageRow, RelativeRow},
};

pub(super) async fn run(
    catalog: &dyn Catalog,
    key: Option<&str>,
    urls: &FinalUrls,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let key: ClipKey = key.unwrap_or_default().parse().map_err(|_| wrong_usage("--tree takes the key of one clip"))?;
    let Some(clip) = clip_by_any_key(catalog, &key).await? else {
        if as_json {
            output::json(&json!({"clip": null}))?;
        } else {
            output::line("no clip found");
        }
        return Ok(ExitCode::FAILURE);
    };
    let lineage = lineage::lineage(catalog, &clip.key, None).await?;
    let lineage = LineageRow::new(clip, lineage, urls);
    if as_json {
        output::json(&lineage)?;
    } else {
        let clip = &lineage.clip;
        let own = label(&clip.key, clip.state.as_str(), clip.model.as_deref(), clip.prompt.as_deref());
        draw((&clip.key, own), &[&lineage.ancestors, &lineage.descendants]).iter().for_each(output::line);
        if !lineage.complete {
            output::note("the lineage goes on; this is its nearest part");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The lines of the tree, from the oldest ancestors down.
fn draw(own: (&str, String), lineage: &[&[RelativeRow]; 2]) -> Vec<String> {
    let [ancestors, descendants] = lineage;
    let mut tree = Tree {
        labels: BTreeMap::from([(own.0, format!("{}  ← this one", own.1))]),
        children: BTreeMap::new(),
        drawn: BTreeSet::new(),
        lines: Vec::new(),
    };
    for RelativeRow { key, state, model, prompt, .. } in ancestors.iter().chain(*descendants) {
        tree.labels.insert(key, label(key, state.as_str(), model.as_deref(), prompt.as_deref()));
    }
    for RelativeRow { key, of, .. } in *ancestors {
        tree.children.entry(key).or_default().push(of);
    }
    for RelativeRow { key, of, .. } in *descendants {
        tree.children.entry(of).or_default().push(key);
    }
    let made: BTreeSet<&str> = ancestors.iter().map(|one| one.of.as_str()).collect();
    let roots = ancestors.iter().rev().map(|one| one.key.as_str()).filter(|key| !made.contains(key));
    for root in roots.chain([own.0]) {
        if !tree.drawn.contains(root) {
            tree.draw(root, "", "");
        }
    }
    tree.lines
}

struct Tree<'a> {
    labels: BTreeMap<&'a str, String>,
    children: BTreeMap<&'a str, Vec<&'a str>>,
    drawn: BTreeSet<&'a str>,
    lines: Vec<String>,
}

impl<'a> Tree<'a> {
    /// Draws a clip behind `branch`, and its children behind `under`. As deep as
    /// the lineage is, which is bounded.
    fn draw(&mut self, key: &'a str, branch: &str, under: &str) {
        let first = self.drawn.insert(key);
        let label =
            if first { self.labels.get(key).cloned().unwrap_or_default() } else { format!("{key}  (see above)") };
        self.lines.push(format!("{branch}{label}"));
        let children = if first { self.children.get(key).cloned().unwrap_or_default() } else { Vec::new() };
        let last = children.len().saturating_sub(1);
        for (at, child) in children.into_iter().enumerate() {
            let (corner, below) = if at == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            self.draw(child, &format!("{under}{corner}"), &format!("{under}{below}"));
        }
    }
}

fn label(key: &str, state: &str, model: Option<&str>, prompt: Option<&str>) -> String {
    let prompt = prompt.map(|prompt| format!("  «{}»", output::shorten(prompt, 60))).unwrap_or_default();
    let model = output::shorten(model.unwrap_or("-"), 60);
    format!("{key}  {state}  {model}{prompt}")
}

#[cfg(test)]
mod tests {
    use clipkeep_core::{generation::Kind, state::ClipState};

    use super::*;

    fn drawn(ancestors: &[(&str, &str)], descendants: &[(&str, &str)]) -> Vec<String> {
        let row = |(key, of): &(&str, &str)| RelativeRow {
            key: (*key).to_owned(),
            of: (*of).to_owned(),
            depth: 1,
            model: Some("m".to_owned()),
            prompt: Some("a fox".to_owned()),
            prompt_hash: None,
            state: ClipState::Stored,
            kind: Kind::Video,
            created_at: String::new(),
            final_url: None,
        };
        let [ancestors, descendants] = [ancestors, descendants].map(|rows| rows.iter().map(row).collect::<Vec<_>>());
        draw(("own", "own".to_owned()), &[&ancestors, &descendants])
    }

    #[test]
    fn a_chain_and_its_branches_are_one_tree() {
        let lines = drawn(&[("video", "own"), ("image", "video")], &[("x", "own"), ("y", "own"), ("z", "x")]);
        let expected = [
            "image  stored  m  «a fox»",
            "└─ video  stored  m  «a fox»",
            "   └─ own  ← this one",
            "      ├─ x  stored  m  «a fox»",
            "      │  └─ z  stored  m  «a fox»",
            "      └─ y  stored  m  «a fox»",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_has_two_parents_is_drawn_once() {
        let lines = drawn(&[("a", "own"), ("b", "own")], &[("c", "own")]);
        let expected = [
            "b  stored  m  «a fox»",
            "└─ own  ← this one",
            "   └─ c  stored  m  «a fox»",
            "a  stored  m  «a fox»",
            "└─ own  (see above)",
        ];
        assert_eq!(lines, expected);
    }
}
