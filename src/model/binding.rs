//! What an `AcrCredentialBinding` means.

mod shape;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::domain;
use super::identity::{CredentialSource, Identity};
use super::labels::{Labels, Selector};
use super::pattern::Pattern;
use super::registry::{Edition, Registry, RegistryKey};
use crate::api::binding::{
    AcrCredentialBinding, AcrCredentialBindingSpec, DeletionPolicy, FailurePolicy, RegistryEntry,
    ServiceAccounts, WatchNamespaces,
};
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
    /// How ServiceAccounts are served while they are created, where that is asked for.
    pub admission: Option<Admission>,
    /// Take over a Secret of our name and type that others made.
    pub adopt: bool,
    /// What the end of the binding does.
    pub deletion_policy: DeletionPolicy,
    /// Nothing is minted, written or withdrawn.
    pub suspend: bool,
    /// Whether it was made from the ConfigMap.
    pub converted: bool,
}

/// What the API server does at the creation of a ServiceAccount when nobody answers in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Whether it creates the ServiceAccount all the same.
    pub failure_policy: FailurePolicy,
    /// How long it waits, 1 to 30 s.
    pub timeout: Duration,
}

/// Covered = any of names or selector, and none of exclude.
#[derive(Clone, Debug, PartialEq)]
pub struct NamespaceSelection {
    names: Vec<Pattern>,
    selector: Option<Selector>,
    exclude: Vec<Pattern>,
}

impl NamespaceSelection {
    /// Names and globs of which any one covers.
    pub fn names(&self) -> &[Pattern] {
        &self.names
    }

    /// Labels that cover too.
    pub fn selector(&self) -> Option<&Selector> {
        self.selector.as_ref()
    }

    /// Names and globs that are never covered.
    pub fn exclude(&self) -> &[Pattern] {
        &self.exclude
    }

    /// Whether a namespace is covered by its name alone, whatever its labels are.
    pub fn covers_name(&self, name: &str) -> bool {
        self.names.iter().any(|p| p.matches(name)) && !self.exclude.iter().any(|p| p.matches(name))
    }

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
    /// Names and globs of which any one covers.
    pub fn names(&self) -> &[Pattern] {
        &self.names
    }

    /// Labels that cover too.
    pub fn selector(&self) -> Option<&Selector> {
        self.selector.as_ref()
    }

