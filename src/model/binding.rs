//! The meaning of an `AcrCredentialBinding`.

mod shape;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::coverage::{BindingCoverage, ObjectSelection};
use super::identity::{CredentialSource, Identity};
use super::labels::Selector;
use super::pattern::Pattern;
use super::registry::{Edition, Registry, RegistryKey};
use super::{domain, edition, instance_id, region};
use crate::api::binding::{
    AcrCredentialBinding, AcrCredentialBindingSpec, DeletionPolicy, FailurePolicy, RegistryEntry,
    ServiceAccounts, WatchNamespaces,
};
use crate::api::names;

/// Default of `expireDuration`, in seconds.
pub const DEFAULT_SESSION_SECONDS: u32 = 3600;

/// A valid binding.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// Name of the object.
    pub name: Arc<str>,
    /// Creation time of the object: the older binding wins a contested domain.
    pub created_at: Timestamp,
    /// The registries, in the order of the spec.
    pub registries: Vec<Registry>,
    /// The selected namespaces.
    pub namespaces: ObjectSelection,
    /// The selected ServiceAccounts in these namespaces.
    pub service_accounts: ObjectSelection,
    /// A credential is refreshed when less than this is left.
    pub threshold: Duration,
    /// Settings for ServiceAccounts during admission; `None` where the spec does not enable it.
    pub admission: Option<AdmissionSettings>,
    /// Whether a Secret of our name and type is taken over from another owner.
    pub adopt: bool,
    /// What happens to Secrets and entries when the binding is deleted.
    pub deletion_policy: DeletionPolicy,
    /// Whether nothing is minted, written or withdrawn.
    pub suspend: bool,
    /// Whether it was made from the ConfigMap.
    pub converted: bool,
}

/// The webhook settings of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionSettings {
    /// What the API server does with a ServiceAccount when the webhook does not answer in time.
    pub failure_policy: FailurePolicy,
    /// How long the API server waits, 1 to 30 s.
    pub timeout: Duration,
}

/// An invalid field of a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidField {
    /// Path of the field, such as `spec.registries[0].regionId`.
    pub path: String,
    /// The fault, and what to write instead.
    pub message: String,
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl Binding {
    /// Validates a new object. This is the one validator: it refuses what the schema in [`crate::api::binding`]
    /// refuses, and nothing else. `tests/schema` compares the two on a real API server.
    ///
    /// # Errors
    /// All invalid fields of the spec, not only the first.
    pub fn parse(object: &AcrCredentialBinding, cluster_region: &str) -> Result<Self, Vec<InvalidField>> {
        Self::read(object, cluster_region, Strictness::New)
    }

    /// Validates an object that the API server has stored. An older schema may have accepted a value that cannot work:
    /// it costs its own registry, which reports it, and not the others of the binding.
    ///
    /// # Errors
    /// All invalid fields of the spec, not only the first.
    pub fn parse_stored(
        object: &AcrCredentialBinding,
        cluster_region: &str,
    ) -> Result<Self, Vec<InvalidField>> {
        Self::read(object, cluster_region, Strictness::Stored)
    }

    fn read(
        object: &AcrCredentialBinding,
        cluster_region: &str,
        strictness: Strictness,
    ) -> Result<Self, Vec<InvalidField>> {
        let mut invalid = InvalidFields::default();
        let spec = &object.spec;
        let annotated = |key: &str| object.annotations().get(key).is_some_and(|v| v == "true");
        let converted = object.labels().get(names::LABEL_CONVERTED).is_some_and(|v| v == "true");
        if spec.registries.is_empty() || spec.registries.len() > 64 {
            invalid.add("spec.registries", format!("has {} entries: write 1 to 64", spec.registries.len()));
        }
        let registries = spec
            .registries
            .iter()
            .enumerate()
            .filter_map(|(i, entry)| {
                let mut invalid = invalid.below(format!("spec.registries[{i}]"));
                registry(entry, cluster_region, strictness, &mut invalid)
            })
            .collect();
        let threshold = invalid.check("spec.expiringThreshold", shape::threshold(&spec.expiring_threshold));
        carried(spec, &mut invalid);
        let namespaces = namespace_selection(&spec.watch_namespaces, &mut invalid);
        let service_accounts = service_account_selection(&spec.service_accounts, &mut invalid);
        let Some(threshold) = threshold.filter(|_| invalid.0.is_empty()) else {
            return Err(invalid.0);
        };
        Ok(Self {
            name: object.name_any().into(),
            created_at: object.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |t| t.0),
            registries,
            namespaces,
            service_accounts,
            threshold,
            admission: spec.webhook.enable.then(|| AdmissionSettings {
                failure_policy: spec.webhook.failure_policy,
                timeout: Duration::from_secs(u64::try_from(spec.webhook.timeout_seconds).unwrap_or(1)),
            }),
            adopt: annotated(names::ANNOTATION_ADOPT) || converted,
            deletion_policy: spec.deletion_policy,
            suspend: spec.suspend,
            converted,
        })
    }

    /// Returns the namespaces and ServiceAccounts that the binding covers.
    pub fn coverage(&self) -> BindingCoverage<'_> {
        BindingCoverage { namespaces: &self.namespaces, service_accounts: &self.service_accounts }
    }
}

