//! `cd tests/fuzz && cargo +nightly fuzz run convert`: the parts of the input, between bytes of zero, are the values
//! of the keys of `data`.

#![no_main]

use std::collections::BTreeMap;

use acr_credential_binding::api::legacy::KEYS;
use acr_credential_binding::model::legacy::{apply_edits, convert, to_data};
use libfuzzer_sys::fuzz_target;

const ORDER: [&str; 3] = ["acr-registry-info", "rrsa", "webhook-configuration"];

fuzz_target!(|input: &str| {
    let rest = KEYS.iter().filter(|key| !ORDER.contains(key));
    let keys = ORDER.iter().chain(rest).map(|key| (*key).to_owned());
    let data: BTreeMap<String, String> = keys.zip(input.split('\0').map(str::to_owned)).collect();
    let conversion = convert(&data);
    for (key, value) in &data {
        apply_edits(value, key, &conversion.findings);
    }
    if let Some(spec) = &conversion.spec {
        let said = to_data(spec);
        assert!(said.is_err() || convert(&said.unwrap_or_default()).spec.as_ref() == Some(spec));
    }
});
