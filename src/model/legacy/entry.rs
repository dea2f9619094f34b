//! One entry of `acr-registry-info`.

use std::collections::BTreeSet;

use super::code::Code;
use super::conversion::KeyPair;
use super::fields::{MapFields, MapSchema, Rejected};
use super::finding::{Findings, Span};
use super::patch::Edit;
use super::rewrite;
use super::settings::DEFAULT_THRESHOLD;
use super::text::{placeholder, quoted, unquote};
use super::validate::validate_entry;
use crate::api::binding::{AccessKeySecretRef, RegistryEntry};
use crate::api::legacy::entry::{
    ASSUME_ROLE_ARN, CUSTOM_ACCESS_KEY, CUSTOM_ACCESS_KEY_SECRET, DOMAINS, EXPIRE_DURATION, INSTANCE_ID,
    KEYS, REGION_ID, RRSA_OIDC_PROVIDER_ROLE_ARN, RRSA_ROLE_ARN,
};
use crate::api::legacy::{Node, Value, addon};
use crate::api::names::LEGACY_NAME;
use crate::model::{domain, edition, instance_id, region};

/// The most domains that the schema allows.
const MAX_DOMAINS: usize = 32;

/// The most instances that one `instanceId` may list: as many as a binding may have.
const MAX_INSTANCES: usize = 64;

/// The registries of one entry, one for each instance that it names.
pub(super) struct ReadEntry {
    pub(super) at: String,
    pub(super) span: Span,
    pub(super) registries: Vec<RegistryEntry>,
    pub(super) pair: Option<KeyPair>,
}

/// The place of an entry, and the settings that it depends on.
pub(super) struct EntryContext<'a> {
    /// The key of the list as written.
    pub(super) list: &'a str,
    /// The text in which its nodes have their places.
    pub(super) text: &'a str,
    /// Its number in the list, from 0.
    pub(super) index: usize,
    /// Whether RRSA is enabled.
    pub(super) rrsa: bool,
}

/// Reads one entry. `None`: it is left out, which is reported.
pub(super) fn read(place: &EntryContext<'_>, node: &Node, findings: &Findings) -> Option<ReadEntry> {
    let at = format!("{}[{}]", place.list, place.index);
    if !matches!(node.value, Value::Map(_)) {
        let json = place.list == addon::INSTANCES;
        let (code, message) = match node.value {
            Value::Null if json => (
                Code::EmptyEntry,
                "the entry is empty and is left out: delete it, or write {} for the Personal Edition of the cluster's region",
            ),
            _ if json => (
                Code::EntryNotMap,
                "the entry is not a map and is left out: write {\"instanceId\": \"cri-…\"} in its place",
            ),
            Value::Null => (
                Code::EmptyEntry,
                "the entry is empty and is left out: delete the -, or write {} for the Personal Edition of the cluster's region",
            ),
            _ => (
                Code::EntryNotMap,
                "the entry is not a map and is left out: write \"- instanceId: …\" with a space after the colon",
            ),
        };
        findings.add(code, &at, node.mark(), message);
        return None;
    }
    let schema = MapSchema { at: &at, text: place.text, known: &KEYS, unknown: Code::EntryKeyUnknown };
    let fields = MapFields::read(schema, node, findings)?;
    let entry = EntryReader { place, node, fields };
    let (ids, shared, pair, whole) = entry.parts();
    let registries = entry.valid(ids, &shared);
    (whole && !registries.is_empty()).then_some(ReadEntry { at, span: node.mark(), registries, pair })
}

struct EntryReader<'a> {
    place: &'a EntryContext<'a>,
    node: &'a Node,
    fields: MapFields<'a>,
}

