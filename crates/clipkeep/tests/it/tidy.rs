//! The habits of the code base, held by a test.

use std::{
    fs,
    path::{Path, PathBuf},
};

const LONGEST: usize = 400;

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn files(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in dir.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, ending, found);
        } else if path.extension().is_some_and(|e| e == ending) {
            found.push(path);
        }
    }
}

fn sources(dir: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files(&crates().join(dir), "rs", &mut found);
    assert!(!found.is_empty(), "{dir}");
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn files_are_short_enough_to_be_read() {
    for (path, text) in sources("") {
        let lines = text.lines().count();
        assert!(lines <= LONGEST, "{} has {lines} lines", path.display());
    }
}

#[test]
fn the_core_does_no_io() {
    // `docs` is a test: it compares docs/config.md with the code.
    for (path, text) in sources("clipkeep-core/src").into_iter().filter(|(path, _)| !path.ends_with("config/docs.rs")) {
        let code = text.split("#[cfg(test)]").next().unwrap();
        for edge in ["std::fs", "std::net::Tcp", "std::env", "std::process", "tokio", "reqwest", "rusqlite", "hyper::"]
        {
            let used = code.lines().filter(|line| !line.trim_start().starts_with("//")).any(|l| l.contains(edge));
            assert!(!used, "{} uses {edge}", path.display());
        }
    }
}

/// Who may know whom inside the service: each room, and what it must not name.
#[test]
fn rooms_know_only_what_lies_below_them() {
    for (room, above) in [
        ("store", &["crate::catalog", "crate::web", "crate::app", "crate::source", "crate::cli"][..]),
        ("source", &["crate::catalog", "crate::web", "crate::app", "crate::store", "crate::fill", "crate::cli"]),
        ("catalog", &["crate::web", "crate::app", "crate::store", "crate::source", "crate::fill", "crate::cli"]),
        ("cache", &["crate::web", "crate::app", "crate::cli"]),
        ("outbox", &["crate::web", "crate::app", "crate::cli", "crate::sweep"]),
        ("fill", &["crate::web", "crate::app", "crate::cli", "crate::sweep"]),
        ("provider", &["crate::catalog", "crate::web", "crate::app", "crate::store", "crate::source", "crate::fill"]),
        ("proxy", &["crate::web", "crate::cli", "crate::sweep", "crate::outbox", "crate::source", "crate::store"]),
        ("sweep", &["crate::web", "crate::app", "crate::cli"]),
        ("import", &["crate::web", "crate::cli"]),
        ("usage", &["crate::web", "crate::app", "crate::store", "crate::source", "crate::fill", "crate::cli"]),
        ("web", &["crate::cli", "crate::sweep"]),
    ] {
        for (path, text) in sources(&format!("clipkeep/src/{room}")) {
            let named = above.iter().find(|name| text.contains(*name));
            assert!(named.is_none(), "{} names {}", path.display(), named.unwrap_or(&""));
        }
    }
}

#[test]
fn migrations_come_in_twins() {
    let names = |database: &str| {
        let mut found = Vec::new();
        files(&crates().join("clipkeep/migrations").join(database), "sql", &mut found);
        found.sort();
        found.into_iter().map(|path| path.file_name().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("sqlite"), names("postgres"));
}

/// The tables' columns are the same in both databases, in the same order.
#[test]
fn twins_have_the_same_columns() {
    let columns = |database: &str| {
        let mut found = Vec::new();
        files(&crates().join("clipkeep/migrations").join(database), "sql", &mut found);
        found.sort();
        let text: String = found.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        let is_table = |line: &str| line.starts_with("CREATE TABLE") || line.starts_with("CREATE VIRTUAL TABLE");
        let name = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
        text.lines().filter(|l| l.starts_with("    ") || is_table(l)).map(name).collect::<Vec<_>>()
    };
    assert_eq!(columns("sqlite"), columns("postgres"));
}
