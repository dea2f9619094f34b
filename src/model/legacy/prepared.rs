//! The values of `data`, prepared for their readers: without signs and lines that are there by accident, and with
//! what is not rendered hidden.
//!
//! ```text
//! value ─ cleaned (signs, lines of other languages) ─ hidden (variables, same length) ─ the readers
//! ```
//! Each of the three is reported. What the readers find has its place in the value as written, and nothing is said
//! twice about a text that is not rendered.

use std::collections::BTreeMap;

use super::code::Code;
use super::conversion::MAX_VALUE_BYTES;
use super::finding::{Finding, Findings};
use super::patch::{Edit, PatchedText};
use super::sign::{self, FoundSign, Signs};
use super::unrendered::{self, HIDDEN, Unrendered};
use super::wrapper::{self, Wrapper};
use crate::api::legacy::{ACR_REGISTRY_INFO, NOTIFY_EMAIL, RRSA, WEBHOOK_CONFIGURATION, data_key};

/// The most texts that are reported as not rendered.
const MAX_UNRENDERED: usize = 100;

/// The values of `data`, prepared.
pub(super) struct PreparedData {
    /// What the readers read.
    pub(super) texts: BTreeMap<String, String>,
    values: BTreeMap<String, PreparedText>,
}

/// A text, prepared.
pub(super) struct PreparedText {
    cleaned: PatchedText,
    signs: Vec<FoundSign>,
    wrappers: Vec<Wrapper>,
    hidden: Vec<Unrendered>,
}

impl PreparedData {
    pub(super) fn of(data: &BTreeMap<String, String>) -> Self {
        let (mut texts, mut values) = (BTreeMap::new(), BTreeMap::new());
        for (key, value) in data {
            let known = data_key(key.trim()).filter(|_| value.len() <= MAX_VALUE_BYTES);
            let Some(known) = known else {
                texts.insert(key.clone(), value.clone());
                continue;
            };
            let signs = match known {
                ACR_REGISTRY_INFO | RRSA | WEBHOOK_CONFIGURATION => Signs::Yaml,
                NOTIFY_EMAIL => Signs::Prose,
                _ => Signs::Line,
            };
            let prepared = PreparedText::of(value, signs);
            texts.insert(key.clone(), prepared.text());
            values.insert(key.clone(), prepared);
        }
        Self { texts, values }
    }

    /// Returns whether a part of the list of registries, or all of a map of settings, is not rendered.
    pub(super) fn lacks(&self) -> bool {
        let nested = [ACR_REGISTRY_INFO, RRSA, WEBHOOK_CONFIGURATION];
        let of = |key: &str| data_key(key.trim()).is_some_and(|key| nested.contains(&key));
        self.values.iter().any(|(key, value)| of(key) && value.hidden.iter().any(|hidden| hidden.alone))
    }

    /// Adds the findings of the preparation, and those of the readers at their places in the values as written.
    pub(super) fn report(&self, read: Findings, findings: &Findings) {
        let read = read.take();
        for (key, value) in &self.values {
            let of_key: Vec<&Finding> =
                read.found.iter().filter(|finding| finding.data_key() == key).collect();
            value.report(key, &of_key, findings);
        }
        findings.absorb(read, |finding| match self.values.get(finding.data_key()) {
            Some(value) => value.in_place(finding),
            None => Some(finding),
        });
    }
}

impl PreparedText {
    pub(super) fn of(text: &str, signs_of: Signs) -> Self {
        let signs = sign::find(text, signs_of);
        let wrappers = wrapper::in_value(text);
        let edits = wrappers.iter().map(|wrapper| &wrapper.edit).chain(&signs.edits);
        let cleaned = PatchedText::new(text, edits);
        let mut hidden = unrendered::find(&cleaned.text);
        // A text of one line has no comments.
        hidden.iter_mut().for_each(|hidden| hidden.alone &= signs_of == Signs::Yaml);
        Self { cleaned, signs: signs.found, wrappers, hidden }
    }

    /// Returns what the readers read.
    pub(super) fn text(&self) -> String {
        unrendered::hide(&self.cleaned.text, &self.hidden)
    }

    /// Adds the findings of the preparation. What the readers say of a text that is not rendered gives its path.
    pub(super) fn report(&self, key: &str, read: &[&Finding], findings: &Findings) {
        for Wrapper { span, edit, message } in &self.wrappers {
            findings.edit(Code::ManifestSign, key, Some(span.clone()), message, Some(edit.clone()));
        }
        for FoundSign { code, span, message, edits } in &self.signs {
            findings.edit(*code, key, Some(span.clone()), message, edits.iter().cloned());
        }
        for hidden in self.hidden.iter().take(MAX_UNRENDERED) {
            let about = read.iter().filter(|finding| is_about(finding, hidden));
            let paths = about.map(|finding| finding.key.as_str());
            let path = paths.max_by_key(|path| path.len()).unwrap_or(key);
            let span = Some(self.cleaned.origin_of(&hidden.span));
            findings.add(hidden.code(), path, span, hidden.message(&self.cleaned.text));
        }
    }

    /// Adds the findings of the preparation and of the readers, which are all in this text.
    pub(super) fn report_all(&self, key: &str, read: Findings, findings: &Findings) {
        let read = read.take();
        self.report(key, &read.found.iter().collect::<Vec<_>>(), findings);
        findings.absorb(read, |finding| self.in_place(finding));
    }

    /// Moves a finding of the readers to its place in the text as written. `None`: it is about a text that is not
    /// rendered.
    pub(super) fn in_place(&self, mut finding: Finding) -> Option<Finding> {
        let about = finding.message.contains(HIDDEN) || self.overlaps(&finding);
        let listed = self.hidden.iter().any(|hidden| hidden.alone) && finding.code == Code::EmptyList;
        // A configuration of which a part is hidden may be valid once it is rendered.
        let unreadable = !self.hidden.is_empty() && finding.code == Code::NotJson;
        if about || listed || unreadable {
            return None;
        }
        if finding.edits.iter().any(|edit| edit.text.contains(HIDDEN)) {
            finding.edits.clear();
        }
        if !self.cleaned.is_unchanged() {
            finding.span = finding.span.map(|span| self.cleaned.origin_of(&span));
            for Edit { span, .. } in &mut finding.edits {
                *span = self.cleaned.origin_of(span);
            }
        }
        Some(finding)
    }

    /// Returns whether a finding is about a text that is not rendered.
    fn overlaps(&self, finding: &Finding) -> bool {
        let Some(span) = &finding.span else { return false };
        let next = self.hidden.partition_point(|hidden| hidden.span.end <= span.start);
        self.hidden.get(next).is_some_and(|hidden| is_about(finding, hidden))
    }
}

fn is_about(finding: &Finding, hidden: &Unrendered) -> bool {
    finding.span.as_ref().is_some_and(|span| span.start < hidden.span.end && hidden.span.start < span.end)
}
