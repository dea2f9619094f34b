//! The ConfigMap that is equivalent to a binding.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::api::binding::{AcrCredentialBindingSpec, DeletionPolicy, RegistryEntry, Webhook};
use crate::api::legacy::{
    ACR_REGISTRY_INFO, EXPIRING_THRESHOLD, NOTIFY_EMAIL, RRSA, SERVICE_ACCOUNT, WATCH_NAMESPACE,
    WEBHOOK_CONFIGURATION, entry, webhook,
};

/// Returns the `data` of the ConfigMap that is equivalent to a binding.
///
/// # Guarantees
/// [`super::convert`] makes the same spec of it without an error, if the spec is valid. Its only warning is about an
/// account named `all`. Only a threshold may be spelled otherwise: `900s` becomes `15m`.
///
/// # Errors
/// Every field that the ConfigMap does not support.
pub fn to_data(spec: &AcrCredentialBindingSpec) -> Result<BTreeMap<String, String>, Vec<String>> {
    let threshold = super::settings::respelled(&spec.expiring_threshold);
    let unsupported = unsupported(spec);
    let (Some(threshold), true) = (threshold, unsupported.is_empty()) else { return Err(unsupported) };
    let mut data = BTreeMap::new();
    let mut put = |key: &str, value: String| drop(data.insert(key.to_owned(), value));
    put(SERVICE_ACCOUNT, names(&spec.service_accounts.names, "*"));
    put(WATCH_NAMESPACE, names(&spec.watch_namespaces.names, "all"));
    put(EXPIRING_THRESHOLD, threshold);
    put(ACR_REGISTRY_INFO, spec.registries.iter().map(entry_text).collect());
    if let Some(email) = &spec.notify_email {
        put(NOTIFY_EMAIL, email.clone());
    }
    if spec.registries.iter().any(|registry| registry.rrsa_role_arn.is_some()) {
        put(RRSA, "enable: true\n".to_owned());
    }
    if spec.webhook != Webhook::default() {
        let Webhook { enable, failure_policy, timeout_seconds } = &spec.webhook;
        let value = format!(
            "{}: {enable}\n{}: {failure_policy:?}\n{}: {timeout_seconds}\n",
            webhook::ENABLE,
            webhook::FAILURE_POLICY,
            webhook::TIMEOUT_SECONDS
        );
        put(WEBHOOK_CONFIGURATION, value);
    }
    Ok(data)
}

/// Returns the paths of the fields that the ConfigMap does not support.
fn unsupported(spec: &AcrCredentialBindingSpec) -> Vec<String> {
    let mut unsupported = Vec::new();
    let mut unless = |can: bool, path: String| unsupported.extend((!can).then_some(path));
    // Each field by its name: a new one is written to the ConfigMap, or refused here.
    let AcrCredentialBindingSpec {
        registries,
        watch_namespaces: namespaces,
        service_accounts: accounts,
        expiring_threshold,
        webhook: _,
        deletion_policy,
        suspend,
        notify_email,
    } = spec;
    if registries.is_empty() {
        unless(false, "spec.registries".to_owned());
    }
    for (i, registry) in registries.iter().enumerate() {
        unless(registry.access_key_secret_ref.is_none(), format!("spec.registries[{i}].accessKeySecretRef"));
        // The reader of the ConfigMap leaves repetitions out.
        let repeated = registries.iter().take(i).any(|earlier| same(earlier, registry));
        unless(!repeated, format!("spec.registries[{i}]"));
        unless(each_once(&registry.domains), format!("spec.registries[{i}].domains"));
    }
    unless(namespaces.selector.is_none(), "spec.watchNamespaces.selector".to_owned());
    unless(namespaces.exclude.is_empty(), "spec.watchNamespaces.exclude".to_owned());
    unless(supported_names(&namespaces.names, "all"), "spec.watchNamespaces.names".to_owned());
    unless(accounts.selector.is_none(), "spec.serviceAccounts.selector".to_owned());
    unless(supported_names(&accounts.names, "*"), "spec.serviceAccounts.names".to_owned());
    let threshold = super::settings::respelled(expiring_threshold);
    unless(threshold.is_some(), "spec.expiringThreshold".to_owned());
    unless(*deletion_policy == DeletionPolicy::Retain, "spec.deletionPolicy".to_owned());
    unless(!suspend, "spec.suspend".to_owned());
    let email = notify_email.as_ref().is_none_or(|email| {
        let plain = super::text::unquote(email);
        !email.is_empty() && !plain.irregular && plain.text == *email
    });
    unless(email, "spec.notifyEmail".to_owned());
    unsupported
}

/// Returns whether the ConfigMap supports names: all of them, or exact ones, each once. No names mean `default`.
fn supported_names(names: &[String], everything: &str) -> bool {
    let exact = |name: &String| !name.contains(['*', '?']) && name != everything;
    matches!(names, [one] if one == "*") || each_once(names) && names.iter().all(exact)
}

fn each_once(texts: &[String]) -> bool {
    texts.iter().enumerate().all(|(i, text)| !texts[..i].contains(text))
}

fn names(names: &[String], everything: &str) -> String {
    match names {
        [] => "default".to_owned(),
        [one] if one == "*" => everything.to_owned(),
        names => names.join(","),
    }
}

/// Returns whether two entries are the same. An empty instance is the same as none.
fn same(a: &RegistryEntry, b: &RegistryEntry) -> bool {
    let plain = |entry: &RegistryEntry| RegistryEntry {
        instance_id: entry.instance_id.clone().filter(|id| !id.is_empty()),
        ..entry.clone()
    };
    plain(a) == plain(b)
}

/// Writes one entry as the documentation does.
fn entry_text(registry: &RegistryEntry) -> String {
    let mut text =
        format!("- {}: {:?}\n", entry::INSTANCE_ID, registry.instance_id.as_deref().unwrap_or_default());
    let domains = (!registry.domains.is_empty()).then(|| registry.domains.join(","));
    let fields = [
        (entry::REGION_ID, registry.region_id.as_ref()),
        (entry::DOMAINS, domains.as_ref()),
        (entry::RRSA_ROLE_ARN, registry.rrsa_role_arn.as_ref()),
        (entry::RRSA_OIDC_PROVIDER_ROLE_ARN, registry.rrsa_oidc_provider_role_arn.as_ref()),
        (entry::ASSUME_ROLE_ARN, registry.assume_role_arn.as_ref()),
    ];
    for (key, value) in fields {
        if let Some(value) = value {
            let _ = writeln!(text, "  {key}: {value:?}");
        }
    }
    if let Some(seconds) = registry.expire_duration {
        let _ = writeln!(text, "  {}: {seconds}", entry::EXPIRE_DURATION);
    }
    text
}