/// How a value is judged that has the right form and cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strictness {
    /// It is refused.
    New,
    /// Its registry is not served.
    Stored,
}

/// Collects the invalid fields.
#[derive(Default)]
struct InvalidFields(Vec<InvalidField>);

impl InvalidFields {
    fn add(&mut self, path: impl Into<String>, message: String) {
        self.0.push(InvalidField { path: path.into(), message });
    }

    fn check<T>(&mut self, path: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.add(path, message)).ok()
    }

    fn below(&mut self, path: String) -> FieldsBelow<'_> {
        FieldsBelow { invalid: self, path }
    }
}

/// Collects the invalid fields below one path.
struct FieldsBelow<'a> {
    invalid: &'a mut InvalidFields,
    path: String,
}

impl FieldsBelow<'_> {
    fn add(&mut self, field: &str, message: String) {
        let path = if field.is_empty() { self.path.clone() } else { format!("{}.{field}", self.path) };
        self.invalid.add(path, message);
    }

    fn check<T>(&mut self, field: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.add(field, message)).ok()
    }
}

/// Checks the fields that no plan uses.
fn carried(spec: &AcrCredentialBindingSpec, invalid: &mut InvalidFields) {
    let seconds = spec.webhook.timeout_seconds;
    if !(1..=30).contains(&seconds) {
        invalid
            .add("spec.webhook.timeoutSeconds", format!("{seconds} is out of range: write 1 to 30 seconds"));
    }
    let characters = spec.notify_email.as_ref().map_or(0, |email| email.chars().count());
    if characters > 320 {
        invalid.add("spec.notifyEmail", format!("has {characters} characters, at most 320: write fewer"));
    }
}

fn registry(
    entry: &RegistryEntry,
    cluster_region: &str,
    strictness: Strictness,
    invalid: &mut FieldsBelow<'_>,
) -> Option<Registry> {
    let mut unsupported = None;
    let mut refuse = |field: &str, message: String, invalid: &mut FieldsBelow<'_>| match strictness {
        Strictness::New => invalid.add(field, message),
        Strictness::Stored => drop(unsupported.get_or_insert(message)),
    };
    let mut served = true;
    let edition = match entry.instance_id.as_deref() {
        None | Some("") => Some(Edition::Personal),
        Some(id) if edition::is_unsupported_id(id) => {
            served = false;
            refuse("instanceId", edition::unsupported(id), invalid);
            Some(Edition::Enterprise(id.into()))
        }
        Some(id) => {
            invalid.check("instanceId", instance_id::check(id)).map(|id| Edition::Enterprise(id.into()))
        }
    };
    let region = entry.region_id.as_deref().unwrap_or(cluster_region);
    let region = match strictness {
        Strictness::New => region::check(region),
        Strictness::Stored => region::check_form(region),
    };
    let region = invalid.check("regionId", region);
    invalid.check("domains", shape::at_most(32, &entry.domains));
    let mut domains = Vec::new();
    for (i, key) in entry.domains.iter().enumerate() {
        let field = format!("domains[{i}]");
        if edition::is_unsupported_address(key) {
            refuse(&field, edition::unsupported(key), invalid);
        } else if invalid.check(&field, domain::check(key)).is_some() && served {
            domains.push(key.clone());
        }
    }
    let identity = identity(entry, invalid);
    let key = RegistryKey { edition: edition?, region: region?.into(), identity: identity? };
    Some(Registry { key, domains, unsupported })
}

