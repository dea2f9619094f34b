//! The spec, made of the parts that a ConfigMap and an add-on's configuration have in common.

use super::code::Code;
use super::conversion::KeyPair;
use super::entries::KeptRegistries;
use super::finding::Findings;
use super::source_value::SourceValue;
use super::validate::validate;
use super::{names, settings};
use crate::api::binding::{
    AcrCredentialBindingSpec, DeletionPolicy, ServiceAccounts, WatchNamespaces, Webhook,
};
use crate::model::InvalidField;

/// The parts that a ConfigMap and an add-on's configuration have in common.
pub(super) struct SpecParts<'a> {
    pub(super) service_accounts: Option<SourceValue<'a>>,
    pub(super) namespaces: Option<SourceValue<'a>>,
    pub(super) threshold: Option<SourceValue<'a>>,
    pub(super) email: Option<SourceValue<'a>>,
    pub(super) webhook: Option<Webhook>,
    pub(super) entries: Option<KeptRegistries>,
}

impl SpecParts<'_> {
    pub(super) fn spec(self, findings: &Findings) -> Option<(AcrCredentialBindingSpec, Vec<KeyPair>)> {
        // Each part is read before the first missing one returns, so that all findings are there.
        let service_accounts = names::service_accounts(self.service_accounts.as_ref(), findings);
        let namespaces = names::namespaces(self.namespaces.as_ref(), findings);
        let expiring_threshold = settings::threshold(self.threshold.as_ref(), findings);
        let notify_email = settings::notify_email(self.email.as_ref(), findings);
        let (entries, webhook) = (self.entries?, self.webhook?);
        let spec = AcrCredentialBindingSpec {
            registries: entries.registries,
            watch_namespaces: WatchNamespaces { names: namespaces?, selector: None, exclude: Vec::new() },
            service_accounts: ServiceAccounts { names: service_accounts?, selector: None },
            expiring_threshold,
            webhook,
            deletion_policy: DeletionPolicy::Retain,
            suspend: false,
            notify_email,
        };
        let invalid = validate(&spec);
        for InvalidField { path, message } in &invalid {
            findings.add(Code::SpecInvalid, path, None, message);
        }
        invalid.is_empty().then_some((spec, entries.key_pairs))
    }
}
