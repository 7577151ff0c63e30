//! The OpenAPI document, as others' tools take it: a validator, and generators of
//! clients in TypeScript and Python, whose code must compile.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

/// What `./test` installed for this.
fn tools() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/openapi");
    assert!(folder.join("done").exists(), "the OpenAPI tools are missing: run ./test once, it installs them");
    folder.canonicalize().unwrap()
}

fn document() -> Value {
    serde_json::to_value(clipkeep::web::openapi()).unwrap()
}

/// A folder with the document in it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("openapi.json"), document().to_string()).unwrap();
    folder
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{command:?}: {said}");
}

#[test]
fn h31_the_document_is_valid() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let folder = folder();
    run(Command::new(tools().join("python/bin/openapi-spec-validator")).current_dir(&folder).arg("openapi.json"));
}

#[test]
fn h31_typescript_takes_it() {
    let (tools, folder) = (tools(), folder());
    let bin = |name: &str| tools.join("node_modules/.bin").join(name);
    run(Command::new(bin("openapi-typescript")).current_dir(&folder).args(["openapi.json", "-o", "api.ts"]));
    std::fs::write(
        folder.path().join("app.ts"),
        r#"import type { components, paths } from "./api";
type Clip = components["schemas"]["ClipRow"];
type Register = components["schemas"]["RegisterRequest"];
// What may be left out may be left out, and a state is one of those there are.
const register: Register = { request_id: "r" };
const state: Clip["state"] = "stored";
// @ts-expect-error: no such state
const wrong: Clip["state"] = "sotred";
type List = paths["/api/v1/clips"]["get"]["responses"]["200"]["content"]["application/json"];
const next = (list: List): string | null | undefined => list.next_cursor;
export { register, state, wrong, next };
"#,
    )
    .unwrap();
    run(Command::new(bin("tsc")).current_dir(&folder).args(["--noEmit", "--strict", "--skipLibCheck", "app.ts"]));
}

#[test]
fn h31_python_takes_it() {
    let (tools, folder) = (tools(), folder());
    let python = |name: &str| tools.join("python/bin").join(name);
    let mut generate = Command::new(python("openapi-python-client"));
    generate.current_dir(&folder).env("PATH", path_with(&tools.join("python/bin")));
    run(generate.args(["generate", "--path", "openapi.json", "--output-path", "client"]));
    let script = r#"
import sys
sys.path.insert(0, "client")
from clipkeep_client.models import ClipState, RegisterRequest
assert RegisterRequest(request_id="r").to_dict() == {"request_id": "r"}
assert ClipState("stored") is ClipState.STORED
"#;
    run(Command::new(python("python")).current_dir(&folder).args(["-m", "compileall", "-q", "client"]));
    run(Command::new(python("python")).current_dir(&folder).args(["-c", script]));
}

fn path_with(folder: &Path) -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths([folder.to_owned()].into_iter().chain(std::env::split_paths(&path))).unwrap()
}

#[test]
fn h31_each_answer_has_words_and_nothing_is_null_by_default() {
    fn walk(value: &Value, at: &str) {
        match value {
            Value::Object(members) => {
                assert!(members.get("default") != Some(&Value::Null), "{at}");
                members.iter().for_each(|(name, value)| walk(value, &format!("{at}/{name}")));
            }
            Value::Array(values) => values.iter().for_each(|value| walk(value, at)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, "");
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let words = response["description"].as_str().unwrap_or_default();
                assert!(!words.is_empty(), "{method} {path} {status}");
            }
        }
    }
    let states = &document["components"]["schemas"]["ClipState"]["enum"];
    assert_eq!(*states, json!(["waiting", "filling", "stored", "lost", "rejected", "deleted"]));
}
