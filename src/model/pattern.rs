//! Names and globs.

use std::fmt;

/// A name, or a glob: `*` matches any run of characters, `?` exactly one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Creates a pattern from its text. Every text is valid; the schema limits the characters.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether it may match other names than its own text.
    pub fn is_glob(&self) -> bool {
        self.0.contains(['*', '?'])
    }

    /// Returns the text before its first wildcard: each name that matches begins with it.
    pub fn literal_start(&self) -> &str {
        self.0.split(['*', '?']).next().unwrap_or_default()
    }

    /// Returns the text after its last wildcard: each name that matches ends with it.
    pub fn literal_end(&self) -> &str {
        self.0.rsplit(['*', '?']).next().unwrap_or_default()
    }

    /// Returns whether the whole of `name` matches.
    ///
    /// Linear in practice: on a mismatch only the last `*` is tried again, since an earlier one can gain nothing
    /// that the last one cannot.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while n < name.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    retry = Some((p, n));
                    p += 1;
                }
                Some(&c) if c == b'?' || c == name[n] => {
                    p += 1;
                    n += 1;
                }
                _ => match &mut retry {
                    Some((star, from)) => {
                        *from += 1;
                        p = *star + 1;
                        n = *from;
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|&c| c == b'*')
    }

    /// Returns the pattern as a regular expression of RE2, anchored at both ends.
    pub fn to_regex(&self) -> String {
        let mut regex = String::from("^");
        for c in self.0.chars() {
            match c {
                '*' => regex.push_str(".*"),
                '?' => regex.push('.'),
                _ => {
                    if !c.is_ascii_alphanumeric() && c.is_ascii() {
                        regex.push('\\');
                    }
                    regex.push(c);
                }
            }
        }
        regex.push('$');
        regex
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_matches_the_whole_name() {
        for (pattern, name, expected) in [
            ("default", "default", true),
            ("default", "default-2", false),
            ("default", "defaul", false),
            ("*", "", true),
            ("*", "anything", true),
            ("team-a-*", "team-a-web", true),
            ("team-a-*", "team-a", false),
            ("*-prod", "web-prod", true),
            ("*-prod", "web-prod-2", false),
            ("a*b*c", "aXXbYYbZc", true),
            ("a*b*c", "aXXbYY", false),
            ("web-?", "web-1", true),
            ("web-?", "web-10", false),
            ("?*", "", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn special_characters_of_regular_expressions_are_escaped() {
        for (pattern, regex) in [("a.b", r"^a\.b$"), ("team-*", r"^team\-.*$"), ("web-?", r"^web\-.$")] {
            assert_eq!(Pattern::new(pattern).to_regex(), regex);
        }
    }

    proptest! {
        #[test]
        fn a_pattern_agrees_with_its_definition(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            fn naive(p: &[u8], n: &[u8]) -> bool {
                match p.split_first() {
                    None => n.is_empty(),
                    Some((b'*', rest)) => (0..=n.len()).any(|i| naive(rest, &n[i..])),
                    Some((b'?', rest)) => !n.is_empty() && naive(rest, &n[1..]),
                    Some((c, rest)) => n.first() == Some(c) && naive(rest, &n[1..]),
                }
            }
            let expected = naive(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(Pattern::new(pattern).matches(&name), expected);
        }
    }
}
