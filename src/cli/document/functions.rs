//! Functions in templates for stacks of resources, as ROS and CloudFormation have them: `Fn::Join`, `!Sub`, `Ref`.
//! One of literals gives its text. Another one depends on more than the file, and is never evaluated.

use crate::api::legacy::{Node, Style, Value};

/// Functions that the add-on's reader knows: they make a text of a map.
const TO_TEXT: [&str; 2] = ["fn::tojson", "fn::tojsonstring"];

/// Puts the texts of functions in their places, and marks those that depend on more than the file. Limits bound the
/// depth of a tree, hence the recursion.
pub(super) fn evaluate(node: &mut Node) {
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(evaluate),
        Value::Map(pairs) => pairs.iter_mut().for_each(|pair| evaluate(&mut pair.value)),
        Value::Null | Value::Text(_) => return,
    }
    let [only] = node.pairs() else { return };
    let name = only.name().to_ascii_lowercase();
    if name != "ref" && !name.starts_with("fn::") || TO_TEXT.contains(&name.as_str()) {
        return;
    }
    let result = match name.as_str() {
        "fn::sub" => substituted(&only.value),
        "fn::join" => joined(&only.value).map(|text| Node {
            span: node.span.clone(),
            style: Style::Alias,
            value: Value::Text(text),
        }),
        _ => None,
    };
    match result {
        Some(result) => *node = result,
        None => node.style = Style::Expression,
    }
}

/// Returns the text in which variables are replaced. Those that are left have findings of their own.
fn substituted(argument: &Node) -> Option<Node> {
    let text = argument.items().first().unwrap_or(argument);
    // `${!X}` means the text `${X}`, which no configuration has.
    let literal = text.text().is_some_and(|text| !text.contains("${"));
    literal.then(|| text.clone())
}

/// Returns the texts of a list with a sign between each two, if all are literals.
fn joined(argument: &Node) -> Option<String> {
    let [sign, list] = argument.items() else { return None };
    let texts: Vec<&str> = list.items().iter().map(Node::text).collect::<Option<_>>()?;
    (!texts.is_empty()).then_some(texts.join(sign.text()?))
}

/// Returns the name of the first function in a value that was not evaluated.
pub(super) fn name(node: &Node) -> Option<&str> {
    if node.style == Style::Expression
        && let [only] = node.pairs()
    {
        return Some(only.name());
    }
    let of_pairs = || node.pairs().iter().find_map(|pair| name(&pair.value));
    node.items().iter().find_map(name).or_else(of_pairs)
}
