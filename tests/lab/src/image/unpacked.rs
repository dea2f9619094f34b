//! An image as a client of a registry gets it: its manifests, its configuration, its files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{TIMEOUT, ended};
use crate::{
    process::{Program, Scratch},
    registry::Registry,
};

/// One platform of a pulled image.
#[derive(Debug, Clone)]
pub struct Platform {
    /// The architecture that the list names.
    pub architecture: String,
    /// The image's configuration, as OCI's specification has it.
    pub config: Value,
    /// The size of all that a node downloads, in bytes.
    pub packed: u64,
    layers: Vec<PathBuf>,
}

/// A pulled image, and the files of one platform.
pub struct Unpacked {
    dir: Scratch,
    platforms: Vec<Platform>,
    architecture: String,
}

impl Unpacked {
    /// Pulls all platforms of an image by its reference, with the content of a pull Secret, and unpacks one.
    pub async fn pull(
        registry: &Registry,
        docker_config: &[u8],
        reference: &str,
        architecture: &str,
    ) -> anyhow::Result<Unpacked> {
        let dir = Scratch::new("acr-lab-pulled-")?;
        let login = dir.path().join("pull.json");
        crate::certificates::write_private(&login, "")?;
        fs::write(&login, docker_config)?;
        let oci = dir.path().join("oci");
        let mut program = Program::new("skopeo", dir.path().join("skopeo.log"));
        for variable in ["HOME", "XDG_RUNTIME_DIR", "DOCKER_CONFIG", "TMPDIR"] {
            program = program.env(variable, dir.path());
        }
        let program = program
            .env("_CONTAINERS_ROOTLESS_UID", "1")
            .env_remove("REGISTRY_AUTH_FILE")
            .args(["--insecure-policy", "copy", "--all", "--preserve-digests"])
            .arg(format!("--src-cert-dir={}", registry.certificates().display()))
            .arg(format!("--src-authfile={}", login.display()))
            .args([format!("docker://{reference}"), format!("oci:{}:pulled", oci.display())]);
        ended(program, TIMEOUT).await?;
        let platforms = platforms(&oci)?;
        let chosen = platforms.iter().find(|platform| platform.architecture == architecture);
        let chosen = chosen.with_context(|| format!("the image has no {architecture}"))?;
        fs::create_dir(dir.path().join("root"))?;
        for layer in &chosen.layers {
            let status =
                Command::new("tar").arg("-xpf").arg(layer).arg("-C").arg(dir.path().join("root")).status()?;
            ensure!(status.success(), "{} was not unpacked", layer.display());
        }
        Ok(Unpacked { dir, platforms, architecture: architecture.to_owned() })
    }

    /// Returns all platforms of the list.
    pub fn platforms(&self) -> &[Platform] {
        &self.platforms
    }

    /// Returns the unpacked platform.
    pub fn platform(&self) -> anyhow::Result<&Platform> {
        let mut fitting = self.platforms.iter().filter(|platform| platform.architecture == self.architecture);
        fitting.next().with_context(|| format!("the image has no {}", self.architecture))
    }

    /// Returns the folder with the files of the unpacked platform.
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Returns the paths of all its files, in order, from its root.
    pub fn files(&self) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        walk(&self.root(), Path::new(""), &mut found)?;
        found.sort();
        Ok(found)
    }

    /// Returns the program that the image runs.
    pub fn entrypoint(&self) -> anyhow::Result<String> {
        let entrypoint = &self.platform()?.config["config"]["Entrypoint"];
        let words = entrypoint.as_array().context("the image has no entrypoint")?;
        ensure!(words.len() == 1, "the entrypoint has arguments: {entrypoint}");
        Ok(words[0].as_str().context("the entrypoint is not a text")?.to_owned())
    }

    /// Returns the user and the group that it runs as, which are numbers: a kubelet cannot check a name.
    pub fn user(&self) -> anyhow::Result<(u32, u32)> {
        let user = self.platform()?.config["config"]["User"].as_str().context("the image has no user")?;
        let (uid, gid) = user.split_once(':').context("the image has no group")?;
        Ok((uid.parse()?, gid.parse()?))
    }
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) -> anyhow::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            walk(root, &path, found)?;
        } else {
            found.push(path.display().to_string());
        }
    }
    Ok(())
}

/// Reads an OCI layout that holds one list.
fn platforms(dir: &Path) -> anyhow::Result<Vec<Platform>> {
    let json = |path: PathBuf| -> anyhow::Result<Value> {
        let text = fs::read(&path).with_context(|| path.display().to_string())?;
        Ok(serde_json::from_slice(&text)?)
    };
    let blob = |descriptor: &Value| -> anyhow::Result<PathBuf> {
        let digest = descriptor["digest"].as_str().context("a descriptor without a digest")?;
        Ok(dir.join("blobs").join(digest.replace(':', "/")))
    };
    let index = json(dir.join("index.json"))?;
    let list = json(blob(&index["manifests"][0])?)?;
    let listed = list["manifests"].as_array().context("the reference is not a list of platforms")?;
    let read = |entry: &Value| {
        let manifest = json(blob(entry)?)?;
        let layers = manifest["layers"].as_array().context("a manifest without layers")?;
        let sizes = layers.iter().chain([&manifest["config"]]).filter_map(|blob| blob["size"].as_u64());
        Ok(Platform {
            architecture: entry["platform"]["architecture"].as_str().unwrap_or_default().to_owned(),
            config: json(blob(&manifest["config"])?)?,
            packed: sizes.sum(),
            layers: layers.iter().map(&blob).collect::<anyhow::Result<_>>()?,
        })
    };
    listed.iter().map(read).collect()
}
