//! The pairs of a status in a few bytes each: two hundred of them, for each of thousands of bindings, are kept.

use std::collections::HashMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use crate::api::status::PairStatus;

/// The pairs of one status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PackedPairs {
    registries: Vec<String>,
    /// The conditions that occur, apart from their times.
    conditions: Vec<Condition>,
    /// The names of the namespaces, one after the other.
    namespaces: String,
    pairs: Box<[PackedPair]>,
    /// Pairs as the API server has them, where they are not as this controller writes them.
    unpacked: Vec<PairStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct PackedPair {
    registry: u16,
    condition: u16,
    /// The end of its namespace's name.
    end: u32,
    since: Timestamp,
}

/// A list of values that occur, each once.
struct Dictionary<T> {
    values: Vec<T>,
    positions: HashMap<String, u16>,
}

impl<T> Dictionary<T> {
    fn new() -> Self {
        Self { values: Vec::new(), positions: HashMap::new() }
    }

    fn position(&mut self, key: String, value: impl FnOnce() -> T) -> Option<u16> {
        if let Some(position) = self.positions.get(&key) {
            return Some(*position);
        }
        let position = u16::try_from(self.values.len()).ok()?;
        self.values.push(value());
        self.positions.insert(key, position);
        Some(position)
    }
}

impl PackedPairs {
    /// Packs the pairs of a status.
    pub fn pack(pairs: Vec<PairStatus>) -> Self {
        match Self::try_pack(&pairs) {
            Some(packed) => packed,
            None => Self { unpacked: pairs, ..Self::default() },
        }
    }

    fn try_pack(pairs: &[PairStatus]) -> Option<Self> {
        let (mut registries, mut conditions) = (Dictionary::new(), Dictionary::new());
        let (mut namespaces, mut packed) = (String::new(), Vec::with_capacity(pairs.len()));
        for pair in pairs {
            let [condition] = &pair.conditions[..] else { return None };
            let timeless =
                Condition { last_transition_time: Time(Timestamp::UNIX_EPOCH), ..condition.clone() };
            let key = serde_json::to_string(&timeless).ok()?;
            namespaces.push_str(&pair.namespace);
            packed.push(PackedPair {
                registry: registries.position(pair.registry.clone(), || pair.registry.clone())?,
                condition: conditions.position(key, || timeless)?,
                end: u32::try_from(namespaces.len()).ok()?,
                since: condition.last_transition_time.0,
            });
        }
        namespaces.shrink_to_fit();
        Some(Self {
            registries: registries.values,
            conditions: conditions.values,
            namespaces,
            pairs: packed.into(),
            unpacked: Vec::new(),
        })
    }

    /// Returns the pairs as they were.
    pub fn unpack(&self) -> Vec<PairStatus> {
        let pair = |(pair, namespace): (&PackedPair, &str)| PairStatus {
            registry: self.registries[usize::from(pair.registry)].clone(),
            namespace: namespace.to_owned(),
            conditions: vec![Condition {
                last_transition_time: Time(pair.since),
                ..self.conditions[usize::from(pair.condition)].clone()
            }],
        };
        let packed = self.pairs.iter().zip(self.packed_namespaces()).map(pair);
        packed.chain(self.unpacked.iter().cloned()).collect()
    }

    /// Returns the namespace of each pair.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.packed_namespaces().chain(self.unpacked.iter().map(|pair| pair.namespace.as_str()))
    }

    fn packed_namespaces(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().scan(0, |start, pair| {
            let end = usize::try_from(pair.end).ok()?;
            Some(&self.namespaces[std::mem::replace(start, end)..end])
        })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::{Value, json};

    use super::PackedPairs;
    use crate::api::status::PairStatus;

    fn pair(registry: &str, namespace: &str, conditions: Value) -> PairStatus {
        let pair = json!({ "registry": registry, "namespace": namespace, "conditions": conditions });
        serde_json::from_value(pair).unwrap()
    }

    fn condition(status: &str, message: &str, second: i64) -> Value {
        json!({
            "type": "Ready", "status": status, "reason": "Succeeded", "message": message, "observedGeneration": 3,
            "lastTransitionTime": Timestamp::from_second(second).unwrap().to_string(),
        })
    }

    #[test]
    fn pairs_are_the_same_after_they_were_packed() {
        let one = |second| json!([condition("True", "The Secret holds a valid credential.", second)]);
        let written = vec![
            pair("cri-1", "prod", one(7)),
            pair("cri-2", "prod", json!([condition("False", "why", 8)])),
            pair("cri-1", "a-long-name-of-a-namespace", one(9)),
            pair("cri-1", "", one(9)),
        ];
        let odd = vec![pair("cri-1", "prod", json!([])), pair("cri-2", "prod", one(7))];
        for pairs in [written, odd, Vec::new()] {
            let packed = PackedPairs::pack(pairs.clone());
            assert_eq!(packed.unpack(), pairs);
            let namespaces: Vec<&str> = pairs.iter().map(|pair| pair.namespace.as_str()).collect();
            assert_eq!(packed.namespaces().collect::<Vec<_>>(), namespaces);
        }
    }

    #[test]
    fn two_hundred_equal_pairs_keep_one_condition_and_one_registry() {
        let pairs = (0..200).map(|i| {
            pair(
                "cri-1",
                &format!("n{i}"),
                json!([condition("True", "The Secret holds a valid credential.", i)]),
            )
        });
        let packed = PackedPairs::pack(pairs.collect());
        assert_eq!((packed.pairs.len(), packed.conditions.len(), packed.registries.len()), (200, 1, 1));
        assert!(packed.unpacked.is_empty());
        assert!(size_of_val(&*packed.pairs) <= 200 * 24);
    }
}
