//! krew, kubectl's plugin manager, as a user runs it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{go_tool::GoTool, process::Scratch};

/// The version that is built, and its validator of manifests.
const KREW: GoTool = GoTool {
    name: "krew",
    version: "0.4.3",
    packages: &["sigs.k8s.io/krew/cmd/krew", "sigs.k8s.io/krew/cmd/validate-krew-manifest"],
    linker: "",
    time: "1 minute",
};

/// krew with plugins of its own; they are removed when this is dropped.
pub struct Krew {
    programs: PathBuf,
    home: Scratch,
}

impl Krew {
    /// Returns krew without plugins, built now if need be; `None` where there is no Go.
    ///
    /// # Errors
    /// The build failed.
    pub fn find() -> anyhow::Result<Option<Krew>> {
        let Some(programs) = KREW.find()? else { return Ok(None) };
        let home = Scratch::new("acr-lab-krew-")?;
        // kubectl finds it by this name.
        std::fs::create_dir(home.path().join("path"))?;
        std::os::unix::fs::symlink(programs.join("krew"), home.path().join("path/kubectl-krew"))?;
        Ok(Some(Krew { programs, home }))
    }

    /// Lets a command find krew, and the plugins that it installs. `path` follows on its PATH.
    pub fn add_to(&self, command: &mut Command, path: &Path) {
        let folders = [&self.home.path().join("root/bin"), &self.home.path().join("path"), path];
        let path = std::env::join_paths(folders).unwrap_or_default();
        command.env("PATH", path).env("HOME", self.home.path());
        // It asks a server for its newest version otherwise.
        command.env("KREW_ROOT", self.home.path().join("root")).env("KREW_NO_UPGRADE_CHECK", "1");
    }

    /// Returns a command that checks a manifest by the rules of krew's index, without its archives.
    pub fn validator(&self, manifest: &Path) -> Command {
        let mut command = Command::new(self.programs.join("validate-krew-manifest"));
        command.arg("-skip-install").arg("-manifest").arg(manifest);
        command
    }
}
