//! Names and label values as regular expressions of RE2, which is what CEL matches with.

use crate::model::pattern::Pattern;

/// The expression of a glob that matches every name.
const EVERYTHING: &str = "^.*$";

/// Returns an expression that matches a name if any of the patterns does. An empty list gives an empty expression.
pub(super) fn any_of(patterns: &[Pattern]) -> String {
    patterns.iter().map(Pattern::to_regex).collect::<Vec<_>>().join("|")
}

/// Returns whether one of the patterns matches every name.
pub(super) fn matches_everything(patterns: &[Pattern]) -> bool {
    patterns.iter().any(|pattern| pattern.to_regex() == EVERYTHING)
}
