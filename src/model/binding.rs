//! What an `AcrCredentialBinding` means.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::identity::{Arn, Base, Identity};
use super::labels::{Labels, Selector};
use super::pattern::Pattern;
use super::registry::{Edition, Registry, RegistryKey};
use super::{domain, duration};
use crate::api::binding::{AcrCredentialBinding, DeletionPolicy, RegistryEntry, ServiceAccounts, WatchNamespaces};
use crate::api::names;

/// Seconds of an assumed role's session where the entry does not say.
pub const DEFAULT_SESSION_SECONDS: u32 = 3600;

/// A binding whose every part is known to be valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// Name of the object.
    pub name: Arc<str>,
    /// When the object was made: the older binding wins a contested domain.
    pub created_at: Timestamp,
    /// The registries, in their order.
    pub registries: Vec<Registry>,
    /// Which namespaces.
    pub namespaces: NamespaceSelection,
    /// Which ServiceAccounts in them.
    pub service_accounts: ServiceAccountSelection,
    /// Renew when less than this is left.
    pub threshold: Duration,
    /// Take over a Secret of our name and type that others made.
    pub adopt: bool,
    /// What the end of the binding does.
    pub deletion_policy: DeletionPolicy,
    /// Nothing is minted, written or withdrawn.
    pub suspend: bool,
    /// Whether it was made from the ConfigMap.
    pub converted: bool,
}

/// Covered = any of names or selector, and none of exclude.
#[derive(Clone, Debug, PartialEq)]
pub struct NamespaceSelection {
    names: Vec<Pattern>,
    selector: Option<Selector>,
    exclude: Vec<Pattern>,
}

impl NamespaceSelection {
    /// Whether a namespace is covered.
    pub fn covers(&self, name: &str, labels: &Labels) -> bool {
        let named = self.names.iter().any(|p| p.matches(name));
        let wanted = named || self.selector.as_ref().is_some_and(|s| s.matches(labels));
        wanted && !self.exclude.iter().any(|p| p.matches(name))
    }
}

/// Covered = any of names or selector.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceAccountSelection {
    names: Vec<Pattern>,
    selector: Option<Selector>,
}

impl ServiceAccountSelection {
    /// Whether a ServiceAccount is covered.
    pub fn covers(&self, name: &str, labels: &Labels) -> bool {
        self.names.iter().any(|p| p.matches(name)) || self.selector.as_ref().is_some_and(|s| s.matches(labels))
    }
}

/// One thing that is wrong with a spec: where, and what with its cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Path of the field, such as `spec.registries[0].regionId`.
    pub path: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl Binding {
    /// Reads an object from the API server. This is the one validator: admission and the loops both call it.
    ///
    /// # Errors
    /// Everything that is wrong with the spec, not only the first.
    pub fn parse(object: &AcrCredentialBinding, cluster_region: &str) -> Result<Self, Vec<Invalid>> {
        let mut findings = Findings::default();
        let spec = &object.spec;
        let annotated = |key: &str| object.annotations().get(key).is_some_and(|v| v == "true");
        let converted = object.labels().get(names::LABEL_CONVERTED).is_some_and(|v| v == "true");
        if spec.registries.is_empty() || spec.registries.len() > 64 {
            findings.add("spec.registries", format!("needs 1 to 64 entries, has {}", spec.registries.len()));
        }
        let registries = spec
            .registries
            .iter()
            .enumerate()
            .filter_map(|(i, entry)| {
                registry(entry, cluster_region, &mut findings.within(format!("spec.registries[{i}]")))
            })
            .collect();
        let threshold = match duration::parse(&spec.expiring_threshold) {
            Ok(threshold) if threshold.is_zero() || threshold > Duration::from_secs(12 * 3600) => {
                findings.add("spec.expiringThreshold", "must be more than 0 and at most 12h, such as 15m".to_owned());
                threshold
            }
            Ok(threshold) => threshold,
            Err(message) => {
                findings.add("spec.expiringThreshold", message);
                Duration::ZERO
            }
        };
        let namespaces = namespace_selection(&spec.watch_namespaces, &mut findings);
        let service_accounts = service_account_selection(&spec.service_accounts, &mut findings);
        if !findings.0.is_empty() {
            return Err(findings.0);
        }
        Ok(Self {
            name: object.name_any().into(),
            created_at: object.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |t| t.0),
            registries,
            namespaces,
            service_accounts,
            threshold,
            adopt: annotated(names::ANNOTATION_ADOPT) || converted,
            deletion_policy: spec.deletion_policy,
            suspend: spec.suspend,
            converted,
        })
    }
}

/// Collects what is wrong.
#[derive(Default)]
struct Findings(Vec<Invalid>);

impl Findings {
    fn add(&mut self, path: impl Into<String>, message: String) {
        self.0.push(Invalid { path: path.into(), message });
    }

    fn within(&mut self, path: String) -> Within<'_> {
        Within { findings: self, path }
    }
}

/// Collects what is wrong within one entry.
struct Within<'a> {
    findings: &'a mut Findings,
    path: String,
}

impl Within<'_> {
    fn add(&mut self, field: &str, message: String) {
        let path = if field.is_empty() { self.path.clone() } else { format!("{}.{field}", self.path) };
        self.findings.add(path, message);
    }

    fn check<T>(&mut self, field: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.add(field, message)).ok()
    }
}

