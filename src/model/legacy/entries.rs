//! `acr-registry-info` as a whole.

use std::ops::Range;

use secrecy::ExposeSecret;

use super::code::Code;
use super::entry;
use super::finding::{Findings, Span};
use super::key_pair::{KeyPair, MAX_KEY_PAIRS, key_secret_name};
use super::line::{Field, is_space};
use super::mistakes::{Schema, Shape};
use super::rewrite;
use super::source::{self, Parsed};
use super::source_value::SourceValue;
use crate::api::binding::{AccessKeySecretRef, RegistryEntry};
use crate::api::legacy::entry::{INSTANCE_ID, KEYS};
use crate::api::legacy::{ACR_REGISTRY_INFO, Node, Value};

/// The most registries that the schema allows.
const MAX_REGISTRIES: usize = 64;

const SCHEMA: Schema = Schema { shape: Shape::List, keys: &[&KEYS] };

/// The entries that are kept.
#[derive(Default)]
pub(super) struct KeptRegistries {
    pub(super) registries: Vec<RegistryEntry>,
    pub(super) key_pairs: Vec<KeyPair>,
}

/// The list of the ConfigMap.
pub(super) struct ParsedList<'a> {
    pub(super) key: &'a str,
    text: &'a str,
    pub(super) parsed: Parsed,
}

/// The entries of a list in YAML or JSON.
pub(super) struct RegistryList<'a> {
    /// Its key.
    pub(super) key: &'a str,
    /// The text in which its nodes have their places.
    pub(super) text: &'a str,
    /// All of it.
    pub(super) node: &'a Node,
    /// The numbers of the entries that could not be read.
    pub(super) unreadable: &'a [usize],
}

/// Reads the text of the list. `None`: it cannot be read, which is reported.
pub(super) fn parse<'a>(value: Option<&SourceValue<'a>>, findings: &mut Findings) -> Option<ParsedList<'a>> {
    let Some(value) = value else {
        let parsed = Parsed::of(Node::ABSENT);
        return Some(ParsedList { key: ACR_REGISTRY_INFO, text: "", parsed });
    };
    let parsed = source::parse(value, &SCHEMA, findings)?;
    comments(value, &parsed.node, findings);
    if value.value.trim_start_matches('\u{feff}').trim_start().starts_with('[')
        && matches!(&parsed.node.value, Value::List(items) if !items.is_empty())
    {
        let message =
            "the list is in brackets: write each entry on lines of its own, \"- instanceId: …\" first";
        let edits = rewrite::expand_flow_list(value.value, &parsed.node);
        findings.edit(Code::ListInBrackets, value.key, parsed.node.mark(), message, edits);
    }
    Some(ParsedList { key: value.key, text: value.value, parsed })
}

impl ParsedList<'_> {
    /// Reads the entries. `None`: it is not a list, or no entry can be kept, which is reported.
    pub(super) fn read(&self, rrsa: bool, findings: &mut Findings) -> Option<KeptRegistries> {
        let Parsed { node, unreadable, .. } = &self.parsed;
        RegistryList { key: self.key, text: self.text, node, unreadable }.read(rrsa, findings)
    }
}

impl RegistryList<'_> {
    /// Reads the entries. `None`: it is not a list, or no entry can be kept, which is reported.
    pub(super) fn read(&self, rrsa: bool, findings: &mut Findings) -> Option<KeptRegistries> {
        read(self, rrsa, findings)
    }
}

