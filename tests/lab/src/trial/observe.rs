//! The part of a cluster that one run changed, without what differs from run to run.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::{
    Api,
    api::{DynamicObject, ListParams},
};
use serde_json::{Value, json};

use super::rig::{CONFIG_MAP, Rig, SECRET};
use crate::{cloud::Cloud, plane::Write};

/// Fields that differ between two runs that end alike. A message may name a time or a request.
const VOLATILE: [&str; 13] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "generation",
    "observedGeneration",
    "lastTransitionTime",
    "expiresAt",
    "refreshedAt",
    "nextRefreshAt",
    "expires",
    "message",
    "kubectl.kubernetes.io/last-applied-configuration",
];

/// The instances whose tokens are recognized.
const INSTANCES: [&str; 3] = ["cri-demo0001", "cri-demo0002", "cri-demo0003"];

/// In place of the run's own name.
const RUN: &str = "RUN";

/// The objects of a run, by what they are.
#[derive(Debug, Clone, PartialEq)]
pub struct State(BTreeMap<String, Value>);

impl State {
    pub(super) async fn observe(rig: &Rig, tag: &str) -> anyhow::Result<State> {
        let all = ListParams::default();
        let mut objects = BTreeMap::new();
        let mut add = |kind: &str, namespace: &str, name: &str, object: Value| {
            let key = format!("{kind} {namespace}/{name}").replace(tag, RUN);
            objects.insert(key, masked(object, tag));
        };
        let is_mine = |name: &str| name.starts_with(tag);
        for binding in rig.bindings().list(&all).await? {
            let DynamicObject { metadata, data, .. } = binding;
            let name = metadata.name.clone().unwrap_or_default();
            if is_mine(&name) || name == CONFIG_MAP {
                let state = json!({ "metadata": metadata, "spec": data["spec"], "status": data["status"] });
                add("binding", "", &name, state);
            }
        }
        let accounts: Api<ServiceAccount> = Api::all(rig.client());
        for account in accounts.list(&all).await? {
            let namespace = account.metadata.namespace.clone().unwrap_or_default();
            if is_mine(&namespace) {
                let name = account.metadata.name.clone().unwrap_or_default();
                let state = json!({
                    "labels": account.metadata.labels, "annotations": account.metadata.annotations,
                    "entries": account.image_pull_secrets,
                });
                add("account", &namespace, &name, state);
            }
        }
        let secrets: Api<Secret> = Api::all(rig.client());
        for secret in secrets.list(&all.fields(&format!("metadata.name={SECRET}"))).await? {
            let namespace = secret.metadata.namespace.clone().unwrap_or_default();
            if is_mine(&namespace) {
                add("secret", &namespace, SECRET, secret_state(&secret, &rig.cloud));
            }
        }
        Ok(State(objects))
    }

    /// Returns the keys of the objects that this run has.
    pub fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// Describes what differs in another state; empty where nothing does.
    pub fn difference(&self, other: &State) -> String {
        let mut lines = Vec::new();
        for key in self.0.keys().chain(other.0.keys().filter(|key| !self.0.contains_key(*key))) {
            let (here, there) = (self.0.get(key), other.0.get(key));
            if here != there {
                let text = |value: Option<&Value>| value.map_or("absent".to_owned(), Value::to_string);
                lines.push(format!("{key}\n   is     {}\n   wanted {}", text(here), text(there)));
            }
        }
        lines.join("\n")
    }
}

/// Counts the writes that took effect, by object, under names without the run's own.
pub(super) fn written(writes: &[Write], tag: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for write in writes.iter().filter(|write| write.status < 300) {
        let of = &write.request;
        let slash = if of.subresource.is_empty() { "" } else { "/" };
        let key = format!("{}{slash}{} {}/{}", of.resource, of.subresource, of.namespace, of.name);
        *counts.entry(key.replace(tag, RUN)).or_default() += 1;
    }
    counts
}

fn secret_state(secret: &Secret, cloud: &Cloud) -> Value {
    let data = secret.data.clone().unwrap_or_default();
    let mut keys: BTreeMap<String, Value> = BTreeMap::new();
    for (key, bytes) in data {
        let content = serde_json::from_slice::<Value>(&bytes.0).unwrap_or(Value::Null);
        let auths = content["auths"].as_object().cloned().unwrap_or_default();
        let state = |auth: &Value| {
            let text = |field: &str| auth[field].as_str().unwrap_or_default();
            let (user, token) = (text("username"), text("password"));
            let opens: Vec<&str> =
                INSTANCES.into_iter().filter(|instance| cloud.token_valid(user, token, instance)).collect();
            json!({ "user": user, "opens": opens })
        };
        let auths: BTreeMap<&String, Value> =
            auths.iter().map(|(domain, auth)| (domain, state(auth))).collect();
        keys.insert(key, json!(auths));
    }
    let mut annotations = json!(secret.metadata.annotations);
    for value in annotations.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut) {
        // An annotation that holds JSON is compared by its fields.
        if let Some(parsed) = value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok())
            && (parsed.is_array() || parsed.is_object())
        {
            *value = parsed;
        }
    }
    json!({
        "type": secret.type_, "labels": secret.metadata.labels, "annotations": annotations,
        "owners": secret.metadata.owner_references, "finalizers": secret.metadata.finalizers, "data": keys,
    })
}

fn masked(value: Value, tag: &str) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(name, _)| !VOLATILE.contains(&name.as_str()));
            kept.map(|(name, value)| (name.replace(tag, RUN), masked(value, tag))).collect()
        }
        Value::Array(items) => items.into_iter().map(|item| masked(item, tag)).collect(),
        Value::String(text) => Value::String(text.replace(tag, RUN)),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_that_end_alike_compare_equal_and_others_do_not() {
        let object = |tag: &str, uid: &str, entry: &str| {
            let value = json!({
                "metadata": { "uid": uid, "name": tag, "labels": { "of": format!("{tag}-a") } },
                "entries": [{ "name": entry }], "conditions": [{ "type": "Ready", "message": uid }],
            });
            State([("account RUN/default".to_owned(), masked(value, tag))].into())
        };
        let (one, two) = (object("calm-1", "a", "x"), object("crash-2", "b", "x"));
        assert_eq!(one.difference(&two), "");
        let three = object("crash-3", "b", "y");
        assert!(one.difference(&three).contains("account RUN/default"), "{}", one.difference(&three));
    }
}
