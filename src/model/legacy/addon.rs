//! The configuration of ACK's managed add-on, `managed-aliyun-acr-credential-helper`.
//!
//! ```text
//! JSON, or JSON in a string ─ api::legacy ─ the readers of the ConfigMap ─ spec
//! ```

use super::code::Code;
use super::conversion::{Conversion, KeyPair, MAX_VALUE_BYTES};
use super::entries::RegistryList;
use super::fields::{MapFields, MapSchema, Rejected};
use super::finding::Findings;
use super::source::Parsed;
use super::source_value::SourceValue;
use super::spec::SpecParts;
use crate::api::binding::{AcrCredentialBindingSpec, Webhook};
use crate::api::legacy::{Node, Style, Value, addon, parse_yaml};

/// The most strings around the JSON: Terraform's `config` is one, a shell adds another.
const MAX_WRAPS: usize = 3;

/// Turns the add-on's configuration into the spec of a binding. The text may be the JSON itself, or the same escaped
/// within a string.
///
/// # Guarantees
/// Those of [`super::convert`]. Spans, lines and edits are in the text given. JSON in a string has none.
pub(super) fn from_addon_config(json: &str) -> Conversion {
    let findings = Findings::default();
    let read = read(json, &findings);
    Conversion::of(read, findings.in_text(json))
}

fn read(json: &str, findings: &Findings) -> Option<(AcrCredentialBindingSpec, Vec<KeyPair>)> {
    if json.len() > MAX_VALUE_BYTES {
        let message = format!("the configuration has {} bytes, more than 1 MiB: write less", json.len());
        findings.add(Code::ValueTooLarge, addon::CONFIG, None, message);
        return None;
    }
    let mut text = json.to_owned();
    for _ in 0..=MAX_WRAPS {
        let Ok(node) = parse_yaml(&text) else { break };
        match &node.value {
            Value::Map(_) => {
                let node = if text == json { node } else { places_unknown(node) };
                return spec(&node, &text, findings);
            }
            Value::Text(inner) if *inner != text => text = inner.clone(),
            _ => break,
        }
    }
    let message = "the configuration is not a JSON object: give the add-on's configuration as {\"AcrInstanceInfo\": [{\"instanceId\": \"cri-…\"}]}";
    findings.add(Code::NotJson, addon::CONFIG, None, message);
    None
}

/// Removes the places of nodes in a string, which has no bytes of its own in the text around it.
fn places_unknown(mut node: Node) -> Node {
    node.relocate(&|_| None);
    node
}

fn spec(node: &Node, text: &str, findings: &Findings) -> Option<(AcrCredentialBindingSpec, Vec<KeyPair>)> {
    if let Some(key) = swallowed(node) {
        let message = "a comment swallows the key after it, since JSON has no comments: delete the comment";
        findings.add(Code::NotJson, addon::CONFIG, key.span.clone(), message);
        return None;
    }
    let schema = MapSchema { at: "", text, known: &addon::KEYS, unknown: Code::AddonKeyUnknown };
    let fields = MapFields::read(schema, node, findings)?.consistent()?;
    let rrsa = fields.boolean(addon::ENABLE_RRSA, false).ok();
    if fields.node(addon::TOKEN_MODE).is_some() {
        let message = "the setting is the controller's flag --token-mode: set it there";
        fields.report(Code::AddonTokenMode, addon::TOKEN_MODE, message);
    }
    let list = fields.node(addon::INSTANCES).unwrap_or(&Node::ABSENT);
    // The list may be in a string of its own.
    let inner = list.text().filter(|text| text.trim_start().starts_with('['));
    let inner = inner.and_then(|text| parse_yaml(text).ok()).map(places_unknown);
    let parsed = Parsed::of(inner.unwrap_or_else(|| list.clone()));
    let list = RegistryList { key: addon::INSTANCES, text, parsed };
    let entries = list.read(rrsa.unwrap_or(true), findings);
    let written = |key| written(&fields, key).ok();
    let (service_accounts, namespaces) = (written(addon::SERVICE_ACCOUNT), written(addon::WATCH_NAMESPACE));
    let (threshold, email) = (written(addon::EXPIRING_THRESHOLD), written(addon::NOTIFY_EMAIL));
    let parts = SpecParts {
        service_accounts: service_accounts?,
        namespaces: namespaces?,
        threshold: threshold?,
        email: email?,
        // The webhook is an add-on of its own.
        webhook: Some(Webhook::default()),
        entries: rrsa.and(entries),
    };
    parts.spec(findings)
}

/// Returns the first key that begins with a comment. A key in quotes may be `//`.
fn swallowed(node: &Node) -> Option<&Node> {
    let comment = |key: &Node| {
        let bare = matches!(key.style, Style::Plain | Style::Wrapped);
        bare && key.text().is_some_and(|text| text.starts_with("//") || text.starts_with("/*"))
    };
    let keys = || node.pairs().iter().map(|pair| &pair.key).find(|key| comment(key));
    let values = || node.pairs().iter().find_map(|pair| swallowed(&pair.value));
    keys().or_else(values).or_else(|| node.items().iter().find_map(swallowed))
}

/// Returns a field that the ConfigMap has as a key.
fn written<'a>(fields: &MapFields<'a>, key: &'static str) -> Result<Option<SourceValue<'a>>, Rejected> {
    match fields.node(key) {
        None | Some(Node { value: Value::Null, .. }) => Ok(None),
        Some(node) => match node.text() {
            Some(value) => Ok(Some(SourceValue { key, value, node: Some(node) })),
            None => {
                Err(fields.refuse(Code::NotText, key, "the value is a list or a map: write one comma list"))
            }
        },
    }
}
