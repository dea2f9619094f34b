//! Every message with a cure, followed to the letter.
//!
//! ```text
//! tests/cli/cures/findings/*.yaml ── file ─ lint ─ message ─ what it says is done ─ lint ─ the fault is gone
//! tests/cli/cures/bindings.yaml ──── spec ─ validator ─ ………………………………………………………… validator
//! tests/cli/cures/commands.yaml ──── command ─ error ─ ………………………………………………………… command
//! texts of the sources ────────────────────────┴── each is in a message of a row
//! ```
//! # A row for a new message
//! Write it in any file of `tests/cli/cures/findings/`, or in one of its own; the names of the files mean nothing.
//! ```yaml
//! - code: ACR117
//!   says: "write one such as cn-hangzhou"        # a part of the message: its cure
//!   file: "acr-registry-info: |\n  - regionId: hangzhou\n"
//!   do: [["regionId: hangzhou", "regionId: cn-hangzhou"]]
//! ```
//! - The changes that a finding carries are always made, and need no word. `do` says what a person does: texts of the
//!   file, each with the text to write instead. `write: TEXT` puts what the message says after "write" in its place.
//!   `instead` is another file, or the output of another command, where the message asks for that.
//! - `at` is the finding's key, where the file has several findings of the code. `name` is the file's name, where the
//!   message depends on it. `live: true` reads the file as the `data` of the live object.
//! - `⟦text %⟧` means many copies, numbered at `%`: `times: [65, 64]` before and after.
//! - `leaves` lists the codes that are left to do, such as a placeholder that only the user can replace.
//! - `nothing: why` is for a note that asks for nothing, and `never: why` for a message that no input can give.
//!
//! A text of the sources that reports no fault is in `tests/cli/cures/other_texts.yaml`, with its reason.

mod binding;
mod command;
mod finding;
mod said;

use std::path::{Path, PathBuf};

use regex::Regex;
use serde::de::DeserializeOwned;

use crate::acr::root;

fn folder() -> PathBuf {
    root().join("tests/cli/cures")
}

/// Reads a table.
fn table<T: DeserializeOwned>(path: &Path) -> Vec<T> {
    let text = std::fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns a text with the changes that a row describes.
fn followed(text: &str, changes: &[(String, String)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from.as_str()), "{from:?} is not in {text}");
        text.replacen(from.as_str(), to, 1)
    })
}

/// Writes out the copies in a text.
fn repeated(text: &str, times: usize) -> String {
    let copies = |found: &regex::Captures<'_>| -> String {
        (0..times).map(|number| found[1].replace('%', &number.to_string())).collect()
    };
    Regex::new("(?s)⟦(.*?)⟧").unwrap().replace_all(text, copies).into_owned()
}

/// The beginning of the part of a message that says what to do, or the command to run.
const CURE: &str = r"(?:[:;,.] |\b(?:or|and|only) )(?:write|delete|put|give|name|move|render|check|correct|indent|align|begin|keep|set|use|omit|split|save|add|run|fix|print|create|choose|apply|leave|decrypt|unpack|replace|fetch|unlock|download|let|pass|exempt)\b|\b(?:such as|of the form) |: (?:echo|terraform|kubectl|aliyun) [^:]* \| kubectl acr lint -";

/// Returns all messages of the tables.
fn messages() -> Vec<String> {
    [finding::messages(), binding::messages(), command::messages()].concat()
}

#[test]
fn every_message_says_what_to_do() {
    let cure = Regex::new(CURE).unwrap();
    let without: Vec<String> = [finding::messages_with_a_cure(), binding::messages()]
        .concat()
        .into_iter()
        .filter(|message| !cure.is_match(message))
        .collect();
    assert!(without.is_empty(), "{without:#?}");
}

#[test]
fn a_message_without_its_row_is_missed() {
    let missing = said::missing(&messages());
    assert!(missing.is_empty(), "write a row for each, as the top of tests/cli/cures.rs says: {missing:#?}");
}

#[test]
fn the_texts_that_report_no_fault_exist() {
    let (texts, others) = (said::texts(), said::other_texts());
    let stale: Vec<_> =
        others.iter().filter(|other| !texts.iter().any(|text| text.value == **other)).collect();
    assert!(stale.is_empty(), "{stale:#?}");
}

#[test]
fn every_flag_that_a_text_names_exists() {
    let unknown = command::unknown_flags(&said::texts());
    assert!(unknown.is_empty(), "{unknown:#?}");
}
