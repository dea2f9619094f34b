//! A small image in OCI's layout: one layer with one file, or with a program.

use std::{fs, path::Path};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The block size of a tar archive.
const BLOCK: usize = 512;

/// Writes an image into a directory, tagged `latest`, and returns its configuration's digest. No two images
/// are alike, so that no cache replaces a transfer. A given program is what its containers run.
pub(crate) fn write(dir: &Path, program: Option<&[u8]>) -> anyhow::Result<String> {
    fs::create_dir_all(dir.join("blobs/sha256"))?;
    let contents = format!("image {:032x}\n", fastrand::u128(..));
    let mut layer = entry("lab.txt", "0000644", contents.as_bytes());
    let mut container = json!({});
    if let Some(program) = program {
        layer.extend(entry("program", "0000755", program));
        // By number: an image without /etc/passwd has no names, and a restricted Pod must not run as root.
        container = json!({ "Entrypoint": ["/program"], "User": "65532:65532" });
    }
    let layer = Blob::write(dir, "application/vnd.oci.image.layer.v1.tar", &archive(layer))?;
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": container,
        "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
    });
    let config = Blob::write(dir, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": config.descriptor(),
        "layers": [layer.descriptor()],
    });
    let mut tagged = Blob::write(dir, manifest_type, manifest.to_string().as_bytes())?.descriptor();
    tagged["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    let index = json!({ "schemaVersion": 2, "manifests": [tagged] });
    fs::write(dir.join("index.json"), index.to_string())?;
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(config.digest)
}

struct Blob {
    media_type: &'static str,
    digest: String,
    size: usize,
}

impl Blob {
    fn write(dir: &Path, media_type: &'static str, bytes: &[u8]) -> anyhow::Result<Blob> {
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(dir.join("blobs/sha256").join(&hex), bytes)?;
        Ok(Blob { media_type, digest: format!("sha256:{hex}"), size: bytes.len() })
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.size })
    }
}

/// Returns one file of an archive in POSIX's `ustar` form.
fn entry(name: &str, mode: &str, contents: &[u8]) -> Vec<u8> {
    let size = format!("{:011o}", contents.len());
    let mut header = vec![0; BLOCK];
    // The sum over the header counts its own field as spaces.
    let fields: [(usize, &str); 8] = [
        (0, name),
        (100, mode),
        (108, "0000000"),
        (116, "0000000"),
        (124, &size),
        (136, "00000000000"),
        (148, "        0"),
        (257, "ustar\x0000"),
    ];
    for (at, text) in fields {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut entry = header;
    entry.extend_from_slice(contents);
    entry.resize(entry.len().next_multiple_of(BLOCK), 0);
    entry
}

/// Returns an archive of these files: two empty blocks end it.
fn archive(mut entries: Vec<u8>) -> Vec<u8> {
    entries.resize(entries.len() + 2 * BLOCK, 0);
    entries
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, process::Command};

    use super::*;

    #[test]
    fn the_layer_is_an_archive_that_tar_unpacks() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = entry("lab.txt", "0000644", b"some words");
        files.extend(entry("program", "0000755", &[7; BLOCK]));
        fs::write(dir.path().join("layer.tar"), archive(files)).unwrap();
        let status =
            Command::new("tar").arg("-xf").arg("layer.tar").current_dir(dir.path()).status().unwrap();
        assert!(status.success());
        assert_eq!(fs::read(dir.path().join("lab.txt")).unwrap(), b"some words");
        assert_eq!(fs::read(dir.path().join("program")).unwrap(), [7; BLOCK]);
        let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("lab.txt"), mode("program")), (0o644, 0o755));
    }
}
