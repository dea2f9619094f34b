//! One good binding and one quiet namespace, for tests to mutate.

use std::sync::Arc;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::record::WriteResult;
use super::view::{NamespaceFacts, NamespaceView, Provenance, SecretView, ServiceAccountView};
use super::{
    Change, Failure, NamespaceRecord, Phase, RegistryCredential, ResolvedBinding, SecretContent, Snapshot,
    Template,
};
use crate::api::{AcrCredentialBinding, Reason, names};
use crate::model::{Binding, Credential, Labels};

/// Name of the Secret in these tests.
pub(crate) const OURS: &str = "ours";

/// Returns a time, in seconds after the hour at which all tests begin.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub(crate) fn template() -> Arc<Template> {
    Arc::new(Template { name: OURS.into(), labels: [].into(), annotations: [].into() })
}

/// Returns an active binding of every namespace, its ServiceAccount `default`, and one registry named after it.
pub(crate) fn resolved(name: &str) -> ResolvedBinding {
    bound_with(name, json!({}))
}

/// Returns the same with some keys of the spec replaced. Each registry has a credential.
pub(crate) fn bound_with(name: &str, spec: Value) -> ResolvedBinding {
    let mut object = json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": { "name": name, "creationTimestamp": at(0).to_string() },
        "spec": {
            "registries": [{ "instanceId": format!("cri-{name}"), "domains": [format!("{name}.example.com")] }],
            "watchNamespaces": { "names": ["*"] },
            "serviceAccounts": { "names": ["default"] },
        },
    });
    for (key, value) in spec.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    let object: AcrCredentialBinding = serde_json::from_value(object).unwrap();
    let binding = Binding::parse(&object, "cn-hangzhou").unwrap();
    let registries = binding.registries.iter().map(|r| held(&r.key.id(), &r.domains)).collect();
    ResolvedBinding { binding: Arc::new(binding), phase: Phase::Active, registries, keeps_entries: false }
}

/// Returns an hour's credential with this token.
pub(crate) fn credential(token: &str) -> Credential {
    Credential {
        username: "cr_temp_user".into(),
        token: token.into(),
        minted_at: at(0),
        expires_at: at(0) + SignedDuration::from_hours(1),
        origin: Default::default(),
    }
}

pub(crate) fn held(token: &str, domains: &[String]) -> RegistryCredential {
    RegistryCredential::Held { credential: Arc::new(credential(token)), domains: domains.into() }
}

impl ResolvedBinding {
    /// Returns the same, mutated.
    pub(crate) fn with(mut self, mutate: impl FnOnce(&mut Self)) -> Self {
        mutate(&mut self);
        self
    }

    /// Returns the same with another phase.
    pub(crate) fn phased(self, phase: Phase) -> Self {
        self.with(|b| b.phase = phase)
    }

    /// Returns the same, waiting for its first credential.
    pub(crate) fn pending(self) -> Self {
        self.with(|b| b.registries.fill(RegistryCredential::Pending))
    }

    /// Returns the same, which adopts Secrets of others.
    pub(crate) fn adopting(self) -> Self {
        self.with(|b| Arc::make_mut(&mut b.binding).adopt = true)
    }

    /// Returns the same, created later.
    pub(crate) fn aged(self, seconds: i64) -> Self {
        self.with(|b| Arc::make_mut(&mut b.binding).created_at = at(seconds))
    }
}

pub(crate) fn snapshot(bindings: impl IntoIterator<Item = ResolvedBinding>) -> Snapshot {
    Snapshot::new(template(), bindings.into_iter().collect(), false)
}

/// Returns the same bindings beside one that is unreadable.
pub(crate) fn snapshot_beside_unreadable(bindings: impl IntoIterator<Item = ResolvedBinding>) -> Snapshot {
    Snapshot::new(template(), bindings.into_iter().collect(), true)
}

