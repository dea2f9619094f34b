//! The patterns and bounds of the schema, checked with a cure in each message.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::model::duration;
use crate::model::identity::Arn;
use crate::model::labels::Selector;
use crate::model::pattern::Pattern;

/// The longest threshold: half a day.
const MAX_THRESHOLD: Duration = Duration::from_secs(12 * 3600);

pub(super) fn at_most<T>(most: usize, list: &[T]) -> Result<(), String> {
    match list.len() {
        n if n > most => Err(format!("has {n} entries, at most {most}: split the binding")),
        _ => Ok(()),
    }
}

pub(super) fn role(arn: &str) -> Result<Arn, String> {
    Arn::role(arn).and_then(|parsed| no_longer(128, arn, parsed))
}

pub(super) fn oidc_provider(arn: &str) -> Result<Arn, String> {
    Arn::oidc_provider(arn).and_then(|parsed| no_longer(192, arn, parsed))
}

pub(super) fn secret_name(name: &str) -> Result<Box<str>, String> {
    if run(name, lower, |c| matches!(c, '-' | '.')) {
        return no_longer(253, name, name.into());
    }
    Err(format!("{name:?} is not a valid Secret name: write lower-case letters, digits, '-' and '.'"))
}

/// Parses the name of a namespace, or a glob.
pub(super) fn namespace(name: &str) -> Result<Pattern, String> {
    if run(name, glob, |c| c == '-') {
        return no_longer(63, name, Pattern::new(name));
    }
    Err(format!(
        "{name:?} is not a valid namespace name: write lower-case letters, digits and '-', or a glob with * and ?"
    ))
}

/// Parses the name of a ServiceAccount, or a glob.
pub(super) fn service_account(name: &str) -> Result<Pattern, String> {
    if run(name, glob, |c| matches!(c, '-' | '.')) {
        return no_longer(253, name, Pattern::new(name));
    }
    Err(format!(
        "{name:?} is not a valid ServiceAccount name: write lower-case letters, digits, '-' and '.', or a glob with * and ?"
    ))
}

pub(super) fn selector(selector: &LabelSelector) -> Result<Selector, String> {
    // A missing key is deserialized as an empty one.
    if selector.match_expressions.iter().flatten().any(|expression| expression.key.is_empty()) {
        return Err("an expression has no key: add key: and the name of a label".to_owned());
    }
    Selector::parse(selector)
}

/// Parses a Go duration without its rare forms: no sign, no `µs`, and digits on both sides of a dot.
pub(super) fn threshold(text: &str) -> Result<Duration, String> {
    let threshold = duration::parse(text)?;
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let between_digits = |(i, dot): (usize, &str)| {
        digit(text[..i].chars().next_back()) && digit(text[i + dot.len()..].chars().next())
    };
    if !text.is_ascii() || !text.match_indices('.').all(between_digits) {
        return Err(format!("{text:?} has an unusual format: write 15m, 900s, 1h30m or 0.5h"));
    }
    if threshold.is_zero() || threshold > MAX_THRESHOLD {
        return Err("must be more than 0 and at most 12h, such as 15m".to_owned());
    }
    no_longer(32, text, threshold)
}

fn no_longer<T>(most: usize, text: &str, value: T) -> Result<T, String> {
    match text.chars().count() {
        n if n > most => Err(format!("has {n} characters, at most {most}: write fewer")),
        _ => Ok(value),
    }
}

/// Returns whether a text is not empty, begins and ends with an edge character, and has only edge and inner characters.
fn run(text: &str, edge: fn(char) -> bool, inner: fn(char) -> bool) -> bool {
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(|c| edge(c) || inner(c))
}

fn lower(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn glob(c: char) -> bool {
    lower(c) || matches!(c, '*' | '?')
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

    #[test]
    fn a_pattern_is_a_name_with_wildcards() {
        for name in ["default", "*", "team-a-*", "?", "*-prod", "a", "0"] {
            assert!(super::namespace(name).is_ok() && super::service_account(name).is_ok(), "{name}");
        }
        for name in ["", "Default", "a_b", "-a", "a-", ".a", "a.", "a b", "a,b", "é"] {
            assert!(super::namespace(name).is_err() && super::service_account(name).is_err(), "{name}");
        }
        assert!(super::namespace("a.b").is_err() && super::service_account("a.b").is_ok());
        assert!(super::namespace(&"a".repeat(63)).is_ok() && super::namespace(&"a".repeat(64)).is_err());
        assert!(
            super::service_account(&"a".repeat(253)).is_ok()
                && super::service_account(&"a".repeat(254)).is_err()
        );
    }

    #[test]
    fn a_secret_has_a_name_without_wildcards() {
        assert_eq!(super::secret_name("ak.team-b"), Ok("ak.team-b".into()));
        for name in ["", "AK", "a*", "-a", "a/b", &"a".repeat(254)] {
            assert!(super::secret_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn an_arn_is_no_longer_than_the_cloud_allows() {
        let arn = |kind: &str, length: usize| {
            let head = format!("acs:ram::1:{kind}/");
            format!("{head}{}", "a".repeat(length - head.len()))
        };
        assert!(super::role(&arn("role", 128)).is_ok() && super::role(&arn("role", 129)).is_err());
        let provider = |length| super::oidc_provider(&arn("oidc-provider", length));
        assert!(provider(192).is_ok() && provider(193).is_err());
    }

    #[test]
    fn a_threshold_is_a_plain_duration_of_at_most_half_a_day() {
        for (text, seconds) in [("15m", 900), ("1h30m", 5400), ("0.5h", 1800), ("12h", 43_200)] {
            assert_eq!(super::threshold(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "15min", "0s", "12h1s", "13h", "-5m", ".5h", "5.h", "1.h30m", "5µs", &"1s".repeat(17)]
        {
            assert!(super::threshold(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_expression_of_a_selector_has_a_key() {
        let selector = |key: &str| LabelSelector {
            match_expressions: Some(vec![LabelSelectorRequirement {
                key: key.to_owned(),
                operator: "Exists".to_owned(),
                values: None,
            }]),
            match_labels: None,
        };
        assert!(super::selector(&selector("tier")).is_ok() && super::selector(&selector("")).is_err());
    }

    #[test]
    fn a_list_has_a_bound() {
        assert_eq!(super::at_most(2, &[0, 1]), Ok(()));
        assert!(super::at_most(2, &[0, 1, 2]).is_err());
    }
}
