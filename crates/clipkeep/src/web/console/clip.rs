//! One clip: its player, and everything that is known of it.

use axum::{
    extract::{Path, State},
    response::Response,
};
use clipkeep_core::{
    config::DurationText,
    cost::Cost,
    generation::{Clip, Kind},
    history, human,
    link::LinkTarget,
    state::ClipState,
};
use maud::{Markup, html};

use super::{
    Trouble,
    layout::{self, Room},
    parts::{clip_path, copy, shows_source, signed, state, still, time, time_of, title},
    session::{Fields, Visitor, redirect},
};
use crate::{
    app::App,
    auth::Caller,
    catalog::{UsageFilter, UsageGroup, UsageLine, lineage},
    costs::{CostQuery, CostReport, report},
    dto::{ClipRow, UsageRow},
    receipts::receipt,
    web::{
        AppState,
        api::clips::{clip_for, history_for},
    },
};

/// What a page says above all else: what a form did.
#[derive(Default)]
pub(super) struct FormResult {
    pub(super) link: Option<(String, String)>,
    pub(super) wrong: Option<String>,
    /// What stood in the form.
    pub(super) asked: Fields,
}

pub(super) async fn show(
    visitor: Visitor,
    State(app): State<AppState>,
    Path(key): Path<String>,
    query: Fields,
) -> Result<Response, Trouble> {
    let clip = clip_for(&visitor.caller, &app, &key).await?;
    if clip.key.as_str() != key {
        return Ok(redirect(&clip_path(&clip.key)));
    }
    let note = match query.get("done") {
        Some("revoked") => Some("All links to it were revoked. Links made from now on work."),
        Some("deleted") => Some("It is deleted: its object is removed, and its links answer 410."),
        done => done.and_then(super::queue::filled),
    };
    page(&app, &visitor, clip, note, &FormResult::default()).await
}

/// The page, with what a form did.
pub(super) async fn page(
    app: &App,
    visitor: &Visitor,
    clip: Clip,
    note: Option<&str>,
    told: &FormResult,
) -> Result<Response, Trouble> {
    let history = history_for(&visitor.caller, app, &clip.key).await?;
    let holder = app.catalog.lease_holder(&clip.key).await?;
    let held = holder.as_ref().map(|holder| match visitor.caller {
        Caller::Admin => (holder.node.as_str(), holder.until),
        Caller::Tenant(_) => ("a node", holder.until),
    });
    let next = history::next(&clip, history.last(), held, &app.final_urls.of(&clip.key), app.clock.now());
    let body = html! {
        p.crumbs { a href="/" data-close { "Library" } " / " span { (clip.key) } }
        @if let Some(note) = note {
            p.note role="status" { (note) }
        }
        @if let Some(wrong) = &told.wrong {
            p.bad role="alert" { (wrong) }
        }
        div.clip {
            section.player aria-label="Player" {
                (player(app, &clip))
                h1 { (title(&clip)) " " (state(clip.state)) }
                p.next { "Next: " (next) }
                (super::clip_forms::forms(app, visitor, &clip, told))
            }
            div.known {
                (row(app, visitor, &clip))
                (input(&clip))
                (super::clip_forms::story(&history))
                (lineage(app, visitor, &clip).await?)
                (usage(app, &clip).await?)
                (costs(app, &clip).await)
                (proof(app, clip.clone(), &history))
            }
        }
    };
    Ok(layout::page(visitor, Room::Library, &title(&clip), &body))
}

fn player(app: &App, clip: &Clip) -> Markup {
    let kind = clip.sealed.as_ref().map_or(clip.kind, |sealed| sealed.media.kind);
    let is_over = matches!(clip.state, ClipState::Lost | ClipState::Rejected | ClipState::Deleted);
    let Some(src) = signed(app, LinkTarget::Clip, clip).filter(|_| !is_over) else { return still(app, clip, true) };
    let poster = match clip.poster {
        clipkeep_core::generation::Poster::Made { .. } => signed(app, LinkTarget::Poster, clip),
        _ => None,
    };
    html! {
        @match kind {
            Kind::Video => video src=(src) poster=[poster] controls preload="metadata" playsinline aria-label="The clip" {},
            Kind::Audio => { (still(app, clip, true)) audio src=(src) controls preload="metadata" aria-label="The clip" {} },
            Kind::Image => img src=(src) alt=(title(clip));,
            Kind::Model | Kind::Archive => p { a href=(src) { "Download it" } ", browsers do not show it." },
        }
    }
}

