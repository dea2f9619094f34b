//! The input is a file that `kubectl acr lint` is given.

#![no_main]

use acr_credential_binding::cli::document::read;
use acr_credential_binding::cli::lint::{Format, check};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
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
});
