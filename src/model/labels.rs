//! Labels as the index keeps them, and selectors over them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// A key for a selector that matches nothing: both `Exists` and `DoesNotExist` are required of it.
const NEVER: &str = "acrcredential.dev/nothing";

/// The labels of one object, sorted by key. A flat slice: thousands are kept, and most are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Box<[(Box<str>, Box<str>)]>);

impl Labels {
    /// Returns the value of a label.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.binary_search_by(|(k, _)| k.as_ref().cmp(key)).ok().map(|i| self.0[i].1.as_ref())
    }

    /// Returns every label: key and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }
}

impl From<BTreeMap<String, String>> for Labels {
    fn from(labels: BTreeMap<String, String>) -> Self {
        Self(labels.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

/// A label selector with valid operators, keys and values. The API server rejects a selector with a key or value that
/// no label can have, and the whole object with it. So [`Selector::parse`] decides such requirements. Without
/// requirements it selects everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<LabelRequirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct LabelRequirement {
    key: String,
    operator: Operator,
}

/// The operator of a requirement, with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The label exists, with one of these values.
    In(Vec<String>),
    /// The label does not exist, or has another value.
    NotIn(Vec<String>),
    /// The label exists.
    Exists,
    /// The label does not exist.
    DoesNotExist,
}

impl LabelRequirement {
    /// Returns requirements with the same meaning, by keys and values that labels can have: none where all labels meet
    /// it, two that contradict each other where none do.
    fn possible(self) -> Vec<Self> {
        let possible = |values: Vec<String>| {
            let values: Vec<String> = values.into_iter().filter(|value| is_value(value)).collect();
            Some(values).filter(|values| !values.is_empty())
        };
        let (operator, otherwise) = match self.operator {
            Operator::In(values) => (possible(values).map(Operator::In), false),
            Operator::NotIn(values) => (possible(values).map(Operator::NotIn), true),
            Operator::Exists => (Some(Operator::Exists), false),
            Operator::DoesNotExist => (Some(Operator::DoesNotExist), true),
        };
        match operator.filter(|_| is_key(&self.key)) {
            Some(operator) => vec![Self { key: self.key, operator }],
            None if otherwise => Vec::new(),
            None => [Operator::Exists, Operator::DoesNotExist]
                .map(|operator| Self { key: NEVER.to_owned(), operator })
                .into(),
        }
    }
}

impl Selector {
    /// Reads a selector. This is the one place that decides keys and values that no label can have.
    ///
    /// # Errors
    /// A message for the user: the selector is empty (it would select everything), an operator does not exist, or
    /// values are missing or superfluous.
    pub fn parse(selector: &LabelSelector) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for (key, value) in selector.match_labels.iter().flatten() {
            requirements
                .push(LabelRequirement { key: key.clone(), operator: Operator::In(vec![value.clone()]) });
        }
        for expression in selector.match_expressions.iter().flatten() {
            let values = expression.values.clone().unwrap_or_default();
            let operator = match (expression.operator.as_str(), values.is_empty()) {
                ("In", false) => Operator::In(values),
                ("NotIn", false) => Operator::NotIn(values),
                ("Exists", true) => Operator::Exists,
                ("DoesNotExist", true) => Operator::DoesNotExist,
                ("In" | "NotIn", true) => {
                    return Err(format!(
                        "operator {} on {} needs values: write values: and a list",
                        expression.operator, expression.key
                    ));
                }
                ("Exists" | "DoesNotExist", false) => {
                    return Err(format!(
                        "operator {} on {} takes no values: delete them",
                        expression.operator, expression.key
                    ));
                }
                (other, _) => {
                    return Err(format!(
                        "operator {other:?} does not exist: use In, NotIn, Exists or DoesNotExist"
                    ));
                }
            };
            requirements.push(LabelRequirement { key: expression.key.clone(), operator });
        }
        if requirements.is_empty() {
            return Err("an empty selector would select everything: use names: [\"*\"] if that is intended"
                .to_owned());
        }
        Ok(Self(requirements.into_iter().flat_map(LabelRequirement::possible).collect()))
    }

    /// Returns the requirements, all of which must hold: a key, and the operator on its label.
    pub fn requirements(&self) -> impl Iterator<Item = (&str, &Operator)> {
        self.0.iter().map(|requirement| (requirement.key.as_str(), &requirement.operator))
    }

    /// Returns the selector as the API server reads it, by expressions alone.
    pub fn to_label_selector(&self) -> LabelSelector {
        let expressions = self.0.iter().map(|LabelRequirement { key, operator }| {
            let (operator, values) = match operator {
                Operator::In(values) => ("In", Some(values.clone())),
                Operator::NotIn(values) => ("NotIn", Some(values.clone())),
                Operator::Exists => ("Exists", None),
                Operator::DoesNotExist => ("DoesNotExist", None),
            };
            LabelSelectorRequirement { key: key.clone(), operator: operator.to_owned(), values }
        });
        let match_expressions = (!self.0.is_empty()).then(|| expressions.collect());
        LabelSelector { match_expressions, match_labels: None }
    }

    /// Returns whether all requirements hold.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            match &requirement.operator {
                Operator::In(values) => value.is_some_and(|v| values.iter().any(|x| x == v)),
                Operator::NotIn(values) => !value.is_some_and(|v| values.iter().any(|x| x == v)),
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        })
    }
}

