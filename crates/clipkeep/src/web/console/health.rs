//! Health: what doctor says, looked at for all who ask in half a minute.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use maud::html;

use super::{
    Trouble,
    layout::{self, Room},
    session::Visitor,
};
use crate::{
    doctor::{self, Level},
    web::AppState,
};

pub(super) async fn show(visitor: Visitor, State(app): State<AppState>) -> Result<Response, Trouble> {
    visitor.must_be_admin()?;
    let looking = Arc::clone(&app);
    let look = async move { doctor::collect(&looking.config, Ok(Arc::clone(&looking.catalog))).await };
    let checks = app.health.at(look).await.unwrap_or_default();
    let trouble = app.vitals.trouble(&app.catalog, &app.intake, &app.custody).await;
    let rows = app.vitals.rows(&app.catalog).await;
    let body = html! {
        h1 { "Health" }
        section.card {
            h2 { "This node" }
            @match trouble {
                None => p { span.state.stored { "ready" } " It can do its work." },
                Some(why) => p { span.state.lost { "not ready" } " " (why) },
            }
            dl.numbers {
                div { dt { "Fills that run here" } dd { (app.engine.running()) } }
                @for (state, count) in rows.clips.unwrap_or_default() {
                    div { dt { "Clips " (state) } dd { (count) } }
                }
            }
        }
        section.card {
            h2 { "What doctor says" }
            ul.checks {
                @for check in &checks {
                    li {
                        span class=(match check.level { Level::Ok => "state stored", Level::Warning => "state waiting", Level::Failed => "state lost" }) {
                            (match check.level { Level::Ok => "ok", Level::Warning => "warning", Level::Failed => "failed" })
                        }
                        b { (check.check) }
                        span { (check.detail) @if let Some(hint) = check.hint { br; span.quiet { (hint) } } }
                    }
                }
            }
        }
    };
    Ok(layout::page(&visitor, Room::Health, "Health", &body))
}
