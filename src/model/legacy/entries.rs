//! `acr-registry-info` as a whole.

use std::ops::Range;

use secrecy::ExposeSecret;

use super::code::Code;
use super::conversion::{KeyPair, MAX_KEY_PAIRS, key_secret_name};
use super::entry;
use super::finding::{Findings, Span};
use super::line::{Field, Line, is_space};
use super::mistakes::{Schema, Shape};
use super::rewrite;
use super::source::{self, Parsed};
use super::source_value::SourceValue;
use crate::api::binding::{AccessKeySecretRef, RegistryEntry};
use crate::api::legacy::entry::{INSTANCE_ID, KEYS};
use crate::api::legacy::{ACR_REGISTRY_INFO, Node, Value, addon};

/// The most registries that the schema allows.
const MAX_REGISTRIES: usize = 64;

const SCHEMA: Schema = Schema { shape: Shape::List, keys: &[&KEYS] };

/// The entries that are kept.
#[derive(Default)]
pub(super) struct KeptRegistries {
    pub(super) registries: Vec<RegistryEntry>,
    pub(super) key_pairs: Vec<KeyPair>,
}

/// A list of entries in YAML or JSON.
pub(super) struct RegistryList<'a> {
    /// Its key.
    pub(super) key: &'a str,
    /// The text in which its nodes have their places.
    pub(super) text: &'a str,
    pub(super) parsed: Parsed,
}

/// Reads the text of the list. `None`: it cannot be read, which is reported.
pub(super) fn parse<'a>(value: Option<&SourceValue<'a>>, findings: &Findings) -> Option<RegistryList<'a>> {
    let Some(value) = value else {
        let parsed = Parsed::of(Node::ABSENT);
        return Some(RegistryList { key: ACR_REGISTRY_INFO, text: "", parsed });
    };
    let parsed = source::parse(value, &SCHEMA, findings)?;
    comments(value, &parsed.node, findings);
    if value.value.trim_start_matches('\u{feff}').trim_start().starts_with('[')
        && matches!(&parsed.node.value, Value::List(items) if !items.is_empty())
    {
        let message =
            "the list is in brackets: write each entry on lines of its own, \"- instanceId: …\" first";
        let edits = rewrite::expand_flow_list(value.value, &parsed.node).unwrap_or_default();
        findings.edit(Code::ListInBrackets, value.key, parsed.node.mark(), message, edits);
    }
    Some(RegistryList { key: value.key, text: value.value, parsed })
}

impl RegistryList<'_> {
    /// Reads the entries. `None`: it is not a list, or no entry can be kept, which is reported.
    pub(super) fn read(&self, rrsa: bool, findings: &Findings) -> Option<KeptRegistries> {
        let Self { key, text, parsed: Parsed { node, unreadable, .. } } = self;
        let json = *key == addon::INSTANCES;
        let refusal = match &node.value {
            Value::Map(_) if json => "the value is one map and not a list: put [ before it and ] after it",
            Value::Text(text) if json && !text.trim().is_empty() => {
                "the value is not a list: write [{\"instanceId\": \"cri-…\"}]"
            }
            Value::Map(_) => {
                "the value is one map and not a list: write \"- \" before its first key and indent the others by two spaces"
            }
            Value::Text(text) if !text.trim().is_empty() => {
                "the value is not a list: begin each entry with \"- instanceId: …\""
            }
            _ if node.items().is_empty() => return Some(personal(key, node.mark(), findings)),
            _ => "",
        };
        if !refusal.is_empty() {
            findings.add(Code::NotAList, key, node.mark(), refusal);
            return None;
        }
        let mut kept = RegistryCollector { text, findings, entries: KeptRegistries::default(), left_out: 0 };
        for (index, item) in node.items().iter().enumerate().filter(|(index, _)| !unreadable.contains(index))
        {
            let place = entry::EntryContext { list: key, text, index, rrsa };
            if let Some(read) = entry::read(&place, item, findings) {
                kept.add(read, item);
            }
        }
        if kept.left_out > 0 {
            let message = format!(
                "the list has {} registries, and only the first {MAX_REGISTRIES} are served: move the others to an AcrCredentialBinding of your own",
                MAX_REGISTRIES + kept.left_out
            );
            findings.add(Code::RegistriesTooMany, key, None, message);
        }
        // Without an error there is an entry: each one left out was reported as an error, but for repetitions.
        (!kept.entries.registries.is_empty()).then_some(kept.entries)
    }
}

