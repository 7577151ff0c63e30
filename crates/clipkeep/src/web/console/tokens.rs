//! Tokens: made, listed, revoked. For admins.

use axum::{
    extract::{Path, State},
    response::Response,
};
use clipkeep_core::{
    id::Tenant,
    problem::Code,
    token::{TokenInfo, check_token_name},
};
use maud::{Markup, html};

use super::{
    Trouble,
    layout::{self, Room},
    parts::{copy, time},
    session::{Fields, Posted, Visitor, redirect},
};
use crate::{
    app::App,
    auth::issue,
    web::{AppState, api::tokens::is_token_id, error::ApiError},
};

const MAX_ROWS: u32 = 200;

pub(super) async fn show(visitor: Visitor, State(app): State<AppState>, query: Fields) -> Result<Response, Trouble> {
    let note = query.get("done").map(
        |_| html! { p.note role="status" { "It is revoked: it opens nothing any more, within seconds on all nodes." } },
    );
    page(&app, &visitor, &note.unwrap_or_default()).await
}

async fn page(app: &App, visitor: &Visitor, told: &Markup) -> Result<Response, Trouble> {
    visitor.must_be_admin()?;
    let tokens = app.catalog.tokens(None, MAX_ROWS).await?;
    let body = html! {
        h1 { "Tokens" }
        (told)
        section.card {
            h2 { "Make one" }
            form.fields method="post" {
                input type="hidden" name="csrf" value=(visitor.csrf);
                label { "What for" input name="name" required maxlength="100" autocomplete="off"; }
                label { "Whose rows it sees" input name="tenant" maxlength="128" placeholder="a tenant" autocomplete="off" aria-describedby="whose"; }
                label.check { input type="checkbox" name="admin" value="1"; " sees and does everything (admin)" }
                button.main type="submit" { "Make a token" }
                span.quiet #whose { "Either a tenant, or an admin's." }
            }
        }
        section.card {
            h2 { "All" }
            @if tokens.is_empty() { p.empty { "None but the node's own admin token." } } @else { (table(visitor, &tokens)) }
            @if tokens.len() >= MAX_ROWS as usize {
                p.quiet { "The newest " (MAX_ROWS) " are shown; " code { "clipkeep token list" } " has all of them." }
            }
        }
    };
    Ok(layout::page(visitor, Room::Tokens, "Tokens", &body))
}

fn table(visitor: &Visitor, tokens: &[TokenInfo]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Tokens" {
            table {
                thead { tr { th scope="col" { "What for" } th scope="col" { "Sees" } th scope="col" { "Made" } th scope="col" { "Used" } th scope="col" { span.hidden { "Act" } } } }
                tbody {
                    @for token in tokens {
                        tr {
                            th scope="row" { (token.name) }
                            td { @match &token.tenant { Some(tenant) => (tenant), None => "everything" } }
                            td { (time(token.created_at)) }
                            td { @if let Some(at) = token.last_used_at { (time(at)) } @else { "never" } }
                            td {
                                @match token.revoked_at {
                                    Some(at) => { "revoked " (time(at)) }
                                    None => details {
                                        summary { "Revoke…" }
                                        form method="post" action={ "/console/tokens/" (token.id) "/revoke" } {
                                            input type="hidden" name="csrf" value=(visitor.csrf);
                                            button.danger type="submit" aria-label={ "Revoke it for good: " (token.name) } { "Revoke it for good" }
                                        }
                                    },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub(super) async fn create(
    State(app): State<AppState>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Trouble> {
    visitor.must_be_admin()?;
    let told = match wanted(&fields) {
        Err(wrong) => html! { p.bad role="alert" { (wrong) } },
        Ok((name, tenant)) => {
            let (token, _) = issue(&*app.catalog, &*app.clock, name, tenant).await?;
            html! {
                p.note role="status" {
                    "Here it is, this once: it is kept nowhere. "
                    input readonly aria-label="The token" value=(token.expose()); " " (copy("the token", token.expose()))
                }
            }
        }
    };
    page(&app, &visitor, &told).await
}

/// The name and tenant of the token that is wanted, or what is wrong.
fn wanted(fields: &Fields) -> Result<(String, Option<Tenant>), String> {
    let name = fields.get("name").unwrap_or_default();
    check_token_name(name).map_err(|problem| format!("What for: {problem}"))?;
    let tenant = fields.get("tenant").map(str::parse::<Tenant>).transpose();
    let tenant = tenant.map_err(|error| format!("Whose rows it sees: {error}"))?;
    if fields.get("admin").is_some() != tenant.is_none() {
        return Err("Say either whose rows it sees, or that it sees everything.".to_owned());
    }
    Ok((name.to_owned(), tenant))
}

pub(super) async fn revoke(
    State(app): State<AppState>,
    Path(id): Path<String>,
    Posted { visitor, .. }: Posted,
) -> Result<Response, Trouble> {
    visitor.must_be_admin()?;
    if !is_token_id(&id) || !app.catalog.revoke_token(&id, app.clock.now()).await? {
        return Err(ApiError::new(Code::NotFound, "no token has that id").into());
    }
    app.auth.forget();
    Ok(redirect("/console/tokens?done=revoked"))
}
