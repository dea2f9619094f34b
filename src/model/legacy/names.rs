//! `service-account` and `watch-namespace`.

use std::collections::HashSet;

use super::finding::Findings;
use super::text::{list, shown_list, spelling};
use crate::api::legacy::{SERVICE_ACCOUNT, WATCH_NAMESPACE};

/// The most names that the schema allows.
const MAX_NAMES: usize = 256;

/// What both keys mean where nothing is said.
const DEFAULT: &str = "default";

/// One of the two keys.
struct Rule {
    key: &'static str,
    what: &'static str,
    valid: fn(&str) -> bool,
    /// Whether an item alone stands for all, and how that is spelt.
    everything: fn(&str) -> bool,
    everything_spelt: &'static str,
}

/// The names of `spec.serviceAccounts`. `None`: none of those written can be one.
pub(super) fn service_accounts(value: Option<&str>, findings: &mut Findings) -> Option<Vec<String>> {
    let rule = Rule {
        key: SERVICE_ACCOUNT,
        what: "ServiceAccount",
        valid: |name| name.len() <= 253 && name_of(name, |c| c == '-' || c == '.'),
        everything: |item| item == "*",
        everything_spelt: "*",
    };
    let names = rule.read(value, findings)?;
    if names.iter().any(|name| name == "all") {
        findings.warning(
            rule.key,
            None,
            "all is the name of a ServiceAccount here: for every one write \"*\"",
        );
    }
    Some(names)
}

/// The names of `spec.watchNamespaces`. `None`: none of those written can be one.
pub(super) fn namespaces(value: Option<&str>, findings: &mut Findings) -> Option<Vec<String>> {
    let rule = Rule {
        key: WATCH_NAMESPACE,
        what: "namespace",
        valid: |name| name.len() <= 63 && name_of(name, |c| c == '-'),
        everything: |item| item == "*" || item.eq_ignore_ascii_case("all"),
        everything_spelt: "all",
    };
    rule.read(value, findings)
}

impl Rule {
    fn read(&self, value: Option<&str>, findings: &mut Findings) -> Option<Vec<String>> {
        let Some(text) = value else { return Some(vec![DEFAULT.to_owned()]) };
        let written = list(text);
        if written.items.is_empty() {
            findings.warning(self.key, None, format!("is empty, which means {DEFAULT}: write {DEFAULT:?}"));
            return Some(vec![DEFAULT.to_owned()]);
        }
        if let Some(item) = written.items.iter().find(|item| (self.everything)(item)) {
            if written.odd || written.items.len() > 1 || item != self.everything_spelt {
                let message = format!("means every {}: write only {:?}", self.what, self.everything_spelt);
                findings.warning(self.key, None, message);
            }
            return Some(vec!["*".to_owned()]);
        }
        let mut names: Vec<String> = Vec::new();
        let mut invalid = Vec::new();
        let mut odd = written.odd;
        let mut seen = HashSet::new();
        for item in written.items {
            // Names are lower case throughout Kubernetes, so that `Default` can mean nothing but `default`.
            let name = item.to_ascii_lowercase();
            if !(self.valid)(&name) {
                invalid.push(item);
                continue;
            }
            odd |= name != item;
            if seen.insert(name.clone()) {
                names.push(name);
            } else {
                odd = true;
            }
        }
        self.tell_invalid(&invalid, findings);
        if names.len() > MAX_NAMES {
            let message = format!(
                "has {} names; only the first {MAX_NAMES} are served: write {:?}, or more bindings of your own",
                names.len(),
                self.everything_spelt
            );
            findings.error(self.key, None, message);
            names.truncate(MAX_NAMES);
        } else if odd && !names.is_empty() {
            findings.warning(self.key, None, format!("is read as {0}: write {0}", spelling(&names)));
        }
        (!names.is_empty()).then_some(names)
    }

    fn tell_invalid(&self, invalid: &[String], findings: &mut Findings) {
        if invalid.is_empty() {
            return;
        }
        let cure = if invalid.iter().any(|item| item.contains(['*', '?'])) {
            "the ConfigMap knows no globs: write the exact names, or an AcrCredentialBinding of your own"
        } else {
            "write lower-case letters, digits and '-', with a comma between two names"
        };
        let message = format!("left out, being no {} names: {}; {cure}", self.what, shown_list(invalid));
        findings.error(self.key, None, message);
    }
}

fn name_of(name: &str, inner: impl Fn(char) -> bool) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.starts_with(edge) && name.ends_with(edge) && name.chars().all(|c| edge(c) || inner(c))
}