    /// Whether a ServiceAccount is covered.
    pub fn covers(&self, name: &str, labels: &Labels) -> bool {
        self.names.iter().any(|p| p.matches(name))
            || self.selector.as_ref().is_some_and(|s| s.matches(labels))
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
    /// # Guarantees
    /// It refuses what the schema in [`crate::api::binding`] refuses, and nothing else: `tests/schema` compares
    /// the two on a real API server.
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
        let threshold = findings.check("spec.expiringThreshold", shape::threshold(&spec.expiring_threshold));
        carried(spec, &mut findings);
        let namespaces = namespace_selection(&spec.watch_namespaces, &mut findings);
        let service_accounts = service_account_selection(&spec.service_accounts, &mut findings);
        let Some(threshold) = threshold.filter(|_| findings.0.is_empty()) else {
            return Err(findings.0);
        };
        Ok(Self {
            name: object.name_any().into(),
            created_at: object.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |t| t.0),
            registries,
            namespaces,
            service_accounts,
            threshold,
            admission: spec.webhook.enable.then(|| Admission {
                failure_policy: spec.webhook.failure_policy,
                timeout: Duration::from_secs(u64::try_from(spec.webhook.timeout_seconds).unwrap_or(1)),
            }),
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

    fn check<T>(&mut self, path: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.add(path, message)).ok()
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

/// What has no part in the plan, but shall not be wrong either.
fn carried(spec: &AcrCredentialBindingSpec, findings: &mut Findings) {
    let seconds = spec.webhook.timeout_seconds;
    if !(1..=30).contains(&seconds) {
        findings.add("spec.webhook.timeoutSeconds", format!("{seconds} is out of range: 1 to 30 seconds"));
    }
    let characters = spec.notify_email.as_ref().map_or(0, |email| email.chars().count());
    if characters > 320 {
        findings.add("spec.notifyEmail", format!("has {characters} characters, at most 320"));
    }
}

fn registry(entry: &RegistryEntry, cluster_region: &str, findings: &mut Within<'_>) -> Option<Registry> {
    let edition = match entry.instance_id.as_deref() {
        None | Some("") => Some(Edition::Personal),
        Some(id) => findings.check("instanceId", shape::instance_id(id)).map(Edition::Enterprise),
    };
    let region =
        findings.check("regionId", shape::region(entry.region_id.as_deref().unwrap_or(cluster_region)));
    findings.check("domains", shape::at_most(32, &entry.domains));
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
    let assume =
        entry.assume_role_arn.as_deref().map(|arn| findings.check("assumeRoleARN", shape::role(arn)));
    let role = entry.rrsa_role_arn.as_deref().map(|arn| findings.check("rrsaRoleARN", shape::role(arn)));
    let provider = entry
        .rrsa_oidc_provider_role_arn
        .as_deref()
        .map(|arn| findings.check("rrsaOIDCProviderRoleARN", shape::oidc_provider(arn)));
    let secret = entry
        .access_key_secret_ref
        .as_ref()
        .map(|r| findings.check("accessKeySecretRef.name", shape::secret_name(&r.name)));
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
        (None, None, None) => Some(CredentialSource::ControllerIdentity),
        (Some(role), Some(provider), None) => {
            role.zip(provider).map(|(role, provider)| CredentialSource::Rrsa { role, provider })
        }
        (None, None, Some(secret)) => secret.map(|secret| CredentialSource::AccessKey { secret }),
        (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
            let message =
                "rrsaRoleARN and accessKeySecretRef are two ways to one credential: give one of them";
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
    Some(Identity { source: base?, assume, session_seconds: session_seconds? })
}

fn namespace_selection(spec: &WatchNamespaces, findings: &mut Findings) -> NamespaceSelection {
    let mut findings = findings.within("spec.watchNamespaces".to_owned());
    let (names, selector) = selection(
        patterns(("names", &spec.names), shape::namespace, &mut findings),
        spec.selector.as_ref(),
        &mut findings,
    );
    let exclude = patterns(("exclude", &spec.exclude), shape::namespace, &mut findings);
    NamespaceSelection { names, selector, exclude }
}

fn service_account_selection(spec: &ServiceAccounts, findings: &mut Findings) -> ServiceAccountSelection {
    let mut findings = findings.within("spec.serviceAccounts".to_owned());
    let names = patterns(("names", &spec.names), shape::service_account, &mut findings);
    let (names, selector) = selection(names, spec.selector.as_ref(), &mut findings);
    ServiceAccountSelection { names, selector }
}

fn patterns(
    (field, names): (&str, &[String]),
    shape: fn(&str) -> Result<Pattern, String>,
    findings: &mut Within<'_>,
) -> Vec<Pattern> {
    findings.check(field, shape::at_most(256, names));
    let pattern = |(i, name): (usize, &String)| findings.check(&format!("{field}[{i}]"), shape(name));
    names.iter().enumerate().filter_map(pattern).collect()
}

fn selection(
    names: Vec<Pattern>,
    selector: Option<&LabelSelector>,
    findings: &mut Within<'_>,
) -> (Vec<Pattern>, Option<Selector>) {
    let selector = selector.and_then(|s| findings.check("selector", shape::selector(s)));
    // As the ConfigMap's absent keys do, nothing said means `default`.
    let names = if names.is_empty() && selector.is_none() { vec![Pattern::new("default")] } else { names };
    (names, selector)
}

#[cfg(test)]
mod tests;
