//! The pairs of a binding's status in little memory: most of them have the same conditions.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::status::PairStatus;

/// The pairs of one status. Equal conditions, and equal names of registries, are kept once.
#[derive(Clone, Debug, Default)]
pub struct PackedPairs(Box<[PackedPair]>);

#[derive(Clone, Debug)]
struct PackedPair {
    registry: Arc<str>,
    namespace: Box<str>,
    conditions: Arc<[Condition]>,
}

impl PackedPairs {
    /// Packs the pairs of a status.
    pub fn pack(pairs: Vec<PairStatus>) -> Self {
        let mut registries: Vec<Arc<str>> = Vec::new();
        let mut distinct: Vec<Arc<[Condition]>> = Vec::new();
        let packed = pairs.into_iter().map(|PairStatus { registry, namespace, conditions }| PackedPair {
            registry: shared(&mut registries, |known| **known == *registry, || registry.as_str().into()),
            namespace: namespace.into(),
            conditions: shared(
                &mut distinct,
                |known| **known == *conditions,
                || conditions.as_slice().into(),
            ),
        });
        Self(packed.collect())
    }

    /// Returns the pairs as the status has them.
    pub fn unpack(&self) -> Vec<PairStatus> {
        let unpacked = self.0.iter().map(|pair| PairStatus {
            registry: pair.registry.to_string(),
            namespace: pair.namespace.to_string(),
            conditions: pair.conditions.to_vec(),
        });
        unpacked.collect()
    }

    /// Returns the namespace of each pair.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|pair| &*pair.namespace)
    }
}

/// Returns the known value that is equal, or else remembers a new one. Neighbours are often equal.
fn shared<T: Clone>(known: &mut Vec<T>, equal: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> T {
    if let Some(value) = known.iter().rev().find(|value| equal(value)) {
        return value.clone();
    }
    let value = new();
    known.push(value.clone());
    value
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::PackedPairs;
    use crate::api::status::PairStatus;

    fn pair(registry: &str, namespace: &str, ready: &str) -> PairStatus {
        let condition = json!({
            "type": "Ready", "status": ready, "reason": "Succeeded", "message": "m",
            "lastTransitionTime": "2026-11-30T10:00:00Z",
        });
        let pair = json!({"registry": registry, "namespace": namespace, "conditions": [condition]});
        serde_json::from_value(pair).unwrap()
    }

    #[test]
    fn pairs_are_unpacked_as_they_were_and_equal_parts_are_kept_once() {
        let pairs = vec![
            pair("r", "a", "False"),
            pair("r", "b", "True"),
            pair("s", "a", "True"),
            pair("r", "c", "True"),
        ];
        let packed = PackedPairs::pack(pairs.clone());
        assert_eq!(packed.unpack(), pairs);
        assert_eq!(packed.namespaces().collect::<Vec<_>>(), ["a", "b", "a", "c"]);
        let [first, second, third, fourth] = &*packed.0 else { panic!("four pairs") };
        assert!(Arc::ptr_eq(&second.conditions, &third.conditions));
        assert!(!Arc::ptr_eq(&first.conditions, &second.conditions));
        assert!(
            Arc::ptr_eq(&first.registry, &fourth.registry) && !Arc::ptr_eq(&first.registry, &third.registry)
        );
    }
}