/// Returns the namespace `n` with these ServiceAccounts and their pull secrets, `x ours` for two of them.
pub(crate) fn view(accounts: &[(&str, &str)]) -> NamespaceView {
    let mut view = NamespaceView::new("n".into());
    view.facts = Some(NamespaceFacts::default());
    view.service_accounts = accounts.iter().map(|(name, list)| account(name, list)).collect();
    view
}

/// Returns the same namespace, in which nothing was tried.
pub(crate) fn record(accounts: &[(&str, &str)]) -> NamespaceRecord {
    NamespaceRecord::new(view(accounts))
}

/// Records that the API server refuses a Secret in the namespace, since a quota is full.
pub(crate) fn refuse_create(record: &mut NamespaceRecord, now: Timestamp) {
    let create = Change::CreateSecret { content: snapshot([]).content(&[]) };
    let refused = WriteResult::Refused(Failure::new(Reason::QuotaExceeded, "no room"));
    record.record_write(&create, refused, false, now);
}

pub(crate) fn account(name: &str, list: &str) -> ServiceAccountView {
    ServiceAccountView {
        name: name.into(),
        resource_version: "7".into(),
        labels: Labels::default(),
        skip: false,
        unclear_skip: None,
        pull_secrets: list.split_whitespace().map(Into::into).collect(),
    }
}

/// Returns our Secret with this content.
pub(crate) fn holding(content: &SecretContent) -> SecretView {
    SecretView {
        uid: "u".into(),
        resource_version: "3".into(),
        ours: true,
        provenance: Provenance::Here,
        retained: false,
        foreign_type: None,
        immutable: false,
        extra_keys: [].into(),
        listing: content.listing.clone(),
        fingerprint: content.fingerprint,
    }
}

/// Returns our Secret with a content that is no longer wanted.
pub(crate) fn outdated() -> SecretView {
    holding(&snapshot([]).content(&[]))
}

/// Returns a Secret of our name and type that another user created.
pub(crate) fn foreign() -> SecretView {
    SecretView { ours: false, ..outdated() }
}

/// Returns the plan's changes in words, in their order.
pub(crate) fn in_words(changes: &[Change]) -> Vec<String> {
    let tell = |change: &Change| match change {
        Change::CreateSecret { .. } => "create".to_owned(),
        Change::UpdateSecret { resource_version, extra_keys, .. } => {
            format!(
                "update at {resource_version}{}",
                extra_keys.iter().map(|k| format!(" without {k}")).collect::<String>()
            )
        }
        Change::ReplaceSecret { uid, resource_version, .. } => format!("replace {uid} at {resource_version}"),
        Change::RetainSecret { resource_version, .. } => format!("retain at {resource_version}"),
        Change::DeleteSecret { uid, resource_version } => format!("delete {uid} at {resource_version}"),
        Change::SetPullSecrets { service_account, resource_version, pull_secrets } => {
            format!("{service_account} at {resource_version}: {}", pull_secrets.join(" "))
        }
    };
    changes.iter().map(tell).collect()
}

/// Returns the content of `.dockerconfigjson`, with the base64 of each `auth` decoded.
pub(crate) fn opened(content: &SecretContent) -> Value {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use secrecy::ExposeSecret as _;
    let mut config: Value =
        serde_json::from_slice(&STANDARD.decode(content.data.expose_secret()).unwrap()).unwrap();
    for (_, auth) in config["auths"].as_object_mut().unwrap() {
        let text = STANDARD.decode(auth["auth"].as_str().unwrap()).unwrap();
        auth["auth"] = String::from_utf8(text).unwrap().into();
    }
    config
}

/// Returns the annotation, parsed.
pub(crate) fn listed(content: &SecretContent) -> Value {
    serde_json::from_str(&content.registries).unwrap()
}

/// A label that the API server would give back for [`names::LABEL_MANAGED_BY`].
pub(crate) const MANAGED: (&str, &str) = (names::LABEL_MANAGED_BY, names::MANAGER);
