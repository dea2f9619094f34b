//! `cd tests/fuzz && cargo +nightly fuzz run addon`: the input is the add-on's configuration.

#![no_main]

use acr_credential_binding::model::legacy::from_addon_config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let conversion = from_addon_config(input);
    assert!(conversion.spec.is_some() || conversion.has_errors());
});
