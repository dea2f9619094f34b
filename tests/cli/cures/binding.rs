//! The faults of a binding's spec, as the status, the admission policy and `plan` print them.

use acr_credential_binding::api::binding::AcrCredentialBinding;
use acr_credential_binding::model::{Binding, InvalidField};
use serde::Deserialize;
use serde_json::json;

use super::{folder, followed, repeated, table};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// The field with the fault.
    at: String,
    says: String,
    /// YAML of the spec.
    spec: String,
    #[serde(rename = "do", default)]
    changes: Vec<(String, String)>,
    times: Option<(usize, usize)>,
}

fn rows() -> Vec<Row> {
    table(&folder().join("bindings.yaml"))
}

fn faults(spec: &str) -> Vec<InvalidField> {
    let spec: serde_json::Value = serde_saphyr::from_str(spec).unwrap();
    let object = json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": { "name": "a" },
        "spec": spec,
    });
    let object: AcrCredentialBinding = serde_json::from_value(object).unwrap();
    Binding::parse(&object, "cn-hangzhou").err().unwrap_or_default()
}

impl Row {
    fn text(&self, after: bool) -> String {
        match self.times {
            Some(times) => repeated(&self.spec, if after { times.1 } else { times.0 }),
            None => self.spec.clone(),
        }
    }

    fn found(&self) -> Vec<InvalidField> {
        let mut found = faults(&self.text(false));
        found.retain(|fault| fault.path == self.at && fault.message.contains(&self.says));
        found
    }
}

/// Returns the messages of all rows.
pub fn messages() -> Vec<String> {
    rows().iter().flat_map(Row::found).map(|found| found.message).collect()
}

#[test]
fn each_cure_of_an_invalid_field_works_when_it_is_followed() {
    for row in rows() {
        let before: Vec<String> = faults(&row.text(false)).iter().map(ToString::to_string).collect();
        assert_eq!(row.found().len(), 1, "{} {:?} in {before:#?}", row.at, row.says);
        let cured = followed(&row.text(true), &row.changes);
        assert_eq!(faults(&cured), [], "{}: {cured}", row.says);
    }
}
