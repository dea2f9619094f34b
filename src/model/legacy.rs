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
mod entries;
mod entry;
mod fields;
mod finding;
pub(crate) mod line;
pub(crate) mod mistakes;
mod names;
pub(crate) mod patch;
mod reverse;
mod rewrite;
mod settings;
mod source;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use secrecy::SecretString;

pub use addon::from_addon_config;
pub use code::{Code, Severity};
pub(crate) use finding::separate_edits;
pub use finding::{Edit, Finding, apply_edits, summarize};
pub use reverse::to_data;

use crate::api::binding::{
    AcrCredentialBinding, AcrCredentialBindingSpec, DeletionPolicy, ServiceAccounts, WatchNamespaces, Webhook,
};
use crate::api::{legacy, names as api_names};
use crate::model::{Binding, InvalidField};
use entries::KeptRegistries;
use finding::Findings;

/// The most bytes that a key's value may have: Kubernetes allows no larger ConfigMap.
const MAX_VALUE_BYTES: usize = 1 << 20;

/// How many AccessKey pairs a ConfigMap may hold: RBAC and the admission policies name each Secret that they are moved
/// to.
pub const MAX_KEY_PAIRS: usize = 8;

/// Name of the Secret that the pair with this ordinal is moved to.
pub fn key_secret_name(ordinal: usize) -> String {
    format!("{}-{ordinal}", api_names::LEGACY_NAME)
}

/// A region to validate entries with that name none: which one the cluster has, the converter need not know.
pub(crate) const ANY_REGION: &str = "cn-hangzhou";

/// The result of a conversion.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// The binding's spec, known to be valid. `None`: keep the last good one.
    pub spec: Option<AcrCredentialBindingSpec>,
    /// Every fault and every guess.
    pub findings: Vec<Finding>,
    /// The key pairs that entries of the spec refer to. Empty without a spec.
    pub key_pairs: Vec<KeyPair>,
}

impl Conversion {
    /// Whether a part of the configuration is not served.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|f| f.severity == Severity::Error)
    }
}

/// An AccessKey pair from the ConfigMap.
#[derive(Clone)]
pub struct KeyPair {
    /// The Secret that `accessKeySecretRef` of the entry names.
    pub secret_name: String,
    /// Its key `accessKeyId`.
    pub access_key_id: SecretString,
    /// Its key `accessKeySecret`.
    pub access_key_secret: SecretString,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("secret_name", &self.secret_name).finish_non_exhaustive()
    }
}

/// Turns the `data` of the ConfigMap `acr-configuration` into the spec of a binding.
///
/// # Guarantees
/// - The same data gives the same conversion.
/// - A spec passes [`Binding::parse`] and has at least one registry.
/// - No finding and no `Debug` output holds an AccessKey pair.
pub fn convert(data: &BTreeMap<String, String>) -> Conversion {
    let mut findings = Findings::default();
    let spec = read(data, &mut findings);
    let (spec, key_pairs) = spec.map_or((None, Vec::new()), |(spec, pairs)| (Some(spec), pairs));
    Conversion { spec, findings: findings.in_data(data), key_pairs }
}

fn read(
    data: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> Option<(AcrCredentialBindingSpec, Vec<KeyPair>)> {
    let mut keys = known_keys(data, findings);
    let info = keys.get(legacy::ACR_REGISTRY_INFO).cloned();
    let list = entries::parse(info.as_ref(), findings);
    if let Some(list) = &list {
        for (key, value) in &list.parsed.below {
            if keys.get(key).is_some() {
                let message =
                    format!("the {key} in it is ignored, because {key} is given already: delete one of them");
                findings.add(Code::DataKeyShadowed, list.key, None, message);
            } else {
                keys.values.insert(key, SourceValue { key, value, node: None });
            }
        }
    }
    let rrsa = settings::rrsa(keys.get(legacy::RRSA), findings);
    let entries = list.as_ref().and_then(|list| list.read(rrsa.unwrap_or(true), findings));
    settings::registry_of_2019(keys.get(legacy::ACR_REGISTRY), info.as_ref(), findings);
    settings::carried(keys.get(legacy::ACR_API_VERSION), findings);
    let parts = SpecParts {
        service_accounts: keys.get(legacy::SERVICE_ACCOUNT).cloned(),
        namespaces: keys.get(legacy::WATCH_NAMESPACE).cloned(),
        threshold: keys.get(legacy::EXPIRING_THRESHOLD).cloned(),
        email: keys.get(legacy::NOTIFY_EMAIL).cloned(),
        webhook: settings::webhook(keys.get(legacy::WEBHOOK_CONFIGURATION), findings),
        entries: rrsa.and(entries),
    };
    parts.spec(findings).filter(|_| keys.readable)
}

/// The parts that a ConfigMap and an add-on's configuration have in common.
struct SpecParts<'a> {
    service_accounts: Option<SourceValue<'a>>,
    namespaces: Option<SourceValue<'a>>,
    threshold: Option<SourceValue<'a>>,
    email: Option<SourceValue<'a>>,
    webhook: Option<Webhook>,
    entries: Option<KeptRegistries>,
}

