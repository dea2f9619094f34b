//! Who names a Secret that goes: Pods that are started again there need it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use super::plan::{Error, list};
use crate::cluster::error::classify;

/// As many are listed of a Secret; thousands of Pods may name it.
const MOST: usize = 20;

/// Who names some Secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretReferences {
    /// By namespace and Secret, each as its kind and name.
    pub found: BTreeMap<(String, String), Vec<String>>,
    /// What could not be looked at, and why.
    pub unseen: BTreeSet<String>,
}

/// What makes Pods, before what it makes.
fn kinds() -> [(&'static str, ApiResource); 8] {
    [
        ("the Deployments", ApiResource::erase::<Deployment>(&())),
        ("the StatefulSets", ApiResource::erase::<StatefulSet>(&())),
        ("the DaemonSets", ApiResource::erase::<DaemonSet>(&())),
        ("the CronJobs", ApiResource::erase::<CronJob>(&())),
        ("the ReplicationControllers", ApiResource::erase::<ReplicationController>(&())),
        ("the ReplicaSets", ApiResource::erase::<ReplicaSet>(&())),
        ("the Jobs", ApiResource::erase::<Job>(&())),
        ("the Pods", ApiResource::erase::<Pod>(&())),
    ]
}

/// Pods, and what makes them, that name one of these Secrets in one of these namespaces: as pull Secret, as volume, or
/// in any other field. What is made by one that is told is not told again. Whoever may not look is told so.
pub(super) async fn find_references(
    client: &Client,
    names: &[&str],
    namespaces: &[&str],
) -> SecretReferences {
    let mut secret_references = SecretReferences::default();
    if namespaces.is_empty() {
        return secret_references;
    }
    let namespaces: HashSet<&str> = namespaces.iter().copied().collect();
    let mut known: HashSet<[String; 4]> = HashSet::new();
    for (what, resource) in kinds() {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let listed = list(&api, None, what, |object| {
            let namespace = object.namespace().unwrap_or_default();
            if !namespaces.contains(&*namespace) {
                return;
            }
            let of =
                |kind: &str, name: &str, secret: &str| [&*namespace, kind, name, secret].map(str::to_owned);
            let owner = object.owner_references().iter().find(|owner| owner.controller == Some(true));
            let mut named = BTreeSet::new();
            named_in(&object.data["spec"], names, &mut named);
            for secret in named {
                let told = owner.is_some_and(|owner| known.contains(&of(&owner.kind, &owner.name, secret)));
                known.insert(of(&resource.kind, &object.name_any(), secret));
                if !told {
                    let by = format!("{} {}", resource.kind, object.name_any());
                    secret_references
                        .found
                        .entry((namespace.clone(), secret.to_owned()))
                        .or_default()
                        .push(by);
                }
            }
        });
        if let Err(Error::Unreadable { what, source }) = listed.await {
            secret_references.unseen.insert(format!("{what}: {}", classify(&source)));
        }
    }
    secret_references
}

/// The names that stand anywhere in a value as a whole text.
fn named_in<'a>(value: &Value, names: &[&'a str], found: &mut BTreeSet<&'a str>) {
    match value {
        Value::String(text) => found.extend(names.iter().copied().filter(|name| text == name)),
        Value::Array(items) => items.iter().for_each(|item| named_in(item, names, found)),
        Value::Object(fields) => fields.values().for_each(|field| named_in(field, names, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl SecretReferences {
    /// Adds those who name others.
    pub(super) fn extend(&mut self, others: Self) {
        self.found.extend(others.found);
        self.unseen.extend(others.unseen);
    }

    /// Writes them for people.
    ///
    /// # Errors
    /// What is written to cannot be.
    pub(super) fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        if !self.found.is_empty() {
            writeln!(to, "named where they go, and needed for as long as Pods may be started again there:")?;
        }
        for ((namespace, secret), by) in &self.found {
            let listed = by.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = by.len().saturating_sub(MOST);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            writeln!(to, "  {namespace}: {secret} is named by {listed}{more}")?;
        }
        self.unseen.iter().try_for_each(|what| writeln!(to, "who names them was not looked for among {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{BTreeSet, SecretReferences, named_in};
    use serde_json::json;

    #[test]
    fn a_secret_is_named_by_whole_texts_wherever_they_stand() {
        let spec = json!({
            "imagePullSecrets": [{ "name": "a" }],
            "volumes": [{ "projected": { "sources": [{ "secret": { "name": "b" } }] } }],
            "containers": [{ "args": ["--secret=c", 1, null, true] }],
        });
        let mut found = BTreeSet::new();
        named_in(&spec, &["a", "b", "c", "imagePullSecrets"], &mut found);
        assert_eq!(found, ["a", "b"].into());
    }

    #[test]
    fn of_many_some_are_listed_and_the_rest_is_counted() {
        let key = ("n".to_owned(), "s".to_owned());
        let pods = |count: usize| (0..count).map(|n| format!("Pod {n}")).collect();
        let told = |count| {
            let secret_references = SecretReferences {
                found: [(key.clone(), pods(count))].into(),
                unseen: ["the Jobs: no".into()].into(),
            };
            let mut bytes = Vec::new();
            secret_references.write(&mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        assert!(told(20).contains("  n: s is named by Pod 0, Pod 1,") && told(20).contains(", Pod 19\n"));
        assert!(told(23).contains(", Pod 19 and 3 more\n"), "{}", told(23));
        assert!(told(1).ends_with("who names them was not looked for among the Jobs: no\n"));
    }
}
