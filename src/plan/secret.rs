//! What our Secret holds.

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

/// The digest of one value of a Secret's data, taken over its base64 text while it is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ValueDigest([u8; 32]);

impl ValueDigest {
    /// The digest of a value as it stands in the JSON.
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

/// What a Secret of ours has credentials for, as its annotation lists it: a few bytes a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    domains: Box<[u64]>,
    /// When the first of the credentials expires.
    expires: Timestamp,
}

impl Listing {
    /// What the annotation's value lists; nothing where it cannot be read.
    pub fn of(registries: &str) -> Self {
        #[derive(Deserialize)]
        struct Registry {
            domains: Vec<String>,
            expires: Timestamp,
        }
        let listed: Vec<Registry> = serde_json::from_str(registries).unwrap_or_default();
        let domains = listed.iter().flat_map(|registry| &registry.domains);
        Self::new(domains.map(String::as_str), listed.iter().map(|registry| registry.expires))
    }

    fn new<'a>(domains: impl Iterator<Item = &'a str>, expiries: impl Iterator<Item = Timestamp>) -> Self {
        let hash = |domain: &str| {
            let mut hasher = DefaultHasher::new();
            domain.hash(&mut hasher);
            hasher.finish()
        };
        let mut domains: Box<[u64]> = domains.map(hash).collect();
        domains.sort_unstable();
        Self { domains, expires: expiries.min().unwrap_or_default() }
    }

    /// Whether pulls would lose something by what the other lists, and nothing by waiting: all credentials are alive,
    /// and the other lacks a domain of them.
    pub fn would_lose_by(&self, other: &Self, now: Timestamp) -> bool {
        self.expires > now && self.domains.iter().any(|domain| other.domains.binary_search(domain).is_err())
    }
}

/// What every Secret of ours has in common.
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
    /// Every label of our Secret.
    pub fn all_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        labels.insert(names::LABEL_MANAGED_BY.to_owned(), names::MANAGER.to_owned());
        labels
    }

    /// The fingerprint of a Secret as read. Labels, annotations and data keys that are not ours do not count,
    /// except that data may hold nothing beside our key.
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
        for key in self.labels.keys().map(String::as_str).chain([names::LABEL_MANAGED_BY]) {
            field("label", key, labels.get(key).map(String::as_bytes));
        }
        let ours = [names::ANNOTATION_REGISTRIES, names::ANNOTATION_RETAINED];
        for key in self.annotations.keys().map(String::as_str).chain(ours) {
            field("annotation", key, annotations.get(key).map(String::as_bytes));
        }
        for (key, digest) in data {
            field("data", key, Some(&digest.0));
        }
        Fingerprint(hash.finalize().into())
    }
}

/// What the Secret of one set of bindings holds. Shared by all namespaces that this set covers.
#[derive(Debug)]
pub struct SecretContent {
    /// The base64 text of `.dockerconfigjson`.
    pub data: SecretString,
    /// Value of the annotation that lists each registry's domains and expiry.
    pub registries: String,
    /// What a Secret with this content has for a fingerprint.
    pub fingerprint: Fingerprint,
    /// What it lists.
    pub listing: Listing,
    /// Domains that a registry claims and does not get.
    pub domain_conflicts: Arc<[DomainConflict]>,
    /// Whether it holds no credential at all.
    pub is_empty: bool,
    /// Bytes of the data.
    pub size: usize,
    /// What Kubernetes would refuse, if it is too much.
    pub too_large: Option<TooLarge>,
}

/// Bindings of which nothing can be written: together with the others they are too much for one Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// How large it would be, and how many of its domains fit.
    pub why: String,
    /// Those that are left out, since the others come first. `None`: not even the first fits, and nothing can be written.
    pub left_out: Option<Box<[Arc<str>]>>,
}

impl TooLarge {
    /// Whether a binding is left out, and others are written.
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
    /// Who has which domain, as a sentence.
    pub message: String,
}