/// Reports entries that are commented out, in whole or in part.
fn comments(value: &SourceValue<'_>, node: &Node, findings: &Findings) {
    let is_value = matches!(node.value, Value::List(_) | Value::Map(_));
    let report = |code: Code, span: Range<usize>| {
        let message = match code {
            Code::EntryHalfCommented => {
                "the line is commented out, but the lines after it are not: delete its #, or comment them out too"
            }
            _ => "the entry is commented out: to serve it, delete the # before each of its lines",
        };
        findings.add(code, value.key, Some(span), message);
    };
    let mut half: Option<Range<usize>> = None;
    for line in Line::all(value.value, is_space) {
        let (body, span) = (line.body(), line.body_span());
        if let Some(comment) = body.strip_prefix('#') {
            let inner = comment.trim_start_matches(['#', '-', ' ', '\t']);
            if Field::parse(inner, 0, 0, is_space).is_some_and(|field| field.is(&[INSTANCE_ID])) {
                if is_value || half.is_some() {
                    half = Some(span);
                } else {
                    report(Code::EntryCommented, span);
                }
            }
        } else if !body.trim().is_empty()
            && let Some(span) = half.take()
        {
            let field = Field::parse(body, 0, 0, is_space);
            let goes_on = field.is_some_and(|field| field.is(&KEYS) && !field.is(&[INSTANCE_ID]));
            report(if goes_on { Code::EntryHalfCommented } else { Code::EntryCommented }, span);
        }
    }
    half.into_iter().for_each(|span| report(Code::EntryCommented, span));
}

/// Returns the Personal Edition of the cluster's own region.
fn personal(key: &str, span: Span, findings: &Findings) -> KeptRegistries {
    let message = "the list names no registry, which means the Personal Edition of the cluster's region";
    findings.add(Code::EmptyList, key, span, message);
    KeptRegistries { registries: vec![RegistryEntry::default()], key_pairs: Vec::new() }
}

struct RegistryCollector<'a> {
    text: &'a str,
    findings: &'a Findings,
    entries: KeptRegistries,
    left_out: usize,
}

impl RegistryCollector<'_> {
    fn add(&mut self, mut read: entry::ReadEntry, node: &Node) {
        let alone = read.registries.len() == 1;
        let mut pair = read.pair.take();
        if let Some(pair) = &mut pair {
            if self.entries.key_pairs.len() == MAX_KEY_PAIRS {
                let message = format!(
                    "the entry has one AccessKey pair more than the {MAX_KEY_PAIRS} that can be moved to Secrets and is left \
                     out: write an AcrCredentialBinding of your own with accessKeySecretRef"
                );
                self.findings.add(Code::KeyPairsTooMany, &read.at, read.span.clone(), message);
                return;
            }
            // RBAC names the Secrets, hence a count and not the names of entries.
            pair.secret_name = key_secret_name(self.entries.key_pairs.len());
            for registry in &mut read.registries {
                registry.access_key_secret_ref = Some(AccessKeySecretRef { name: pair.secret_name.clone() });
            }
        }
        for registry in read.registries {
            if self.entries.registries.iter().any(|kept| self.repeats(kept, &registry, pair.as_ref())) {
                let message = "the entry repeats an earlier one and is left out: delete it";
                // An entry that lists several instances is split first.
                let edit = rewrite::without_entry(self.text, node).filter(|_| alone);
                self.findings.edit(Code::EntryRepeated, &read.at, read.span.clone(), message, edit);
            } else if self.entries.registries.len() == MAX_REGISTRIES {
                self.left_out += 1;
            } else {
                self.entries.registries.push(registry);
                self.entries.key_pairs.extend(pair.take());
            }
        }
    }

    /// Returns whether two entries are the same. Their key pairs are compared, since each names a Secret of its own.
    fn repeats(&self, kept: &RegistryEntry, new: &RegistryEntry, pair: Option<&KeyPair>) -> bool {
        let without_key =
            |entry: &RegistryEntry| RegistryEntry { access_key_secret_ref: None, ..entry.clone() };
        let secrets = |entry: &RegistryEntry| {
            let name = &entry.access_key_secret_ref.as_ref()?.name;
            let pair = self.entries.key_pairs.iter().chain(pair).find(|pair| pair.secret_name == *name)?;
            Some((pair.access_key_id.expose_secret(), pair.access_key_secret.expose_secret()))
        };
        secrets(kept) == secrets(new) && without_key(kept) == without_key(new)
    }
}