impl EntryReader<'_> {
    /// Returns the instances, their shared fields, the key pair, and whether each field could be read. A substitute
    /// takes the place of a field that could not, so that the others are checked too.
    fn parts(&self) -> (Vec<Option<String>>, RegistryEntry, Option<KeyPair>, bool) {
        let mut whole = !self.fields.contradictory;
        let ids = or(self.instances(), vec![None], &mut whole);
        let region_id = or(self.region(), None, &mut whole);
        let domains = or(self.domains(), Vec::new(), &mut whole);
        self.remark_on(region_id.as_deref(), &domains);
        let mut arn = |name, kind| {
            let substitute = Some(format!("acs:ram::0:{kind}/refused"));
            or(self.fields.text(name), substitute, &mut whole)
        };
        let assume_role_arn = arn(ASSUME_ROLE_ARN, "role");
        let mut role = arn(RRSA_ROLE_ARN, "role");
        let mut provider = arn(RRSA_OIDC_PROVIDER_ROLE_ARN, "oidc-provider");
        let mut seconds = or(self.seconds(), None, &mut whole);
        let pair = or(self.pair(), None, &mut whole);
        if !self.place.rrsa && (role.is_some() || provider.is_some()) {
            let switch = match self.place.list {
                addon::INSTANCES => "\"enableRRSA\": true beside AcrInstanceInfo",
                _ => "\"enable: true\" under rrsa",
            };
            let message = format!(
                "the field is ignored, because RRSA is not enabled: write {switch}, or delete the entry's rrsa fields"
            );
            let field = if role.is_some() { RRSA_ROLE_ARN } else { RRSA_OIDC_PROVIDER_ROLE_ARN };
            self.fields.report(Code::RrsaUnused, field, message);
            (role, provider) = (None, None);
        }
        if seconds.is_some() && assume_role_arn.is_none() && role.is_none() {
            let message =
                "the field is ignored, because the entry assumes no role: delete it, or give assumeRoleARN";
            self.fields.report(Code::SessionUnused, EXPIRE_DURATION, message);
            seconds = None;
        }
        if ids.len() > 1 && !domains.is_empty() {
            let message = "only the first instance of the list serves the domains, and the others get the reason DomainContested: write one entry an instance, each with its own domains";
            self.fields.report(Code::DomainsShared, DOMAINS, message);
        }
        let reference = |pair: &KeyPair| AccessKeySecretRef { name: pair.secret_name.clone() };
        let access_key_secret_ref = pair.as_ref().map(reference);
        let shared = RegistryEntry {
            instance_id: None,
            region_id,
            domains,
            assume_role_arn,
            expire_duration: seconds,
            rrsa_role_arn: role,
            rrsa_oidc_provider_role_arn: provider,
            access_key_secret_ref,
        };
        (ids, shared, pair, whole)
    }

    /// Returns one registry an instance, if it is valid.
    fn valid(&self, ids: Vec<Option<String>>, shared: &RegistryEntry) -> Vec<RegistryEntry> {
        let mut reported = BTreeSet::new();
        let mut registries = Vec::new();
        for instance_id in ids {
            let unsupported = instance_id.as_deref().is_some_and(edition::is_unsupported_id);
            let registry = RegistryEntry { instance_id, ..shared.clone() };
            let invalid = validate_entry(registry.clone(), DEFAULT_THRESHOLD);
            if invalid.is_empty() {
                registries.push(registry);
            }
            for found in invalid {
                let field = found.path.strip_prefix("spec.registries[0]").unwrap_or(&found.path);
                let field = field.trim_start_matches('.').to_owned();
                // A fault that the instances of a list share is reported once.
                if reported.insert((field.clone(), found.message.clone())) {
                    let message = found.message.replace("accessKeySecretRef", CUSTOM_ACCESS_KEY);
                    let (code, end) = match unsupported && field == INSTANCE_ID {
                        true => (
                            Code::UnsupportedEdition,
                            "; no credential is published for it: delete the entry",
                        ),
                        false => (self.code_of(&field), "; the entry is left out"),
                    };
                    let cure = self.cure(&field).filter(|_| code != Code::Placeholder);
                    self.fields.propose(code, &field, format!("{message}{end}"), cure);
                }
            }
        }
        registries
    }

    /// Returns the instances; `None` among them is the Personal Edition.
    fn instances(&self) -> Result<Vec<Option<String>>, Rejected> {
        let ids = self.fields.items(INSTANCE_ID, str::to_owned)?;
        if ids.len() > MAX_INSTANCES {
            let message = format!(
                "the entry lists {} instances, more than {MAX_INSTANCES}: write fewer; the entry is left out",
                ids.len()
            );
            return Err(self.fields.refuse(Code::InstancesTooMany, INSTANCE_ID, message));
        }
        if ids.len() > 1 {
            let texts: Vec<&str> = ids.iter().map(|id| id.text.as_str()).collect();
            let edit = rewrite::split_entry(self.fields.schema.text, self.node, &texts);
            let why = edit.as_ref().err().map(|why| format!(", {why}")).unwrap_or_default();
            let message = format!("the entry lists several instances: write one entry for each{why}");
            self.fields.propose(Code::SeveralInstances, INSTANCE_ID, message, edit.ok());
        }
        for id in ids.iter().filter(|id| shape_of_a_placeholder(&id.text)) {
            self.report_placeholder(INSTANCE_ID, &id.text);
        }
        let ids: Vec<_> = ids.into_iter().map(|id| Some(id.text)).collect();
        Ok(if ids.is_empty() { vec![None] } else { ids })
    }

    fn region(&self) -> Result<Option<String>, Rejected> {
        // A name in the console may have spaces, which the reader of texts takes for another key.
        let named = self.fields.node(REGION_ID).and_then(Node::text).map(|text| unquote(text).text);
        if let Some(name) = named.filter(|text| text.contains(' ') && region::meant(text).is_some()) {
            return Ok(Some(name.to_owned()));
        }
        let Some(written) = self.fields.text(REGION_ID)? else { return Ok(None) };
        let region = written.to_ascii_lowercase();
        // A region that is not valid in lower case either is refused as written.
        if region::check(&region).is_err() {
            return Ok(Some(written));
        }
        if region != written {
            let message = format!("the value is read as {0}: write {0}", quoted(&region));
            let edit = self.fields.instead(REGION_ID, &region);
            self.fields.propose(Code::RegionSpelling, REGION_ID, message, edit);
        }
        if shape_of_a_placeholder(&region) {
            self.report_placeholder(REGION_ID, &region);
        } else if let Some(remark) = region::unknown(&region) {
            let edit = region::similar(&region).and_then(|similar| self.fields.instead(REGION_ID, similar));
            self.fields.propose(Code::RegionUnknown, REGION_ID, remark, edit);
        }
        Ok(Some(region))
    }

    /// Returns the edit that writes what an invalid field means.
    fn cure(&self, field: &str) -> Option<Edit> {
        let text = self.fields.node(field)?.text()?;
        let meant = match field {
            REGION_ID => region::meant(text)?.to_owned(),
            INSTANCE_ID => instance_id::respelled(unquote(text).text)?,
            _ => return None,
        };
        self.fields.instead(field, &meant)
    }

    /// Reports what is worth knowing about valid domains: a glob, and a host of another region than the entry's.
    fn remark_on(&self, region_id: Option<&str>, domains: &[String]) {
        if let Some(remark) = domain::glob_remark(domains) {
            self.fields.report(Code::DomainGlob, DOMAINS, remark);
        }
        // A region that cannot be, or is not known, is reported on its own.
        let known = region_id.filter(|id| region::check(id).is_ok() && region::unknown(id).is_none());
        if let Some(remark) = known.and_then(|region| region::other_region(region, domains)) {
            self.fields.report(Code::DomainOfOtherRegion, DOMAINS, remark);
        }
        let named = domains.iter().find_map(|domain| Some((domain, region::of_address(domain)?)));
        if let (None, Some((domain, region))) = (region_id, named) {
            let message = format!(
                "{domain} is a host in {region}, and regionId is left out, which means the cluster's region: write regionId {region} if the cluster is elsewhere"
            );
            self.fields.report(Code::RegionLeftOut, DOMAINS, message);
        }
    }

    /// Returns the valid domains. An invalid one costs only itself, but not if none is left: no domains would mean
    /// all of the instance.
    fn domains(&self) -> Result<Vec<String>, Rejected> {
        let written = self.fields.items(DOMAINS, str::to_ascii_lowercase)?;
        let some = !written.is_empty();
        let mut unsupported = false;
        let mut domains: Vec<String> = Vec::new();
        for (i, item) in written.into_iter().enumerate() {
            let lower = item.text.to_ascii_lowercase();
            let path = self.fields.path(&format!("{DOMAINS}[{i}]"));
            if edition::is_unsupported_address(&lower) {
                unsupported = true;
                let message = format!(
                    "{}; no credential is published for it: delete it, or the entry if it has no other domain",
                    edition::unsupported(&lower)
                );
                self.fields.findings.add(Code::UnsupportedEdition, &path, item.span, message);
                continue;
            }
            if let Err(message) = domain::check(&lower).and_then(|()| domain::check_port(&lower)) {
                let code = if placeholder(&lower) { Code::Placeholder } else { Code::DomainInvalid };
                let edit = domain::meant(&lower).and_then(|address| item.instead(&address));
                self.fields.findings.edit(code, &path, item.span, format!("{message}; it is left out"), edit);
                continue;
            }
            if lower != item.text {
                let message = format!("the value is read as {0}: write {0}", quoted(&lower));
                let edit = item.instead(&lower);
                self.fields.findings.edit(Code::DomainSpelling, &path, item.span, message, edit);
            }
            if !domains.contains(&lower) {
                domains.push(lower);
            }
            if domains.len() > MAX_DOMAINS {
                domains.truncate(MAX_DOMAINS);
                let message = format!(
                    "the entry has more than {MAX_DOMAINS} domains, and only the first ones are served: write another entry for the others"
                );
                self.fields.report(Code::DomainsTooMany, DOMAINS, message);
                break;
            }
        }
        match some && domains.is_empty() {
            true if unsupported => Err(Rejected),
            true => {
                let message = "none of the domains is valid: correct one of them; the entry is left out";
                Err(self.fields.refuse(Code::NoDomainLeft, DOMAINS, message))
            }
            false => Ok(domains),
        }
    }

    fn seconds(&self) -> Result<Option<i32>, Rejected> {
        let Some(text) = self.fields.text(EXPIRE_DURATION)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            let message = format!(
                "{} is not a number of seconds: write 3600 to 43200; the entry is left out",
                quoted(&text)
            );
            self.fields.refuse(Code::SessionInvalid, EXPIRE_DURATION, message)
        })
    }

    fn pair(&self) -> Result<Option<KeyPair>, Rejected> {
        let id = self.fields.secret(CUSTOM_ACCESS_KEY);
        let secret = self.fields.secret(CUSTOM_ACCESS_KEY_SECRET);
        match (id?, secret?) {
            (None, None) => Ok(None),
            (Some(id), Some(secret)) => {
                for (name, text) in [(CUSTOM_ACCESS_KEY, &id), (CUSTOM_ACCESS_KEY_SECRET, &secret)] {
                    if is_placeholder_key(text) {
                        let message =
                            "the key looks like a placeholder: write the value that the RAM console shows";
                        self.fields.report(Code::PlaceholderLikely, name, message);
                    }
                }
                let message = "the AccessKey pair is in clear text: move it to a Secret named by accessKeySecretRef of an AcrCredentialBinding, or use RRSA or assumeRoleARN";
                self.fields.report(Code::KeyPairInClear, CUSTOM_ACCESS_KEY, message);
                Ok(Some(KeyPair {
                    secret_name: format!("{LEGACY_NAME}-{}", self.place.index),
                    access_key_id: id.into(),
                    access_key_secret: secret.into(),
                }))
            }
            _ => {
                let message = "customAccessKey and customAccessKeySecret belong together: give both or neither; the entry is left out";
                Err(self.fields.refuse(Code::KeyPairHalf, "", message))
            }
        }
    }

    /// Returns the kind of finding for an invalid field.
    fn code_of(&self, field: &str) -> Code {
        let name = field.split('[').next().unwrap_or(field);
        let text = self.fields.node(name).map(|node| &node.value);
        if matches!(text, Some(Value::Text(text)) if placeholder(unquote(text).text)) {
            return Code::Placeholder;
        }
        match name {
            INSTANCE_ID => Code::InstanceInvalid,
            REGION_ID => Code::RegionInvalid,
            DOMAINS => Code::DomainInvalid,
            EXPIRE_DURATION => Code::SessionInvalid,
            ASSUME_ROLE_ARN | RRSA_ROLE_ARN | RRSA_OIDC_PROVIDER_ROLE_ARN => Code::ArnInvalid,
            _ => Code::IdentityInvalid,
        }
    }

    fn report_placeholder(&self, field: &str, text: &str) {
        let message =
            format!("{} looks like a placeholder: write the ID that the console shows", quoted(text));
        self.fields.report(Code::PlaceholderLikely, field, message);
    }
}

/// Returns a field, or the substitute for a refused one.
fn or<T>(read: Result<T, Rejected>, substitute: T, whole: &mut bool) -> T {
    *whole &= read.is_ok();
    read.unwrap_or(substitute)
}

/// Returns whether a key is a placeholder such as `xxxxx`. A real one may well repeat a letter three times.
fn is_placeholder_key(text: &str) -> bool {
    let rest = text.strip_prefix("LTAI").filter(|rest| !rest.is_empty()).unwrap_or(text);
    text.starts_with(['<', '＜', '《', '$']) || rest.chars().all(|c| matches!(c, 'x' | 'X' | '*'))
}

/// Returns whether a valid ID is one that only documentation uses, such as `cri-xxx` or `cn-xxxx`.
fn shape_of_a_placeholder(id: &str) -> bool {
    let rest = id.split_once('-').map_or(id, |(_, rest)| rest);
    rest.len() >= 3 && rest.chars().all(|c| c == 'x')
}
