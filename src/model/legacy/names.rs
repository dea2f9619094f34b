//! `service-account` and `watch-namespace`.

use std::collections::HashSet;

use super::code::Code;
use super::finding::Findings;
use super::sign::since;
use super::source_value::SourceValue;
use super::text::{CommaList, ListItem, joined, list, quoted_list, spelled};
use super::unrendered::HIDDEN;

/// The most names that the schema allows.
const MAX_NAMES: usize = 256;

/// The name that both keys have by default.
const DEFAULT: &str = "default";

/// One of the two keys.
struct NameRule {
    what: &'static str,
    /// Whether an item is a name once it is in lower case.
    valid: fn(&str) -> bool,
    /// Whether an item means every name.
    everything: fn(&str) -> bool,
    everything_word: &'static str,
}

/// Reads the names of `spec.serviceAccounts`. `None`: none of them is valid.
pub(super) fn service_accounts(value: Option<&SourceValue<'_>>, findings: &Findings) -> Option<Vec<String>> {
    let rule = NameRule {
        what: "ServiceAccount",
        valid: |name| name.len() <= 253 && name_of(name, |c| c == '-' || c == '.'),
        everything: |item| item == "*",
        everything_word: "*",
    };
    let names = rule.read(value, findings)?;
    if let Some(written) = value.filter(|_| names.iter().any(|name| name == "all")) {
        let message = "all is the name of a ServiceAccount here: write \"*\" for every one";
        findings.add(Code::AllIsAName, written.key, written.all(), message);
    }
    Some(names)
}

/// Reads the names of `spec.watchNamespaces`. `None`: none of them is valid.
pub(super) fn namespaces(value: Option<&SourceValue<'_>>, findings: &Findings) -> Option<Vec<String>> {
    let rule = NameRule {
        what: "namespace",
        valid: |name| name.len() <= 63 && name_of(name, |c| c == '-'),
        everything: |item| item == "*" || item.eq_ignore_ascii_case("all"),
        everything_word: "all",
    };
    rule.read(value, findings)
}

impl NameRule {
    fn read(&self, value: Option<&SourceValue<'_>>, findings: &Findings) -> Option<Vec<String>> {
        let Some(value) = value else { return Some(vec![DEFAULT.to_owned()]) };
        let written = list(value.value);
        if written.items.is_empty() {
            let message = format!("the list is empty, which means {DEFAULT}: write {DEFAULT:?}");
            let edit = value.instead(DEFAULT);
            findings.edit(Code::NamesEmpty, value.key, value.all(), message, edit);
            return Some(vec![DEFAULT.to_owned()]);
        }
        if let Some(item) = written.items.iter().find(|item| (self.everything)(item.text)) {
            if written.irregular || written.items.len() > 1 || item.text != self.everything_word {
                let message =
                    format!("the list means every {}: write only {:?}", self.what, self.everything_word);
                let edit = value.instead(self.everything_word);
                findings.edit(Code::NamesEverything, value.key, value.span(&item.range), message, edit);
            }
            return Some(vec!["*".to_owned()]);
        }
        let mut names: Vec<String> = Vec::new();
        let mut irregular = written.irregular;
        let mut seen = HashSet::new();
        for item in written.items.iter().filter(|item| (self.valid)(item.text)) {
            // Names are lower case throughout Kubernetes, so that `Default` can mean nothing but `default`.
            let name = item.text.to_ascii_lowercase();
            irregular |= name != item.text || seen.contains(&name);
            if seen.insert(name.clone()) {
                names.push(name);
            }
        }
        self.report_invalid(value, &written, findings);
        if names.len() > MAX_NAMES {
            let message = format!(
                "the list has {} names, and only the first {MAX_NAMES} are served: write {:?}, or more bindings of your own",
                names.len(),
                self.everything_word
            );
            findings.add(Code::NamesTooMany, value.key, value.all(), message);
            names.truncate(MAX_NAMES);
        } else if irregular && !names.is_empty() {
            let message =
                format!("the list is read as {0}{1}: write {0}", spelled(&names), since(value.value));
            let edit = self.respelled(&written).and_then(|text| value.instead(&text));
            findings.edit(Code::NamesSpelling, value.key, value.all(), message, edit);
        }
        (!names.is_empty()).then_some(names)
    }

    /// Spells the list plainly. Invalid names stay in it, since only the user knows what was meant.
    fn respelled(&self, written: &CommaList<'_>) -> Option<String> {
        let mut seen = HashSet::new();
        let mut items = Vec::new();
        for item in &written.items {
            let text =
                if (self.valid)(item.text) { item.text.to_ascii_lowercase() } else { item.text.to_owned() };
            if seen.insert(text.clone()) {
                items.push(text);
            }
        }
        joined(&items)
    }

    fn report_invalid(&self, value: &SourceValue<'_>, written: &CommaList<'_>, findings: &Findings) {
        // What is not rendered is reported where it is hidden.
        let wrong = |item: &&ListItem<'_>| !(self.valid)(item.text) && !item.text.contains(HIDDEN);
        let wrong: Vec<_> = written.items.iter().filter(wrong).collect();
        let invalid: Vec<&str> = wrong.iter().map(|item| item.text).collect();
        let Some(first) = wrong.first() else { return };
        let (code, cure) = if invalid.iter().any(|item| item.contains(['*', '?'])) {
            (
                Code::NameGlob,
                "the ConfigMap does not support globs: write the exact names, or an AcrCredentialBinding of your own",
            )
        } else {
            (Code::NameInvalid, "write lower-case letters, digits and '-', with a comma between two names")
        };
        let message =
            format!("not valid as {} names and left out: {}; {cure}", self.what, quoted_list(&invalid));
        findings.add(code, value.key, value.span(&first.range), message);
    }
}

/// Returns whether it is a name once it is in lower case.
fn name_of(name: &str, inner: impl Fn(char) -> bool) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    name.starts_with(edge) && name.ends_with(edge) && name.chars().all(|c| edge(c) || inner(c))
}
