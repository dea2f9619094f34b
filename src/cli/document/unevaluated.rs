//! What a value depends on that only the tool around it can evaluate, and the command that does.

use std::collections::BTreeSet;

use super::functions;
use crate::api::legacy::{Node, Style, addon};
use crate::api::names::{LEGACY_NAME, LEGACY_NAMESPACE};
use crate::cli::redact::is_public;

/// The most characters of an expression that a message shows.
const MAX_SHOWN: usize = 80;

/// The command that reads what a plan or a state of Terraform came to.
pub(super) const SHOW: &str = "terraform show -json | kubectl acr lint -";

/// Returns the command that reads the ConfigMap of the cluster.
pub(super) fn get_config_map() -> String {
    format!("kubectl -n {LEGACY_NAMESPACE} get cm {LEGACY_NAME} -o yaml | kubectl acr lint -")
}

/// Returns the command that reads the add-on's configuration in the cluster.
pub(super) fn describe_addon() -> String {
    format!(
        "aliyun cs DescribeClusterAddonInstance --ClusterId <id> --AddonName {} | kubectl acr lint -",
        addon::NAME
    )
}

/// Returns whether a value depends on an expression.
pub(super) fn depends(node: &Node) -> bool {
    node.style == Style::Expression
        || node.items().iter().any(depends)
        || node.pairs().iter().any(|pair| depends(&pair.key) || depends(&pair.value))
}

/// Says which function of a template gives a value, and how to read what it comes to; `None` where none does.
pub(super) fn describe_function(node: &Node, command: &str) -> Option<String> {
    let name = functions::name(node).filter(|name| may_be_shown(name))?;
    Some(format!("the value depends on {name}, a function of the template: {command} reads what it comes to"))
}

/// Returns the names of the variables that have a default in a file.
pub(super) fn variables_with_default(roots: &[Node]) -> BTreeSet<String> {
    let variables = roots.iter().filter_map(|root| root.get("variable")).flat_map(Node::pairs);
    let with_default = variables.filter(|variable| variable.value.get("default").is_some());
    with_default.map(|variable| variable.name().to_owned()).collect()
}

/// Says what a value depends on, and how to read what it comes to. A whole configuration can be printed alone.
pub(super) fn describe(text: &str, node: &Node, whole: bool, defaults: &BTreeSet<String>) -> String {
    let mut parts = Vec::new();
    expressions(text, node, &mut parts);
    let mut shown: Vec<&str> = parts.iter().copied().filter(|part| may_be_shown(part)).collect();
    shown.dedup();
    let names = match shown.as_slice() {
        [] => "an expression".to_owned(),
        [one] => (*one).to_owned(),
        [one, two] => format!("{one} and {two}"),
        [one, two, more @ ..] => format!("{one}, {two} and {} more", more.len()),
    };
    let source = source(text, node);
    // Inside a loop the names mean nothing to others.
    let alone = !["each.", "count.", "self.", ".value", ".key"].iter().any(|name| source.contains(name));
    if whole && alone && node.style == Style::Expression && may_be_shown(source) && !source.contains('\'') {
        // The console reads the files that Terraform finds by itself, and no other.
        let variable = source.strip_prefix("var.").map(|name| name.split(['.', '[']).next().unwrap_or(name));
        let more = match variable {
            Some(name) if defaults.contains(name) => {
                ". The default in this file counts only where no tfvars file sets another value. Give the console the -var-file that you apply with"
            }
            Some(_) => ". Give the console the -var-file that you apply with",
            None => "",
        };
        format!(
            "the value depends on {names}, which only Terraform knows: echo '{source}' | terraform console | kubectl acr lint - reads it{more}"
        )
    } else {
        format!("the value depends on {names}, which only Terraform knows: {SHOW} reads what it came to")
    }
}

fn source<'a>(text: &'a str, node: &Node) -> &'a str {
    node.span.clone().and_then(|span| text.get(span)).unwrap_or_default()
}

/// Collects the expressions in a value. Of a text, only those between its literals.
fn expressions<'a>(text: &'a str, node: &Node, found: &mut Vec<&'a str>) {
    let own = source(text, node);
    if node.style == Style::Expression && (node.items().is_empty() || !own.starts_with(['"', '<'])) {
        return found.push(own);
    }
    node.items().iter().for_each(|item| expressions(text, item, found));
    for pair in node.pairs() {
        expressions(text, &pair.key, found);
        expressions(text, &pair.value, found);
    }
}

fn may_be_shown(source: &str) -> bool {
    let short = source.len() <= MAX_SHOWN && !source.contains(char::is_control);
    short && !source.is_empty() && is_public(source, &[])
}
