//! The legacy ConfigMap's keys, and the YAML inside its strings, as written.
//!
//! The user's text decides, not what YAML makes of it: `no`, `0123`, `1.10` and a key pair of digits only stay
//! the text that they are. What a field means is decided in `model::legacy`.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Error, NonFiniteFloatPolicy, Spanned};

/// Comma list of ServiceAccount names.
pub const SERVICE_ACCOUNT: &str = "service-account";
/// Comma list of namespaces.
pub const WATCH_NAMESPACE: &str = "watch-namespace";
/// YAML list of registries.
pub const ACR_REGISTRY_INFO: &str = "acr-registry-info";
/// Renew when less than this is left.
pub const EXPIRING_THRESHOLD: &str = "expiring-threshold";
/// Carried, never explained.
pub const NOTIFY_EMAIL: &str = "notify-email";
/// YAML map that turns RRSA on.
pub const RRSA: &str = "rrsa";
/// YAML map of the webhook.
pub const WEBHOOK_CONFIGURATION: &str = "webhook-configuration";
/// "Keep the default", says the documentation.
pub const ACR_API_VERSION: &str = "acr-api-version";
/// The spelling of 2019: comma list of host globs.
pub const ACR_REGISTRY: &str = "acr-registry";

/// Every key of `data` that has a meaning.
pub const KEYS: [&str; 9] = [
    SERVICE_ACCOUNT,
    WATCH_NAMESPACE,
    ACR_REGISTRY_INFO,
    EXPIRING_THRESHOLD,
    NOTIFY_EMAIL,
    RRSA,
    WEBHOOK_CONFIGURATION,
    ACR_API_VERSION,
    ACR_REGISTRY,
];

pub mod addon;

/// The keys of one entry of `acr-registry-info`.
pub mod entry {
    /// Enterprise instance.
    pub const INSTANCE_ID: &str = "instanceId";
    /// Region of the registry.
    pub const REGION_ID: &str = "regionId";
    /// Comma list of host names.
    pub const DOMAINS: &str = "domains";
    /// Role of the registry's owner.
    pub const ASSUME_ROLE_ARN: &str = "assumeRoleARN";
    /// Seconds of its session.
    pub const EXPIRE_DURATION: &str = "expireDuration";
    /// Role of the cluster's owner, by OIDC.
    pub const RRSA_ROLE_ARN: &str = "rrsaRoleARN";
    /// OIDC provider of the cluster.
    pub const RRSA_OIDC_PROVIDER_ROLE_ARN: &str = "rrsaOIDCProviderRoleARN";
    /// AccessKey id, in the clear.
    pub const CUSTOM_ACCESS_KEY: &str = "customAccessKey";
    /// AccessKey secret, in the clear.
    pub const CUSTOM_ACCESS_KEY_SECRET: &str = "customAccessKeySecret";

    /// All of them.
    pub const KEYS: [&str; 9] = [
        INSTANCE_ID,
        REGION_ID,
        DOMAINS,
        ASSUME_ROLE_ARN,
        EXPIRE_DURATION,
        RRSA_ROLE_ARN,
        RRSA_OIDC_PROVIDER_ROLE_ARN,
        CUSTOM_ACCESS_KEY,
        CUSTOM_ACCESS_KEY_SECRET,
    ];
}

/// The keys of `webhook-configuration`.
pub mod webhook {
    /// Whether it is on.
    pub const ENABLE: &str = "enable";
    /// `Ignore` or `Fail`.
    pub const FAILURE_POLICY: &str = "failure-policy";
    /// Whole seconds.
    pub const TIMEOUT_SECONDS: &str = "timeout-seconds";

    /// All of them.
    pub const KEYS: [&str; 3] = [ENABLE, FAILURE_POLICY, TIMEOUT_SECONDS];
}

/// A node of the YAML inside a key's value. It may hold a key pair, hence no `Debug`.
pub struct Node {
    /// The bytes where it stands in the text, where known: all of a scalar, the beginning of a list or a map.
    pub span: Option<Range<usize>>,
    /// How it stands there.
    pub style: Style,
    /// What stands there.
    pub value: Value,
}

/// How a node stands in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As its own text.
    Plain,
    /// In quotes with its own text between them.
    Quoted,
    /// In quotes with escapes or line breaks between them.
    Escaped,
    /// By an alias, a merge or a block, or it is no scalar: other bytes cannot be put in its place.
    Other,
}

/// What a node holds. It may hold a key pair, hence no `Debug`.
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar, as the user wrote it.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map in the order written; a key that stands twice is here twice.
    Map(Vec<Pair>),
}

/// A key of a map and its value.
pub struct Pair {
    /// The key as written.
    pub key: String,
    /// The bytes of the key with its quotes, where nothing but it stands there.
    pub key_span: Option<Range<usize>>,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// The byte at which a scalar's text begins to the letter.
    pub fn text_start(&self) -> Option<usize> {
        let start = self.span.as_ref()?.start;
        match self.style {
            Style::Plain => Some(start),
            Style::Quoted => Some(start + 1),
            Style::Escaped | Style::Other => None,
        }
    }
}

/// Why a text cannot be read as YAML. It never carries any of the text, which may hold a key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YamlError {
    /// The kind of fault.
    pub kind: YamlErrorKind,
    /// Line within the text, from 1, where known.
    pub line: Option<u32>,
}

