//! The errors of the commands, and the flags that any text names.

use std::collections::{BTreeMap, BTreeSet};

use acr_credential_binding::args::{acr_credential_controller, kubectl_acr};
use regex::Regex;
use serde::Deserialize;

use super::said::SourceText;
use super::{folder, table};
use crate::acr::{Done, command, root, run};

/// The long flags of `kubectl` and of tools that render, which texts name too.
const FLAGS_OF_OTHERS: &[&str] = &[
    "--server-side",
    "--dry-run",
    "--for",
    "--timeout",
    "--overwrite",
    "--from-file",
    "--type",
    "--patch-file",
    "--local",
    "--path",
    "--kustomization-file",
    "--show-values",
    "--check",
    "--header",
    "--body",
    "--out",
    "--file",
    "--json",
    "--stdout",
    "--include",
    "--replicas",
    "--force",
    "--show-managed-fields",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    says: String,
    #[serde(default)]
    run: Vec<String>,
    /// The files of its folder.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// The command that the error asks for; the same one if none.
    #[serde(default)]
    then: Vec<String>,
    /// The files after what the error says was done.
    #[serde(default)]
    then_files: BTreeMap<String, String>,
    /// The exit code after the cure.
    #[serde(default)]
    code: i32,
    /// The test that follows the cure in a cluster, as `file name`.
    elsewhere: Option<String>,
}

fn rows() -> Vec<Row> {
    table(&folder().join("commands.yaml"))
}

fn done(args: &[String], files: &BTreeMap<String, String>) -> Done {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        // A file in UTF-16 is not UTF-8, nor is one whose characters are its bytes.
        let bytes = match name.rsplit('.').next() {
            Some("utf16") => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Some("bytes" | "gpg") => text.chars().map(|c| u8::try_from(c).unwrap()).collect(),
            _ => text.clone().into_bytes(),
        };
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut command = command(&args);
    command.current_dir(folder.path());
    run(command, "")
}

/// Returns the errors of all rows, and the words of those that need a cluster.
pub fn messages() -> Vec<String> {
    let said = |row: Row| match row.elsewhere {
        Some(_) => row.says,
        None => done(&row.run, &row.files).err,
    };
    rows().into_iter().map(said).collect()
}

#[test]
fn each_cure_of_a_command_works_when_it_is_followed() {
    for row in rows() {
        if let Some(test) = &row.elsewhere {
            let (file, name) = test.split_once(' ').unwrap();
            let text = std::fs::read_to_string(root().join(file)).unwrap();
            assert!(text.contains(&format!("fn {name}(")), "{test}: {}", row.says);
            continue;
        }
        let failed = done(&row.run, &row.files);
        let said = format!("{}{}", failed.out, failed.err);
        assert!(failed.code != Some(0) && said.contains(&row.says), "{:?}: {said}", row.says);
        let args = if row.then.is_empty() { &row.run } else { &row.then };
        let files = if row.then_files.is_empty() { &row.files } else { &row.then_files };
        let cured = done(args, files);
        let shown = format!("{}{}", cured.out, cured.err);
        assert!(!shown.contains(&row.says), "{:?}: {shown}", row.says);
        assert_eq!(cured.code, Some(row.code), "{:?}: {shown}", row.says);
    }
}

fn flags(command: &clap::Command, found: &mut BTreeSet<String>) {
    found.extend(command.get_arguments().filter_map(|flag| flag.get_long()).map(|long| format!("--{long}")));
    command.get_subcommands().for_each(|inner| flags(inner, found));
}

/// Returns the flags in texts that no command has.
pub fn unknown_flags(texts: &[SourceText]) -> Vec<String> {
    let mut known: BTreeSet<String> = FLAGS_OF_OTHERS.iter().map(|flag| (*flag).to_owned()).collect();
    flags(&kubectl_acr::command(), &mut known);
    flags(&acr_credential_controller::command(), &mut known);
    let flag = Regex::new("--[a-z][a-z-]+").unwrap();
    // `convert --reverse`: the flag is one of that command.
    let of = Regex::new("\\b(lint|convert|plan|withdraw) (?:[A-Z]+ )?(--[a-z][a-z-]+)").unwrap();
    let ours = kubectl_acr::command();
    let mut unknown = Vec::new();
    for text in texts {
        let named = flag.find_iter(&text.value).map(|found| found.as_str().to_owned());
        unknown
            .extend(named.filter(|flag| !known.contains(flag)).map(|flag| format!("{}: {flag}", text.place)));
        for found in of.captures_iter(&text.value) {
            let mut flags_of = BTreeSet::new();
            flags(ours.find_subcommand(&found[1]).unwrap(), &mut flags_of);
            if !flags_of.contains(&found[2]) {
                unknown.push(format!("{}: {}", text.place, &found[0]));
            }
        }
    }
    unknown
}

#[test]
fn a_flag_that_no_command_has_is_found() {
    let text = |value: &str| SourceText { place: "a".to_owned(), value: value.to_owned() };
    let texts = [text("convert --reverse, --yes"), text("plan --reverse"), text("write --no-such-flag")];
    assert_eq!(unknown_flags(&texts), ["a: plan --reverse", "a: --no-such-flag"]);
}
