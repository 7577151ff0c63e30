//! What can be done with a clip, and its story.

use axum::{
    extract::{Path, State},
    http::Uri,
    response::Response,
};
use clipkeep_core::{
    config::DurationText,
    generation::{Clip, HistoryEntry},
    history::describe,
    link::LinkTarget,
    state::ClipState,
};
use maud::{Markup, html};

use super::{
    Trouble,
    clip::{FormResult, longest, page},
    parts::{clip_path, copy, time},
    session::{Posted, Visitor, page_of, redirect},
};
use crate::{
    app::App,
    auth::Caller,
    web::{
        AppState,
        api::clips::{clip_for, delete_for, fill_for},
    },
};

/// What a link may lead to.
const TARGETS: [(&str, &str); 4] = [
    ("clip", "the clip"),
    ("page", "a page that plays it"),
    ("poster", "its poster"),
    ("internal", "internal: its source, while it is not stored"),
];

/// The forms below the player.
pub(super) fn forms(app: &App, visitor: &Visitor, clip: &Clip, told: &FormResult) -> Markup {
    let csrf = || html! { input type="hidden" name="csrf" value=(visitor.csrf); };
    let path = clip_path(&clip.key);
    let is_over = matches!(clip.state, ClipState::Lost | ClipState::Rejected | ClipState::Deleted);
    let (longest, is_admin) = longest(app, &visitor.caller);
    let usual = DurationText(app.config.link_ttl).to_string();
    html! {
        @if !is_over {
            section.card #link {
                h2 { "Link" }
                @if let Some((url, expires)) = &told.link {
                    p.made role="status" {
                        input readonly aria-label="The link" value=(url); " " (copy("the link", url))
                        span.quiet { "holds until " (super::parts::time_of(Some(expires))) }
                    }
                }
                form.fields method="post" action={ (path) "/link#link" } {
                    (csrf())
                    label { "Leads to"
                        select name="target" {
                            @for (value, words) in TARGETS {
                                @if is_admin || value != "internal" {
                                    option value=(value) selected[told.asked.get("target") == Some(value)] { (words) }
                                }
                            }
                        }
                    }
                    label { "Holds for" input name="expires_in" value=(told.asked.get("expires_in").unwrap_or(&usual)) required
                        aria-describedby="longest"; }
                    label { "Saved as" input name="download" maxlength="255" value=[told.asked.get("download")] placeholder="(played, not saved)"; }
                    button.main type="submit" { "Make a link" }
                    span.quiet #longest { "such as 24h; " (longest) " at most" }
                }
                details {
                    summary { "Revoke all links…" }
                    form method="post" action={ (path) "/revoke" } {
                        (csrf())
                        p { "Every link to this clip that was made so far stops working, within seconds." }
                        button.danger type="submit" { "Revoke all links to it" }
                    }
                }
            }
        }
        section.card.acts {
            h2 { "Do" }
            @if matches!(clip.state, ClipState::Waiting | ClipState::Filling | ClipState::Lost | ClipState::Rejected) {
                form method="post" action={ (path) "/fill" } {
                    (csrf())
                    button type="submit" { @if is_over { "Try it again" } @else { "Fill it now" } }
                }
            }
            @if clip.state != ClipState::Deleted {
                details {
                    summary { "Delete…" }
                    form method="post" action={ (path) "/delete" } {
                        (csrf())
                        p { "Its object, every copy and its links go for good. Its row stays, and nothing brings it back." }
                        label { "Type " code { (clip.key) } " to confirm" input name="confirm" required autocomplete="off"; }
                        button.danger type="submit" { "Delete it for good" }
                    }
                }
            } @else {
                p.quiet { "Nothing: it is deleted." }
            }
        }
    }
}

/// What happened, oldest first.
pub(super) fn story(history: &[HistoryEntry]) -> Markup {
    html! {
        section.card {
            h2 { "Story" }
            ol.story { @for entry in history { li { (time(entry.at)) " " span { (describe(entry)) } } } }
        }
    }
}

pub(super) async fn make_link(
    State(app): State<AppState>,
    Path(key): Path<String>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Trouble> {
    let clip = clip_for(&visitor.caller, &app, &key).await?;
    let made = link(&app, &visitor.caller, &clip, &fields);
    let (link, wrong) = match made {
        Ok(link) => (Some(link), None),
        Err(wrong) => (None, Some(wrong)),
    };
    page(&app, &visitor, clip, None, &FormResult { link, wrong, asked: fields }).await
}

/// The link that is asked for and when it ends, or what is wrong with that.
fn link(app: &App, caller: &Caller, clip: &Clip, fields: &super::session::Fields) -> Result<(String, String), String> {
    let target = match fields.get("target") {
        Some("page") => LinkTarget::Page,
        Some("poster") => LinkTarget::Poster,
        Some("internal") if *caller == Caller::Admin => LinkTarget::Internal,
        _ => LinkTarget::Clip,
    };
    let span = fields.get("expires_in").unwrap_or_default().parse::<DurationText>();
    let span: std::time::Duration = span.map_err(|error| format!("Holds for: {error}"))?.into();
    let (max, _) = app.longest_link(target.audience());
    if span.is_zero() || span > max {
        return Err(format!("Holds for: more than nothing, and {} at most", DurationText(max)));
    }
    if matches!(clip.state, ClipState::Lost | ClipState::Rejected | ClipState::Deleted) {
        return Err(format!("It is {}: no link to it works", clip.state));
    }
    let download = fields.get("download");
    if download.is_some_and(|name| name.len() > 255 || name.chars().any(char::is_control)) {
        return Err("Saved as: at most 255 bytes, without control characters".to_owned());
    }
    let signed = app.sign_link(target, (&clip.key, clip.link_generation), span, download);
    signed.map(|link| (link.url, link.expires.to_string())).map_err(|error| error.to_string())
}

/// A form's address that is asked for as a page: reloaded, say, or pasted.
pub(super) async fn back(uri: Uri) -> Response {
    redirect(&page_of(uri.path()))
}

pub(super) async fn revoke_links(
    State(app): State<AppState>,
    Path(key): Path<String>,
    Posted { visitor, .. }: Posted,
) -> Result<Response, Trouble> {
    let key = clip_for(&visitor.caller, &app, &key).await?.key;
    app.revoke_links_of(&key).await?;
    Ok(redirect(&format!("{}?done=revoked", clip_path(&key))))
}

pub(super) async fn fill(
    State(app): State<AppState>,
    Path(key): Path<String>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Trouble> {
    let (key, fill) = fill_for(&visitor.caller, &app, &key).await?;
    let done = if fill == "nothing_to_do" { "nothing" } else { "filled" };
    // From the queue one goes back there.
    let to = if fields.get("from") == Some("queue") { "/console/queue".to_owned() } else { clip_path(&key) };
    Ok(redirect(&format!("{to}?done={done}")))
}

pub(super) async fn delete(
    State(app): State<AppState>,
    Path(key): Path<String>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Trouble> {
    let clip = clip_for(&visitor.caller, &app, &key).await?;
    if fields.get("confirm") != Some(clip.key.as_str()) {
        let wrong = format!("Nothing was deleted: type {} to confirm", clip.key);
        return page(&app, &visitor, clip, None, &FormResult { wrong: Some(wrong), ..FormResult::default() }).await;
    }
    let key = delete_for(&visitor.caller, &app, clip.key.as_str()).await?;
    Ok(redirect(&format!("{}?done=deleted", clip_path(&key))))
}
