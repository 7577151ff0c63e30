//! `clipkeep import FILE`: a table of provider URLs becomes kept clips.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use anyhow::Context;
use clap::ValueEnum;
use clipkeep_core::{
    address::SourceRules,
    config::Config,
    id::{Provider, Tenant},
    policy::Policy,
    time::Clock,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::output;
use crate::{
    app::App,
    clock::SystemClock,
    data_dir::{DataDir, Role},
    import::{Checked, Columns, Defaults, Ended, Field, Form, Import, Options, Outputs, Rejects, Step, Summary, spool},
    shutdown,
};

/// How many bad lines are shown; all are in the file of rejects.
const MAX_BAD_LINES_SHOWN: u64 = 5;

/// Take a table of provider URLs: register each line's clip and copy it.
/// Stopped or killed and run again, it goes on where it was.
///
/// The table is CSV with a header, or JSON lines. Its columns are found by name:
/// url (required), request_id, model, prompt, prompt_hash, tenant, created_at,
/// expires_at, policy, public, seed, input, content_type. A time without an
/// offset is UTC.
///
/// `--policy deferred` or `--policy on_demand` only registers the clips.
///
/// Exit code: 0 if every line is kept (or registered, where that was asked); 1
/// if some are lost, rejected, failing for now or bad lines, or if it was
/// stopped; 64 if the configuration is wrong.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The table to import, or - for standard input.
    file: PathBuf,
    /// The table's format; by default detected from the file's ending or first byte.
    #[arg(long)]
    format: Option<Format>,
    /// The CSV delimiter: , ; or tab; by default detected from the header.
    #[arg(long, value_parser = delimiter)]
    delimiter: Option<u8>,
    /// Map a field to a column, such as url=video_url. Repeatable.
    #[arg(long = "column", value_name = "FIELD=NAME", value_parser = column)]
    columns: Vec<(Field, String)>,
    /// The provider that generated the clips.
    #[arg(long, default_value = "fal")]
    provider: Provider,
    /// The tenant for lines that name none.
    #[arg(long)]
    tenant: Option<Tenant>,
    /// The model for lines that name none.
    #[arg(long)]
    model: Option<String>,
    /// Where bad lines are written, with number and reason; FILE.rejects.csv or .jsonl unless given.
    /// For standard input and pipes it is ./import.rejects.csv or .jsonl: the next import writes over it.
    #[arg(long, value_name = "PATH")]
    rejects: Option<PathBuf>,
    /// Write the old and the final URL of each stored clip to this file, as CSV or JSON lines depending on its ending.
    #[arg(long, value_name = "PATH")]
    map: Option<PathBuf>,
    /// Write each line's outcome and reason to this file, as CSV or JSON lines depending on its ending.
    #[arg(long, value_name = "PATH")]
    report: Option<PathBuf>,
    /// Only validate the table: write the bad lines and the report, import nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Csv,
    Jsonl,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text {
        "tab" | "\\t" | "\t" => Ok(b'\t'),
        "," | ";" | "|" => Ok(text.as_bytes()[0]),
        _ => Err("must be one of: , ; | tab".to_owned()),
    }
}

fn column(text: &str) -> Result<(Field, String), String> {
    let (field, name) = text.split_once('=').ok_or("must look like url=video_url")?;
    let field = Field::named(field).ok_or_else(|| {
        let known: Vec<_> = Field::all().map(Field::name).collect();
        format!("{field:?} is no field; there are: {}", known.join(", "))
    })?;
    Ok((field, name.to_owned()))
}

