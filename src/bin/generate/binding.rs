//! `binding.md`: every field of an `AcrCredentialBinding`, from the schema of the CustomResourceDefinition.

use anyhow::Context;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

/// Returns the page.
pub fn page(crd: &CustomResourceDefinition) -> anyhow::Result<String> {
    let version = crd.spec.versions.first().context("the CRD has no version")?;
    let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    let schema = serde_json::to_value(schema.context("the CRD has no schema")?)?;
    let names = &crd.spec.names;
    let mut page = format!(
        "# AcrCredentialBinding\n\n`{}/{}`, {}, short name `{}`. `kubectl explain {}` prints the same.\n\n",
        crd.spec.group,
        version.name,
        if crd.spec.scope == "Cluster" { "cluster-scoped" } else { "namespaced" },
        names.short_names.iter().flatten().next().map_or("", String::as_str),
        names.singular.as_deref().unwrap_or_default(),
    );
    for part in ["spec", "status"] {
        let schema = &schema["properties"][part];
        page.push_str(&format!("## {part}\n\n{}\n\n", description(schema)));
        page.push_str(&bounds(schema));
        fields(part, schema, &mut page);
    }
    while page.ends_with("\n\n") {
        page.pop();
    }
    Ok(page)
}

/// Appends the fields of an object, depth first.
fn fields(path: &str, schema: &Value, page: &mut String) {
    let required: Vec<&str> = strings(&schema["required"]);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let full = format!("{path}.{name}");
        let element = &field["items"];
        let full = if element.is_object() { format!("{full}[]") } else { full };
        page.push_str(&format!("### `{full}`\n\n{}\n\n- Type: {}\n", description(field), kind(field)));
        if required.contains(&name.as_str()) {
            page.push_str("- Required\n");
        }
        if let Some(value) = field.get("default") {
            page.push_str(&format!("- Default: {}\n", code(value)));
        }
        if let Some(key) = config_map_key(&description(field)) {
            page.push_str(&format!("- ConfigMap key: {key}\n"));
        }
        page.push_str(&bounds(field));
        if element.is_object() {
            page.push_str(&each(element));
        }
        page.push('\n');
        // Kubernetes documents its own types.
        if !is_standard(&full) {
            fields(&full, if element.is_object() { element } else { field }, page);
        }
    }
}

fn is_standard(path: &str) -> bool {
    path.ends_with(".selector") || path.ends_with(".conditions[]")
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Returns the description on one line.
fn description(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn kind(schema: &Value) -> String {
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("array"), _) => format!("list of {}", kind(&schema["items"])),
        (Some(kind), Some(format)) => format!("{kind} ({format})"),
        (Some(kind), None) => kind.to_owned(),
        (None, _) => "any".to_owned(),
    }
}

fn code(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    format!("`{text}`")
}

/// Returns the bounds of a value as list items.
fn bounds(schema: &Value) -> String {
    let mut items = String::new();
    let range = |low: &str, high: &str| match (schema.get(low), schema.get(high)) {
        (Some(low), Some(high)) => Some(format!("{low} to {high}")),
        (Some(low), None) => Some(format!("at least {low}")),
        (None, Some(high)) => Some(format!("at most {high}")),
        (None, None) => None,
    };
    for (what, low, high) in [
        ("Items", "minItems", "maxItems"),
        ("Length", "minLength", "maxLength"),
        ("Value", "minimum", "maximum"),
    ] {
        if let Some(range) = range(low, high) {
            items.push_str(&format!("- {what}: {range}\n"));
        }
    }
    let values: Vec<String> = schema["enum"].as_array().into_iter().flatten().map(code).collect();
    if !values.is_empty() {
        items.push_str(&format!("- One of: {}\n", values.join(", ")));
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        items.push_str(&format!("- Pattern: `{pattern}`\n"));
    }
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        if let Some(message) = rule["message"].as_str() {
            items
                .push_str(&format!("- Rule: {}\n", message.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
    }
    items
}

/// Returns the bounds of a list's elements as list items.
fn each(element: &Value) -> String {
    let items = bounds(element);
    items.lines().map(|line| format!("- Each: {}\n", line.trim_start_matches("- "))).collect()
}

/// Returns the key that a description names as `(ConfigMap: …)` or `(ConfigMap key …)`.
fn config_map_key(description: &str) -> Option<String> {
    let (_, rest) = description.split_once("(ConfigMap")?;
    let (inside, _) = rest.split_once(')')?;
    let keys: Vec<String> = inside.split('`').skip(1).step_by(2).map(|key| format!("`{key}`")).collect();
    (!keys.is_empty()).then(|| keys.join(", "))
}
