//! The planned writes as a unified diff of objects: what the cluster has, and what would be written.
//!
//! Credentials are masked. Of a Secret's labels and annotations it shows those that the controller writes: others stay
//! as they are, and may hold a copy of the data.

use std::collections::BTreeMap;
use std::io;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::PartialObjectMeta;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use similar::TextDiff;

use crate::api::names;
use crate::plan::{Change, NamespaceView, SecretContent, SecretView, Template};

/// In place of a credential.
const MASK: &str = "***";

/// An object as it is and as it would be, as YAML; empty if it does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectDiff {
    /// Its version, kind, namespace and name, as in the file names of `kubectl diff`.
    name: String,
    live: String,
    planned: String,
}

impl ObjectDiff {
    /// Writes it as a unified diff.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let diff = TextDiff::from_lines(&self.live, &self.planned);
        let (live, planned) = (format!("live/{}", self.name), format!("planned/{}", self.name));
        write!(to, "{}", diff.unified_diff().header(&live, &planned))
    }
}

/// The Secret and the ServiceAccounts of a namespace before a plan.
#[derive(Clone, Copy)]
pub(super) struct LiveObjects<'a> {
    pub view: &'a NamespaceView,
    pub template: &'a Template,
    /// Metadata of the Secret of our name.
    pub metadata: Option<&'a PartialObjectMeta<Secret>>,
    /// Texts in place of domains that only the cloud knows, with their registry.
    pub placeholders: &'a BTreeMap<String, String>,
}

