//! `clipkeep demo`: a simulated fal, a node, a few clips; all on this machine.

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use clipkeep_core::{
    config::{Config, Layers},
    generation::Clip,
    id::RequestId,
    link::LinkTarget,
    state::ClipState,
};
use fal_sim::{Fault, Faults, Media, Sim, SimOptions};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::output;
use crate::{app::App, catalog::ClipFilter, data_dir::Role, shutdown, tls, web, web::ClipRow};

/// How long all clips together may take.
const DEMO_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the links that are printed hold.
const LINK_SPAN: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Check every byte against the simulator, then exit with 0 or 1.
    #[arg(long)]
    once: bool,
}

/// Model and prompt of each generation; the models answer in different shapes.
const GENERATIONS: &[(&str, &str)] = &[
    ("fal-ai/veo3", "a red fox crosses a frozen lake at dawn"),
    ("fal-ai/kling-video/v2.5-turbo/pro/image-to-video", "the fox looks up as snow begins to fall"),
    ("fal-ai/minimax/hailuo-02/standard/text-to-video", "a paper boat drifts down a rainy street"),
    ("fal-ai/wan/v2.2-a14b/text-to-video", "time lapse of a sunflower following the sun"),
    ("fal-ai/ltx-2-19b/text-to-video", "a lighthouse in a storm, waves from above"),
    ("fal-ai/luma-dream-machine/ray-2", "portrait of a violinist in candle light"),
    ("fal-ai/sora-2/text-to-video", "a red fox crosses a frozen lake at dawn"),
    ("fal-ai/flux/dev", "storyboard frames for a fox on ice"),
];

/// What runs: simulator and node.
struct Stage {
    sim: Sim,
    app: Arc<App>,
    /// Removed at the end.
    _data: tempfile::TempDir,
}

pub(super) async fn run(args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    let stop = shutdown::on_signal().context("listening for signals")?;
    let (stage, listener) = set_up().await?;
    let app = &stage.app;
    let node = Arc::clone(app);
    let fills = app.tasks.spawn(async move { node.run().await });
    let served = app.tasks.spawn(web::serve(Arc::clone(app), listener, stop.clone()));
    if !as_json {
        output::line(format!("fal (simulated)  {}", stage.sim.queue_url()));
        output::line(format!("clipkeep         {}", app.config.public_url));
        output::line("");
    }
    let shown = tokio::select! {
        shown = show(&stage, args, as_json) => Some(shown),
        () = stop.cancelled() => None,
    };
    if !args.once && matches!(shown, Some(Ok(_))) {
        if !as_json {
            invite(&stage).await?;
        }
        stop.cancelled().await;
    }
    stop.cancel();
    app.close().await;
    let _ = tokio::join!(served, fills);
    stage.sim.shutdown();
    shown.unwrap_or(Ok(ExitCode::SUCCESS))
}

/// Leads into the console, where one more clip is on its way.
async fn invite(stage: &Stage) -> anyhow::Result<()> {
    const LONG: u64 = 60_000_000;
    const RATE: u64 = 500_000;
    let slow = Faults::always(Fault::rate(RATE));
    let source = stage.sim.add_faulty_file("slow.mp4", Media::padded_slow_start(LONG, 1), slow);
    let payload = json!({"video": {"url": source, "content_type": "video/mp4"}});
    let delivery = stage.sim.sign("demo-slow", stage.sim.webhook_body("demo-slow", &payload));
    let query = "model=fal-ai/veo3&prompt=a+very+long+take+of+a+glacier&tenant=demo";
    let hook =
        tls::client_builder().no_proxy().build()?.post(format!("{}/hooks/fal?{query}", stage.app.config.public_url));
    let hook = delivery.headers.into_iter().fold(hook, |hook, (name, value)| hook.header(name, value));
    hook.body(delivery.body).send().await?.error_for_status()?;
    let code = stage.app.sessions.once().context("the system gives no random bytes")?;
    output::line("");
    output::line("Open the console (this link logs in, once):");
    output::line(format!("  {}/login?once={code}", stage.app.config.public_url));
    output::line("");
    output::line("Try next:");
    output::line("  type «fox» into the search, open a clip, and make a link to a page that plays it");
    output::line("  look into the queue: one long clip is still being filled, and can be watched meanwhile");
    output::line("  press Ctrl-C, which ends the demo, and read on in README.md: «Run it»");
    Ok(())
}

