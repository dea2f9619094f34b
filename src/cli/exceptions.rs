//! `kubectl acr exceptions`: the policies with exceptions for what other admission controllers add.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::ops::Range;

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use kube::{Api, Client};
use serde_json::{Value as Json, json};

use crate::api::legacy::{Node, Value, parse_manifest};
use crate::api::names;
use crate::model::exceptions::{ExceptionList, Exceptions, InvalidException, from_cel, to_cel};

/// The policies of this version, as `deploy/policies.yaml` has them.
pub const SHIPPED: &str = include_str!("../../deploy/policies.yaml");

/// An error of a manifest that cannot take the exceptions.
#[derive(Debug, thiserror::Error)]
pub enum ExceptionsError {
    /// The text is not YAML. The parser's words hold nothing of the text.
    #[error("is not valid YAML: line {0}: {1}")]
    Unreadable(usize, String),
    /// A policy is missing, or has no such variable.
    #[error(
        "has no policy {policy} with the variable {variable}: begin with deploy/policies.yaml of this version",
        policy = .0.policy(), variable = .0.variable()
    )]
    Missing(ExceptionList),
    /// A list is an expression of another kind.
    #[error(
        "{variable} of the policy {policy} is not a plain list such as \"['a', 'b']\": write it as one, on one line",
        policy = .0.policy(), variable = .0.variable()
    )]
    Expression(ExceptionList),
    /// A list holds what the command refuses.
    #[error("{variable} of the policy {policy} has {1:?}: {2}", policy = .0.policy(), variable = .0.variable())]
    Invalid(ExceptionList, String, InvalidException),
}

/// The lists of exceptions of a manifest, one for each [`ExceptionList`].
pub struct PolicyLists(Vec<PolicyVariable>);

/// A list of exceptions, and its place in the manifest.
struct PolicyVariable {
    list: ExceptionList,
    /// Its place among the variables of the policy.
    index: usize,
    items: Vec<String>,
    /// The bytes of its expression, if others can replace them.
    span: Option<Range<usize>>,
}

