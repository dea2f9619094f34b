//! The content of our Secret.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::resolved_binding::{RegistryCredential, ResolvedBinding};
use crate::api::names;

/// Kubernetes refuses a Secret whose data is larger, in bytes before base64.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Kubernetes refuses an object whose annotations are larger, in bytes with their keys.
const MAX_ANNOTATION_BYTES: usize = 256 * 1024;

/// Bytes of the longest name of a namespace.
const LONGEST_NAMESPACE: usize = 63;

/// The digest of one value of a Secret's data, computed over its base64 text while it is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ValueDigest([u8; 32]);

impl ValueDigest {
    /// Returns the digest of a value as it is written in the JSON.
    pub fn of(base64_text: &str) -> Self {
        Self(Sha256::digest(base64_text.as_bytes()).into())
    }
}

impl fmt::Debug for ValueDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[digest]")
    }
}

/// The digest of everything about a Secret that we write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}{:02x}{:02x}", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}

/// The domains that a Secret of ours has credentials for, as its annotation lists them: a few bytes a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    domains: Box<[u64]>,
    /// When the first of the credentials expires.
    expires: Timestamp,
}

impl Listing {
    /// Returns the domains that the annotation lists; none where it cannot be read.
    pub fn of(registries: &str) -> Self {
        #[derive(Deserialize)]
        struct AnnotatedRegistry {
            domains: Vec<String>,
            expires: Timestamp,
        }
        let listed: Vec<AnnotatedRegistry> = serde_json::from_str(registries).unwrap_or_default();
        let domains = listed.iter().flat_map(|registry| &registry.domains);
        Self::new(domains.map(String::as_str), listed.iter().map(|registry| registry.expires))
    }

    fn new<'a>(domains: impl Iterator<Item = &'a str>, expiries: impl Iterator<Item = Timestamp>) -> Self {
        let mut domains: Box<[u64]> = domains.map(Self::hash).collect();
        domains.sort_unstable();
        Self { domains, expires: expiries.min().unwrap_or_default() }
    }

    fn hash(domain: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        domain.hash(&mut hasher);
        hasher.finish()
    }

    /// Returns whether it lists a domain.
    pub fn lists(&self, domain: &str) -> bool {
        self.domains.binary_search(&Self::hash(domain)).is_ok()
    }

    /// Returns whether pulls would lose a domain by the other list, and nothing by waiting, since all credentials are still
    /// valid.
    pub fn would_lose_by(&self, other: &Self, now: Timestamp) -> bool {
        self.expires > now && self.domains.iter().any(|domain| other.domains.binary_search(domain).is_err())
    }
}

/// The parts that all our Secrets have in common.
#[derive(Clone, Debug)]
pub struct Template {
    /// Its name, the same in every namespace.
    pub name: Box<str>,
    /// Labels that a flag adds to our own.
    pub labels: BTreeMap<String, String>,
    /// Annotations that a flag adds to our own.
    pub annotations: BTreeMap<String, String>,
}

impl Template {
    /// Returns every label of our Secret.
    pub fn all_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        labels.insert(names::LABEL_MANAGED_BY.to_owned(), names::MANAGER.to_owned());
        labels
    }

    /// Returns the keys of every label that we write.
    pub fn label_keys(&self) -> impl Iterator<Item = &str> {
        self.labels.keys().map(String::as_str).chain(names::OWN_LABELS)
    }

    /// Returns the keys of every annotation that we write.
    pub fn annotation_keys(&self) -> impl Iterator<Item = &str> {
        self.annotations.keys().map(String::as_str).chain(names::OWN_ANNOTATIONS)
    }

    /// Returns whether a label of a Secret is part of what is read.
    pub fn reads_label(&self, key: &str) -> bool {
        self.label_keys().any(|ours| ours == key)
    }

    /// Returns whether an annotation of a Secret is part of what is read.
    pub fn reads_annotation(&self, key: &str) -> bool {
        self.annotation_keys().any(|ours| ours == key)
    }

    /// Returns the fingerprint of a Secret as read. Labels, annotations and data keys that are not ours do not count,
    /// except that data may hold nothing besides our key.
    pub fn fingerprint(
        &self,
        data: &BTreeMap<String, ValueDigest>,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) -> Fingerprint {
        let mut hash = Sha256::new();
        let mut field = |kind: &str, key: &str, value: Option<&[u8]>| {
            for part in [kind.as_bytes(), key.as_bytes(), value.unwrap_or(b"\0absent")] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        };
        for key in self.label_keys() {
            field("label", key, labels.get(key).map(String::as_bytes));
        }
        // The mark of its namespace comes with the next refresh, not by a write of its own.
        for key in self.annotation_keys().filter(|key| *key != names::ANNOTATION_NAMESPACE) {
            field("annotation", key, annotations.get(key).map(String::as_bytes));
        }
        for (key, digest) in data {
            field("data", key, Some(&digest.0));
        }
        Fingerprint(hash.finalize().into())
    }
}