/// A line of the row: what, and its value.
fn line(what: &str, value: &Markup) -> Markup {
    html! { div { dt { (what) } dd { (value) } } }
}

fn row(app: &App, visitor: &Visitor, clip: &Clip) -> Markup {
    let row = ClipRow::seen_by(&visitor.caller, clip.clone(), &app.final_urls);
    let text = |value: Option<&str>| html! { (value.unwrap_or("–")) };
    let copied = |what: &str, value: Option<&str>| match value {
        Some(value) => html! { code { (value) } " " (copy(what, value)) },
        None => html! { "–" },
    };
    let number = |value: Option<String>| html! { (value.unwrap_or_else(|| "–".to_owned())) };
    html! {
        section.card {
            h2 { "Row" }
            dl {
                (line("Key", &copied("the key", Some(&row.key))))
                (line("Request id", &copied("the request id", Some(&row.request_id))))
                (line("Final URL", &copied("the final URL", row.final_url.as_deref())))
                (line("Model", &text(row.model.as_deref())))
                (line("Provider", &text(Some(&row.provider))))
                (line("Tenant", &text(row.tenant.as_deref())))
                (line("Prompt hash", &copied("the prompt hash", row.prompt_hash.as_deref())))
                (line("Seed", &number(row.seed.map(|seed| seed.to_string()))))
                (line("Media", &html! { (row.content_type) @if let Some(codec) = &row.codec { ", " (codec) } }))
                (line("Size", &number(row.size.map(human::size))))
                (line("Frame", &number(row.width.zip(row.height).map(|(w, h)| format!("{w} × {h}")))))
                (line("Duration", &number(row.duration.map(|secs| format!("{secs:.2} s")))))
                (line("Frames a second", &number(row.fps.map(|fps| format!("{fps:.3}")))))
                (line("C2PA mark", &text(row.c2pa.map(|marked| if marked { "yes" } else { "no" }))))
                (line("SHA-256", &copied("the checksum", row.sha256.as_deref())))
                (line("Policy", &html! { (row.policy) }))
                (line("Public", &text(Some(if row.public.unwrap_or(app.config.public) { "yes" } else { "no" }))))
                (line("Heard of", &time(clip.created_at)))
                (line("Stored", &time_of(row.stored_at.as_deref())))
                (line("Verified", &time_of(row.verified_at.as_deref())))
                (line("Source ends", &time_of(row.source_expires_at.as_deref())))
                (line("Attempts", &html! { (row.attempts) }))
                (line("Last error", &text(row.last_error.as_deref())))
                (line("Link generation", &html! { (row.link_generation) }))
                @if shows_source(&visitor.caller) {
                    (line("Source", &copied("the source's URL", row.source_url.as_deref())))
                }
            }
        }
    }
}

fn input(clip: &Clip) -> Markup {
    let pretty = clip.facts.input.as_ref().map(|input| {
        let value: Result<serde_json::Value, _> = serde_json::from_str(input.as_str());
        value.and_then(|value| serde_json::to_string_pretty(&value)).unwrap_or_else(|_| input.as_str().to_owned())
    });
    html! {
        @if let Some(prompt) = &clip.facts.prompt {
            section.card {
                h2 { "Prompt " (copy("the prompt", prompt)) }
                p.prompt { (prompt) }
            }
        }
        @if let Some(pretty) = pretty {
            section.card {
                details {
                    summary { h2 { "Input " } }
                    (copy("the input", &pretty))
                    pre tabindex="0" { code { (pretty) } }
                }
            }
        }
    }
}

