//! The findings of lint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use acr_credential_binding::cli::diagnostic::Diagnostic;
use acr_credential_binding::cli::document::{Document, read};
use acr_credential_binding::cli::lint::check;
use acr_credential_binding::model::legacy::{Code, Severity};
use regex::Regex;
use serde::Deserialize;

use super::{folder, followed, repeated, table};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    code: String,
    #[serde(default)]
    says: String,
    at: Option<String>,
    /// The name of the file, where a message depends on it.
    name: Option<String>,
    #[serde(default)]
    file: String,
    #[serde(default)]
    live: bool,
    times: Option<(usize, usize)>,
    #[serde(default, rename = "do")]
    changes: Vec<(String, String)>,
    write: Option<String>,
    instead: Option<String>,
    #[serde(default)]
    leaves: BTreeSet<String>,
    nothing: Option<String>,
    never: Option<String>,
}

/// A row, and the findings of its file.
struct LintedRow {
    row: Row,
    found: Vec<Diagnostic>,
}

/// All rows. The large files are linted once.
static ROWS: LazyLock<Vec<LintedRow>> = LazyLock::new(|| {
    let linted = |row: Row| LintedRow { found: row.lint(row.name(), &row.before()), row };
    rows().into_iter().map(linted).collect()
});

fn rows() -> Vec<Row> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder().join("findings")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(|file| table::<Row>(file)).collect()
}

impl Row {
    fn before(&self) -> String {
        self.times.map_or_else(|| self.file.clone(), |(before, _)| repeated(&self.file, before))
    }

    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("file")
    }

    fn lint(&self, name: &str, text: &str) -> Vec<Diagnostic> {
        let document = if self.live {
            let data: BTreeMap<String, String> = serde_saphyr::from_str(text).unwrap();
            Document::live(&data)
        } else {
            read(name, text)
        };
        check(&document).diagnostics
    }

    fn is_ours(&self, found: &Diagnostic) -> bool {
        found.code.as_str() == self.code
            && self.at.as_ref().is_none_or(|at| *at == found.key)
            && found.message.contains(&self.says)
    }

    /// Returns the files after each of the cures: the finding's own changes, and what its message says.
    fn cured(&self, found: &Diagnostic) -> Vec<(bool, String)> {
        let mut cured = Vec::new();
        if !found.edits.is_empty() && !self.live {
            cured.push((true, edited(&self.before(), found)));
        }
        if let Some(instead) = &self.instead {
            cured.push((false, instead.clone()));
        } else if let Some(from) = &self.write {
            let to = written(&found.message);
            cured.push((false, followed(&self.before(), &[(from.clone(), to)])));
        } else if let Some((_, after)) = self.times {
            cured.push((false, followed(&repeated(&self.file, after), &self.changes)));
        } else if !self.changes.is_empty() {
            cured.push((false, followed(&self.before(), &self.changes)));
        }
        cured
    }

    /// Returns what is wrong with the cure.
    fn fault(&self, all: &[Diagnostic]) -> Option<String> {
        let Some(found) = all.iter().find(|found| self.is_ours(found)) else {
            let shown: Vec<_> = all.iter().map(|d| format!("{} {}: {}", d.code, d.key, d.message)).collect();
            return Some(format!("{} {:?} is not found in {shown:#?}", self.code, self.says));
        };
        let cured = self.cured(found);
        if let Some(why) = &self.nothing {
            let listed = found.severity == Severity::Note && cured.is_empty() && why.split(' ').count() > 2;
            return (!listed).then(|| format!("{}: only a note may ask for nothing", self.code));
        }
        if cured.is_empty() {
            return Some(format!("{}: no cure is followed: {}", self.code, found.message));
        }
        let place = |d: &Diagnostic| (d.code, d.key.clone());
        let before: BTreeSet<_> = all.iter().map(place).collect();
        let is_json = |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok();
        cured.iter().find_map(|(by_machine, text)| {
            if *by_machine && is_json(&self.before()) && !is_json(text) {
                return Some(format!("{}: its changes make another format of the JSON\n{text}", self.code));
            }
            // The output of a command has no name.
            let name = if self.instead.is_some() && !by_machine { "-" } else { self.name() };
            let after = self.lint(name, text);
            let left = after.iter().filter(|d| !self.leaves.contains(d.code.as_str())).find(|d| {
                let same = place(d) == place(found);
                let new = d.severity != Severity::Note && !before.contains(&place(d));
                same || new || !by_machine && d.severity == Severity::Error
            });
            left.map(|d| {
                let who = if *by_machine { "its changes" } else { "what it says" };
                let (code, message) = (&self.code, &found.message);
                format!("{code}: {message}\nafter {who}: {} {}: {}\n{text}", d.code, d.key, d.message)
            })
        })
    }
}

/// Returns a file with the changes that a finding carries.
fn edited(text: &str, found: &Diagnostic) -> String {
    let mut edits: Vec<_> = found.edits.iter().collect();
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    edits.iter().rev().fold(text.to_owned(), |mut text, edit| {
        text.replace_range(edit.span.clone(), &edit.text);
        text
    })
}

/// Returns the text that a message says to write, without its quotes.
fn written(message: &str) -> String {
    let write = Regex::new(r#"\bwrite (?:only )?(?:"([^"]*)"|([^ ;,]+))"#).unwrap();
    let found = write.captures(message).unwrap_or_else(|| panic!("nothing to write: {message}"));
    found.get(1).or(found.get(2)).unwrap().as_str().to_owned()
}

/// Returns the messages of the rows that fit.
fn messages_of(fits: impl Fn(&Row) -> bool) -> Vec<String> {
    let fitting = ROWS.iter().filter(|linted| fits(&linted.row));
    let ours = fitting.filter_map(|linted| linted.found.iter().find(|found| linted.row.is_ours(found)));
    ours.map(|found| found.message.clone()).collect()
}

/// Returns the messages of all rows.
pub fn messages() -> Vec<String> {
    let never = ROWS.iter().filter(|linted| linted.row.never.is_some()).map(|linted| linted.row.says.clone());
    messages_of(|_| true).into_iter().chain(never).collect()
}

/// Returns the messages of the rows that ask for something.
pub fn messages_with_a_cure() -> Vec<String> {
    messages_of(|row| row.nothing.is_none())
}

#[test]
fn each_cure_of_a_finding_works_when_it_is_followed() {
    let possible = ROWS.iter().filter(|linted| linted.row.never.is_none());
    let faults: Vec<String> = possible.filter_map(|linted| linted.row.fault(&linted.found)).collect();
    assert!(faults.is_empty(), "{} of {} rows\n{}", faults.len(), ROWS.len(), faults.join("\n\n"));
}

#[test]
fn every_code_has_a_row() {
    let rows = rows();
    let missing: Vec<&Code> =
        Code::ALL.iter().filter(|code| !rows.iter().any(|row| row.code == code.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let known = |row: &&Row| !Code::ALL.iter().any(|code| row.code == code.as_str());
    assert!(!rows.iter().any(|row| known(&row)), "a row has a code that does not exist");
    let never: Vec<&Row> = rows.iter().filter(|row| row.never.is_some()).collect();
    assert!(never.iter().all(|row| row.never.as_ref().is_some_and(|why| why.split(' ').count() > 4)));
}

#[test]
fn what_a_message_says_to_write_is_read_from_it() {
    assert_eq!(written("it is read as a: write \"enable: true\""), "enable: true");
    assert_eq!(written("the list: write only \"all\""), "all");
    assert_eq!(written("write 15m or 900s; 15m is used"), "15m");
}
