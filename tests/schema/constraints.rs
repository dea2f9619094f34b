//! Every constraint of the generated schema, by name, so that each has a case in the table.

use acr_credential_binding::api;
use serde_json::Value;

/// Keywords that constrain nothing beyond an object's shape.
const PLAIN: [&str; 5] = ["description", "default", "format", "nullable", "type"];

/// Returns the schema of `spec`, as generated.
pub fn spec_schema() -> Value {
    let crd = serde_json::to_value(api::crd()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

/// Returns every constraint of a schema: `registries[].regionId pattern`, or `registries[] cel <message>`.
pub fn of(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk("", schema, &mut found);
    found
}

fn walk(path: &str, schema: &Value, found: &mut Vec<String>) {
    for (keyword, value) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "properties" => {
                for (field, schema) in value.as_object().unwrap() {
                    walk(&format!("{path}.{field}"), schema, found);
                }
            }
            "items" => walk(&format!("{path}[]"), value, found),
            "additionalProperties" => walk(&format!("{path}{{}}"), value, found),
            "required" => {
                let fields = value.as_array().unwrap().iter();
                found.extend(
                    fields.map(|field| name(&format!("{path}.{}", field.as_str().unwrap()), "required")),
                );
            }
            "x-kubernetes-validations" => {
                for rule in value.as_array().unwrap() {
                    found.push(name(path, &format!("cel {}", rule["message"].as_str().unwrap())));
                }
            }
            "minItems" | "maxItems" | "minLength" | "maxLength" | "pattern" | "minimum" | "maximum"
            | "enum" => {
                found.push(name(path, keyword));
            }
            plain => assert!(PLAIN.contains(&plain), "a new keyword to test: {plain} at {path}"),
        }
    }
}

fn name(path: &str, keyword: &str) -> String {
    format!("{} {keyword}", path.trim_start_matches('.'))
}