/// One registry in the annotation: no secret.
#[derive(Serialize)]
struct Listed<'a> {
    registry: String,
    domains: Vec<&'a str>,
    expires: String,
}

/// Renders the content for a set of bindings, which come in the order of their precedence. Where all are too much, those
/// that come last are left out, each as a whole.
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
                // The same token under two bindings is no contest.
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
    let mut listed: BTreeMap<String, Listed<'_>> = BTreeMap::new();
    let mut expiries = Vec::new();
    for (domain, (resolved, index)) in &owners {
        let RegistryCredential::Held { credential, .. } = &resolved.registries[*index] else { continue };
        let token = credential.token.expose_secret();
        let auth = STANDARD.encode(format!("{}:{token}", credential.username));
        auths.insert(*domain, Auth { username: &credential.username, password: token, auth });
        let key = &resolved.binding.registries[*index].key;
        expiries.push(credential.expires_at);
        listed
            .entry(key.id())
            .or_insert_with(|| Listed {
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
    let sizes = (json.len(), annotations.iter().map(|(key, value)| key.len() + value.len()).sum());
    SecretContent {
        fingerprint: template.fingerprint(&values, &template.all_labels(), &annotations),
        data: data.into(),
        listing,
        registries,
        domain_conflicts: domain_conflicts.into(),
        is_empty,
        size: json.len(),
        too_large: too_large(sizes, || parts(&config, &in_order)),
    }
}

/// Bytes of each domain's part of the data and of the annotation, those with precedence first.
fn parts(config: &DockerConfig<'_>, in_order: &[&str]) -> Vec<(usize, usize)> {
    let held = in_order.iter().filter_map(|domain| Some((domain, config.auths.get(domain)?)));
    let part = |(domain, auth): (&&str, &Auth<'_>)| {
        // "domain":{…}, and "domain",
        let entry = serde_json::to_vec(auth).map_or(0, |json| json.len());
        (domain.len() + entry + 4, domain.len() + 3)
    };
    held.map(part).collect()
}

/// Why data and annotations of these sizes are refused, if they are. Their parts are asked for only then.
fn too_large(
    (size, annotation_size): (usize, usize),
    parts: impl FnOnce() -> Vec<(usize, usize)>,
) -> Option<TooLarge> {
    let (what, taken, most) = match (size > MAX_BYTES, annotation_size > MAX_ANNOTATION_BYTES) {
        (true, _) => ("the Secret would hold", size, MAX_BYTES),
        (false, true) => ("the Secret's annotations would take", annotation_size, MAX_ANNOTATION_BYTES),
        (false, false) => return None,
    };
    let parts = parts();
    let sum = |part: fn(&(usize, usize)) -> usize| parts.iter().map(part).sum::<usize>();
    let rest = (size.saturating_sub(sum(|p| p.0)), annotation_size.saturating_sub(sum(|p| p.1)));
    let grown = parts.iter().scan(rest, |(data, annotation), part| {
        *data += part.0;
        *annotation += part.1;
        Some((*data, *annotation))
    });
    let fit = grown
        .take_while(|(data, annotation)| *data <= MAX_BYTES && *annotation <= MAX_ANNOTATION_BYTES)
        .count();
    let why = format!(
        "{what} {taken} bytes of at most {most}: {fit} of its {} domains fit, those of older bindings first; have the \
         bindings of this namespace name fewer registries or domains",
        parts.len()
    );
    Some(TooLarge { why, left_out: None })
}

/// The file `config.json` of Docker, as far as the kubelet reads it.
#[derive(Serialize)]
struct DockerConfig<'a> {
    auths: BTreeMap<&'a str, Auth<'a>>,
}

#[derive(Serialize)]
struct Auth<'a> {
    username: &'a str,
    password: &'a str,
    auth: String,
}

#[cfg(test)]
mod tests;
