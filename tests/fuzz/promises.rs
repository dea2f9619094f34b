//! What the readers promise of any text. The fuzz targets look for one that breaks it.

use std::collections::BTreeMap;

use acr_credential_binding::api::legacy::KEYS;
use acr_credential_binding::cli::document::read;
use acr_credential_binding::cli::lint::{Format, check};
use acr_credential_binding::model::legacy::{self, apply_edits, from_addon_config, summarize, to_data};

/// The keys of `data` whose values have more to them than a text.
const FIRST: [&str; 3] = ["acr-registry-info", "rrsa", "webhook-configuration"];

/// Checks a ConfigMap: the parts of the input, between zero bytes, are the values of the keys of `data`.
pub fn convert(input: &str) {
    let rest = KEYS.iter().filter(|key| !FIRST.contains(key));
    let keys = FIRST.iter().chain(rest).map(|key| (*key).to_owned());
    let data: BTreeMap<String, String> = keys.zip(input.split('\0').map(str::to_owned)).collect();
    let conversion = legacy::convert(&data);
    assert!(conversion.spec.is_some() || conversion.has_errors());
    assert!(conversion.findings.len() <= 201 && summarize(&conversion.findings).len() <= 1024);
    let mut repaired = BTreeMap::new();
    for (key, value) in &data {
        let of_key = conversion.findings.iter().filter(|finding| finding.data_key() == key);
        let mut spans: Vec<_> = of_key.flat_map(|f| &f.edits).map(|edit| edit.span.clone()).collect();
        spans.sort_by_key(|span| (span.start, span.end));
        assert!(spans.iter().all(|span| value.get(span.clone()).is_some()));
        assert!(spans.windows(2).all(|two| two[0].end <= two[1].start && two[0] != two[1]));
        repaired.insert(key.clone(), apply_edits(value, key, &conversion.findings));
    }
    let again = legacy::convert(&repaired);
    if let Some(spec) = &conversion.spec {
        // The edits write what was read.
        assert!(conversion.has_errors() || again.spec.as_ref() == Some(spec), "{repaired:?}");
        let said = to_data(spec);
        assert!(said.is_err() || legacy::convert(&said.unwrap_or_default()).spec.as_ref() == Some(spec));
    }
}

/// Checks the input as the managed add-on's configuration.
pub fn addon(input: &str) {
    let conversion = from_addon_config(input);
    assert!(conversion.spec.is_some() || conversion.has_errors());
    assert!(conversion.findings.len() <= 201);
    let edits = conversion.findings.iter().flat_map(|finding| &finding.edits);
    assert!(edits.into_iter().all(|edit| input.get(edit.span.clone()).is_some()));
    if let Some(spec) = &conversion.spec {
        let _ = to_data(spec);
    }
}

/// Checks the input as a file for `kubectl acr lint`.
pub fn lint(input: &str) {
    let report = check(&read("file", input));
    assert!(report.diagnostics.len() <= 402);
    let mut spans: Vec<_> =
        report.diagnostics.iter().flat_map(|d| &d.edits).map(|edit| edit.span.clone()).collect();
    spans.sort_by_key(|span| (span.start, span.end));
    assert!(spans.iter().all(|span| input.get(span.clone()).is_some()));
    assert!(spans.windows(2).all(|two| two[0].end <= two[1].start && two[0] != two[1]));
    let written = |format| {
        let mut bytes = Vec::new();
        report.write(format, &mut bytes).map(|()| bytes).unwrap_or_default()
    };
    written(Format::Human { colour: true });
    for format in [Format::Json, Format::Sarif] {
        assert!(serde_json::from_slice::<serde_json::Value>(&written(format)).is_ok());
    }
}
