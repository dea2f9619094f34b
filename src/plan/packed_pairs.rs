//! The pairs of a binding's status in little memory: most of them have the same conditions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::status::PairStatus;

/// Separates two names of namespaces, which do not hold it.
const BETWEEN: char = '/';

/// The pairs of one status. Equal conditions, and equal names of registries, are kept once, and the names of the namespaces
/// in one text: a pair takes little more than the name of its namespace.
#[derive(Clone, Debug, Default)]
pub struct PackedPairs {
    registries: Box<[Box<str>]>,
    conditions: Box<[Box<[Condition]>]>,
    /// The positions of a pair's registry and of its conditions.
    parts: Box<[(u16, u16)]>,
    namespaces: Box<str>,
}

impl PackedPairs {
    /// Packs the pairs of a status, of which there are [`super::status::MAX_PAIRS`] at most. What is beyond the room of a position is left
    /// out, and reported again.
    pub fn pack(pairs: Vec<PairStatus>) -> Self {
        let (mut registries, mut distinct): (Vec<Box<str>>, Vec<Box<[Condition]>>) = Default::default();
        let (mut parts, mut namespaces) = (Vec::with_capacity(pairs.len()), String::new());
        for PairStatus { registry, namespace, conditions } in pairs {
            let registry =
                position(&mut registries, |known| **known == *registry, || registry.as_str().into());
            let conditions =
                position(&mut distinct, |known| **known == *conditions, || conditions.as_slice().into());
            let (Some(registry), Some(conditions)) = (registry, conditions) else { break };
            if !parts.is_empty() {
                namespaces.push(BETWEEN);
            }
            namespaces.push_str(&namespace);
            parts.push((registry, conditions));
        }
        Self {
            registries: registries.into(),
            conditions: distinct.into(),
            parts: parts.into(),
            namespaces: namespaces.into(),
        }
    }

    /// Returns the pairs as the status has them.
    pub fn unpack(&self) -> Vec<PairStatus> {
        let unpacked =
            self.parts.iter().zip(self.namespaces()).map(|(&(registry, conditions), namespace)| PairStatus {
                registry: self.registries[usize::from(registry)].to_string(),
                namespace: namespace.to_owned(),
                conditions: self.conditions[usize::from(conditions)].to_vec(),
            });
        unpacked.collect()
    }

    /// Returns the namespace of each pair.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.namespaces.split(BETWEEN).take(self.parts.len())
    }
}

/// Returns the position of the known value that is equal, or else of a new one. Neighbours are often equal.
fn position<T>(known: &mut Vec<T>, equal: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> Option<u16> {
    let at = known.iter().rposition(equal).unwrap_or_else(|| {
        known.push(new());
        known.len() - 1
    });
    u16::try_from(at).ok()
}

#[cfg(test)]
mod tests {
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
        assert_eq!((packed.registries.len(), packed.conditions.len()), (2, 2));
        assert_eq!(&*packed.parts, [(0, 0), (0, 1), (1, 1), (0, 1)]);
        assert_eq!(PackedPairs::pack(Vec::new()).unpack(), []);
        assert_eq!(PackedPairs::default().namespaces().count(), 0);
    }
}
