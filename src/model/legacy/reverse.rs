//! A binding said as the ConfigMap says it, where that can be.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::api::binding::{AcrCredentialBindingSpec, DeletionPolicy, RegistryEntry, Webhook};
use crate::api::legacy::{
    ACR_REGISTRY_INFO, EXPIRING_THRESHOLD, NOTIFY_EMAIL, RRSA, SERVICE_ACCOUNT, WATCH_NAMESPACE,
    WEBHOOK_CONFIGURATION, entry, webhook,
};

/// The `data` of the ConfigMap that says what a binding says.
///
/// # Guarantees
/// [`super::convert`] makes the same spec of it without an error, if the spec is valid. It warns of nothing but an
/// account that is called `all`. A threshold alone may be spelt otherwise: `900s` comes back as `15m`.
///
/// # Errors
/// Every field that no key of the ConfigMap can say.
pub fn to_data(spec: &AcrCredentialBindingSpec) -> Result<BTreeMap<String, String>, Vec<String>> {
    let threshold = super::settings::respelt(&spec.expiring_threshold);
    let unsaid = unsaid(spec);
    let (Some(threshold), true) = (threshold, unsaid.is_empty()) else { return Err(unsaid) };
    let mut data = BTreeMap::new();
    let mut put = |key: &str, value: String| drop(data.insert(key.to_owned(), value));
    put(SERVICE_ACCOUNT, names(&spec.service_accounts.names, "*"));
    put(WATCH_NAMESPACE, names(&spec.watch_namespaces.names, "all"));
    put(EXPIRING_THRESHOLD, threshold);
    put(ACR_REGISTRY_INFO, spec.registries.iter().map(said).collect());
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

/// The paths of what the ConfigMap has no words for.
fn unsaid(spec: &AcrCredentialBindingSpec) -> Vec<String> {
    let mut unsaid = Vec::new();
    let mut unless = |can: bool, path: String| unsaid.extend((!can).then_some(path));
    if spec.registries.is_empty() {
        unless(false, "spec.registries".to_owned());
    }
    for (i, registry) in spec.registries.iter().enumerate() {
        unless(registry.access_key_secret_ref.is_none(), format!("spec.registries[{i}].accessKeySecretRef"));
        // The ConfigMap's own reader would leave a repetition out.
        let repeated = spec.registries.iter().take(i).any(|earlier| same(earlier, registry));
        unless(!repeated, format!("spec.registries[{i}]"));
        unless(each_once(&registry.domains), format!("spec.registries[{i}].domains"));
    }
    let (namespaces, accounts) = (&spec.watch_namespaces, &spec.service_accounts);
    unless(namespaces.selector.is_none(), "spec.watchNamespaces.selector".to_owned());
    unless(namespaces.exclude.is_empty(), "spec.watchNamespaces.exclude".to_owned());
    unless(sayable(&namespaces.names, "all"), "spec.watchNamespaces.names".to_owned());
    unless(accounts.selector.is_none(), "spec.serviceAccounts.selector".to_owned());
    unless(sayable(&accounts.names, "*"), "spec.serviceAccounts.names".to_owned());
    let threshold = super::settings::respelt(&spec.expiring_threshold);
    unless(threshold.is_some(), "spec.expiringThreshold".to_owned());
    unless(spec.deletion_policy == DeletionPolicy::Retain, "spec.deletionPolicy".to_owned());
    unless(!spec.suspend, "spec.suspend".to_owned());
    let email = spec.notify_email.as_ref().is_none_or(|email| {
        let plain = super::text::unquote(email);
        !email.is_empty() && !plain.irregular && plain.text == *email
    });
    unless(email, "spec.notifyEmail".to_owned());
    unsaid
}

/// Whether names can be said: all of them, or exact ones, each once. No names at all mean `default`, which is said
/// by its name.
fn sayable(names: &[String], everything: &str) -> bool {
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

/// Whether two entries say the same: no instance is the same as an empty one.
fn same(a: &RegistryEntry, b: &RegistryEntry) -> bool {
    let plain = |entry: &RegistryEntry| RegistryEntry {
        instance_id: entry.instance_id.clone().filter(|id| !id.is_empty()),
        ..entry.clone()
    };
    plain(a) == plain(b)
}

/// One entry as the documentation prints it.
fn said(registry: &RegistryEntry) -> String {
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
