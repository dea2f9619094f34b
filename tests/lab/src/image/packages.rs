//! What building and running an image needs on this machine.

use std::{env, path::PathBuf};

use super::{container, own_architecture};
use crate::registry;

/// Programs, and the packages of Debian that have them.
const PROGRAMS: [(&str, &str); 2] = [("buildah", "buildah"), ("unshare", "util-linux")];

/// Returns what is missing here to build an image and run it, if anything is.
pub fn missing() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("images are built and run on Linux only".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("containers are run as root only".to_owned());
    }
    if let Some(missing) = registry::missing() {
        return Some(missing);
    }
    if let Some((_, package)) = PROGRAMS.into_iter().find(|(program, _)| found(program).is_none()) {
        return Some(format!(
            "not installed: {package}; apt-get install -y --no-install-recommends {package}"
        ));
    }
    container::runtime().err().map(|error| format!("{error:#}"))
}

/// Returns whether a test that needs an image can run. What is missing skips it on a developer's machine, with
/// a message, and fails it on a CI machine (`CI` is set).
pub async fn usable() -> anyhow::Result<bool> {
    let missing = match missing() {
        Some(missing) => Some(missing),
        None => super::way(own_architecture(), false).await.err().map(|error| format!("{error:#}")),
    };
    registry::usable_without(missing)
}

/// Returns whether a test that needs one further program can run, as [`usable`] does. `install` is the command
/// that installs it.
pub fn program_usable(program: &str, install: &str) -> anyhow::Result<bool> {
    let missing = found(program).is_none().then(|| format!("not installed: {program}; {install}"));
    registry::usable_without(missing)
}

/// Returns the path of a program.
pub(super) fn found(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    // A user's PATH often lacks the folders of the system's own programs.
    let dirs = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    dirs.map(|dir| dir.join(program)).find(|path| path.is_file())
}