impl LiveObjects<'_> {
    /// Returns the objects that the changes write, the Secret first.
    pub fn diffs(self, changes: &[Change]) -> Vec<ObjectDiff> {
        let mut diffs: Vec<ObjectDiff> = self.secret(changes).into_iter().collect();
        for account in &self.view.service_accounts {
            let mut lists = changes.iter().filter_map(|change| match change {
                Change::SetPullSecrets { service_account, pull_secrets, .. }
                    if **service_account == *account.name =>
                {
                    Some(pull_secrets.as_slice())
                }
                _ => None,
            });
            if let Some(planned) = lists.next_back() {
                let object = |list| yaml(&self.service_account(&account.name, list));
                let (live, planned) = (object(&account.pull_secrets), object(planned));
                let name = format!("v1.ServiceAccount.{}.{}", self.view.name, account.name);
                diffs.push(ObjectDiff { name, live, planned });
            }
        }
        diffs
    }

    fn service_account(self, name: &str, pull_secrets: &[Box<str>]) -> Value {
        let list: Vec<Value> = pull_secrets.iter().map(|name| json!({ "name": name })).collect();
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": name, "namespace": *self.view.name },
        });
        if !list.is_empty() {
            object["imagePullSecrets"] = json!(list);
        }
        object
    }

    fn secret(self, changes: &[Change]) -> Option<ObjectDiff> {
        let change = changes.iter().rfind(|change| !matches!(change, Change::SetPullSecrets { .. }))?;
        let texts = |live_mask, planned_mask| {
            let live = self.view.secret.as_ref().map(|secret| yaml(&self.live_secret(secret, live_mask)));
            let planned = self.planned_secret(change, planned_mask).map(|object| yaml(&object));
            (live.unwrap_or_default(), planned.unwrap_or_default())
        };
        let (mut live, mut planned) = texts(MASK, MASK);
        if live == planned {
            // Only credentials change.
            (live, planned) = texts("*** (before)", "*** (after)");
        }
        let name = format!("v1.Secret.{}.{}", self.view.name, self.template.name);
        Some(ObjectDiff { name, live, planned })
    }

    /// Returns the annotation of the live Secret that lists its registries.
    fn live_registries(self) -> Option<Vec<ShownRegistry>> {
        let text = self.metadata?.annotations().get(names::ANNOTATION_REGISTRIES)?;
        serde_json::from_str(text).ok()
    }

    fn live_secret(self, secret: &SecretView, mask: &str) -> Value {
        let hosts = self.live_registries().map(|listed| masked(&listed, mask));
        let mut data = Map::from_iter([(names::SECRET_KEY.to_owned(), hosts.unwrap_or_else(|| json!(mask)))]);
        data.extend(secret.extra_keys.iter().map(|key| (key.to_string(), json!(mask))));
        let mut object =
            self.object(secret.foreign_type.as_deref().unwrap_or(names::SECRET_TYPE), data.into());
        if secret.immutable {
            object["immutable"] = json!(true);
        }
        let Some(found) = self.metadata else { return object };
        let reads = |map: &BTreeMap<String, String>, reads: &dyn Fn(&str) -> bool| -> Map<String, Value> {
            map.iter().filter(|(key, _)| reads(key)).map(|(key, value)| (key.clone(), json!(value))).collect()
        };
        let labels = reads(found.labels(), &|key| self.template.reads_label(key));
        // Its domains are those of the data.
        let annotations = reads(found.annotations(), &|key| {
            key != names::ANNOTATION_REGISTRIES && self.template.reads_annotation(key)
        });
        let owners = found.owner_references().iter();
        let owners: Vec<Value> =
            owners.map(|owner| json!({ "kind": owner.kind, "name": owner.name })).collect();
        for (key, value) in [
            ("labels", json!(labels)),
            ("annotations", json!(annotations)),
            ("finalizers", json!(found.finalizers())),
            ("ownerReferences", json!(owners)),
        ] {
            if value.as_array().is_none_or(|list| !list.is_empty())
                && value.as_object().is_none_or(|map| !map.is_empty())
            {
                object["metadata"][key] = value;
            }
        }
        object
    }

    fn planned_secret(self, change: &Change, mask: &str) -> Option<Value> {
        match change {
            Change::CreateSecret { content }
            | Change::UpdateSecret { content, .. }
            | Change::ReplaceSecret { content, .. } => Some(self.written(content, mask)),
            Change::RetainSecret { .. } => {
                let mut object = self.live_secret(self.view.secret.as_ref()?, mask);
                let data = object["data"].as_object_mut()?;
                data.retain(|key, _| key == names::SECRET_KEY);
                let metadata = object["metadata"].as_object_mut()?;
                metadata.retain(|key, _| key != "finalizers" && key != "ownerReferences");
                object["metadata"]["annotations"][names::ANNOTATION_RETAINED] = json!("true");
                Some(object)
            }
            Change::DeleteSecret { .. } | Change::SetPullSecrets { .. } => None,
        }
    }

    fn written(self, content: &SecretContent, mask: &str) -> Value {
        let mut listed: Vec<ShownRegistry> = serde_json::from_str(&content.registries).unwrap_or_default();
        let live = self.live_registries().unwrap_or_default();
        for registry in &mut listed {
            let is_placeholder = |domain: &String| self.placeholders.contains_key(domain);
            if registry.domains.iter().any(is_placeholder) {
                let same = live.iter().find(|live| live.registry == registry.registry);
                registry.domains = match same {
                    Some(live) => live.domains.clone(),
                    None => vec![format!("(the domains of {})", registry.registry)],
                };
            }
        }
        let data = json!({ names::SECRET_KEY: masked(&listed, mask) });
        let mut object = self.object(names::SECRET_TYPE, data);
        let mut annotations = self.template.annotations.clone();
        annotations.insert(names::ANNOTATION_NAMESPACE.to_owned(), self.view.name.to_string());
        object["metadata"]["annotations"] = json!(annotations);
        object["metadata"]["labels"] = json!(self.template.all_labels());
        object
    }

    fn object(self, secret_type: &str, data: Value) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": self.template.name, "namespace": *self.view.name },
            "type": secret_type,
            "data": data,
        })
    }
}

/// A registry in the annotation of a Secret, as far as it is shown.
#[derive(Deserialize)]
struct ShownRegistry {
    registry: String,
    domains: Vec<String>,
}

/// Returns the Docker configuration with its hosts, and the registry of each in place of its credential.
fn masked(listed: &[ShownRegistry], mask: &str) -> Value {
    let of = |registry: &ShownRegistry| json!(format!("{mask} of {}", registry.registry));
    let hosts = listed
        .iter()
        .flat_map(|registry| registry.domains.iter().map(move |domain| (domain.clone(), of(registry))));
    json!({ "auths": Map::from_iter(hosts) })
}