fn identity(entry: &RegistryEntry, invalid: &mut FieldsBelow<'_>) -> Option<Identity> {
    let assume = entry.assume_role_arn.as_deref().map(|arn| invalid.check("assumeRoleARN", shape::role(arn)));
    let role = entry.rrsa_role_arn.as_deref().map(|arn| invalid.check("rrsaRoleARN", shape::role(arn)));
    let provider = entry
        .rrsa_oidc_provider_role_arn
        .as_deref()
        .map(|arn| invalid.check("rrsaOIDCProviderRoleARN", shape::oidc_provider(arn)));
    let secret = entry
        .access_key_secret_ref
        .as_ref()
        .map(|r| invalid.check("accessKeySecretRef.name", shape::secret_name(&r.name)));
    let session_seconds = match entry.expire_duration {
        None => Some(DEFAULT_SESSION_SECONDS),
        Some(seconds @ 3600..=43200) if assume.is_some() || role.is_some() => seconds.try_into().ok(),
        Some(3600..=43200) => {
            let message = "needs an assumed role: set assumeRoleARN or rrsaRoleARN with it";
            invalid.add("expireDuration", message.to_owned());
            None
        }
        Some(seconds) => {
            invalid.add("expireDuration", format!("{seconds} is out of range: write 3600 to 43200 seconds"));
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
            let message = "rrsaRoleARN and accessKeySecretRef exclude each other: set one of them";
            invalid.add("", message.to_owned());
            None
        }
        (Some(_), None, None) | (None, Some(_), None) => {
            let message = "rrsaRoleARN and rrsaOIDCProviderRoleARN go together: set both or neither";
            invalid.add("", message.to_owned());
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

fn namespace_selection(spec: &WatchNamespaces, invalid: &mut InvalidFields) -> ObjectSelection {
    let mut invalid = invalid.below("spec.watchNamespaces".to_owned());
    let (names, selector) = selection(
        patterns("names", &spec.names, shape::namespace, &mut invalid),
        spec.selector.as_ref(),
        &mut invalid,
    );
    let exclude = patterns("exclude", &spec.exclude, shape::namespace, &mut invalid);
    ObjectSelection { names, selector, exclude }
}

fn service_account_selection(spec: &ServiceAccounts, invalid: &mut InvalidFields) -> ObjectSelection {
    let mut invalid = invalid.below("spec.serviceAccounts".to_owned());
    let names = patterns("names", &spec.names, shape::service_account, &mut invalid);
    let (names, selector) = selection(names, spec.selector.as_ref(), &mut invalid);
    ObjectSelection { names, selector, exclude: Vec::new() }
}

fn patterns(
    field: &str,
    names: &[String],
    shape: fn(&str) -> Result<Pattern, String>,
    invalid: &mut FieldsBelow<'_>,
) -> Vec<Pattern> {
    invalid.check(field, shape::at_most(256, names));
    let pattern = |(i, name): (usize, &String)| invalid.check(&format!("{field}[{i}]"), shape(name));
    names.iter().enumerate().filter_map(pattern).collect()
}

fn selection(
    names: Vec<Pattern>,
    selector: Option<&LabelSelector>,
    invalid: &mut FieldsBelow<'_>,
) -> (Vec<Pattern>, Option<Selector>) {
    let selector = selector.and_then(|s| invalid.check("selector", shape::selector(s)));
    // As with the ConfigMap's keys, an absent selection means `default`.
    let names = if names.is_empty() && selector.is_none() { vec![Pattern::new("default")] } else { names };
    (names, selector)
}

#[cfg(test)]
mod tests;