/// The kind of a YAML fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YamlErrorKind {
    /// It is no YAML.
    Syntax,
    /// It is larger, deeper or more aliased than configuration ever is.
    Excessive,
    /// It has more than one document.
    Documents,
}

/// Reads YAML into nodes that keep the user's text.
///
/// # Errors
/// The first fault, with its line.
pub fn parse_yaml(text: &str) -> Result<Node, YamlError> {
    // Sixty-four full entries are some 1,400 nodes, three deep.
    parse(text, 6_000)
}

/// Reads the YAML of one entry, with limits that let many be read one after the other.
///
/// # Errors
/// The first fault, with its line.
pub fn parse_entry(text: &str) -> Result<Node, YamlError> {
    parse(text, 1_000)
}

fn parse(text: &str, nodes: usize) -> Result<Node, YamlError> {
    serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options(nodes))
        .map(|root| node(root, text))
        .map_err(|error| fault(&error))
}

fn options(nodes: usize) -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 2 * nodes,
            max_nodes: nodes,
            max_depth: 16,
            flow_nesting_limit: 16,
            max_documents: 2,
            max_aliases: 256,
            max_anchors: 256,
            max_recorded_anchor_events: nodes,
            max_recorded_anchor_bytes: 1 << 20,
            max_merge_keys: 256,
            max_total_scalar_bytes: 1 << 20,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: nodes,
            max_replay_stack_depth: 8,
        },
        emit_comments: false,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        strict_booleans: true,
        ignore_binary_tag_for_string: true,
        with_snippet: false,
    }
}

fn fault(error: &Error) -> YamlError {
    let line = error.location().and_then(|l| u32::try_from(l.line()).ok()).filter(|&line| line > 0);
    let kind = match innermost(error) {
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::RecursiveReferencesRequireWeakTypes { .. } => YamlErrorKind::Excessive,
        Error::MultipleDocuments { .. } => YamlErrorKind::Documents,
        _ => YamlErrorKind::Syntax,
    };
    YamlError { kind, line }
}

fn innermost(error: &Error) -> &Error {
    match error.without_snippet() {
        Error::AliasError { error, .. } => innermost(error),
        other => other,
    }
}

/// A node as serde hands it out. `Inferred` is what YAML took for a number, a boolean or infinity: only an
/// unquoted scalar is, so that its text stands in the source exactly as its span says.
enum Raw {
    Null,
    Text(String),
    Inferred(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Key>, Spanned<Raw>)>),
}

struct Key(String);

/// The budget bounds the depth, hence this recursion.
fn node(raw: Spanned<Raw>, source: &str) -> Node {
    let span = bytes(&raw.referenced, source);
    let merged = raw.referenced != raw.defined;
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Text(text) => Value::Text(text),
        Raw::Inferred(shown) => Value::Text(written(&raw.defined, source).unwrap_or(shown)),
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(item, source)).collect()),
        Raw::Map(pairs) => {
            Value::Map(pairs.into_iter().map(|(key, value)| pair(key, value, source)).collect())
        }
    };
    let style = match &value {
        Value::Text(text) if !merged => style(span.clone().and_then(|span| source.get(span)), text),
        _ => Style::Other,
    };
    Node { span, style, value }
}

fn pair(key: Spanned<Key>, value: Spanned<Raw>, source: &str) -> Pair {
    let span = bytes(&key.referenced, source).filter(|span| {
        let text = source.get(span.clone());
        key.referenced == key.defined && style(text, &key.value.0) != Style::Other
    });
    Pair { key: key.value.0, key_span: span, value: node(value, source) }
}

fn style(slice: Option<&str>, text: &str) -> Style {
    let Some(slice) = slice else { return Style::Other };
    let inner = ['"', '\''].into_iter().find_map(|quote| slice.strip_prefix(quote)?.strip_suffix(quote));
    match inner {
        _ if slice == text && !slice.is_empty() => Style::Plain,
        Some(inner) if inner == text => Style::Quoted,
        Some(_) => Style::Escaped,
        None => Style::Other,
    }
}

fn bytes(location: &serde_saphyr::Location, source: &str) -> Option<Range<usize>> {
    let start = usize::try_from(location.span().byte_offset()?).ok()?;
    let end = start.checked_add(usize::try_from(location.span().byte_len()?).ok()?)?;
    source.get(start..end).map(|_| start..end)
}

fn written(location: &serde_saphyr::Location, source: &str) -> Option<String> {
    let text = source.get(bytes(location, source)?)?.trim();
    // A tag or an anchor before a scalar makes the span's text something other than the scalar.
    (!text.is_empty() && !text.starts_with(['!', '&', '"', '\''])).then(|| text.to_owned())
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Raw::deserialize(deserializer)? {
            Raw::Text(text) | Raw::Inferred(text) => text,
            Raw::Null => "~".to_owned(),
            Raw::List(_) | Raw::Map(_) => "?".to_owned(),
        }))
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Inferred(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Inferred(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Inferred(value.to_string()))
    }

    // Infinity comes this way too: its text, not its value, is what stands in the node.
    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Inferred(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Raw::Map(pairs))
    }
}

#[cfg(test)]
mod tests;
