//! Labels as the index keeps them, and selectors over them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

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

/// A label selector whose operators are known to be valid, and which selects on something.
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
        Ok(Self(requirements))
    }

    /// The requirements, all of which must hold: a key and what is asked of its label.
    pub fn requirements(&self) -> impl Iterator<Item = (&str, &Test)> {
        self.0.iter().map(|requirement| (requirement.key.as_str(), &requirement.test))
    }

    /// The same as the API server reads it, by expressions alone.
    pub fn to_label_selector(&self) -> LabelSelector {
        let expression = |requirement: &Requirement| {
            let (operator, values) = match &requirement.test {
                Test::In(values) => ("In", Some(values.clone())),
                Test::NotIn(values) => ("NotIn", Some(values.clone())),
                Test::Exists => ("Exists", None),
                Test::DoesNotExist => ("DoesNotExist", None),
            };
            LabelSelectorRequirement { key: requirement.key.clone(), operator: operator.to_owned(), values }
        };
        let expressions = self.0.iter().map(expression).collect();
        LabelSelector { match_expressions: Some(expressions), match_labels: None }
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

#[cfg(test)]
mod tests {
    use super::{Labels, Selector};
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