async fn lineage(app: &App, visitor: &Visitor, clip: &Clip) -> Result<Markup, Trouble> {
    let found = lineage::lineage(&*app.catalog, &clip.key, visitor.caller.tenant()).await?;
    let list = |name: &str, of: &[lineage::Relative]| {
        html! {
            @if !of.is_empty() {
                h3 { (name) }
                ul.family {
                    @for one in of {
                        li { a href=(clip_path(&one.clip.key)) { (still(app, &one.clip, false)) span.words { (title(&one.clip)) } } }
                    }
                }
            }
        }
    };
    Ok(html! {
        @if !found.ancestors.is_empty() || !found.descendants.is_empty() {
            section.card {
                h2 { "Lineage" }
                (list("Made from", &found.ancestors))
                (list("Made of it", &found.descendants))
                @if !found.complete { p.quiet { "There are more than are shown." } }
            }
        }
    })
}

async fn usage(app: &App, clip: &Clip) -> Result<Markup, Trouble> {
    let filter = UsageFilter { key: Some(clip.key.clone()), ..UsageFilter::default() };
    let line = app.catalog.usage(&filter, UsageGroup::All, None, 1).await?.lines.pop();
    let row = UsageRow::new(line.unwrap_or_else(UsageLine::nothing));
    Ok(html! {
        section.card {
            h2 { "Usage" }
            dl.numbers {
                (line_of("Plays", row.plays.to_string()))
                (line_of("Sent to viewers", human::size(row.viewer_bytes)))
                (line_of("Hits", row.hits.to_string()))
                (line_of("Cold", row.cold_fetches.to_string()))
                (line_of("Read from its source", human::size(row.source_bytes)))
                (line_of("First byte", row.first_byte_ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1} ms"))))
            }
        }
    })
}

fn line_of(what: &str, value: String) -> Markup {
    line(what, &html! { (value) })
}

/// What it costs this month; nothing where that cannot be told.
async fn costs(app: &App, clip: &Clip) -> Markup {
    let query = CostQuery {
        filter: UsageFilter { key: Some(clip.key.clone()), ..UsageFilter::default() },
        group: UsageGroup::Month,
        lists: &app.price_lists,
        generations: &app.config.generation_prices,
        after: None,
        limit: 1,
    };
    let Ok(CostReport { total, forecast, .. }) = report(&*app.catalog, app.clock.now(), &query).await else {
        return html! {};
    };
    html! {
        section.card {
            h2 { "Cost this month" }
            div.scroll tabindex="0" role="region" aria-label="Cost this month" {
                table {
                    thead {
                        tr {
                            th scope="col" { "List" }
                            @for name in ["Storage", "Egress", "Generation", "So far", "At its end"] { th.num scope="col" { (name) } }
                        }
                    }
                    tbody {
                        @for (at, on) in total.costs.iter().enumerate() {
                            tr {
                                th scope="row" { (on.list) }
                                td.num { (on.cost.storage.rounded()) }
                                td.num { (on.cost.egress.rounded()) }
                                td.num { (on.generated.rounded()) }
                                td.num { (on.amount(Cost::total)) }
                                td.num { (forecast.get(at).map_or_else(|| "–".to_owned(), |end| end.cost.total().rounded())) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The receipt, signed as the API gives it.
fn proof(app: &App, clip: Clip, history: &[clipkeep_core::generation::HistoryEntry]) -> Markup {
    let key = clip.key.clone();
    let Some(receipt) = receipt(clip, history, &app.store, &app.config, app.clock.now()) else { return html! {} };
    let signed = app.receipts.sign(receipt);
    let text = serde_json::json!({
        "receipt": signed.receipt, "protected": signed.protected, "payload": signed.payload, "signature": signed.signature,
    });
    let pretty = serde_json::to_string_pretty(&text).unwrap_or_default();
    html! {
        section.card {
            details {
                summary { h2 { "Receipt" } }
                p.quiet { "Proves that these bytes are those that the source gave: save it, and run "
                    code { "clipkeep verify --receipt FILE --clip " (key) } "." }
                (copy("the receipt", &pretty))
                pre tabindex="0" { code { (pretty) } }
            }
        }
    }
}

/// How long links last here, in words.
pub(super) fn longest(app: &App, caller: &Caller) -> (String, bool) {
    let (max, _) = app.longest_link(clipkeep_core::link::Audience::Public);
    (DurationText(max).to_string(), *caller == Caller::Admin)
}