async fn set_up() -> anyhow::Result<(Stage, TcpListener)> {
    let sim = Sim::start(SimOptions { run_time: Duration::from_millis(400), ..SimOptions::default() }).await?;
    let data = tempfile::Builder::new().prefix("clipkeep-demo-").tempdir()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let flags = [
        ("listen", address.to_string()),
        ("public_url", format!("http://{address}")),
        ("data", data.path().display().to_string()),
        ("fal_queue_url", sim.queue_url()),
        ("fal_jwks_url", sim.jwks_url()),
        ("source_hosts", "127.0.0.1".to_owned()),
        ("source_allow_private", "true".to_owned()),
        ("source_allow_http", "true".to_owned()),
    ];
    let app = App::open(Config::from_layers(Layers::new().with_flags(flags))?, Role::Node).await?;
    Ok((Stage { sim, app, _data: data }, listener))
}

async fn show(stage: &Stage, args: &Args, as_json: bool) -> anyhow::Result<ExitCode> {
    let client = tls::client_builder().no_proxy().build()?;
    let mut ids = Vec::new();
    for (model, prompt) in GENERATIONS {
        ids.push(generate(stage, &client, model, prompt).await?);
    }
    let clips = wait_until_stored(stage, &ids).await?;
    print_clips(stage, &clips, as_json)?;
    if !as_json {
        answer_one(stage, &clips).await?;
    }
    if !args.once {
        return Ok(ExitCode::SUCCESS);
    }
    verify(stage, &client, &clips, as_json).await
}

/// Submits as an app would: with our hook's URL, which carries what a webhook
/// does not.
async fn generate(stage: &Stage, client: &reqwest::Client, model: &str, prompt: &str) -> anyhow::Result<RequestId> {
    let mut hook = url::Url::parse(&format!("{}/hooks/fal", stage.app.config.public_url))?;
    hook.query_pairs_mut().append_pair("model", model).append_pair("prompt", prompt).append_pair("tenant", "demo");
    let mut submit = url::Url::parse(&format!("{}/{model}", stage.sim.queue_url()))?;
    submit.query_pairs_mut().append_pair("fal_webhook", hook.as_str());
    let reply = client.post(submit).json(&json!({"prompt": prompt, "seed": 7})).send().await?.error_for_status()?;
    let reply: Value = reply.json().await?;
    let id = reply["request_id"].as_str().context("the simulator gave no request id")?;
    Ok(id.parse()?)
}

