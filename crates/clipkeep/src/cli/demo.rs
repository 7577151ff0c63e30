//! stub
#[derive(Debug, clap::Args)]
pub(super) struct Args {}
pub(super) async fn run(_: &Args, _: bool) -> anyhow::Result<std::process::ExitCode> { Ok(std::process::ExitCode::SUCCESS) }