/// The content of the Secret of one set of bindings. All namespaces that this set covers share it.
#[derive(Debug)]
pub struct SecretContent {
    /// The base64 text of `.dockerconfigjson`.
    pub data: SecretString,
    /// Value of the annotation that lists each registry's domains and expiry.
    pub registries: String,
    /// The fingerprint of a Secret with this content.
    pub fingerprint: Fingerprint,
    /// The domains that it lists.
    pub listing: Listing,
    /// Domains that a registry claims and does not get.
    pub domain_conflicts: Arc<[DomainConflict]>,
    /// Whether it holds no credential at all.
    pub is_empty: bool,
    /// Bytes of the data.
    pub size: usize,
    /// Why Kubernetes would refuse it, if it is too large.
    pub too_large: Option<TooLarge>,
}

/// Bindings that do not fit: together with the others they are too large for one Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// How large it would be, and how many of its domains fit.
    pub why: String,
    /// Bindings that are left out, since the others come first. `None`: not even the first fits, and nothing can be
    /// written.
    pub left_out: Option<Box<[Arc<str>]>>,
}

impl TooLarge {
    /// Returns whether a binding is left out, and others are written.
    pub fn leaves_out(&self, binding: &str) -> bool {
        self.left_out.iter().flatten().any(|left_out| **left_out == *binding)
    }
}

/// A registry that does not get a domain which it claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainConflict {
    /// The binding that loses.
    pub binding: Arc<str>,
    /// Index of its registry.
    pub registry: usize,
    /// The owners of its domains, as a sentence.
    pub message: String,
}

/// One registry in the annotation: no secret.
#[derive(Serialize)]
struct ListedRegistry<'a> {
    registry: String,
    domains: Vec<&'a str>,
    expires: String,
}

/// Renders the content for a set of bindings in the order of their precedence. If they are too large together, the last
/// ones are left out, each as a whole.
pub fn render(template: &Template, bindings: &[&ResolvedBinding]) -> SecretContent {
    let all = render_all(template, bindings);
    let Some(too_large) = all.too_large.as_ref().filter(|_| bindings.len() > 1) else { return all };
    let (mut fitting, mut left_out): (Vec<&ResolvedBinding>, Vec<Arc<str>>) = Default::default();
    for resolved in bindings {
        fitting.push(resolved);
        if render_all(template, &fitting).too_large.is_some() {
            fitting.pop();
            left_out.push(resolved.binding.name.clone());
        }
    }
    let content = render_all(template, &fitting);
    if content.is_empty {
        return all;
    }
    let too_large = TooLarge { why: too_large.why.clone(), left_out: Some(left_out.into()) };
    SecretContent { too_large: Some(too_large), ..content }
}

