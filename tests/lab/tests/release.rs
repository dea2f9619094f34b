//! The steps of a release that need no network, run as the release runs them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic, in its helpers too")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use acr_lab::docs::root;
use acr_lab::helm::{self, Helm};
use acr_lab::image::program_usable;
use acr_lab::registry::{self, Registry, Verdict};
use serde_json::Value;

fn script(name: &str) -> Command {
    let mut command = Command::new(root().join("deploy/release").join(name));
    command.env_remove("WAY");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn failed(output: &Output) -> String {
    assert!(!output.status.success(), "{}", text(&output.stdout));
    text(&output.stderr)
}

fn program(path: &Path, contents: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_release_is_refused_if_its_tag_is_not_the_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(succeeded(&script("version").output().unwrap()).trim(), version);
    let tag = format!("v{version}");
    assert_eq!(succeeded(&script("version").arg(&tag).output().unwrap()).trim(), version);
    let said = failed(&script("version").arg("v9.9.9").output().unwrap());
    assert!(said.contains("v9.9.9") && said.contains(&format!("tag {tag}")), "{said}");
}

#[test]
fn the_archives_of_the_plugin_have_the_same_bytes_each_time_and_their_checksums() {
    let pack = |contents: &str| {
        let folder = tempfile::tempdir().unwrap();
        for arch in ["amd64", "arm64"] {
            let path = folder.path().join(arch).join("usr/local/bin/kubectl-acr");
            program(&path, &format!("#!/bin/sh\necho {contents} {arch}\n"));
            let path = folder.path().join("programs").join(arch).join("acr-credential-provider");
            program(&path, &format!("#!/bin/sh\necho {contents} $(basename \"$0\") {arch}\n"));
        }
        let said = succeeded(&script("archives").env("DIST", folder.path()).output().unwrap());
        assert_eq!(said.lines().count(), 4, "{said}");
        let checked =
            Command::new("sha256sum").args(["--check", "checksums.txt"]).current_dir(folder.path()).output();
        assert_eq!(succeeded(&checked.unwrap()).matches(": OK").count(), 4);
        folder
    };
    let (first, second, third) = (pack("same"), pack("same"), pack("other"));
    for (arch, program, files) in [
        ("amd64", "kubectl-acr", 2),
        ("arm64", "kubectl-acr", 2),
        ("amd64", "acr-credential-provider", 7),
        ("arm64", "acr-credential-provider", 7),
    ] {
        let name = format!("{program}_{}_linux_{arch}.tar.gz", env!("CARGO_PKG_VERSION"));
        let bytes = |folder: &tempfile::TempDir| fs::read(folder.path().join(&name)).unwrap();
        assert!(bytes(&first) == bytes(&second), "{name} differs");
        assert!(bytes(&first) != bytes(&third), "{name} is the same");
        // Both were packed within a second, perhaps, so that equal bytes do not prove it.
        let mut list = Command::new("tar");
        list.args(["--utc", "--numeric-owner", "-tvzf"]).arg(first.path().join(&name));
        let said = succeeded(&list.output().unwrap());
        assert_eq!(said.matches(" 0/0 ").count(), files, "{said}");
        assert_eq!(said.matches(" 1970-01-01 00:00 ").count(), files, "{said}");
        let unpacked = tempfile::tempdir().unwrap();
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(first.path().join(&name)).arg("-C").arg(unpacked.path());
        succeeded(&tar.output().unwrap());
        let said = |name: &str| {
            let output = Command::new(unpacked.path().join(name)).output().unwrap();
            succeeded(&output).trim().to_owned()
        };
        match program {
            "kubectl-acr" => assert_eq!(said(program), format!("same {arch}")),
            _ => assert_eq!(said("docker-credential-acr"), format!("same docker-credential-acr {arch}")),
        }
        assert_eq!(
            fs::read(unpacked.path().join("LICENSE")).unwrap(),
            fs::read(root().join("LICENSE")).unwrap()
        );
    }
    let empty = tempfile::tempdir().unwrap();
    let said = failed(&script("archives").env("DIST", empty.path()).output().unwrap());
    assert!(said.contains("run deploy/release/binaries first"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chart_of_a_release_names_its_image_and_is_installed_from_a_registry() {
    if !registry::usable().unwrap() {
        return;
    }
    let helm = Helm::alone().await.unwrap();
    let program = helm::program().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let package = |digest: &str| {
        let mut command = script("chart");
        command.args(["registry.example.com/team/acr-credential-controller", digest]);
        command.env("DIST", folder.path()).env("HELM", &program).env("HOME", helm.folder());
        command.output().unwrap()
    };
    let said = failed(&package("0123"));
    assert!(said.contains("sha256:") && said.contains("0123"), "{said}");
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let chart = succeeded(&package(&digest)).trim().to_owned();

    let registry = Registry::judged("charts", Arc::new(|_, _| Verdict::Rejected)).await.unwrap();
    registry.open("charts/acr-credential-controller");
    let login = helm.folder().join("login.json");
    fs::write(&login, registry.admin_config()).unwrap();
    let authority = registry.certificates().join("ca.crt");
    let (authority, login) = (authority.to_str().unwrap(), login.to_str().unwrap());
    let to = format!("oci://{}/charts", registry.domain());
    helm.ok(&["push", &chart, &to, "--ca-file", authority, "--registry-config", login]).await.unwrap();
    let name = format!("{to}/acr-credential-controller");
    let args = ["template", "acr-credential-controller", &name, "--version", env!("CARGO_PKG_VERSION")];
    let rendered = helm.ok(&[&args[..], &["--ca-file", authority]].concat()).await.unwrap();
    let images: BTreeSet<_> =
        rendered.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect();
    let published = format!("registry.example.com/team/acr-credential-controller@{digest}");
    assert_eq!(images, BTreeSet::from([published.as_str()]), "the controller, the test and the removal");
    let missing = ["template", "a", &name, "--version", "9.9.9", "--ca-file", authority];
    let said = helm.run(&missing).await.unwrap().stderr;
    assert!(said.contains("9.9.9"), "{said}");
}

/// Makes a machine that lacks the targets and all tools but these.
fn machine(tools: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    program(&folder.path().join("rustc"), "#!/bin/sh\necho /nonexistent/lib\n");
    let own = if cfg!(target_arch = "aarch64") { "aarch64" } else { "x86_64" };
    program(
        &folder.path().join("uname"),
        &format!("#!/bin/sh\ncase $1 in -s) echo Linux ;; *) echo {own} ;; esac\n"),
    );
    for tool in tools {
        program(&folder.path().join(tool), "#!/bin/sh\n");
    }
    for shell in ["bash", "env", "sh"] {
        let found = ["/bin", "/usr/bin"].map(|dir| Path::new(dir).join(shell));
        symlink(found.iter().find(|path| path.exists()).unwrap(), folder.path().join(shell)).unwrap();
    }
    folder
}

#[test]
fn a_platform_that_cannot_be_built_is_named_with_what_is_missing() {
    let (own, other) = if cfg!(target_arch = "aarch64") { ("arm64", "amd64") } else { ("amd64", "arm64") };
    let way = |machine: &tempfile::TempDir, arch: &str| {
        script("way")
            .arg(arch)
            .env("PATH", machine.path())
            .env_remove("CARGO_ZIGBUILD_ZIG_PATH")
            .output()
            .unwrap()
    };
    let debian = ["apt-get", "dpkg-deb", "readelf"];
    let bare = machine(&[]);
    let said = failed(&way(&bare, own));
    assert!(said.contains("rustup target add") && said.contains("apt-get, dpkg-deb and readelf"), "{said}");
    assert_eq!(succeeded(&way(&machine(&debian), own)).trim(), "glibc");
    let said = failed(&way(&machine(&debian), other));
    assert!(said.starts_with(&format!("{other} cannot be built on this machine")), "{said}");

    // The target alone is not enough: C code is compiled for it, too.
    let with_target = |tools: &[&str]| {
        let machine = machine(tools);
        let rustc = format!("#!/bin/sh\necho {}\n", machine.path().display());
        program(&machine.path().join("rustc"), &rustc);
        machine
    };
    assert_eq!(succeeded(&way(&with_target(&["musl-gcc"]), own)).trim(), "musl");
    assert_eq!(succeeded(&way(&with_target(&["cargo-zigbuild", "zig"]), other)).trim(), "zig");
    let said = failed(&way(&with_target(&["musl-gcc", "cargo-zigbuild"]), other));
    assert!(said.contains("cargo-zigbuild and zig"), "{said}");
    let said = failed(&way(&bare, "sparc"));
    assert!(said.contains("amd64 and arm64"), "{said}");
}

/// A user compares the list with advisories, so it must be complete, and must not list what only tests use.
#[test]
fn the_list_of_crates_is_that_of_the_binaries() {
    if !program_usable("cargo-cyclonedx", "cargo install cargo-cyclonedx --locked").unwrap() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    succeeded(&script("sbom").arg("amd64").env("DIST", folder.path()).output().unwrap());
    let list = fs::read(folder.path().join("sbom-amd64.cdx.json")).unwrap();
    assert!(!text(&list).contains(&root().display().to_string()), "it names this machine's folders");
    let list: Value = serde_json::from_slice(&list).unwrap();
    let component =
        |part: &Value| format!("{} {}", part["name"].as_str().unwrap(), part["version"].as_str().unwrap());
    let listed: BTreeSet<String> = list["components"].as_array().unwrap().iter().map(component).collect();
    let arguments = [
        "tree",
        "--locked",
        "--edges=normal,no-proc-macro",
        "--prefix=none",
        "--package=acr-credential-binding",
    ];
    let tree = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--target=x86_64-unknown-linux-musl", "--format={p}"])
        .current_dir(root())
        .output()
        .unwrap();
    let line = |line: &str| {
        let (name, rest) = line.split_once(" v").unwrap();
        format!("{name} {}", rest.split(' ').next().unwrap())
    };
    let mut linked: BTreeSet<String> = succeeded(&tree).lines().filter(|l| !l.is_empty()).map(line).collect();
    linked.retain(|name| !name.starts_with("acr-credential-binding "));
    let missing: Vec<_> = linked.difference(&listed).collect();
    assert!(linked.len() > 100 && missing.is_empty(), "{missing:?}");
    assert!(!listed.iter().any(|name| name.starts_with("criterion ") || name.starts_with("acr-lab ")));
    assert_eq!(list["metadata"]["component"]["version"], env!("CARGO_PKG_VERSION"));
}
