//! What the API server is told of the bindings that ask for it: the data of the ConfigMap by which our
//! `MutatingAdmissionPolicy` in `deploy/admission.yaml` adds the entry by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Snapshot, asking};
use crate::model::Binding;
use crate::model::labels::{Selector, Test};
use crate::model::pattern::Pattern;

/// A regular expression that no name matches, since none is empty.
const NOTHING: &str = "^$";

/// A requirement that no labels meet: there is no label without a key.
const NEVER: &str = "==in";

/// A requirement that all labels meet.
const ALWAYS: &str = "==out";

/// What all bindings together may cost the API server for one ServiceAccount, by its own measure of CEL expressions. It
/// gives up at 1,000,000, which takes it about 0.1 s.
const BUDGET: usize = 500_000;

/// Bytes of keys and values: a ConfigMap holds 1 MiB with its metadata.
const MAX_BYTES: usize = 900_000;

/// The longest name of a namespace, and value of a label.
const LABEL: usize = 63;

/// The longest name of a ServiceAccount.
const NAME: usize = 253;

/// The ConfigMap's data, and the bindings that have no room there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// One key a binding, five lines each, as `deploy/admission.yaml` explains them.
    pub data: BTreeMap<String, String>,
    /// Bindings that are served right after the creation instead.
    pub left_out: BTreeSet<Arc<str>>,
}

/// What the API server should be told now. The bindings with precedence are the last to be left out.
pub fn parameters(snapshot: &Snapshot) -> Parameters {
    let mut parameters = Parameters::default();
    let (mut cost, mut bytes) = (0, 0);
    for binding in asking(snapshot) {
        let rule = rule(binding);
        let next = (cost + rule.cost(), bytes + binding.name.len() + rule.text().len());
        if next.0 > BUDGET || next.1 > MAX_BYTES {
            parameters.left_out.insert(binding.name.clone());
            continue;
        }
        (cost, bytes) = next;
        parameters.data.insert(binding.name.to_string(), rule.text());
    }
    parameters
}

/// The coverage of one binding. Each line is tried by itself, so no namespace of one binding meets an account of another.
struct Rule {
    namespaces: String,
    excluded: String,
    namespace_labels: Vec<String>,
    accounts: String,
    account_labels: Vec<String>,
}

fn rule(binding: &Binding) -> Rule {
    Rule {
        namespaces: any(binding.namespaces.names()),
        excluded: any(binding.namespaces.exclude()),
        namespace_labels: all(binding.namespaces.selector()),
        accounts: any(binding.service_accounts.names()),
        account_labels: all(binding.service_accounts.selector()),
    }
}

impl Rule {
    fn text(&self) -> String {
        let Self { namespaces, excluded, accounts, .. } = self;
        let (ours, theirs) = (self.namespace_labels.join(" "), self.account_labels.join(" "));
        format!("{namespaces}\n{excluded}\n{ours}\n{accounts}\n{theirs}")
    }

    /// The most that it costs: a match costs a tenth of the text times a quarter of the expression.
    fn cost(&self) -> usize {
        let matching =
            |text: usize, expression: &str| (text + 1).div_ceil(10) * expression.len().div_ceil(4) + 8;
        let names = matching(LABEL, &self.namespaces)
            + matching(LABEL, &self.excluded)
            + matching(NAME, &self.accounts);
        let labels = self.namespace_labels.iter().chain(&self.account_labels);
        // Beside the match: the split of the requirement, and what each step of a loop costs.
        let labels: usize = labels.map(|label| matching(LABEL, label) + label.len().div_ceil(5) + 40).sum();
        names + labels + self.text().len().div_ceil(5) + 60
    }
}

fn any(patterns: &[Pattern]) -> String {
    match patterns {
        [] => NOTHING.to_owned(),
        patterns => patterns.iter().map(Pattern::to_regex).collect::<Vec<_>>().join("|"),
    }
}

/// Requirements of which every one must be met.
fn all(selector: Option<&Selector>) -> Vec<String> {
    let Some(selector) = selector else { return vec![NEVER.to_owned()] };
    let requirements: Vec<String> =
        selector.requirements().map(|(key, test)| requirement(key, test)).collect();
    if requirements.is_empty() { vec![ALWAYS.to_owned()] } else { requirements }
}

/// `KEY=EXPRESSION=in` or `KEY=EXPRESSION=out`. What labels can have holds no blank, no line end and no equals sign.
fn requirement(key: &str, test: &Test) -> String {
    let one_of = |values: &[String]| {
        values.iter().map(|value| Pattern::new(value.as_str()).to_regex()).collect::<Vec<_>>().join("|")
    };
    match test {
        Test::In(values) => format!("{key}={}=in", one_of(values)),
        Test::NotIn(values) => format!("{key}={}=out", one_of(values)),
        Test::Exists => format!("{key}=.*=in"),
        Test::DoesNotExist => format!("{key}=.*=out"),
    }
}

#[cfg(test)]
mod tests;
