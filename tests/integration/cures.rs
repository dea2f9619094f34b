//! Cures of conditions and Events, followed to the letter: fault, message, what it says, no fault.
//!
//! Commands, names and lines are taken from the message, so that words and deeds cannot drift apart. Each test has
//! several faults side by side on one control plane. `tests/cures` has the table of all cures.

mod admission;
mod binding;
mod config_map;
mod identity;
mod namespace;
mod process;
mod refusal;

use acr_lab::message::{annotation, files, kubectl};

use crate::harness::{Lab, root};

/// Runs the kubectl command of a message, as a user would who copies it.
async fn run(lab: &Lab, message: &str) {
    lab.plane.kubectl_ok(&kubectl(message)).await.unwrap();
}

/// Applies the files that a message names.
async fn apply(lab: &Lab, message: &str) {
    let files = files(message);
    assert!(!files.is_empty(), "{message}");
    for file in files {
        lab.plane.apply_file(root().join(file)).await.unwrap();
    }
}

/// Applies a file of another version: with some text of it replaced.
async fn apply_changed(lab: &Lab, file: &str, text: &str, other: &str) {
    let manifests = std::fs::read_to_string(root().join(file)).unwrap();
    assert!(manifests.contains(text), "{file} lacks {text}");
    lab.plane.apply(&manifests.replace(text, other)).await.unwrap();
}

/// Sets the annotation that follows some words of a message on an object.
async fn annotate(lab: &Lab, object: &[&str], message: &str, words: &str) {
    let (key, value) = annotation(message, words);
    let pair = format!("{key}={value}");
    let command = [&["annotate", "--overwrite"], object, &[&pair]].concat();
    lab.plane.kubectl_ok(&command).await.unwrap();
}