impl SpecParts<'_> {
    fn spec(self, findings: &mut Findings) -> Option<(AcrCredentialBindingSpec, Vec<KeyPair>)> {
        // Each part is read before the first missing one returns, so that all findings are there.
        let service_accounts = names::service_accounts(self.service_accounts.as_ref(), findings);
        let namespaces = names::namespaces(self.namespaces.as_ref(), findings);
        let expiring_threshold = settings::threshold(self.threshold.as_ref(), findings);
        let notify_email = settings::notify_email(self.email.as_ref(), findings);
        let (entries, webhook) = (self.entries?, self.webhook?);
        let spec = AcrCredentialBindingSpec {
            registries: entries.registries,
            watch_namespaces: WatchNamespaces { names: namespaces?, selector: None, exclude: Vec::new() },
            service_accounts: ServiceAccounts { names: service_accounts?, selector: None },
            expiring_threshold,
            webhook,
            deletion_policy: DeletionPolicy::Retain,
            suspend: false,
            notify_email,
        };
        let invalid = validate(&spec);
        for InvalidField { path, message } in &invalid {
            findings.add(Code::SpecInvalid, path, None, message);
        }
        invalid.is_empty().then_some((spec, entries.key_pairs))
    }
}

/// Validates a spec as the controller does.
fn validate(spec: &AcrCredentialBindingSpec) -> Vec<InvalidField> {
    let object = AcrCredentialBinding::new(api_names::LEGACY_NAME, spec.clone());
    Binding::parse(&object, ANY_REGION).err().unwrap_or_default()
}

/// A value and its source.
#[derive(Clone)]
struct SourceValue<'a> {
    /// The key as written.
    key: &'a str,
    /// The value.
    value: &'a str,
    /// The node of the value within an add-on's JSON.
    node: Option<&'a legacy::Node>,
}

impl SourceValue<'_> {
    /// The bytes of all of it.
    fn all(&self) -> finding::Span {
        self.node.map_or(Some(0..self.value.len()), legacy::Node::mark)
    }

    /// The bytes in the source for bytes of the value.
    fn span(&self, range: &Range<usize>) -> finding::Span {
        let Some(node) = self.node else { return Some(range.clone()) };
        match node.text_start() {
            Some(start) => Some(start + range.start..start + range.end),
            None => node.mark(),
        }
    }
}

/// The values of the keys that have a meaning.
struct KnownKeys<'a> {
    values: BTreeMap<&'static str, SourceValue<'a>>,
    /// Whether each of them could be read.
    readable: bool,
}

impl<'a> KnownKeys<'a> {
    fn get(&self, key: &str) -> Option<&SourceValue<'a>> {
        self.values.get(key)
    }
}

/// Returns a key of `data` as documented.
pub fn data_key(name: &str) -> Option<&'static str> {
    legacy::KEYS.into_iter().find(|known| known.eq_ignore_ascii_case(name))
}

fn known_keys<'a>(data: &'a BTreeMap<String, String>, findings: &mut Findings) -> KnownKeys<'a> {
    let mut keys = KnownKeys { values: BTreeMap::new(), readable: true };
    for (written, value) in data {
        let Some(key) = data_key(written.trim()) else {
            let message = "the key is unknown in acr-configuration and is ignored";
            findings.add(Code::DataKeyUnknown, written, None, message);
            continue;
        };
        if written != key {
            if data.contains_key(key) {
                let message = format!("the key is ignored, because {key} is given too: delete it");
                findings.add(Code::DataKeyShadowed, written, None, message);
                continue;
            }
            if let Some(earlier) = keys.get(key) {
                let message =
                    format!("the key is ignored, because {} is given too: delete one of them", earlier.key);
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
        if value.len() > MAX_VALUE_BYTES {
            let message = format!("the value has {} bytes, more than 1 MiB: write less", value.len());
            findings.add(Code::ValueTooLarge, written, None, message);
            keys.readable = false;
            continue;
        }
        keys.values.insert(key, SourceValue { key: written, value, node: None });
    }
    keys
}

#[cfg(test)]
mod tests;
