//! The input is the managed add-on's configuration.

#![no_main]

use acr_credential_binding::model::legacy::{from_addon_config, to_data};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let conversion = from_addon_config(input);
    assert!(conversion.spec.is_some() || conversion.has_errors());
    assert!(conversion.findings.len() <= 201);
    let edits = conversion.findings.iter().flat_map(|finding| &finding.edits);
    assert!(edits.into_iter().all(|edit| input.get(edit.span.clone()).is_some()));
    if let Some(spec) = &conversion.spec {
        let _ = to_data(spec);
    }
});
