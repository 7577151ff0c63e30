//! Parse, run, and the one place that turns an error into words and a code.

use std::process::ExitCode;

use clap::Parser;
use clipkeep::cli::{Cli, Failure};

fn main() -> ExitCode {
    tame_the_allocator();
    clipkeep::umask::keep_private();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => return answer(&told),
    };
    match clipkeep::cli::run(cli) {
        Ok(code) => code,
        Err(failure) => {
            report(&failure);
            failure.exit_code()
        }
    }
}

fn report(failure: &Failure) {
    complain(&format!("error: {failure}"));
}

/// Help and version as they are asked for; or what is wrong with the command line,
/// which quotes it.
fn answer(told: &clap::Error) -> ExitCode {
    if !told.use_stderr() {
        told.exit();
    }
    complain(told.render().to_string().trim_end());
    ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(1))
}

/// Whoever wrote what is in it, the terminal obeys none of it.
#[expect(clippy::print_stderr, reason = "the one place that speaks of errors")]
fn complain(words: &str) {
    let lines: Vec<_> = words.lines().map(clipkeep_core::printable::printable).collect();
    eprintln!("{}", lines.join("\n"));
}

/// Many threads that each hold a few megabytes for a moment make glibc's arenas
/// grow and stay: 500 MiB where 100 are in use. Two arenas are enough for two
/// kinds of threads, and large buffers go straight back to the system.
#[cfg(target_env = "gnu")]
fn tame_the_allocator() {
    #[expect(unsafe_code, reason = "mallopt has no safe face")]
    // SAFETY: called first, before any other thread exists; the values are in
    // the documented ranges.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
    }
}

#[cfg(not(target_env = "gnu"))]
fn tame_the_allocator() {}