async fn wait_until_stored(stage: &Stage, ids: &[RequestId]) -> anyhow::Result<Vec<Clip>> {
    let bar = ProgressBar::new(ids.len() as u64);
    let style = ProgressStyle::with_template("generating and keeping  [{bar:32}] {pos}/{len} generations  {elapsed}")?;
    bar.set_style(style.progress_chars("=> "));
    let began = tokio::time::Instant::now();
    loop {
        let mut clips = Vec::new();
        let mut done = 0;
        for id in ids {
            let of_one = clips_of(stage, id).await?;
            let over = |clip: &Clip| !matches!(clip.state, ClipState::Waiting | ClipState::Filling);
            done += u64::from(!of_one.is_empty() && of_one.iter().all(over));
            clips.extend(of_one);
        }
        bar.set_position(done);
        if done == ids.len() as u64 {
            bar.finish_and_clear();
            return Ok(clips);
        }
        if began.elapsed() > DEMO_TIMEOUT {
            bail!("only {done} of {} generations were kept within {} s", ids.len(), DEMO_TIMEOUT.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn clips_of(stage: &Stage, id: &RequestId) -> anyhow::Result<Vec<Clip>> {
    let filter = ClipFilter { request_id: Some(id.clone()), ..ClipFilter::default() };
    let mut clips = stage.app.catalog.clips(&filter, None, 100).await?.clips;
    clips.sort_by_key(|clip| clip.index);
    Ok(clips)
}

fn link(stage: &Stage, clip: &Clip) -> anyhow::Result<String> {
    Ok(stage.app.sign_link(LinkTarget::Clip, (&clip.key, clip.link_generation), LINK_SPAN, None)?.url)
}

fn print_clips(stage: &Stage, clips: &[Clip], as_json: bool) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for clip in clips {
        let row = ClipRow::new(clip.clone(), &stage.app.final_urls);
        if as_json {
            output::json(&json!({"clip": row, "link": link(stage, clip)?}))?;
            continue;
        }
        rows.push(vec![
            row.key,
            row.state.to_string(),
            output::size(row.size.unwrap_or(0)),
            output::shorten(row.model.as_deref().unwrap_or("-"), 32),
            output::shorten(row.prompt.as_deref().unwrap_or("-"), 40),
        ]);
    }
    if !as_json {
        output::table(&["CLIP", "STATE", "SIZE", "MODEL", "PROMPT"], &rows);
    }
    Ok(())
}

/// Which prompt made this clip?
async fn answer_one(stage: &Stage, clips: &[Clip]) -> anyhow::Result<()> {
    let Some(first) = clips.first() else { return Ok(()) };
    let clip = stage.app.catalog.clip(&first.key).await?.context("the clip's row is gone")?;
    let prompt = clip.facts.prompt.as_deref().unwrap_or("-");
    output::line("");
    output::line(format!("Which prompt made {}?", clip.key));
    output::line(format!("  «{prompt}»"));
    let filter = ClipFilter { prompt_hash: clip.facts.prompt_hash.clone(), ..ClipFilter::default() };
    let same = stage.app.catalog.clips(&filter, None, 100).await?.clips;
    output::line("Which clips came from that prompt?");
    for clip in same {
        output::line(format!("  {} ({})", clip.key, clip.facts.model.as_deref().unwrap_or("-")));
    }
    Ok(())
}

/// Fetches every clip through its link, and compares what is stored with what
/// the simulator meant to give. (A clip may be served with its `moov` first.)
async fn verify(stage: &Stage, client: &reqwest::Client, clips: &[Clip], as_json: bool) -> anyhow::Result<ExitCode> {
    let mut wrong = 0;
    for clip in clips {
        let expected = stage.sim.media(clip.source_url.expose()).context("the simulator forgot a file")?;
        let mut response = client.get(link(stage, clip)?).send().await?;
        let mut len = 0;
        while let Some(chunk) = response.chunk().await? {
            len += chunk.len() as u64;
        }
        let sha256 = stage.app.store.hash(clip.object()).await?.sha256;
        let in_row = clip.sealed.as_ref().map(|sealed| (sealed.size, sealed.sha256.as_str()));
        let ok = clip.state == ClipState::Stored
            && response.status().is_success()
            && (len, sha256.as_str()) == (expected.len(), expected.sha256().as_str())
            && in_row == Some((len, sha256.as_str()));
        wrong += usize::from(!ok);
        if !ok && !as_json {
            output::line(format!("{}: its bytes are not the source's", clip.key));
        }
    }
    let summary = format!("{} of {} clips are byte for byte what the provider gave", clips.len() - wrong, clips.len());
    if as_json {
        output::json(&json!({"verified": clips.len() - wrong, "wrong": wrong}))?;
    } else {
        output::line("");
        output::line(summary);
    }
    Ok(if wrong == 0 && !clips.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
