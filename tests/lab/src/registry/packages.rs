//! Whether this machine has what a registry takes.

use std::{
    env,
    ffi::OsStr,
    io::{Write, stderr},
};

use anyhow::bail;

/// Debian's packages; each has a program of its own name.
const PACKAGES: [&str; 2] = ["docker-registry", "skopeo"];

/// What is missing and how to install it, if anything is.
pub fn missing() -> Option<String> {
    env::var_os("PATH").map_or_else(|| missing_in(OsStr::new("")), |path| missing_in(&path))
}

/// Returns whether a test that needs a registry can run. Where something is missing, a developer's machine
/// skips the test and says so; a CI machine (`CI` is set) fails it, since there a skipped test would pass for
/// a held one.
pub fn usable() -> anyhow::Result<bool> {
    let in_ci = env::var_os("CI").is_some_and(|value| !value.is_empty());
    // Not by a macro: a test's output is captured, and this is for whoever runs the tests.
    judge(missing(), in_ci, &mut stderr().lock())
}

fn missing_in(path: &OsStr) -> Option<String> {
    let installed = |package: &&str| env::split_paths(path).any(|dir| dir.join(package).is_file());
    let missing: Vec<&str> = PACKAGES.into_iter().filter(|package| !installed(package)).collect();
    (!missing.is_empty())
        .then(|| format!("not installed: {}; apt-get install -y {}", missing.join(", "), PACKAGES.join(" ")))
}

fn judge(missing: Option<String>, in_ci: bool, told: &mut impl Write) -> anyhow::Result<bool> {
    match missing {
        None => Ok(true),
        Some(missing) if in_ci => bail!("{missing}"),
        Some(missing) => {
            let _ = writeln!(told, "skipped: {missing}");
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::ffi::OsStrExt};

    use super::*;

    #[test]
    fn what_stands_in_no_directory_of_the_path_is_missing_and_comes_with_the_line_that_installs_it() {
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
        let mut told = Vec::new();
        let missing = || Some("not installed: skopeo".to_owned());
        let error = judge(missing(), true, &mut told).unwrap_err();
        assert_eq!(error.to_string(), "not installed: skopeo");
        assert!(judge(None, true, &mut told).unwrap() && judge(None, false, &mut told).unwrap());
        assert!(told.is_empty());
        assert!(!judge(missing(), false, &mut told).unwrap());
        assert_eq!(told, b"skipped: not installed: skopeo\n");
    }
}
