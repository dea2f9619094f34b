//! The parts of the input, between bytes of zero, are the values of the keys of `data`.

#![no_main]

use std::collections::BTreeMap;

use acr_credential_binding::api::legacy::KEYS;
use acr_credential_binding::model::legacy::{apply_edits, convert, summarize, to_data};
use libfuzzer_sys::fuzz_target;

const ORDER: [&str; 3] = ["acr-registry-info", "rrsa", "webhook-configuration"];

fuzz_target!(|input: &str| {
    let rest = KEYS.iter().filter(|key| !ORDER.contains(key));
    let keys = ORDER.iter().chain(rest).map(|key| (*key).to_owned());
    let data: BTreeMap<String, String> = keys.zip(input.split('\0').map(str::to_owned)).collect();
    let conversion = convert(&data);
    assert!(conversion.spec.is_some() || conversion.has_errors());
    assert!(conversion.findings.len() <= 201 && summarize(&conversion.findings).len() <= 1024);
    let mut healed = BTreeMap::new();
    for (key, value) in &data {
        let of_key = conversion.findings.iter().filter(|finding| finding.data_key() == key);
        let mut spans: Vec<_> = of_key.flat_map(|f| &f.edits).map(|edit| edit.span.clone()).collect();
        spans.sort_by_key(|span| (span.start, span.end));
        assert!(spans.iter().all(|span| value.get(span.clone()).is_some()));
        assert!(spans.windows(2).all(|two| two[0].end <= two[1].start && two[0] != two[1]));
        healed.insert(key.clone(), apply_edits(value, key, &conversion.findings));
    }
    let again = convert(&healed);
    if let Some(spec) = &conversion.spec {
        // The edits write what was read.
        assert!(conversion.has_errors() || again.spec.as_ref() == Some(spec), "{healed:?}");
        let said = to_data(spec);
        assert!(said.is_err() || convert(&said.unwrap_or_default()).spec.as_ref() == Some(spec));
    }
});
