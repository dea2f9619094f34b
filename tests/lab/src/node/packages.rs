//! What a node needs on this machine, and the record of the tests that had it.

use std::{
    env, fs,
    io::{Write, stderr},
    path::Path,
};

use anyhow::{Context, bail};

use super::programs;
use crate::{
    plane::{Binaries, find_in_path},
    registry,
};

/// Programs that are used as they are installed, and Debian's packages that have them.
const PROGRAMS: [(&str, &str); 8] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("tar", "tar"),
    ("gcc", "gcc"),
    ("go", "golang-go"),
];

/// The variable that names the file for the names of the tests that ran.
const RECORD: &str = "ACR_NODE_TESTS";

/// Returns what a node lacks on this machine, in one line, if it lacks anything.
pub fn missing() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("a node needs Linux".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("a node needs root, for namespaces and mounts".to_owned());
    }
    missing_programs(|program| find_in_path(program).is_some())
        .or_else(Binaries::missing_for_a_node)
        .or_else(registry::missing)
        .or_else(programs::missing)
}

/// Returns whether a test that needs a node can run, and records its name if so. Without `CI` a test that cannot run
/// is skipped and reported; with it, it fails.
pub fn usable(test: &str) -> anyhow::Result<bool> {
    let in_ci = env::var_os("CI").is_some_and(|value| !value.is_empty());
    // Not by a macro: a test's output is captured, and this is for the user who runs the tests.
    if !registry::judge(missing(), in_ci, &mut stderr().lock())? {
        return Ok(false);
    }
    if let Some(file) = env::var_os(RECORD).filter(|file| !file.is_empty()) {
        record(Path::new(&file), test)?;
    }
    Ok(true)
}

fn record(file: &Path, test: &str) -> anyhow::Result<()> {
    let opened = fs::OpenOptions::new().create(true).append(true).open(file);
    let mut opened =
        opened.with_context(|| format!("cannot write {}, which {RECORD} names", file.display()))?;
    // One write, so that two tests do not mix.
    opened.write_all(format!("{test}\n").as_bytes())?;
    Ok(())
}

fn missing_programs(found: impl Fn(&str) -> bool) -> Option<String> {
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|(program, _)| !found(program)).collect();
    if missing.is_empty() {
        return None;
    }
    let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    Some(format!("not installed: {}; apt-get install -y {}", programs.join(", "), packages.join(" ")))
}

/// Fails with the reason if a node cannot start here.
pub(super) fn require() -> anyhow::Result<()> {
    match missing() {
        Some(missing) => bail!("{missing}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_programs_come_with_their_packages() {
        assert_eq!(missing_programs(|_| true), None);
        let some = missing_programs(|program| !["nsenter", "unshare", "nft"].contains(&program));
        let text = "not installed: nft, nsenter, unshare; apt-get install -y nftables util-linux";
        assert_eq!(some.as_deref(), Some(text));
    }

    #[test]
    fn each_test_that_ran_is_recorded_once_more() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ran");
        record(&file, "first").unwrap();
        record(&file, "second").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "first\nsecond\n");
        let error = record(&dir.path().join("no/such"), "third").unwrap_err().to_string();
        assert!(error.contains("ACR_NODE_TESTS"), "{error}");
    }
}
