//! One entry of `acr-registry-info`.

use std::collections::BTreeSet;

use super::fields::{Fields, Told};
use super::finding::Findings;
use super::text::{list, plain, shown, spelling, tellable};
use super::{KeyPair, validate};
use crate::api::binding::{AccessKeySecretRef, AcrCredentialBindingSpec, RegistryEntry};
use crate::api::legacy::entry::{
    ASSUME_ROLE_ARN, CUSTOM_ACCESS_KEY, CUSTOM_ACCESS_KEY_SECRET, DOMAINS, EXPIRE_DURATION, INSTANCE_ID,
    KEYS, REGION_ID, RRSA_OIDC_PROVIDER_ROLE_ARN, RRSA_ROLE_ARN,
};
use crate::api::legacy::{ACR_REGISTRY_INFO, Node, Value};
use crate::api::names::LEGACY_NAME;
use crate::model::domain;

/// The most domains that the schema allows.
const MAX_DOMAINS: usize = 32;

/// The most instances that one `instanceId` may list: as many as a binding may have.
const MAX_INSTANCES: usize = 64;

/// What one entry comes to: one registry an instance that it names.
pub(super) struct Read {
    pub(super) at: String,
    pub(super) line: Option<u32>,
    pub(super) registries: Vec<RegistryEntry>,
    pub(super) pair: Option<KeyPair>,
}

/// Reads one entry. `None`: it is left out, and why is told.
pub(super) fn read(index: usize, node: &Node, rrsa: bool, findings: &mut Findings) -> Option<Read> {
    let at = format!("{ACR_REGISTRY_INFO}[{index}]");
    if !matches!(node.value, Value::Map(_)) {
        let message = match node.value {
            Value::Null => {
                "is empty and is left out: delete the -, or write {} for the Personal Edition of the cluster's region"
            }
            _ => "is no map and is left out: write \"- instanceId: …\" with a blank after the colon",
        };
        findings.error(&at, node.line, message);
        return None;
    }
    let fields = Fields::read(&at, node, &KEYS, findings)?;
    let entry = Entry { index, fields, rrsa };
    let (ids, shared, pair) = entry.parts(findings)?;
    let registries = entry.valid(ids, &shared, findings);
    (!registries.is_empty()).then_some(Read { at, line: node.line, registries, pair })
}

struct Entry<'a> {
    index: usize,
    fields: Fields<'a>,
    rrsa: bool,
}

