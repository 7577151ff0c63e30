//! Parse, run, and the one place that turns an error into words and a code.

use std::process::ExitCode;

use clap::Parser;
use clipkeep::cli::{Cli, Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match clipkeep::cli::run(cli) {
        Ok(code) => code,
        Err(failure) => {
            report(&failure);
            failure.exit_code()
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place that speaks of errors")]
fn report(failure: &Failure) {
    eprintln!("error: {failure}");
}
