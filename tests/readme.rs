//! What the READMEs say of the product is what the product says.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::collections::BTreeSet;
use std::path::Path;

const READMES: [&str; 2] = ["README.md", "README.zh-CN.md"];

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// Every reason that a condition may have, as the code writes it.
fn reasons() -> BTreeSet<String> {
    let source = read("src/api/condition.rs");
    let reasons = source.split("impl Reason").nth(1).unwrap();
    let written = reasons.split(" => \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    written.collect()
}

#[test]
fn every_reason_has_its_cure_in_both_languages() {
    let reasons = reasons();
    assert!(reasons.contains("AccessDenied") && reasons.len() > 30, "{reasons:?}");
    for file in READMES {
        let text = read(file);
        let table: BTreeSet<&str> =
            text.lines().filter(|line| line.starts_with("| `")).flat_map(|line| line.split('`')).collect();
        let missing: Vec<&String> =
            reasons.iter().filter(|reason| !table.contains(reason.as_str())).collect();
        assert!(missing.is_empty(), "{file} has no cure for {missing:?}");
    }
}

#[test]
fn every_example_is_named_and_every_file_that_is_named_is_there() {
    let examples = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap();
    let names: Vec<String> =
        examples.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for file in READMES {
        let text = read(file);
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if !link.starts_with("http") && !link.starts_with('#') {
                assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(link).exists(), "{file}: {link}");
            }
        }
        for name in names.iter().filter(|name| *name != "acr-configuration.yaml") {
            assert!(text.contains(&format!("(examples/{name})")), "{file} does not name {name}");
        }
    }
}
