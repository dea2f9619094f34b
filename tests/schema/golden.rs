//! The generated files: the CRD in `crds/` and the reference pages.

use std::path::Path;
use std::process::{Command, Output};

use acr_credential_binding::api;

use crate::server::{CRD, root};

fn generate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_generate")).args(args).output().unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn the_file_in_crds_is_what_the_api_generates() {
    let kept = std::fs::read_to_string(root().join(CRD)).unwrap();
    let generated = serde_saphyr::to_string(&api::crd()).unwrap();
    assert!(kept == generated, "{CRD} is out of date: cargo run --bin generate");
}

#[test]
fn every_generated_file_is_up_to_date() {
    let check = generate(&["--check"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}

#[test]
fn generate_checks_and_writes_the_files_of_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folders = ["crds", "deploy/helm/files", "docs/reference", "docs/zh-CN/reference"];
    for folder in folders {
        copy(&root().join(folder), &dir.path().join(folder));
    }
    // What is read: files that are copied, and pages with a table between marks.
    let sources = [
        "deploy/grafana/acr.json",
        "deploy/prometheus/alerts.yaml",
        "docs/troubleshooting.md",
        "docs/zh-CN/troubleshooting.md",
    ];
    for source in sources.map(Path::new) {
        std::fs::create_dir_all(dir.path().join(source.parent().unwrap())).unwrap();
        std::fs::copy(root().join(source), dir.path().join(source)).unwrap();
    }
    let folder = dir.path().to_str().unwrap();
    assert!(generate(&["--check", "--root", folder]).status.success());
    let files = folders.map(|folder| std::fs::read_dir(root().join(folder)).unwrap());
    for file in files.into_iter().flatten().map(|entry| entry.unwrap().path()) {
        let path = file.strip_prefix(root()).unwrap();
        let changed = format!("{}\nedited by hand\n", std::fs::read_to_string(&file).unwrap());
        std::fs::write(dir.path().join(path), changed).unwrap();
        let check = generate(&["--check", "--root", folder]);
        let report = String::from_utf8_lossy(&check.stderr);
        assert!(!check.status.success() && report.contains(path.to_str().unwrap()), "{path:?}: {report}");
        assert!(generate(&["--root", folder]).status.success());
        assert!(generate(&["--check", "--root", folder]).status.success(), "{path:?}");
    }
}