fn read(list: &RegistryList<'_>, rrsa: bool, findings: &mut Findings) -> Option<KeptRegistries> {
    let RegistryList { key, text, node, unreadable } = *list;
    let span = node.mark();
    let items = match &node.value {
        Value::Null => return Some(personal(key, span, findings)),
        Value::Text(text) if text.trim().is_empty() => return Some(personal(key, span, findings)),
        Value::List(items) if items.is_empty() => return Some(personal(key, span, findings)),
        Value::List(items) => items,
        Value::Text(_) => {
            findings.add(
                Code::NotAList,
                key,
                span,
                "the value is not a list: begin each entry with \"- instanceId: …\"",
            );
            return None;
        }
        Value::Map(_) => {
            let message = "the value is one map and not a list: write \"- \" before its first key and indent the others by two spaces";
            findings.add(Code::NotAList, key, span, message);
            return None;
        }
    };
    let mut kept = RegistryCollector::default();
    for (index, item) in items.iter().enumerate().filter(|(index, _)| !unreadable.contains(index)) {
        let place = entry::EntryContext { list: key, text, index, rrsa };
        if let Some(read) = entry::read(&place, item, findings) {
            kept.add(read, (text, item), findings);
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

/// Reports entries that are commented out, in whole or in part.
fn comments(value: &SourceValue<'_>, node: &Node, findings: &mut Findings) {
    let mut at = 0;
    let mut half: Option<Range<usize>> = None;
    for line in value.value.split_inclusive('\n') {
        let bare = line.trim_start_matches(is_space);
        let span = at + (line.len() - bare.len())..at + line.trim_end().len().max(line.len() - bare.len());
        at += line.len();
        if let Some(comment) = bare.strip_prefix('#') {
            let inner = comment.trim_start_matches(['#', '-', ' ', '\t']);
            if Field::parse(inner, 0, 0, is_space).is_some_and(|field| field.is(&[INSTANCE_ID])) {
                if matches!(node.value, Value::List(_) | Value::Map(_)) || half.is_some() {
                    half = Some(span);
                } else {
                    let message =
                        "the entry is commented out: to serve it, delete the # before each of its lines";
                    findings.add(Code::EntryCommented, value.key, Some(span.clone()), message);
                    half = None;
                }
            }
        } else if !bare.trim().is_empty() {
            let Some(span) = half.take() else { continue };
            let field = Field::parse(bare, 0, 0, is_space);
            let goes_on = field.is_some_and(|field| field.is(&KEYS) && !field.is(&[INSTANCE_ID]));
            let (code, message) = if goes_on {
                (
                    Code::EntryHalfCommented,
                    "the line is commented out, but the lines after it are not: delete its #, or comment them out too",
                )
            } else {
                (
                    Code::EntryCommented,
                    "the entry is commented out: to serve it, delete the # before each of its lines",
                )
            };
            findings.add(code, value.key, Some(span), message);
        }
    }
    if let Some(span) = half {
        let message = "the entry is commented out: to serve it, delete the # before each of its lines";
        findings.add(Code::EntryCommented, value.key, Some(span), message);
    }
}

/// Returns the Personal Edition of the cluster's own region.
fn personal(key: &str, span: Span, findings: &mut Findings) -> KeptRegistries {
    let message = "the list names no registry, which means the Personal Edition of the cluster's region";
    findings.add(Code::EmptyList, key, span, message);
    KeptRegistries { registries: vec![RegistryEntry::default()], key_pairs: Vec::new() }
}

#[derive(Default)]
struct RegistryCollector {
    entries: KeptRegistries,
    left_out: usize,
}

impl RegistryCollector {
    fn add(&mut self, mut read: entry::ReadEntry, (text, node): (&str, &Node), findings: &mut Findings) {
        let alone = read.registries.len() == 1;
        let mut pair = read.pair.take();
        if let Some(pair) = &mut pair {
            if self.entries.key_pairs.len() == MAX_KEY_PAIRS {
                let message = format!(
                    "the entry has one AccessKey pair more than the {MAX_KEY_PAIRS} that can be moved to Secrets and is left \
                     out: write an AcrCredentialBinding of your own with accessKeySecretRef"
                );
                findings.add(Code::KeyPairsTooMany, &read.at, read.span.clone(), message);
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
                let edit = rewrite::without_entry(text, node).filter(|_| alone);
                findings.edit(Code::EntryRepeated, &read.at, read.span.clone(), message, edit);
            } else if self.entries.registries.len() == MAX_REGISTRIES {
                self.left_out += 1;
            } else {
                self.entries.registries.push(registry);
                self.entries.key_pairs.extend(pair.take());
            }
        }
    }

    /// Two entries with key pairs name different Secrets; they are the same if the pairs in them are.
    fn repeats(&self, kept: &RegistryEntry, new: &RegistryEntry, pair: Option<&KeyPair>) -> bool {
        let without_key =
            |entry: &RegistryEntry| RegistryEntry { access_key_secret_ref: None, ..entry.clone() };
        let pair_of = |entry: &RegistryEntry| {
            let name = &entry.access_key_secret_ref.as_ref()?.name;
            self.entries.key_pairs.iter().chain(pair).find(|pair| pair.secret_name == *name)
        };
        let same_pair = match (pair_of(kept), pair_of(new)) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                a.access_key_id.expose_secret() == b.access_key_id.expose_secret()
                    && a.access_key_secret.expose_secret() == b.access_key_secret.expose_secret()
            }
            _ => false,
        };
        same_pair && without_key(kept) == without_key(new)
    }
}
