//! The ConfigMap turned into a binding.
//!
//! ```text
//! data ─ api::legacy (text as written) ─ names, settings, entries ─ model::binding (the validator) ─ spec
//!                                          └───────── findings ─────────┘
//! ```
//! All findings are collected, not only the first. A fault of one entry, name or setting costs that one alone.
//! A text that cannot be read, or leaves nothing to serve, gives no spec: the caller keeps the last good one.

mod addon;
mod code;
mod content;
mod conversion;
mod entries;
mod entry;
mod fields;
mod finding;
pub(crate) mod line;
pub(crate) mod mistakes;
mod names;
pub(crate) mod patch;
mod prepared;
mod reverse;
mod rewrite;
mod settings;
pub(crate) mod sign;
mod source;
mod source_value;
mod spec;
mod text;
pub(crate) mod unrendered;
mod validate;
pub(crate) mod wrapper;

use std::collections::BTreeMap;

pub use code::{Code, Severity};
pub use conversion::{Conversion, KeyPair, MAX_KEY_PAIRS, key_secret_name};
pub(crate) use finding::separate_edits;
pub use finding::{Finding, apply_edits, summarize};
pub use patch::Edit;
pub use reverse::to_data;
pub(crate) use validate::ANY_REGION;

use crate::api::binding::AcrCredentialBindingSpec;
use crate::api::legacy;
pub use crate::api::legacy::data_key;
use finding::Findings;
use prepared::{PreparedData, PreparedText};
use sign::Signs;
use source_value::SourceValue;
use spec::SpecParts;

/// Turns the `data` of the ConfigMap `acr-configuration` into the spec of a binding.
///
/// # Guarantees
/// - The same data gives the same conversion.
/// - A spec passes [`Binding::parse`](crate::model::Binding::parse) and has at least one registry.
/// - No finding and no `Debug` output holds an AccessKey pair.
pub fn convert(data: &BTreeMap<String, String>) -> Conversion {
    let (prepared, read_findings, findings) =
        (PreparedData::of(data), Findings::default(), Findings::default());
    let spec = read(&prepared.texts, &read_findings);
    prepared.report(read_findings, &findings);
    Conversion::of(spec.filter(|_| !prepared.lacks()), findings.in_data(data))
}

/// Turns the add-on's configuration into the spec of a binding. The text may be the JSON itself, the same escaped
/// within a string as Terraform's `config` has it, or the add-on with its `config`.
///
/// # Guarantees
/// Those of [`convert`]. Spans, lines and edits are in the text given. JSON in a string has none.
pub fn from_addon_config(json: &str) -> Conversion {
    if json.len() > conversion::MAX_VALUE_BYTES {
        return addon::from_addon_config(json);
    }
    let prepared = PreparedText::of(json, Signs::Yaml);
    let mut conversion = addon::from_addon_config(&prepared.text());
    let (read, findings) = (Findings::default(), Findings::default());
    conversion.findings.drain(..).for_each(|finding| read.push(finding));
    prepared.report_all(legacy::addon::CONFIG, read, &findings);
    conversion.findings = findings.in_text(json);
    conversion
}

fn read(
    data: &BTreeMap<String, String>,
    findings: &Findings,
) -> Option<(AcrCredentialBindingSpec, Vec<KeyPair>)> {
    let (mut keys, readable) = known_keys(data, findings);
    let info = keys.get(legacy::ACR_REGISTRY_INFO).cloned();
    let list = entries::parse(info.as_ref(), findings);
    if let Some(list) = &list {
        for (key, value) in &list.parsed.below {
            if keys.contains_key(key) {
                let message =
                    format!("the {key} in it is ignored, because {key} is given already: delete one of them");
                findings.add(Code::DataKeyShadowed, list.key, None, message);
            } else {
                keys.insert(key, SourceValue { key, value, node: None });
            }
        }
    }
    let rrsa = settings::rrsa(keys.get(legacy::RRSA), findings);
    let entries = list.as_ref().and_then(|list| list.read(rrsa.unwrap_or(true), findings));
    settings::registry_of_2019(keys.get(legacy::ACR_REGISTRY), info.as_ref(), findings);
    settings::carried(keys.get(legacy::ACR_API_VERSION), findings);
    let written = |key| keys.get(key).cloned();
    let parts = SpecParts {
        service_accounts: written(legacy::SERVICE_ACCOUNT),
        namespaces: written(legacy::WATCH_NAMESPACE),
        threshold: written(legacy::EXPIRING_THRESHOLD),
        email: written(legacy::NOTIFY_EMAIL),
        webhook: settings::webhook(keys.get(legacy::WEBHOOK_CONFIGURATION), findings),
        entries: rrsa.and(entries),
    };
    parts.spec(findings).filter(|_| readable)
}

/// The values of the keys that have a meaning, by their documented names.
type KnownKeys<'a> = BTreeMap<&'static str, SourceValue<'a>>;

/// Returns the known keys, and whether each of them could be read.
fn known_keys<'a>(data: &'a BTreeMap<String, String>, findings: &Findings) -> (KnownKeys<'a>, bool) {
    let (mut keys, mut readable) = (KnownKeys::new(), true);
    for (written, value) in data {
        let Some(key) = data_key(written.trim()) else {
            if has_keys(value) {
                let message = "the value holds keys of data, as kubectl create configmap --from-file writes a file: write each of them below data itself";
                findings.add(Code::OutsideData, written, None, message);
                readable = false;
                continue;
            }
            let message =
                "the key is unknown in acr-configuration and is ignored: delete it, or correct its name";
            findings.add(Code::DataKeyUnknown, written, None, message);
            continue;
        };
        if written != key {
            let documented = data.contains_key(key).then_some((key, "it"));
            let other = documented.or_else(|| keys.get(key).map(|earlier| (earlier.key, "one of them")));
            if let Some((other, which)) = other {
                let message = format!("the key is ignored, because {other} is given too: delete {which}");
                findings.add(Code::DataKeyShadowed, written, None, message);
                continue;
            }
            findings.add(
                Code::DataKeySpelling,
                written,
                None,
                format!("the key is read as {key}: write {key}"),
            );
        }
        if value.len() > conversion::MAX_VALUE_BYTES {
            let message = format!("the value has {} bytes, more than 1 MiB: write less", value.len());
            findings.add(Code::ValueTooLarge, written, None, message);
            readable = false;
            continue;
        }
        keys.insert(key, SourceValue { key: written, value, node: None });
    }
    (keys, readable)
}

/// Returns whether a text has a key of `data` at the beginning of a line.
fn has_keys(text: &str) -> bool {
    text.lines().filter_map(|line| line.split_once(':')).any(|(key, _)| legacy::KEYS.contains(&key))
}

#[cfg(test)]
mod tests;