fn render_all(template: &Template, bindings: &[&ResolvedBinding]) -> SecretContent {
    let mut owners: BTreeMap<&str, (&ResolvedBinding, usize)> = BTreeMap::new();
    let mut in_order: Vec<&str> = Vec::new();
    let mut domain_conflicts = Vec::new();
    for resolved in bindings {
        for (index, credential) in resolved.registries.iter().enumerate() {
            let RegistryCredential::Held { domains, .. } = credential else { continue };
            let mut lost = Vec::new();
            for domain in domains.iter() {
                let (owner, at) = *owners.entry(domain.as_str()).or_insert_with(|| {
                    in_order.push(domain);
                    (*resolved, index)
                });
                // The same token under two bindings is not a conflict.
                if owner.binding.registries[at].key != resolved.binding.registries[index].key {
                    lost.push(format!(
                        "{domain} is claimed first by binding {}, registry {at}",
                        owner.binding.name
                    ));
                }
            }
            if !lost.is_empty() {
                domain_conflicts.push(DomainConflict {
                    binding: resolved.binding.name.clone(),
                    registry: index,
                    message: lost.join("; "),
                });
            }
        }
    }
    let mut auths = BTreeMap::new();
    let mut listed: BTreeMap<String, ListedRegistry<'_>> = BTreeMap::new();
    let mut expiries = Vec::new();
    for (domain, (resolved, index)) in &owners {
        let RegistryCredential::Held { credential, .. } = &resolved.registries[*index] else { continue };
        let token = credential.token.expose_secret();
        let auth = STANDARD.encode(format!("{}:{token}", credential.username));
        auths.insert(*domain, RegistryAuth { username: &credential.username, password: token, auth });
        let key = &resolved.binding.registries[*index].key;
        expiries.push(credential.expires_at);
        listed
            .entry(key.id())
            .or_insert_with(|| ListedRegistry {
                registry: key.to_string(),
                domains: Vec::new(),
                expires: credential.expires_at.to_string(),
            })
            .domains
            .push(domain);
    }
    let is_empty = auths.is_empty();
    let listing = Listing::new(auths.keys().copied(), expiries.into_iter());
    let config = DockerConfig { auths };
    // Strings and maps of strings always serialize.
    let json = serde_json::to_vec(&config).unwrap_or_default();
    let registries = serde_json::to_string(&listed.into_values().collect::<Vec<_>>()).unwrap_or_default();
    let data = STANDARD.encode(&json);
    let values = BTreeMap::from([(names::SECRET_KEY.to_owned(), ValueDigest::of(&data))]);
    let mut annotations = template.annotations.clone();
    annotations.insert(names::ANNOTATION_REGISTRIES.to_owned(), registries.clone());
    let fingerprint = template.fingerprint(&values, &template.all_labels(), &annotations);
    let annotations: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    let mark = names::ANNOTATION_NAMESPACE.len() + LONGEST_NAMESPACE;
    let total = ContentSize { data: json.len(), annotations: annotations + mark };
    SecretContent {
        fingerprint,
        data: data.into(),
        listing,
        registries,
        domain_conflicts: domain_conflicts.into(),
        is_empty,
        size: json.len(),
        too_large: too_large(total, || parts(&config, &in_order)),
    }
}

/// Returns the bytes of each domain in the data and in the annotation, those with precedence first.
fn parts(config: &DockerConfig<'_>, in_order: &[&str]) -> Vec<ContentSize> {
    let held = in_order.iter().filter_map(|domain| Some((domain, config.auths.get(domain)?)));
    let part = |(domain, auth): (&&str, &RegistryAuth<'_>)| {
        // "domain":{…}, and "domain",
        let entry = serde_json::to_vec(auth).map_or(0, |json| json.len());
        ContentSize { data: domain.len() + entry + 4, annotations: domain.len() + 3 }
    };
    held.map(part).collect()
}

/// Returns why data and annotations of these sizes are refused, if they are. Only then are their parts computed.
fn too_large(total: ContentSize, parts: impl FnOnce() -> Vec<ContentSize>) -> Option<TooLarge> {
    let (what, taken, most) = match (total.data > MAX_BYTES, total.annotations > MAX_ANNOTATION_BYTES) {
        (true, _) => ("the Secret would hold", total.data, MAX_BYTES),
        (false, true) => ("the Secret's annotations would take", total.annotations, MAX_ANNOTATION_BYTES),
        (false, false) => return None,
    };
    let parts = parts();
    let sum = |part: fn(&ContentSize) -> usize| parts.iter().map(part).sum::<usize>();
    let frame = ContentSize {
        data: total.data.saturating_sub(sum(|part| part.data)),
        annotations: total.annotations.saturating_sub(sum(|part| part.annotations)),
    };
    let grown = parts.iter().scan(frame, |size, part| {
        size.data += part.data;
        size.annotations += part.annotations;
        Some(*size)
    });
    let fit =
        grown.take_while(|size| size.data <= MAX_BYTES && size.annotations <= MAX_ANNOTATION_BYTES).count();
    let why = format!(
        "{what} {taken} bytes of at most {most}: {fit} of its {} domains fit, those of older bindings first; have the \
         bindings of this namespace name fewer registries or domains",
        parts.len()
    );
    Some(TooLarge { why, left_out: None })
}

/// Bytes of data and of annotations.
#[derive(Clone, Copy)]
struct ContentSize {
    data: usize,
    annotations: usize,
}

/// The file `config.json` of Docker, as far as the kubelet reads it.
#[derive(Serialize)]
struct DockerConfig<'a> {
    auths: BTreeMap<&'a str, RegistryAuth<'a>>,
}

#[derive(Serialize)]
struct RegistryAuth<'a> {
    username: &'a str,
    password: &'a str,
    auth: String,
}

#[cfg(test)]
mod tests;
