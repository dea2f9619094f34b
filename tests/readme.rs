//! What the READMEs say of the product is what the product says.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::collections::BTreeSet;
use std::path::Path;

use acr_credential_binding::model::legacy::{Code, Severity};

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

/// The table of codes of a README, as the code has them.
fn codes(file: &str) -> String {
    let chinese = file == READMES[1];
    let severity = |code: Code| match (code.severity(), chinese) {
        (severity, false) => severity.as_str(),
        (Severity::Error, true) => "错误",
        (Severity::Warning, true) => "警告",
        (Severity::Note, true) => "提示",
    };
    let row = |code: &Code| {
        let title = if chinese { code.title_in_chinese() } else { code.title() };
        format!("| `{code}` | {} | {title} |\n", severity(*code))
    };
    let head = if chinese { "| 代码 | 级别 | 含义 |" } else { "| code | severity | meaning |" };
    format!("{head}\n| --- | --- | --- |\n{}", Code::ALL.iter().map(row).collect::<String>())
}

/// `UPDATE_README=1 cargo test --test readme` writes the tables.
#[test]
fn the_table_of_codes_is_what_the_code_says() {
    for file in READMES {
        let text = read(file);
        let (before, rest) = text.split_once("<!-- codes:begin -->\n").unwrap();
        let (table, after) = rest.split_once("<!-- codes:end -->").unwrap();
        let expected = codes(file);
        if std::env::var_os("UPDATE_README").is_some() {
            let text = format!("{before}<!-- codes:begin -->\n{expected}<!-- codes:end -->{after}");
            std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), text).unwrap();
        } else {
            assert_eq!(table, expected, "{file}: run UPDATE_README=1 cargo test --test readme");
        }
    }
}

#[test]
fn a_code_stands_once_and_in_its_order() {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert!(codes.is_sorted() && codes.windows(2).all(|pair| pair[0] != pair[1]), "{codes:?}");
    assert!(codes.iter().all(|code| code.len() == 6 && code.starts_with("ACR")));
}