/// Returns an object as YAML. A map of strings always serializes.
fn yaml(object: &Value) -> String {
    serde_saphyr::to_string(object).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::Secret;
    use kube::api::PartialObjectMeta;
    use serde_json::{Value, json};

    use super::{LiveObjects, ObjectDiff};
    use crate::api::names;
    use crate::plan::Change;
    use crate::plan::fixture::{holding, resolved, snapshot, template, view};

    /// Returns the lines that a change of the Secret of team-a adds and removes.
    fn lines(metadata: Value, placeholders: &[(&str, &str)], change: &str) -> String {
        let content = snapshot([resolved("a")]).content(&[0]);
        let mut view = view(&[]);
        view.secret = Some(holding(&content));
        let metadata: PartialObjectMeta<Secret> =
            serde_json::from_value(json!({ "metadata": metadata })).unwrap();
        let pairs = placeholders.iter().map(|(domain, registry)| (domain.to_string(), registry.to_string()));
        let placeholders: BTreeMap<_, _> = pairs.collect();
        let template = template();
        let metadata = Some(&metadata);
        let live = LiveObjects { view: &view, template: &template, metadata, placeholders: &placeholders };
        let (resource_version, extra_keys) = (Box::from("1"), Box::default());
        let change = match change {
            "update" => Change::UpdateSecret { content, resource_version, extra_keys, reverts: false },
            "retain" => Change::RetainSecret { resource_version, extra_keys },
            _ => Change::DeleteSecret { uid: "u".into(), resource_version },
        };
        let mut diff = Vec::new();
        live.diffs(&[change]).iter().try_for_each(|object: &ObjectDiff| object.write(&mut diff)).unwrap();
        let diff = String::from_utf8(diff).unwrap();
        let is_change = |line: &&str| line.starts_with(['+', '-']) && !line[1..].starts_with(['+', '-']);
        diff.lines().filter(is_change).map(|line| format!("{line}\n")).collect()
    }

    /// Returns the metadata of a Secret that lists these domains of the registry.
    fn listing(domains: &[&str]) -> Value {
        let content = snapshot([resolved("a")]).content(&[0]);
        let mut listed: Value = serde_json::from_str(&content.registries).unwrap();
        listed[0]["domains"] = json!(domains);
        json!({
            "name": template().name,
            "labels": { names::LABEL_MANAGED_BY: names::MANAGER, "theirs": "stays" },
            "annotations": {
                names::ANNOTATION_REGISTRIES: listed.to_string(),
                names::ANNOTATION_NAMESPACE: *view(&[]).name,
                "kubectl.kubernetes.io/last-applied-configuration": "{\"data\":\"c2VjcmV0\"}",
            },
        })
    }

    fn domain() -> String {
        let content = snapshot([resolved("a")]).content(&[0]);
        let listed: Value = serde_json::from_str(&content.registries).unwrap();
        listed[0]["domains"][0].as_str().unwrap().to_owned()
    }

    #[test]
    fn hosts_that_come_and_go_are_shown_and_no_credential() {
        let changed = lines(listing(&["old.example.com"]), &[], "update");
        assert!(changed.contains("-      old.example.com: \"*** of "), "{changed}");
        assert!(changed.contains(&format!("+      {}: \"*** of ", domain())), "{changed}");
        assert_eq!(changed.lines().count(), 2, "labels and annotations of others stay: {changed}");
    }

    #[test]
    fn a_change_of_credentials_only_is_marked() {
        let changed = lines(listing(&[&domain()]), &[], "update");
        assert!(changed.contains("\"*** (before) of ") && changed.contains("\"*** (after) of "), "{changed}");
    }

    #[test]
    fn domains_that_only_the_cloud_knows_are_those_of_the_live_secret() {
        let mut metadata = listing(&["vpc.example.com"]);
        metadata["finalizers"] = json!(["example.com/hold"]);
        let changed = lines(metadata, &[(&domain(), "it")], "update");
        assert_eq!(changed, "-  finalizers:\n-  - example.com/hold\n");
    }

    #[test]
    fn a_secret_that_is_left_behind_or_deleted_is_shown_without_its_data() {
        let retained = lines(listing(&[&domain()]), &[], "retain");
        assert_eq!(retained, format!("+    {}: \"true\"\n", names::ANNOTATION_RETAINED));
        let deleted = lines(listing(&[&domain()]), &[], "delete");
        assert!(deleted.lines().all(|line| line.starts_with('-')) && deleted.contains("kind: Secret"));
        assert!(!deleted.contains("c2VjcmV0") && !deleted.contains("theirs"), "{deleted}");
    }
}
