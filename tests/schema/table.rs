//! The rules of the schema, each passed and broken.

mod registries;
mod selection;
mod settings;

use serde_json::{Value, json};

use crate::server::valid_with;

/// The expected answer of the API server.
#[derive(Clone, Copy, Debug)]
pub enum Verdict {
    Accepted,
    /// With a message that contains this text.
    Refused(&'static str),
}

/// One value put into the valid binding.
#[derive(Debug)]
pub struct Case {
    /// The constraint as [`crate::constraints`] names it; a CEL rule by the beginning of its message.
    pub rule: &'static str,
    at: &'static str,
    put: Value,
    pub verdict: Verdict,
}

impl Case {
    /// Returns every text of the case, nested ones included.
    pub fn texts(&self) -> Vec<&str> {
        fn within(value: &Value) -> Vec<&str> {
            match value {
                Value::String(text) => vec![text],
                Value::Array(items) => items.iter().flat_map(within).collect(),
                Value::Object(fields) => fields.values().flat_map(within).collect(),
                _ => Vec::new(),
            }
        }
        within(&self.put)
    }

    pub fn object(&self) -> Value {
        valid_with(self.at, &self.put)
    }
}

/// The cases of one field, or of one rule over several.
struct Field {
    at: &'static str,
    cases: Vec<Case>,
}

impl Field {
    fn at(at: &'static str) -> Self {
        Self { at, cases: Vec::new() }
    }

    fn passes(mut self, rule: &'static str, values: impl IntoIterator<Item = Value>) -> Self {
        let case = |put| Case { rule, at: self.at, put, verdict: Verdict::Accepted };
        self.cases.extend(values.into_iter().map(case));
        self
    }

    fn breaks(
        mut self,
        (rule, message): (&'static str, &'static str),
        values: impl IntoIterator<Item = Value>,
    ) -> Self {
        let case = |put| Case { rule, at: self.at, put, verdict: Verdict::Refused(message) };
        self.cases.extend(values.into_iter().map(case));
        self
    }
}

pub fn table() -> Vec<Case> {
    [
        registries::registries(),
        registries::entry(),
        registries::roles(),
        registries::identities(),
        selection::namespaces(),
        selection::service_accounts(),
        selection::expressions(),
        settings::settings(),
    ]
    .into_iter()
    .flatten()
    .flat_map(|field| field.cases)
    .collect()
}

/// Returns a text of some length.
fn long(head: &str, length: usize) -> Value {
    json!(format!("{head}{}", "a".repeat(length - head.len())))
}

fn texts<const N: usize>(texts: [&str; N]) -> [Value; N] {
    texts.map(Value::from)
}

/// Returns a list of that many different names.
fn list(length: usize) -> Value {
    (0..length).map(|i| format!("n{i}")).collect()
}
