//! The packages that a registry needs on this machine.

use std::{
    env,
    ffi::OsStr,
    io::{Write, stderr},
};

use anyhow::bail;

/// Debian's packages; each has a program of its own name.
const PACKAGES: [&str; 2] = ["docker-registry", "skopeo"];

/// Returns the missing packages and how to install them, if any is missing.
pub fn missing() -> Option<String> {
    env::var_os("PATH").map_or_else(|| missing_in(OsStr::new("")), |path| missing_in(&path))
}

/// Returns whether a test that needs a registry can run. If something is missing, a developer's machine skips
/// the test and reports it. A CI machine (`CI` is set) fails it, since a skipped test would pass for a
/// successful one there.
pub fn usable() -> anyhow::Result<bool> {
    usable_without(missing())
}

/// Returns whether a test can run although something is missing, as [`usable`] does.
pub(crate) fn usable_without(missing: Option<String>) -> anyhow::Result<bool> {
    let in_ci = env::var_os("CI").is_some_and(|value| !value.is_empty());
    // Not by a macro: a test's output is captured, and this is for the user who runs the tests.
    judge(missing, in_ci, &mut stderr().lock())
}

fn missing_in(path: &OsStr) -> Option<String> {
    let installed = |package: &&str| env::split_paths(path).any(|dir| dir.join(package).is_file());
    let missing: Vec<&str> = PACKAGES.into_iter().filter(|package| !installed(package)).collect();
    (!missing.is_empty())
        .then(|| format!("not installed: {}; apt-get install -y {}", missing.join(", "), PACKAGES.join(" ")))
}

pub(crate) fn judge(missing: Option<String>, in_ci: bool, output: &mut impl Write) -> anyhow::Result<bool> {
    match missing {
        None => Ok(true),
        Some(missing) if in_ci => bail!("{missing}"),
        Some(missing) => {
            let _ = writeln!(output, "skipped: {missing}");
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::ffi::OsStrExt};

    use super::*;

    #[test]
    fn a_program_that_is_not_in_the_path_is_missing_and_comes_with_its_install_command() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let path = env::join_paths(dirs.iter().map(|dir| dir.path())).unwrap();
        let missing = missing_in(&path).unwrap();
        assert_eq!(
            missing,
            "not installed: docker-registry, skopeo; apt-get install -y docker-registry skopeo"
        );
        fs::write(dirs[1].path().join("skopeo"), "").unwrap();
        let missing = missing_in(&path).unwrap();
        assert_eq!(missing, "not installed: docker-registry; apt-get install -y docker-registry skopeo");
        fs::write(dirs[0].path().join("docker-registry"), "").unwrap();
        assert_eq!(missing_in(&path), None);
        assert!(missing_in(OsStr::from_bytes(b"")).is_some());
    }

    #[test]
    fn a_missing_package_fails_a_test_in_ci_and_skips_it_elsewhere() {
        let mut output = Vec::new();
        let missing = || Some("not installed: skopeo".to_owned());
        let error = judge(missing(), true, &mut output).unwrap_err();
        assert_eq!(error.to_string(), "not installed: skopeo");
        assert!(judge(None, true, &mut output).unwrap() && judge(None, false, &mut output).unwrap());
        assert!(output.is_empty());
        assert!(!judge(missing(), false, &mut output).unwrap());
        assert_eq!(output, b"skipped: not installed: skopeo\n");
    }
}
