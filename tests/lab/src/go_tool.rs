//! Programs of Go modules, each built once and kept beside the control plane's programs.

use std::{
    env::consts::{ARCH, OS},
    path::{Path, PathBuf},
};

use anyhow::bail;

use crate::{
    plane::{cache_root, find_in_path, keep, say, until_built},
    process::Program,
};

/// Programs of one module.
#[derive(Debug)]
pub(crate) struct GoTool {
    /// Its name, for messages and for the folder in the cache.
    pub(crate) name: &'static str,
    /// The version that is built, without `v`.
    pub(crate) version: &'static str,
    /// The packages of the programs. The last part of each is the program's name.
    pub(crate) packages: &'static [&'static str],
    /// Flags of the linker.
    pub(crate) linker: &'static str,
    /// How long the build takes on two cores.
    pub(crate) time: &'static str,
}

impl GoTool {
    /// Returns the folder with the programs, built now if need be; `None` if they are not there, and there is no Go.
    ///
    /// # Errors
    /// The build failed; the message has its output.
    pub(crate) fn find(&self) -> anyhow::Result<Option<PathBuf>> {
        let name = format!("{}-{}-{OS}-{ARCH}", self.name.to_lowercase(), self.version);
        let programs = || self.packages.iter().filter_map(|package| package.rsplit('/').next());
        let is_there = |dir: &Path| programs().all(|program| dir.join(program).is_file());
        match (find_in_path("go"), cache_root()?.join(&name)) {
            (_, dir) if is_there(&dir) => Ok(Some(dir)),
            (Some(go), _) => keep(&name, self.name, is_there, |into| self.build(&go, into)).map(Some),
            (None, _) => Ok(None),
        }
    }

    fn build(&self, go: &Path, into: &Path) -> anyhow::Result<()> {
        let Self { name, version, time, .. } = self;
        say(&format!("Building {name} {version}: about {time} on two cores, and only once."));
        let log = into.join("build.log");
        let child = Program::new(go, &log)
            .arg("install")
            .arg(format!("-ldflags=-s -w {}", self.linker))
            .args(self.packages.iter().map(|package| format!("{package}@v{version}")))
            .env("GOBIN", into)
            // Outside any module of Go: the folder must not decide which versions are taken.
            .current_dir(into)
            .start()?;
        let status = until_built(&child);
        if !status.success() {
            bail!("`go install` of {name} ended with {status}:\n{}", child.log_tail(20));
        }
        Ok(std::fs::remove_file(&log)?)
    }
}
