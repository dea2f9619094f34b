//! `acr-registry-info` as a whole.

use secrecy::ExposeSecret;

use super::KeyPair;
use super::entry;
use super::fields::parse;
use super::finding::Findings;
use crate::api::binding::RegistryEntry;
use crate::api::legacy::{ACR_REGISTRY_INFO, Value};

/// The most registries that the schema allows.
const MAX_REGISTRIES: usize = 64;

/// The entries that are kept.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) registries: Vec<RegistryEntry>,
    pub(super) key_pairs: Vec<KeyPair>,
}

/// Reads the list. `None`: it is none, or no entry of it can be kept; which is told.
pub(super) fn read(value: Option<&str>, rrsa: bool, findings: &mut Findings) -> Option<Entries> {
    let Some(text) = value else { return Some(personal()) };
    let node = parse(ACR_REGISTRY_INFO, text, findings)?;
    let items = match &node.value {
        Value::Null => {
            if text.to_ascii_lowercase().contains("instanceid") {
                let message = "has only comments, which means the Personal Edition of the cluster's region: delete the # before each line of an entry that is meant";
                findings.warning(ACR_REGISTRY_INFO, None, message);
            }
            return Some(personal());
        }
        Value::Text(text) if text.trim().is_empty() => return Some(personal()),
        Value::List(items) if items.is_empty() => {
            let message = "is an empty list, which means the Personal Edition of the cluster's region: write \"- instanceId: \\\"\\\"\" if that is meant";
            findings.warning(ACR_REGISTRY_INFO, node.line, message);
            return Some(personal());
        }
        Value::List(items) => items,
        Value::Text(_) => {
            findings.error(
                ACR_REGISTRY_INFO,
                node.line,
                "is no list: begin each entry with \"- instanceId: …\"",
            );
            return None;
        }
        Value::Map(_) => {
            findings.error(
                ACR_REGISTRY_INFO,
                node.line,
                "is one map, no list: write \"- \" before its first key and indent the others by two blanks",
            );
            return None;
        }
    };
    if text.trim_start().starts_with('[') {
        let message =
            "is a list in brackets: write each entry on lines of its own, \"- instanceId: …\" first";
        findings.warning(ACR_REGISTRY_INFO, node.line, message);
    }
    let mut kept = Kept::default();
    for (index, item) in items.iter().enumerate() {
        if let Some(read) = entry::read(index, item, rrsa, findings) {
            kept.add(read, findings);
        }
    }
    if kept.left_out > 0 {
        let message = format!(
            "has {} registries, only the first {MAX_REGISTRIES} are served: move the others to an AcrCredentialBinding of your own",
            MAX_REGISTRIES + kept.left_out
        );
        findings.error(ACR_REGISTRY_INFO, None, message);
    }
    // Without an error there would be an entry: each that is left out for another reason than its being a
    // repetition was told as one.
    (!kept.entries.registries.is_empty()).then_some(kept.entries)
}

/// The Personal Edition of the cluster's own region.
fn personal() -> Entries {
    Entries { registries: vec![RegistryEntry::default()], key_pairs: Vec::new() }
}

#[derive(Default)]
struct Kept {
    entries: Entries,
    left_out: usize,
}

impl Kept {
    fn add(&mut self, read: entry::Read, findings: &mut Findings) {
        let mut pair = read.pair;
        for registry in read.registries {
            if self.entries.registries.iter().any(|kept| self.repeats(kept, &registry, pair.as_ref())) {
                findings.warning(&read.at, read.line, "repeats an earlier entry and is left out: delete it");
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
