//! Coverage as a text in the ConfigMap that our `MutatingAdmissionPolicy` reads. `deploy/admission.yaml` has its form.

use super::{BindingCoverage, ObjectSelection, expression};
use crate::model::labels::Operator;
use crate::model::pattern::Pattern;

/// The version of the text's form. Policy and controller name it to each other, so that neither misreads the other's.
pub const FORMAT: &str = "2";

/// An expression that no name matches, since a name is not empty.
const NO_NAME: &str = "^$";

/// The field of labels where there is no selector.
const NO_LABELS: &str = "none";

/// The field of labels where a selector matches all labels.
const ANY_LABELS: &str = "any";

/// The longest name of a namespace, and value of a label.
const LABEL: usize = 63;

/// The longest name of a ServiceAccount.
const NAME: usize = 253;

/// The text of one binding's coverage, and its cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// One line a field: `NAME: VALUE`.
    pub text: String,
    /// The most that its evaluation for one ServiceAccount costs, by the API server's measure of CEL expressions.
    pub cost: usize,
}

impl BindingCoverage<'_> {
    /// Returns the coverage as our `MutatingAdmissionPolicy` reads it.
    pub fn parameter(&self) -> Parameter {
        let Self { namespaces, service_accounts } = self;
        let fields = ParameterFields {
            namespaces: names(&namespaces.names),
            excluded_namespaces: names(&namespaces.exclude),
            namespace_labels: requirements(namespaces),
            service_accounts: names(&service_accounts.names),
            service_account_labels: requirements(service_accounts),
        };
        let text = fields.text();
        Parameter { cost: fields.cost(&text), text }
    }
}

/// The values of the text's fields.
struct ParameterFields {
    namespaces: String,
    excluded_namespaces: String,
    namespace_labels: Vec<String>,
    service_accounts: String,
    service_account_labels: Vec<String>,
}

impl ParameterFields {
    fn text(&self) -> String {
        format!(
            "format: {FORMAT}\nnamespaces: {}\nexcludedNamespaces: {}\nnamespaceLabels: {}\n\
             serviceAccounts: {}\nserviceAccountLabels: {}",
            self.namespaces,
            self.excluded_namespaces,
            self.namespace_labels.join(", "),
            self.service_accounts,
            self.service_account_labels.join(", "),
        )
    }

    /// Returns the most that the evaluation costs. A match costs a tenth of the text times a quarter of the expression, a
    /// split a tenth of the text.
    fn cost(&self, text: &str) -> usize {
        let matching =
            |text: usize, expression: &str| (text + 1).div_ceil(10) * expression.len().div_ceil(4) + 8;
        let names = matching(LABEL, &self.namespaces)
            + matching(LABEL, &self.excluded_namespaces)
            + matching(NAME, &self.service_accounts);
        let labels = self.namespace_labels.iter().chain(&self.service_account_labels);
        // Beside the match: the split of the requirement, and what each step of a loop costs.
        let labels: usize = labels.map(|label| matching(LABEL, label) + label.len().div_ceil(5) + 40).sum();
        // Beside the splits of lines and of fields: a map is made of each line, and all of them are joined.
        let reading = text.len().div_ceil(10) * 4 + 6 * 50 + 100;
        names + labels + reading
    }
}

fn names(patterns: &[Pattern]) -> String {
    if patterns.is_empty() { NO_NAME.to_owned() } else { expression::any_of(patterns) }
}

/// Returns the selector's requirements, all of which must hold: `KEY in EXPRESSION` or `KEY notin EXPRESSION`.
/// [`Selector::parse`](crate::model::labels::Selector::parse) leaves only keys and values that labels can have, which hold no space and no comma.
fn requirements(selection: &ObjectSelection) -> Vec<String> {
    let Some(selector) = &selection.selector else { return vec![NO_LABELS.to_owned()] };
    let requirements: Vec<String> =
        selector.requirements().map(|(key, operator)| requirement(key, operator)).collect();
    if requirements.is_empty() { vec![ANY_LABELS.to_owned()] } else { requirements }
}

fn requirement(key: &str, operator: &Operator) -> String {
    let one_of = |values: &[String]| {
        expression::any_of(&values.iter().map(|value| Pattern::new(value.as_str())).collect::<Vec<_>>())
    };
    match operator {
        Operator::In(values) => format!("{key} in {}", one_of(values)),
        Operator::NotIn(values) => format!("{key} notin {}", one_of(values)),
        Operator::Exists => format!("{key} in .*"),
        Operator::DoesNotExist => format!("{key} notin .*"),
    }
}