impl PolicyLists {
    /// Reads the policies in a manifest.
    ///
    /// # Errors
    /// [`ExceptionsError`].
    pub fn read(text: &str) -> Result<Self, ExceptionsError> {
        let (documents, fault) = parse_manifest(text);
        if let Some(fault) = fault {
            return Err(ExceptionsError::Unreadable(fault.line, fault.why));
        }
        let objects: Vec<&Node> = documents.iter().flat_map(objects).collect();
        let read = |list| PolicyVariable::find(&objects, list);
        ExceptionList::ALL.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Returns the exceptions that the manifest has.
    pub fn exceptions(&self) -> Exceptions {
        let mut exceptions = Exceptions::default();
        for variable in &self.0 {
            variable.items.iter().for_each(|item| exceptions.add(variable.list, item));
        }
        exceptions
    }

    /// Returns the manifest's own exceptions with further ones, all valid.
    ///
    /// # Errors
    /// [`ExceptionsError::Invalid`].
    pub fn with(&self, more: &Exceptions) -> Result<Exceptions, ExceptionsError> {
        let all = self.exceptions().with(more);
        match all.invalid() {
            Some((list, item, why)) => Err(ExceptionsError::Invalid(list, item.to_owned(), why)),
            None => Ok(all),
        }
    }

    /// Returns the manifest's text with other exceptions. Everything else stays as it is written.
    ///
    /// # Errors
    /// [`ExceptionsError::Expression`]: an expression is written over several lines.
    pub fn fill(&self, text: &str, exceptions: &Exceptions) -> Result<String, ExceptionsError> {
        let mut changed: Vec<_> = self.changed(exceptions).collect();
        changed.sort_by_key(|variable| variable.span.as_ref().map(|span| std::cmp::Reverse(span.start)));
        let mut filled = text.to_owned();
        for variable in changed {
            let expression = Json::from(to_cel(exceptions.of(variable.list), '\'')).to_string();
            let span = variable.span.clone().filter(|span| filled.get(span.clone()).is_some());
            filled.replace_range(span.ok_or(ExceptionsError::Expression(variable.list))?, &expression);
        }
        Ok(filled)
    }

    /// Returns a JSON patch for each policy whose exceptions change, with the policy's name.
    pub fn patches(&self, exceptions: &Exceptions) -> Vec<(&'static str, Json)> {
        let mut patches: Vec<(&'static str, Vec<Json>)> = Vec::new();
        for variable in self.changed(exceptions) {
            let path = format!("/spec/variables/{}", variable.index);
            let expression = to_cel(exceptions.of(variable.list), '"');
            let operations = [
                json!({ "op": "test", "path": format!("{path}/name"), "value": variable.list.variable() }),
                json!({ "op": "replace", "path": format!("{path}/expression"), "value": expression }),
            ];
            match patches.last_mut().filter(|(policy, _)| *policy == variable.list.policy()) {
                Some((_, patch)) => patch.extend(operations),
                None => patches.push((variable.list.policy(), operations.into())),
            }
        }
        patches.into_iter().map(|(policy, patch)| (policy, patch.into())).collect()
    }

    /// Returns the lists that differ from other exceptions.
    fn changed<'a>(&'a self, exceptions: &'a Exceptions) -> impl Iterator<Item = &'a PolicyVariable> {
        self.0.iter().filter(|variable| exceptions.of(variable.list) != variable.items)
    }
}

impl PolicyVariable {
    fn find(objects: &[&Node], list: ExceptionList) -> Result<Self, ExceptionsError> {
        let is_policy = |node: &&&Node| {
            text_at(node, &["kind"]) == Some("ValidatingAdmissionPolicy")
                && text_at(node, &["metadata", "name"]) == Some(list.policy())
        };
        let policy = objects.iter().find(is_policy).ok_or(ExceptionsError::Missing(list))?;
        let variables =
            policy.get("spec").and_then(|spec| spec.get("variables")).map_or(&[][..], Node::items);
        let index = variables.iter().position(|node| text_at(node, &["name"]) == Some(list.variable()));
        let index = index.ok_or(ExceptionsError::Missing(list))?;
        let expression = variables[index].get("expression");
        let items = expression.and_then(Node::text).and_then(|text| from_cel(text).ok());
        let items = items.ok_or(ExceptionsError::Expression(list))?;
        Ok(Self { list, index, items, span: expression.and_then(Node::replaceable) })
    }
}

/// Returns a document, or the items of a List, which `kubectl get -o yaml` prints.
fn objects(document: &Node) -> Vec<&Node> {
    match document.get("items").map(|items| &items.value) {
        Some(Value::List(items)) => items.iter().collect(),
        _ => vec![document],
    }
}

/// Returns the text at a path of keys.
fn text_at<'a>(node: &'a Node, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(node, |node, key| node.get(key)).and_then(Node::text)
}

/// Writes JSON patches as the `patches` of a kustomization, each guarded by the name of its variable.
pub fn kustomization(patches: &[(&str, Json)]) -> String {
    let mut text = String::from("patches:\n");
    for (policy, patch) in patches {
        let operations: Vec<String> =
            patch.as_array().into_iter().flatten().map(|operation| format!("    - {operation}\n")).collect();
        // Writing to a String cannot fail. JSON is YAML.
        let _ = write!(
            text,
            "- target:\n    kind: ValidatingAdmissionPolicy\n    name: {policy}\n  patch: |-\n{}",
            operations.concat()
        );
    }
    text
}

/// Writes JSON patches as commands for a shell.
pub fn commands(patches: &[(&str, Json)]) -> String {
    let command = |(policy, patch): &(&str, Json)| {
        // An apostrophe of a value is an escape of CEL by now, so none ends the quotation.
        format!("kubectl patch validatingadmissionpolicy {policy} --type=json -p '{patch}'\n")
    };
    patches.iter().map(command).collect()
}

/// Writes exceptions as values of the Helm chart, all lists in full.
pub fn values(exceptions: &Exceptions) -> String {
    let mut text = String::from("policies:\n  exceptions:\n");
    let mut object = "";
    for list in ExceptionList::ALL {
        let (of, name) = list.chart_value();
        if of != std::mem::replace(&mut object, of) {
            text.extend(["    ", of, ":\n"]);
        }
        // Writing to a String cannot fail. JSON is YAML.
        let _ = writeln!(text, "      {name}: {}", Json::from(exceptions.of(list)));
    }
    text
}

/// Returns whether policies name another Secret, namespace or account of the controller than those of this version.
pub fn is_customized(policies: &str) -> bool {
    let user = format!("system:serviceaccount:{}:{}", names::DEFAULT_NAMESPACE, names::MANAGER);
    [names::DEFAULT_SECRET_NAME, &user].iter().any(|name| !policies.contains(&format!("'{name}'")))
}

/// Reads the policies of the cluster, as a manifest.
///
/// # Errors
/// The API server cannot be reached, or refuses.
pub async fn live(client: Client) -> kube::Result<String> {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client);
    let mut documents = Vec::new();
    for name in ["acr-credential-secrets", "acr-credential-serviceaccounts"] {
        let spec = policies.get(name).await?.spec;
        let document =
            json!({ "kind": "ValidatingAdmissionPolicy", "metadata": { "name": name }, "spec": spec });
        documents.push(document.to_string());
    }
    Ok(documents.join("\n---\n"))
}
