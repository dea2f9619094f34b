//! Runs the binary.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn sample(name: &str) -> String {
    std::fs::read_to_string(root().join(format!("tests/cli/samples/{name}.yaml"))).unwrap()
}

pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-acr"));
    command.args(args).current_dir(root().join("tests/cli/samples")).env_remove("NO_COLOR");
    // The program must reach neither a kubeconfig of the machine nor a cluster that the test runs in.
    command.env("KUBECONFIG", PathBuf::from("/nonexistent")).env_remove("KUBERNETES_SERVICE_HOST");
    command
}

pub fn run(mut command: Command, input: &str) -> Done {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that refuses its arguments never reads its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs the binary with a text as its standard input.
pub fn acr(args: &[&str], input: &str) -> Done {
    run(command(args), input)
}

pub fn json(input: &str) -> Value {
    serde_json::from_str(&acr(&["lint", "-o", "json", "-"], input).out).unwrap()
}

pub fn findings(input: &str) -> Vec<Value> {
    json(input)["findings"].as_array().unwrap().clone()
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

/// Returns the byte of a line and a character, both from 1.
fn byte(text: &str, line: &Value, column: &Value) -> usize {
    let (line, column) = (line.as_u64().unwrap() as usize, column.as_u64().unwrap() as usize);
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let inside = text[start..].char_indices().nth(column - 1).map_or(text.len() - start, |(at, _)| at);
    start + inside
}

/// Returns the text with every change that lint prints.
pub fn fixed(input: &str) -> String {
    let mut edits: Vec<(usize, usize, String)> = Vec::new();
    for finding in findings(input) {
        for edit in finding["edits"].as_array().unwrap() {
            let start = byte(input, &edit["startLine"], &edit["startColumn"]);
            let end = byte(input, &edit["endLine"], &edit["endColumn"]);
            edits.push((start, end, text(edit, "text").to_owned()));
        }
    }
    edits.sort();
    let mut fixed = input.to_owned();
    for (start, end, text) in edits.into_iter().rev() {
        fixed.replace_range(start..end, &text);
    }
    fixed
}