/// Imports. `policy` is what the flag said, if it was given.
pub(super) async fn run(
    config: Config,
    args: &Args,
    policy: Option<Policy>,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let policy = policy.unwrap_or(Policy::Eager);
    outputs(args).ready((args.file != Path::new("-")).then_some(&*args.file))?;
    let show = Show::new(as_json);
    if args.dry_run {
        let ended = check(&config, args, policy, &show).await?;
        show.clear();
        let Ended::Done(checked) = ended else { return stopped(as_json) };
        match as_json {
            true => output::json(&checked)?,
            false => print_checked(&checked),
        }
        return Ok(if checked.bad_lines == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let ended = fill(config, args, policy, &show).await?;
    show.clear();
    let Ended::Done(summary) = ended else { return stopped(as_json) };
    match as_json {
        true => output::json(&summary)?,
        false => print(&summary),
    }
    Ok(if summary.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn stopped(as_json: bool) -> anyhow::Result<ExitCode> {
    match as_json {
        true => output::json(&json!({"stopped": true}))?,
        false => output::line("stopped; run it again and it goes on"),
    }
    Ok(ExitCode::FAILURE)
}

async fn check(config: &Config, args: &Args, policy: Policy, show: &Show) -> anyhow::Result<Ended<Checked>> {
    let data_dir = DataDir::take(&config.data, Role::Command).await?;
    let file = table(&args.file, data_dir.folder()).await?;
    let stop = shutdown::on_signal().context("listening for signals")?;
    let import = import(config, args, policy, file);
    show.of_file(&import.file);
    Ok(import.check(SystemClock.now(), &|step| show.step(step, 0), &stop).await?)
}

async fn fill(config: Config, args: &Args, policy: Policy, show: &Show) -> anyhow::Result<Ended<Summary>> {
    let app = App::open(config, Role::Command).await?;
    let file = table(&args.file, app.data_dir()).await?;
    // Not before: while standard input is read, a signal ends us at once.
    let stop = shutdown::on_signal().context("listening for signals")?;
    let import = import(&app.config, args, policy, file);
    show.of_file(&import.file);
    let engine = import.fill.then(|| {
        let engine = app.engine.clone();
        app.tasks.spawn(async move { engine.run().await })
    });
    let ended = import.run(&app, &|step| show.step(step, app.metrics.source_bytes()), &stop).await;
    app.close().await;
    if let Some(engine) = engine {
        engine.await.context("the fill loop")?;
    }
    Ok(ended?)
}

/// The file that is read: as named, or what came by a pipe, which can be read
/// once only.
async fn table(file: &Path, data_dir: &Path) -> anyhow::Result<PathBuf> {
    if !is_pipe(file) {
        return Ok(file.to_owned());
    }
    let (file, folder) = (file.to_owned(), data_dir.to_owned());
    let spooled = tokio::task::spawn_blocking(move || match file == Path::new("-") {
        true => Ok(spool(&mut io::stdin().lock(), &folder)?),
        false => Ok(spool(&mut File::open(file)?, &folder)?),
    });
    spooled.await.context("reading the table")?
}

/// Whether the table comes from standard input, or as in `<(psql …)`.
fn is_pipe(file: &Path) -> bool {
    file == Path::new("-") || std::fs::metadata(file).is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
}

fn import(config: &Config, args: &Args, policy: Policy, file: PathBuf) -> Import {
    let form = args.format.map(|format| match format {
        Format::Csv => Form::Csv,
        Format::Jsonl => Form::Jsonl,
    });
    Import {
        options: Options { form, delimiter: args.delimiter, columns: Columns { said: args.columns.clone() } },
        defaults: Defaults {
            provider: args.provider.clone(),
            tenant: args.tenant.clone(),
            model: args.model.clone(),
            policy,
        },
        rules: SourceRules {
            hosts: config.source_hosts.clone(),
            allow_private: config.source_allow_private,
            allow_http: config.source_allow_http,
        },
        retention: config.retention.clone(),
        outputs: outputs(args),
        fill: policy == Policy::Eager,
        file,
    }
}

fn outputs(args: &Args) -> Outputs {
    let rejects = args.rejects.clone().map_or_else(|| Rejects::Beside(beside(&args.file)), Rejects::At);
    Outputs { rejects, map: args.map.clone(), report: args.report.clone() }
}

/// What the file of rejects is called after.
fn beside(file: &Path) -> PathBuf {
    if is_pipe(file) { PathBuf::from("import") } else { file.to_owned() }
}

/// What a person sees meanwhile.
struct Show {
    bar: ProgressBar,
    began: Instant,
    bad: AtomicU64,
    quiet: bool,
}

impl Show {
    fn new(quiet: bool) -> Self {
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::no_length() };
        Self { bar, began: Instant::now(), bad: AtomicU64::new(0), quiet }
    }

    /// The bar of the first pass: bytes of the file.
    fn of_file(&self, file: &Path) {
        self.bar.set_length(std::fs::metadata(file).map_or(0, |meta| meta.len()));
        self.style("registering {wide_bar} {percent} %");
    }

    fn style(&self, template: &str) {
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
    }

    /// Shows a step; `read` is how much came from sources so far.
    fn step(&self, step: Step<'_>, read: u64) {
        match step {
            Step::Registered { bytes } => self.bar.set_position(bytes),
            Step::Bad { line, reason } => self.bad_line(line, reason),
            Step::Over { lines, of } => {
                self.tell_more();
                if self.bar.length() != Some(of) || self.bar.message().is_empty() {
                    self.bar.reset();
                    self.bar.set_length(of);
                    self.style("keeping {wide_bar} {pos} of {len} lines, {msg}, {eta} left");
                }
                let rate = read as f64 / self.began.elapsed().as_secs_f64().max(0.1);
                self.bar.set_message(format!("{}/s", output::size(rate as u64)));
                self.bar.set_position(lines);
            }
        }
    }

    fn bad_line(&self, line: u64, reason: &str) {
        if !self.quiet && self.bad.fetch_add(1, Ordering::Relaxed) < MAX_BAD_LINES_SHOWN {
            self.bar.suspend(|| output::line(format!("line {line}: {reason}")));
        }
    }

    /// Says once how many bad lines were not shown.
    fn tell_more(&self) {
        let more = self.bad.swap(0, Ordering::Relaxed).saturating_sub(MAX_BAD_LINES_SHOWN);
        if more > 0 {
            self.bar
                .suspend(|| output::line(format!("and {more} more bad {}", if more == 1 { "line" } else { "lines" })));
        }
    }

    fn clear(&self) {
        self.tell_more();
        self.bar.finish_and_clear();
    }
}

fn print_checked(checked: &Checked) {
    let Checked { lines, good, bad_lines, too_old, ignored_columns, rejects, report, .. } = checked;
    print_counts(*lines, &[("good", *good, ""), ("bad lines", *bad_lines, "")]);
    print_rest(*too_old, ignored_columns, &[("bad lines", rejects), ("each line's judgement", report)]);
}

fn print(summary: &Summary) {
    let Summary { too_old, ignored_columns, rejects, map, report, .. } = summary;
    let counts = [
        ("kept", summary.kept, ""),
        ("already kept", summary.already_kept, "known before, or an earlier line's"),
        ("registered", summary.registered, ""),
        ("lost", summary.lost, "the source is gone"),
        ("rejected", summary.rejected, "no acceptable media"),
        ("later", summary.later, "failing for now; the sweep goes on with it"),
        ("deleted", summary.deleted, "on request, or for its age, before"),
        ("bad lines", summary.bad_lines, ""),
    ];
    print_counts(summary.lines, &counts);
    let files = [("bad lines", rejects), ("final URLs", map), ("each line's outcome", report)];
    print_rest(*too_old, ignored_columns, &files);
}

fn print_counts(lines: u64, counts: &[(&str, u64, &str)]) {
    output::line(format!("{lines:>9} lines"));
    for (name, count, note) in counts.iter().filter(|(_, count, _)| *count > 0) {
        let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
        output::line(format!("{count:>9} {name}{note}"));
    }
}

fn print_rest(too_old: u64, ignored_columns: &BTreeSet<String>, files: &[(&str, &Option<PathBuf>)]) {
    if too_old > 0 {
        output::line(format!("{too_old} of them are older than `retention` keeps: the next sweep deletes them"));
    }
    if !ignored_columns.is_empty() {
        let names: Vec<&str> = ignored_columns.iter().map(String::as_str).collect();
        output::line(format!("ignored columns: {}", output::shorten(&names.join(", "), 200)));
    }
    for (what, path) in files {
        if let Some(path) = path {
            let are = if what.ends_with('s') { "are" } else { "is" };
            output::line(format!("{what} {are} in {}", path.display()));
        }
    }
}
