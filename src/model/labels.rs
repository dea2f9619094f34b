//! Labels as the index keeps them, and selectors over them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// A label that is asked for both ways where nothing is to be selected.
const NEVER: &str = "acrcredential.dev/nothing";

/// The labels of one object, sorted by key. A flat slice: thousands are kept, and most are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Box<[(Box<str>, Box<str>)]>);

impl Labels {
    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.binary_search_by(|(k, _)| k.as_ref().cmp(key)).ok().map(|i| self.0[i].1.as_ref())
    }
}

impl From<BTreeMap<String, String>> for Labels {
    fn from(labels: BTreeMap<String, String>) -> Self {
        Self(labels.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

/// A label selector whose operators are known to be valid, and which asks for nothing that no label can have: the API
/// server refuses such a selector, and with it all that is told in the same object. Without requirements it selects
/// everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

/// What is asked of the label of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// It is there, with one of these values.
    In(Vec<String>),
    /// It is not there, or has another value.
    NotIn(Vec<String>),
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl Requirement {
    /// The same by keys and values that labels can have: all meet what is left of it, or nothing.
    fn possible(self) -> Vec<Self> {
        let possible = |values: Vec<String>| {
            let values: Vec<String> = values.into_iter().filter(|value| is_value(value)).collect();
            Some(values).filter(|values| !values.is_empty())
        };
        let (test, otherwise) = match self.test {
            Test::In(values) => (possible(values).map(Test::In), false),
            Test::NotIn(values) => (possible(values).map(Test::NotIn), true),
            Test::Exists => (Some(Test::Exists), false),
            Test::DoesNotExist => (Some(Test::DoesNotExist), true),
        };
        match test.filter(|_| is_key(&self.key)) {
            Some(test) => vec![Self { key: self.key, test }],
            None if otherwise => Vec::new(),
            // Nothing is there and is not.
            None => {
                [Test::Exists, Test::DoesNotExist].map(|test| Self { key: NEVER.to_owned(), test }).into()
            }
        }
    }
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// What is wrong with it: empty (it would select everything), an operator that does not exist, values where
    /// none may stand or none where some must.
    pub fn parse(selector: &LabelSelector) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for (key, value) in selector.match_labels.iter().flatten() {
            requirements.push(Requirement { key: key.clone(), test: Test::In(vec![value.clone()]) });
        }
        for expression in selector.match_expressions.iter().flatten() {
            let values = expression.values.clone().unwrap_or_default();
            let test = match (expression.operator.as_str(), values.is_empty()) {
                ("In", false) => Test::In(values),
                ("NotIn", false) => Test::NotIn(values),
                ("Exists", true) => Test::Exists,
                ("DoesNotExist", true) => Test::DoesNotExist,
                ("In" | "NotIn", true) => {
                    return Err(format!(
                        "operator {} on {} needs values",
                        expression.operator, expression.key
                    ));
                }
                ("Exists" | "DoesNotExist", false) => {
                    return Err(format!(
                        "operator {} on {} takes no values",
                        expression.operator, expression.key
                    ));
                }
                (other, _) => {
                    return Err(format!("operator {other:?} is none of In, NotIn, Exists, DoesNotExist"));
                }
            };
            requirements.push(Requirement { key: expression.key.clone(), test });
        }
        if requirements.is_empty() {
            return Err(
                "an empty selector would select everything: say names: [\"*\"] if that is meant".to_owned()
            );
        }
        Ok(Self(requirements.into_iter().flat_map(Requirement::possible).collect()))
    }

    /// The requirements, all of which must hold: a key and what is asked of its label.
    pub fn requirements(&self) -> impl Iterator<Item = (&str, &Test)> {
        self.0.iter().map(|requirement| (requirement.key.as_str(), &requirement.test))
    }

    /// The same as the API server reads it, by expressions alone.
    pub fn to_label_selector(&self) -> LabelSelector {
        let expressions = self.0.iter().map(|Requirement { key, test }| {
            let (operator, values) = match test {
                Test::In(values) => ("In", Some(values.clone())),
                Test::NotIn(values) => ("NotIn", Some(values.clone())),
                Test::Exists => ("Exists", None),
                Test::DoesNotExist => ("DoesNotExist", None),
            };
            LabelSelectorRequirement { key: key.clone(), operator: operator.to_owned(), values }
        });
        let match_expressions = (!self.0.is_empty()).then(|| expressions.collect());
        LabelSelector { match_expressions, match_labels: None }
    }

    /// Whether all requirements hold.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            match &requirement.test {
                Test::In(values) => value.is_some_and(|v| values.iter().any(|x| x == v)),
                Test::NotIn(values) => !value.is_some_and(|v| values.iter().any(|x| x == v)),
                Test::Exists => value.is_some(),
                Test::DoesNotExist => value.is_none(),
            }
        })
    }
}

/// Whether a text can be the key of a label: a name, with a domain and a slash before it or not.
fn is_key(key: &str) -> bool {
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    let is_part = |part: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !part.is_empty() && part.chars().all(inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    let is_domain = |domain: &str| domain.len() <= 253 && domain.split('.').all(is_part);
    !name.is_empty() && is_value(name) && domain.is_none_or(is_domain)
}

/// Whether a text can be the value of a label.
fn is_value(text: &str) -> bool {
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
    fn a_label_is_what_an_object_can_bear() {
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
    fn what_no_label_can_have_is_decided_before_the_api_server_is_told() {
        let rendered = |key: &str, operator: &str, values: serde_json::Value| {
            let expression = json!({ "key": key, "operator": operator, "values": values });
            let told = selector(json!({ "matchExpressions": [expression] })).unwrap().to_label_selector();
            serde_json::to_value(told).unwrap()
        };
        let none = || serde_json::Value::Null;
        let never = json!({ "matchExpressions": [
            { "key": "acrcredential.dev/nothing", "operator": "Exists" },
            { "key": "acrcredential.dev/nothing", "operator": "DoesNotExist" },
        ] });
        for (key, operator, values, told) in [
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
            assert_eq!(rendered(key, operator, values), told, "{key} {operator}");
        }
    }

    #[test]
    fn a_selector_selects_as_kubernetes_does() {
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
    fn a_selector_that_selects_everything_or_nothing_sensible_is_refused() {
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
