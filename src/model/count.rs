//! Counts with their nouns.

/// Returns a count with the noun that agrees with it: `count(1, "registry", "registries")` is `1 registry`, and of
/// two it is `2 registries`. Every message that counts something uses it.
pub fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_agrees_with_its_noun() {
        assert_eq!(count(0, "registry", "registries"), "0 registries");
        assert_eq!(count(1, "registry", "registries"), "1 registry");
        assert_eq!(count(2, "registry", "registries"), "2 registries");
    }
}
