//! The objects of the model API server, and the rules by which it writes them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::api::names;

/// What identifies an object: plural, namespace, name.
pub type ModelKey = (String, String, String);

/// An event that a watch delivers.
#[derive(Clone, Debug)]
pub struct ModelEvent {
    pub version: u64,
    pub kind: &'static str,
    pub key: ModelKey,
    pub object: Value,
}

/// An answer: a status and its body.
pub type ModelAnswer = (u16, Value);

/// A write that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelWrite {
    pub key: ModelKey,
    pub verb: &'static str,
}

/// All objects, and what happened to them.
#[derive(Debug, Default)]
pub struct ModelCluster {
    pub version: u64,
    pub objects: BTreeMap<ModelKey, Value>,
    pub log: Vec<ModelEvent>,
    /// Writes of the controller that took effect.
    pub writes: Vec<ModelWrite>,
    /// Broken promises of the controller.
    pub violations: Vec<String>,
}

impl ModelCluster {
    /// Stores an object, and notifies the watches.
    pub fn put(&mut self, key: &ModelKey, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let kind = if self.objects.contains_key(key) { "MODIFIED" } else { "ADDED" };
        if kind == "ADDED" {
            object["metadata"]["uid"] = json!(format!("uid-{}", self.version));
            object["metadata"]["creationTimestamp"] = json!("2027-01-15T08:00:00Z");
            object["metadata"]["name"] = json!(key.2);
            if !key.1.is_empty() {
                object["metadata"]["namespace"] = json!(key.1);
            }
        }
        self.objects.insert(key.clone(), object.clone());
        self.log.push(ModelEvent { version: self.version, kind, key: key.clone(), object: object.clone() });
        object
    }

    /// Removes an object, and notifies the watches.
    pub fn remove(&mut self, key: &ModelKey) -> Option<Value> {
        let mut object = self.objects.remove(key)?;
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.log.push(ModelEvent {
            version: self.version,
            kind: "DELETED",
            key: key.clone(),
            object: object.clone(),
        });
        Some(object)
    }

    /// Deletes an object as a user does: one with finalizers only begins to go.
    pub fn delete(&mut self, key: &ModelKey) -> Option<Value> {
        let mut object = self.objects.get(key)?.clone();
        let finalizers = object["metadata"]["finalizers"].as_array().map_or(0, Vec::len);
        if finalizers == 0 {
            return self.remove(key);
        }
        object["metadata"]["deletionTimestamp"] = json!("2027-01-15T09:00:00Z");
        Some(self.put(key, object))
    }

    /// Creates an object by server-side apply without force.
    pub fn apply(&mut self, key: &ModelKey, object: &Value) -> ModelAnswer {
        if self.objects.contains_key(key) {
            return failure(409, "Conflict", "another manager owns it");
        }
        self.wrote(key, "create");
        (201, self.put(key, object.clone()))
    }

    /// Merges a patch into an object.
    pub fn merge(&mut self, key: &ModelKey, patch: &Value) -> ModelAnswer {
        let Some(object) = self.objects.get(key) else { return failure(404, "NotFound", "there is none") };
        let version = &patch["metadata"]["resourceVersion"];
        if version.is_null() {
            self.violations.push(format!("a write of {key:?} without a version"));
        } else if *version != object["metadata"]["resourceVersion"] {
            return failure(409, "Conflict", "the object has been modified");
        }
        let mut next = object.clone();
        merge(&mut next, patch);
        if key.0 == "serviceaccounts" {
            self.check_entries(key, &next);
        }
        if key.0 == "secrets" && !is_ours(&self.objects[key]) {
            self.violations.push(format!("a write of {key:?}, which another owns"));
        }
        self.wrote(key, "patch");
        let gone = !next["metadata"]["deletionTimestamp"].is_null()
            && next["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
        let stored = self.put(key, next);
        if gone {
            self.remove(key);
        }
        (200, stored)
    }

    /// Replaces the status of an object.
    pub fn set_status(&mut self, key: &ModelKey, object: &Value) -> ModelAnswer {
        let Some(now) = self.objects.get(key) else { return failure(404, "NotFound", "there is none") };
        if object["metadata"]["resourceVersion"] != now["metadata"]["resourceVersion"] {
            return failure(409, "Conflict", "the object has been modified");
        }
        let mut next = now.clone();
        next["status"] = object["status"].clone();
        self.wrote(key, "status");
        (200, self.put(key, next))
    }

    /// Deletes an object if its preconditions hold.
    pub fn delete_if(&mut self, key: &ModelKey, options: &Value) -> ModelAnswer {
        let Some(now) = self.objects.get(key) else { return failure(404, "NotFound", "there is none") };
        for field in ["uid", "resourceVersion"] {
            let wanted = &options["preconditions"][field];
            if wanted.is_null() {
                self.violations.push(format!("a deletion of {key:?} without {field}"));
            } else if *wanted != now["metadata"][field] {
                return failure(409, "Conflict", "the precondition does not hold");
            }
        }
        if !is_ours(&self.objects[key]) {
            self.violations.push(format!("a deletion of {key:?}, which another owns"));
        }
        self.wrote(key, "delete");
        (200, self.delete(key).unwrap_or_default())
    }

    fn wrote(&mut self, key: &ModelKey, verb: &'static str) {
        self.writes.push(ModelWrite { key: key.clone(), verb });
    }

    /// Checks that others' entries stay in their order, and that ours is there at most once.
    fn check_entries(&mut self, key: &ModelKey, next: &Value) {
        let others = |entries: Vec<String>| -> Vec<String> {
            entries.into_iter().filter(|entry| entry != names::DEFAULT_SECRET_NAME).collect()
        };
        let (before, after) = (entries(&self.objects[key]), entries(next));
        let ours = after.iter().filter(|entry| *entry == names::DEFAULT_SECRET_NAME).count();
        if others(before.clone()) != others(after.clone()) || ours > 1 {
            self.violations.push(format!("{key:?}: {before:?} became {after:?}"));
        }
    }
}

/// Returns the names in a ServiceAccount's list.
pub fn entries(account: &Value) -> Vec<String> {
    let list = account["imagePullSecrets"].as_array().cloned().unwrap_or_default();
    list.iter().filter_map(|entry| entry["name"].as_str().map(str::to_owned)).collect()
}

/// Returns whether a Secret carries the controller's label.
pub fn is_ours(object: &Value) -> bool {
    object["metadata"]["labels"][names::LABEL_MANAGED_BY] == names::MANAGER
}

/// Returns a refusal in the API server's form.
pub fn failure(code: u16, reason: &str, message: &str) -> ModelAnswer {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code,
    });
    (code, body)
}

/// Merges as RFC 7396 says.
fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    for (name, value) in fields {
        if value.is_null() {
            if let Some(object) = object.as_object_mut() {
                object.remove(name);
            }
        } else {
            merge(&mut object[name], value);
        }
    }
}