/// Returns whether a text is a valid key of a label: a name, with an optional domain and a slash before it.
pub(super) fn is_key(key: &str) -> bool {
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    let is_part = |part: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !part.is_empty() && part.chars().all(inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    let is_domain = |domain: &str| domain.len() <= 253 && domain.split('.').all(is_part);
    !name.is_empty() && is_value(name) && domain.is_none_or(is_domain)
}

/// Returns whether a text is a valid value of a label.
pub(super) fn is_value(text: &str) -> bool {
    let at_ends = |c: char| c.is_ascii_alphanumeric();
    let inner = |c: char| at_ends(c) || matches!(c, '-' | '_' | '.');
    let ends = text.is_empty() || text.starts_with(at_ends) && text.ends_with(at_ends);
    text.len() <= 63 && ends && text.chars().all(inner)
}

#[cfg(test)]
mod tests {
    use super::{Labels, Selector, is_key, is_value};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
    use serde_json::json;

    fn selector(value: serde_json::Value) -> Result<Selector, String> {
        Selector::parse(&serde_json::from_value::<LabelSelector>(value).unwrap())
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<std::collections::BTreeMap<_, _>>()
            .into()
    }

    #[test]
    fn keys_and_values_are_those_that_the_api_server_accepts() {
        let long = "a".repeat(63);
        let domain = "a.".repeat(126) + "a";
        for key in ["tier", "a", "A_b.c-d", "example.com/tier", "a-1.b/x", &long, &format!("{domain}/{long}")]
        {
            assert!(is_key(key), "{key}");
        }
        for key in [
            "",
            "a b",
            "-a",
            "a.",
            "é",
            "a=b",
            "/a",
            "a/",
            "a/b/c",
            "A.com/a",
            "a..b/c",
            "-a/b",
            &(long.clone() + "a"),
            &format!("{domain}b/a"),
        ] {
            assert!(!is_key(key), "{key}");
        }
        for value in ["", "a", "A_b.c-d", &long] {
            assert!(is_value(value), "{value}");
        }
        for value in ["a b", "a/b", "-a", "a_", "é", "a\nb", "(", "a|b", &(long.clone() + "a")] {
            assert!(!is_value(value), "{value}");
        }
    }

    #[test]
    fn keys_and_values_that_no_label_can_have_are_decided_by_the_parser() {
        let rendered = |key: &str, operator: &str, values: serde_json::Value| {
            let expression = json!({ "key": key, "operator": operator, "values": values });
            let parsed = selector(json!({ "matchExpressions": [expression] })).unwrap().to_label_selector();
            serde_json::to_value(parsed).unwrap()
        };
        let none = || serde_json::Value::Null;
        let never = json!({ "matchExpressions": [
            { "key": "acrcredential.dev/nothing", "operator": "Exists" },
            { "key": "acrcredential.dev/nothing", "operator": "DoesNotExist" },
        ] });
        for (key, operator, values, expected) in [
            (
                "k",
                "In",
                json!(["a b", "v"]),
                json!({ "matchExpressions": [{ "key": "k", "operator": "In", "values": ["v"] }] }),
            ),
            (
                "k",
                "NotIn",
                json!(["a b", "v"]),
                json!({ "matchExpressions": [{ "key": "k", "operator": "NotIn", "values": ["v"] }] }),
            ),
            ("k", "In", json!(["a b"]), never.clone()),
            ("k", "NotIn", json!(["a b"]), json!({})),
            ("a b", "In", json!(["v"]), never.clone()),
            ("a b", "Exists", none(), never),
            ("a b", "NotIn", json!(["v"]), json!({})),
            ("a b", "DoesNotExist", none(), json!({})),
        ] {
            assert_eq!(rendered(key, operator, values), expected, "{key} {operator}");
        }
    }

    #[test]
    fn a_selector_matches_as_in_kubernetes() {
        let app = labels(&[("tier", "app"), ("env", "prod")]);
        let none = labels(&[]);
        for (value, on_app, on_none) in [
            (json!({"matchLabels": {"tier": "app"}}), true, false),
            (json!({"matchLabels": {"tier": "app", "env": "dev"}}), false, false),
            (
                json!({"matchExpressions": [{"key": "env", "operator": "In", "values": ["dev", "prod"]}]}),
                true,
                false,
            ),
            (
                json!({"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["prod"]}]}),
                false,
                true,
            ),
            (json!({"matchExpressions": [{"key": "env", "operator": "Exists"}]}), true, false),
            (json!({"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}), false, true),
        ] {
            let parsed = selector(value.clone()).unwrap();
            assert_eq!((parsed.matches(&app), parsed.matches(&none)), (on_app, on_none), "{value}");
            assert_eq!(Selector::parse(&parsed.to_label_selector()), Ok(parsed), "{value}");
        }
    }

    #[test]
    fn an_empty_or_inconsistent_selector_is_refused() {
        for value in [
            json!({}),
            json!({"matchLabels": {}, "matchExpressions": []}),
            json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
            json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}),
            json!({"matchExpressions": [{"key": "a", "operator": "Like", "values": ["x"]}]}),
        ] {
            assert!(selector(value.clone()).is_err(), "{value}");
        }
    }
}
