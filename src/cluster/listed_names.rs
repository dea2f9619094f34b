//! The names of a complete list.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// The names of a complete list, as digests: the names of a hundred thousand objects would need ten times the memory.
///
/// The key of the digests is random. Two names have the same digest in one of 10^19 cases. An object that is gone would
/// be kept then, until the next list.
#[derive(Debug, Default)]
pub struct ListedNames {
    key: RandomState,
    digests: HashSet<u64>,
}

impl ListedNames {
    /// Adds a name; the namespace is empty for an object without one.
    pub fn add(&mut self, namespace: &str, name: &str) {
        self.digests.insert(self.key.hash_one((namespace, name)));
    }

    /// Returns whether an object was listed.
    pub fn contains(&self, namespace: &str, name: &str) -> bool {
        self.digests.contains(&self.key.hash_one((namespace, name)))
    }

    /// Returns the number of objects.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Returns whether nothing was listed.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::ListedNames;

    #[test]
    fn a_name_is_listed_in_its_namespace_alone() {
        let mut listed = ListedNames::default();
        assert!(listed.is_empty());
        listed.add("a", "bc");
        listed.add("", "d");
        assert_eq!(listed.len(), 2);
        assert!(listed.contains("a", "bc") && listed.contains("", "d"));
        assert!(!listed.contains("ab", "c") && !listed.contains("d", ""));
    }
}
