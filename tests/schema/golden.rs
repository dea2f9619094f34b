//! The file in `crds/`.

use std::process::Command;

use acr_credential_binding::api;

use crate::server::{CRD, root};

fn crdgen(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_crdgen")).current_dir(root()).args(args).output().unwrap()
}

#[test]
fn the_file_in_crds_is_what_the_api_generates() {
    let kept = std::fs::read_to_string(root().join(CRD)).unwrap();
    let generated = serde_saphyr::to_string(&api::crd()).unwrap();
    assert!(kept == generated, "{CRD} is out of date: cargo run --bin crdgen -- --write {CRD}");
    assert_eq!(String::from_utf8(crdgen(&[]).stdout).unwrap(), generated);
}

#[test]
fn crdgen_checks_and_writes_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("crd.yaml");
    let file = file.to_str().unwrap();
    std::fs::write(file, "kind: CustomResourceDefinition\n").unwrap();
    let check = crdgen(&["--check", file]);
    assert!(!check.status.success());
    assert!(
        String::from_utf8_lossy(&check.stderr).contains(&format!("crdgen -- --write {file}")),
        "{check:?}"
    );
    assert!(crdgen(&["--write", file]).status.success());
    assert!(crdgen(&["--check", file]).status.success());
}