fn registry(entry: &RegistryEntry, cluster_region: &str, findings: &mut Within<'_>) -> Option<Registry> {
    let edition = match entry.instance_id.as_deref() {
        None | Some("") => Some(Edition::Personal),
        Some(id) => findings.check("instanceId", instance_id(id)).map(Edition::Enterprise),
    };
    let region = findings.check("regionId", region(entry.region_id.as_deref().unwrap_or(cluster_region)));
    for (i, key) in entry.domains.iter().enumerate() {
        findings.check(&format!("domains[{i}]"), domain::check(key));
    }
    let identity = identity(entry, findings);
    Some(Registry {
        key: RegistryKey { edition: edition?, region: region?, identity: identity? },
        domains: entry.domains.clone(),
    })
}

fn identity(entry: &RegistryEntry, findings: &mut Within<'_>) -> Option<Identity> {
    let assume = entry.assume_role_arn.as_deref().map(|arn| findings.check("assumeRoleARN", Arn::role(arn)));
    let role = entry.rrsa_role_arn.as_deref().map(|arn| findings.check("rrsaRoleARN", Arn::role(arn)));
    let provider = entry
        .rrsa_oidc_provider_role_arn
        .as_deref()
        .map(|arn| findings.check("rrsaOIDCProviderRoleARN", Arn::oidc_provider(arn)));
    let secret = entry.access_key_secret_ref.as_ref().map(|r| r.name.as_str());
    let session_seconds = match entry.expire_duration {
        None => Some(DEFAULT_SESSION_SECONDS),
        Some(seconds @ 3600..=43200) if assume.is_some() || role.is_some() => seconds.try_into().ok(),
        Some(3600..=43200) => {
            let message = "is the session of an assumed role: give assumeRoleARN or rrsaRoleARN with it";
            findings.add("expireDuration", message.to_owned());
            None
        }
        Some(seconds) => {
            findings.add("expireDuration", format!("{seconds} is out of range: 3600 to 43200 seconds"));
            None
        }
    };
    let base = match (role, provider, secret) {
        (None, None, None) => Some(Base::Own),
        (Some(role), Some(provider), None) => role.zip(provider).map(|(role, provider)| Base::Rrsa { role, provider }),
        (None, None, Some("")) => {
            findings.add("accessKeySecretRef.name", "names no Secret".to_owned());
            None
        }
        (None, None, Some(secret)) => Some(Base::AccessKey { secret: secret.into() }),
        (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
            let message = "rrsaRoleARN and accessKeySecretRef are two ways to one credential: give one of them";
            findings.add("", message.to_owned());
            None
        }
        (Some(_), None, None) | (None, Some(_), None) => {
            let message = "rrsaRoleARN and rrsaOIDCProviderRoleARN go together: give both or neither";
            findings.add("", message.to_owned());
            None
        }
    };
    let assume = match assume {
        Some(None) => return None,
        Some(Some(role)) => Some(role),
        None => None,
    };
    Some(Identity { base: base?, assume, session_seconds: session_seconds? })
}

fn instance_id(id: &str) -> Result<Box<str>, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match id.strip_prefix("cri-") {
        Some(rest) if !rest.is_empty() && !rest.starts_with('-') && rest.chars().all(plain) && id.len() <= 64 => Ok(id.into()),
        _ => Err(format!("{id:?} is no Enterprise instance id: write cri-… as the console shows it, or leave it out for the Personal Edition")),
    }
}

fn region(id: &str) -> Result<Box<str>, String> {
    let mut parts = id.split('-');
    let country = parts.next().unwrap_or_default();
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let country_ok = country.len() == 2 && country.chars().all(|c| c.is_ascii_lowercase());
    if country_ok && id.len() <= 32 && id.len() > 3 && parts.all(plain) {
        Ok(id.into())
    } else {
        Err(format!("{id:?} is no region id such as cn-hangzhou"))
    }
}

fn namespace_selection(spec: &WatchNamespaces, findings: &mut Findings) -> NamespaceSelection {
    let (names, selector) = selection(&spec.names, spec.selector.as_ref(), &mut findings.within("spec.watchNamespaces".to_owned()));
    NamespaceSelection { names, selector, exclude: spec.exclude.iter().map(|p| Pattern::new(p.as_str())).collect() }
}

fn service_account_selection(spec: &ServiceAccounts, findings: &mut Findings) -> ServiceAccountSelection {
    let (names, selector) = selection(&spec.names, spec.selector.as_ref(), &mut findings.within("spec.serviceAccounts".to_owned()));
    ServiceAccountSelection { names, selector }
}

fn selection(
    names: &[String],
    selector: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector>,
    findings: &mut Within<'_>,
) -> (Vec<Pattern>, Option<Selector>) {
    let selector = selector.and_then(|s| findings.check("selector", Selector::parse(s)));
    // As the ConfigMap's absent keys do, nothing said means `default`.
    let names = match (names, &selector) {
        ([], None) => vec![Pattern::new("default")],
        (names, _) => names.iter().map(|p| Pattern::new(p.as_str())).collect(),
    };
    (names, selector)
}

#[cfg(test)]
#[path = "binding_tests.rs"]
mod tests;
