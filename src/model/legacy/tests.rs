//! The ConfigMap as people write it.

mod accidents;
mod addon;
mod edits;
mod entries;
mod hostile;
mod quirks;
mod repairs;
mod reverse;
mod samples;

use std::collections::BTreeMap;

use super::{Conversion, Severity, convert};
use crate::api::binding::{AcrCredentialBindingSpec, RegistryEntry};

fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn of(key: &str, value: &str) -> Conversion {
    convert(&data(&[(key, value)]))
}

fn info(value: &str) -> Conversion {
    of("acr-registry-info", value)
}

#[track_caller]
fn spec(conversion: &Conversion) -> &AcrCredentialBindingSpec {
    conversion.spec.as_ref().unwrap_or_else(|| panic!("no spec: {:?}", reported(conversion)))
}

#[track_caller]
fn only(conversion: &Conversion) -> &RegistryEntry {
    let registries = &spec(conversion).registries;
    assert_eq!(registries.len(), 1, "{registries:?}");
    &registries[0]
}

/// Errors and warnings as `E` or `W`, and where.
fn marks(conversion: &Conversion) -> Vec<String> {
    conversion
        .findings
        .iter()
        .filter(|f| f.severity != Severity::Note)
        .map(|f| {
            let severity = if f.severity == Severity::Error { 'E' } else { 'W' };
            // The names and settings are one line each, and so is a key as a whole.
            f.line.filter(|_| f.key.contains(['[', '.']) || f.line != Some(1)).map_or_else(
                || format!("{severity} {}", f.key),
                |line| format!("{severity} {}:{line}", f.key),
            )
        })
        .collect()
}

/// Returns the codes of all findings.
fn codes(conversion: &Conversion) -> Vec<&'static str> {
    conversion.findings.iter().map(|f| f.code.as_str()).collect()
}

fn reported(conversion: &Conversion) -> String {
    conversion.findings.iter().map(|f| format!("{f}\n")).collect()
}

fn enterprise(id: &str) -> RegistryEntry {
    RegistryEntry { instance_id: Some(id.to_owned()), ..RegistryEntry::default() }
}
