//! Coverage as the selectors and conditions by which the API server decides whether to call our webhook.
//!
//! Names and globs of namespaces are conditions: a label selector has no globs, and a list of the matching names would
//! change with every namespace.

use super::{BindingCoverage, ObjectSelection, expression};
use crate::model::labels::Selector;
use crate::model::pattern::Pattern;

/// A part of a binding's coverage that one webhook can express. Any of a binding's filters is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookFilter<'a> {
    /// The labels of the namespace; `None` accepts all.
    pub namespace_selector: Option<&'a Selector>,
    /// The labels of the ServiceAccount; `None` accepts all.
    pub object_selector: Option<&'a Selector>,
    /// A CEL expression over the request; `None` accepts all.
    pub condition: Option<String>,
}

impl<'a> BindingCoverage<'a> {
    /// Returns the filters of which any one lets a covered ServiceAccount through, and lets no other one through. One
    /// whose name is still to be generated passes as well: no condition can know it.
    pub fn webhook_filters(&self) -> Vec<WebhookFilter<'a>> {
        let service_accounts = alternatives(self.service_accounts);
        let pairs = alternatives(self.namespaces).into_iter();
        pairs
            .flat_map(|namespaces| service_accounts.iter().map(move |accounts| (namespaces, *accounts)))
            .map(|(namespaces, accounts)| {
                let clauses = [
                    namespaces.names.and_then(|names| matching("request.namespace", names)),
                    exclusion(&self.namespaces.exclude),
                    accounts.names.and_then(|names| matching("object.metadata.name", names)).map(|named| {
                        format!("(!has(object.metadata.name) || object.metadata.name == '' || {named})")
                    }),
                ];
                let clauses: Vec<String> = clauses.into_iter().flatten().collect();
                WebhookFilter {
                    namespace_selector: namespaces.selector,
                    object_selector: accounts.selector,
                    condition: (!clauses.is_empty()).then(|| clauses.join(" && ")),
                }
            })
            .collect()
    }
}

/// One of the two ways by which a selection accepts an object: exactly one field is set.
#[derive(Clone, Copy)]
struct Alternative<'a> {
    names: Option<&'a [Pattern]>,
    selector: Option<&'a Selector>,
}

fn alternatives(selection: &ObjectSelection) -> Vec<Alternative<'_>> {
    let names = Some(selection.names.as_slice()).filter(|names| !names.is_empty());
    let by_names = names.map(|names| Alternative { names: Some(names), selector: None });
    let by_labels = selection.selector.as_ref();
    let by_labels = by_labels.map(|selector| Alternative { names: None, selector: Some(selector) });
    by_names.into_iter().chain(by_labels).collect()
}

/// Returns a CEL expression that holds for names that match; `None` where every name does.
fn matching(subject: &str, patterns: &[Pattern]) -> Option<String> {
    if expression::matches_everything(patterns) {
        return None;
    }
    Some(format!("{subject}.matches(r'{}')", expression::any_of(patterns)))
}

fn exclusion(patterns: &[Pattern]) -> Option<String> {
    if patterns.is_empty() {
        return None;
    }
    let matching = matching("request.namespace", patterns);
    Some(matching.map_or_else(|| "false".to_owned(), |matching| format!("!{matching}")))
}