impl Entry<'_> {
    /// The instances, what they share, and the key pair. Every field is read before any is missed.
    fn parts(
        &self,
        findings: &mut Findings,
    ) -> Option<(Vec<Option<String>>, RegistryEntry, Option<KeyPair>)> {
        let ids = self.instances(findings);
        let region_id = self.region(findings);
        let domains = self.domains(findings);
        let assume = self.fields.text(ASSUME_ROLE_ARN, findings);
        let role = self.fields.text(RRSA_ROLE_ARN, findings);
        let provider = self.fields.text(RRSA_OIDC_PROVIDER_ROLE_ARN, findings);
        let seconds = self.seconds(findings);
        let pair = self.pair(findings);
        let (ids, region_id, domains) = (ids.ok()?, region_id.ok()?, domains.ok()?);
        let (assume_role_arn, mut role, mut provider) = (assume.ok()?, role.ok()?, provider.ok()?);
        let (mut seconds, pair) = (seconds.ok()?, pair.ok()?);
        if !self.rrsa && (role.is_some() || provider.is_some()) {
            let message = "is ignored, since the key rrsa is not on: write \"enable: true\" under rrsa, or delete the entry's rrsa fields";
            self.warn(
                if role.is_some() { RRSA_ROLE_ARN } else { RRSA_OIDC_PROVIDER_ROLE_ARN },
                message,
                findings,
            );
            (role, provider) = (None, None);
        }
        if seconds.is_some() && assume_role_arn.is_none() && role.is_none() {
            let message = "is ignored: it is the session of an assumed role, and the entry assumes none";
            self.warn(EXPIRE_DURATION, message, findings);
            seconds = None;
        }
        if ids.len() > 1 && !domains.is_empty() {
            let message = "go to the first instance of the list: write one entry an instance, each with its own domains";
            self.warn(DOMAINS, message, findings);
        }
        let shared = RegistryEntry {
            instance_id: None,
            region_id,
            domains,
            assume_role_arn,
            expire_duration: seconds,
            rrsa_role_arn: role,
            rrsa_oidc_provider_role_arn: provider,
            access_key_secret_ref: pair
                .as_ref()
                .map(|pair| AccessKeySecretRef { name: pair.secret_name.clone() }),
        };
        Some((ids, shared, pair))
    }

    /// One registry an instance, of those that the validator passes.
    fn valid(
        &self,
        ids: Vec<Option<String>>,
        shared: &RegistryEntry,
        findings: &mut Findings,
    ) -> Vec<RegistryEntry> {
        let mut told = BTreeSet::new();
        let mut registries = Vec::new();
        for instance_id in ids {
            let registry = RegistryEntry { instance_id, ..shared.clone() };
            let spec = AcrCredentialBindingSpec {
                registries: vec![registry.clone()],
                expiring_threshold: "15m".to_owned(),
                ..AcrCredentialBindingSpec::default()
            };
            let invalid = validate(&spec);
            if invalid.is_empty() {
                registries.push(registry);
            }
            for found in invalid {
                let field = found
                    .path
                    .strip_prefix("spec.registries[0]")
                    .unwrap_or(&found.path)
                    .trim_start_matches('.')
                    .to_owned();
                // What the instances of a list share is told once.
                if told.insert((field.clone(), found.message.clone())) {
                    let message = found.message.replace("accessKeySecretRef", CUSTOM_ACCESS_KEY);
                    self.fail(&field, format!("{message}; the entry is left out"), findings);
                }
            }
        }
        registries
    }

    /// The instances; `None` among them is the Personal Edition.
    fn instances(&self, findings: &mut Findings) -> Result<Vec<Option<String>>, Told> {
        let ids = self.items(INSTANCE_ID, findings)?;
        if ids.len() > MAX_INSTANCES {
            let message = format!(
                "lists {} instances, more than {MAX_INSTANCES}: write fewer; the entry is left out",
                ids.len()
            );
            self.fail(INSTANCE_ID, message, findings);
            return Err(Told);
        }
        if ids.len() > 1 {
            self.warn(INSTANCE_ID, "lists several instances: write one entry for each", findings);
        }
        Ok(if ids.is_empty() { vec![None] } else { ids.into_iter().map(Some).collect() })
    }

    fn region(&self, findings: &mut Findings) -> Result<Option<String>, Told> {
        let Some(written) = self.fields.text(REGION_ID, findings)? else { return Ok(None) };
        let region = written.to_ascii_lowercase();
        if region != written {
            self.warn(REGION_ID, format!("is read as {0}: write {0}", shown(&region)), findings);
        }
        Ok(Some(region))
    }

    /// The domains that are some. One that is none costs only itself, unless it was the only one: then no domain
    /// would be left, which means every one of the instance.
    fn domains(&self, findings: &mut Findings) -> Result<Vec<String>, Told> {
        let written = self.items(DOMAINS, findings)?;
        let some = !written.is_empty();
        let mut domains: Vec<String> = Vec::new();
        for (i, item) in written.into_iter().enumerate() {
            let lower = item.to_ascii_lowercase();
            let field = format!("{DOMAINS}[{i}]");
            if let Err(message) = domain::check(&lower) {
                self.fail(&field, format!("{message}; it is left out"), findings);
                continue;
            }
            if lower != item {
                self.warn(&field, format!("is read as {0}: write {0}", shown(&lower)), findings);
            }
            if !domains.contains(&lower) {
                domains.push(lower);
            }
            if domains.len() > MAX_DOMAINS {
                domains.truncate(MAX_DOMAINS);
                let message = format!(
                    "has more than {MAX_DOMAINS}; only the first ones are served: write another entry for the others"
                );
                self.fail(DOMAINS, message, findings);
                break;
            }
        }
        if some && domains.is_empty() {
            self.fail(DOMAINS, "holds no registry address; the entry is left out", findings);
            return Err(Told);
        }
        Ok(domains)
    }

    fn seconds(&self, findings: &mut Findings) -> Result<Option<i32>, Told> {
        let Some(text) = self.fields.text(EXPIRE_DURATION, findings)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            let message = format!(
                "{} is no number of seconds: write 3600 to 43200; the entry is left out",
                shown(&text)
            );
            self.fail(EXPIRE_DURATION, message, findings);
            Told
        })
    }

    fn pair(&self, findings: &mut Findings) -> Result<Option<KeyPair>, Told> {
        let id = self.fields.secret(CUSTOM_ACCESS_KEY, findings);
        let secret = self.fields.secret(CUSTOM_ACCESS_KEY_SECRET, findings);
        match (id?, secret?) {
            (None, None) => Ok(None),
            (Some(id), Some(secret)) => {
                let message = "and its secret stand in the ConfigMap in the clear: move them to a Secret named by accessKeySecretRef of an AcrCredentialBinding, or use RRSA or assumeRoleARN";
                self.warn(CUSTOM_ACCESS_KEY, message, findings);
                Ok(Some(KeyPair {
                    secret_name: format!("{LEGACY_NAME}-{}", self.index),
                    access_key_id: id.into(),
                    access_key_secret: secret.into(),
                }))
            }
            _ => {
                let message = "customAccessKey and customAccessKeySecret go together: give both or neither; the entry is left out";
                self.fail("", message, findings);
                Err(Told)
            }
        }
    }

    /// The items of a comma list, or of the YAML list that people write in its place.
    fn items(&self, name: &str, findings: &mut Findings) -> Result<Vec<String>, Told> {
        let mut result = list("");
        match self.fields.node(name).map(|node| &node.value) {
            None | Some(Value::Null) => {}
            Some(Value::Text(text)) => result = list(text),
            Some(Value::List(nodes)) => {
                for node in nodes {
                    let Value::Text(text) = &node.value else {
                        self.fail(name, "holds something other than texts: write one comma list", findings);
                        return Err(Told);
                    };
                    result.items.extend(Some(plain(text).text).filter(|text| !text.is_empty()));
                }
                result.odd = true;
            }
            Some(Value::Map(_)) => {
                self.fail(name, "has keys beneath it: write one comma list", findings);
                return Err(Told);
            }
        }
        if !result.items.iter().all(|item| tellable(item)) {
            let message = "holds blanks or another key: write one comma list, and each key on its own line, straight beneath the first";
            self.fail(name, message, findings);
            return Err(Told);
        }
        if result.odd {
            self.warn(name, format!("is read as {0}: write {0}", spelling(&result.items)), findings);
        }
        Ok(result.items)
    }

    fn fail(&self, field: &str, message: impl AsRef<str>, findings: &mut Findings) {
        findings.error(&self.fields.path(field), self.fields.line(field), message);
    }

    fn warn(&self, field: &str, message: impl AsRef<str>, findings: &mut Findings) {
        findings.warning(&self.fields.path(field), self.fields.line(field), message);
    }
}
