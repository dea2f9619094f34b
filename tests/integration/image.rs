//! The image that a release publishes, built by its scripts, through a registry and into a container.

use std::collections::BTreeSet;
use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;

use acr_lab::certificates::Authority;
use acr_lab::cloud::world::{Domain, DomainKind};
use acr_lab::cloud::{Cloud, CloudConfig};
use acr_lab::controller::Controller;
use acr_lab::front::HttpsFront;
use acr_lab::image::{CloudNames, Container, Image, Recipe, Unpacked, own_architecture, usable, way};
use acr_lab::plane::Options;
use acr_lab::registry::{Access, Registry};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::harness::{
    CONTROLLER, Lab, NAMESPACE, PATIENCE, cloud_of, installed_without, options, root, spec,
};

const REPOSITORY: &str = "platform/acr-credential-controller";
const INSTANCE: &str = "cri-demo0001";
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Returns how a release builds the binaries here, for the time that a test has.
async fn preferred() -> Recipe {
    let recipe = Recipe::new("image-quick");
    let way = way(own_architecture(), false).await.unwrap();
    // Not by a macro: a test's output is captured, and this is for the user who runs the tests.
    let _ = writeln!(stderr().lock(), "the image's binaries are built by {way}");
    recipe
}

/// Returns the second choice: binaries that need a C library, which are those of the tests.
pub fn with_glibc(folder: &Path) -> Recipe {
    for program in [
        env!("CARGO_BIN_EXE_acr-credential-controller"),
        env!("CARGO_BIN_EXE_kubectl-acr"),
        env!("CARGO_BIN_EXE_acr-credential-provider"),
    ] {
        let name = Path::new(program).file_name().unwrap();
        let status = Command::new("strip").arg("-o").arg(folder.join(name)).arg(program).status().unwrap();
        assert!(status.success());
    }
    Recipe { with_glibc: true, built: Some(folder.to_owned()), ..Recipe::new("test") }
}

/// Builds the image, and has it pulled with a password that the cloud issued.
async fn published(recipe: &Recipe) -> (Image, Registry, String) {
    let image = Image::build(recipe, &[own_architecture()]).await.unwrap();
    let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
    let registry = Registry::start(&cloud, Access::enterprise(INSTANCE)).await.unwrap();
    let reference = image.push(&registry, REPOSITORY).await.unwrap();
    (image, registry, reference)
}

async fn pulled(registry: &Registry, reference: &str) -> Unpacked {
    let login = registry.admin_config();
    Unpacked::pull(registry, login.as_bytes(), reference, own_architecture()).await.unwrap()
}

/// Checks everything that a user relies on before the first start.
async fn holds(recipe: &Recipe, further: impl Fn(&str) -> bool) {
    let (image, registry, reference) = published(recipe).await;
    let unpacked = pulled(&registry, &reference).await;
    let platforms: Vec<_> = unpacked.platforms().iter().map(|p| p.architecture.as_str()).collect();
    assert_eq!(platforms, [own_architecture()]);

    let config = &unpacked.platform().unwrap().config;
    assert_eq!((&config["os"], &config["architecture"]), (&json!("linux"), &json!(own_architecture())));
    let inner = &config["config"];
    assert_eq!(inner["User"], "65532:65532");
    assert_eq!(inner["Entrypoint"], json!(["/usr/local/bin/acr-credential-controller"]));
    assert_eq!(inner["Cmd"], Value::Null, "arguments come from the Deployment");
    let label = |name: &str| inner["Labels"][format!("org.opencontainers.image.{name}")].clone();
    assert_eq!(label("title"), "acr-credential-controller");
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("licenses"), env!("CARGO_PKG_LICENSE"));
    assert_eq!(label("source"), env!("CARGO_PKG_REPOSITORY"));
    assert_eq!(label("description"), env!("CARGO_PKG_DESCRIPTION"));
    let head = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(root()).output().unwrap();
    assert_eq!(label("revision"), String::from_utf8(head.stdout).unwrap().trim());

    // No shell, no package manager, nothing that only this machine has.
    let ours = [AUTHORITIES, "usr/local/bin/acr-credential-controller", "usr/local/bin/kubectl-acr"];
    let files = unpacked.files().unwrap();
    let unknown: Vec<_> = files.iter().filter(|f| !ours.contains(&f.as_str()) && !further(f)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(ours.iter().all(|file| files.iter().any(|found| found == file)), "{files:?}");
    for file in &files {
        let path = unpacked.root().join(file);
        let bytes = std::fs::read(&path).unwrap();
        let cargo = std::env::var_os("HOME").unwrap();
        for path in [root().join("src/"), Path::new(&cargo).join(".cargo/registry/")] {
            let path = path.display().to_string();
            let found = bytes.windows(path.len()).any(|window| window == path.as_bytes());
            assert!(!found || recipe.built.is_some(), "{file} names {path}");
        }
    }
    let pem = std::fs::read(unpacked.root().join(AUTHORITIES)).unwrap();
    let all: Vec<_> = CertificateDer::pem_slice_iter(&pem).map(Result::unwrap).collect();
    let mut store = RootCertStore::empty();
    let (valid, ignored) = store.add_parsable_certificates(all);
    assert!(valid > 100 && ignored == 0, "{valid} authorities, {ignored} unreadable");

    let again = image.push(&registry, "again").await.unwrap();
    image.assemble().await.unwrap();
    let rebuilt = image.push(&registry, "rebuilt").await.unwrap();
    let digests: BTreeSet<_> = [&reference, &again, &rebuilt]
        .iter()
        .map(|text| text.split_once('@').unwrap().1.to_owned())
        .collect();
    assert_eq!(digests.len(), 1, "the same files make the same bytes: {digests:?}");

    let version = env!("CARGO_PKG_VERSION");
    for (program, name) in
        [(None, "acr-credential-controller"), (Some("/usr/local/bin/kubectl-acr"), "kubectl-acr")]
    {
        let container = Container::new(&unpacked, program, &[], &[]).unwrap();
        let (code, said) = container.run(&["--version"]).await.unwrap();
        assert_eq!((code, said.trim()), (Some(0), format!("{name} {version}").as_str()));
    }
    let container = Container::new(&unpacked, Some("/bin/sh"), &[], &[]).unwrap();
    let (code, said) = container.run(&["-c", "true"]).await.unwrap();
    assert!(code != Some(0) && said.contains("no such file"), "{code:?} {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_holds_two_programs_and_public_authorities_and_is_built_to_the_same_bytes() {
    if usable().await.unwrap() {
        let recipe = preferred().await;
        let glibc = way(own_architecture(), false).await.unwrap() == "glibc";
        holds(&recipe, |file| glibc && of_glibc(file)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_with_glibc_holds_the_loader_and_the_libraries_that_the_programs_name() {
    if usable().await.unwrap() {
        let folder = tempfile::tempdir().unwrap();
        holds(&with_glibc(folder.path()), of_glibc).await;
    }
}

/// Returns whether a file is the loader, a library, the resolver's order or a licence of these.
fn of_glibc(file: &str) -> bool {
    let library = |name: &str| {
        name.starts_with("ld-linux") || ["libc.so.6", "libm.so.6", "libgcc_s.so.1"].contains(&name)
    };
    let name = file.rsplit('/').next().unwrap();
    (file.starts_with("lib") && library(name))
        || file == "etc/nsswitch.conf"
        || (file.starts_with("usr/share/doc/") && name == "copyright")
}

/// Returns the files of a Pod's ServiceAccount, as the kubelet mounts them, made from a kubeconfig.
fn service_account(folder: &Path, kubeconfig: &Path) -> Vec<(PathBuf, String)> {
    let config: Value = serde_json::from_slice(&std::fs::read(kubeconfig).unwrap()).unwrap();
    let authority = config["clusters"][0]["cluster"]["certificate-authority-data"].as_str().unwrap();
    let contents = [
        ("token", config["users"][0]["user"]["token"].as_str().unwrap().as_bytes().to_vec()),
        ("ca.crt", STANDARD.decode(authority).unwrap()),
        ("namespace", NAMESPACE.as_bytes().to_vec()),
    ];
    let write = |(name, bytes): (&str, Vec<u8>)| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        (path, format!("{ACCOUNT}/{name}"))
    };
    contents.into_iter().map(write).collect()
}

/// Runs the image as its Deployment does, in a cluster whose cloud has its real names, and certificates that the
/// image's own list of authorities verifies.
async fn serves(recipe: &Recipe) {
    let image = Image::build(recipe, &[own_architecture()]).await.unwrap();
    let plane = installed_without(&[], Options::default()).await;
    let cloud = cloud_of(&plane).await;
    let registry = Registry::start(&cloud, Access::enterprise(INSTANCE)).await.unwrap();
    let reference = image.push(&registry, REPOSITORY).await.unwrap();
    let unpacked = pulled(&registry, &reference).await;
    let domain = Domain { domain: registry.domain(), kind: DomainKind::User };
    cloud.world(|world| world.instances.get_mut(INSTANCE).unwrap().endpoints[0].domains.push(domain));

    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let trusted = folder.path().join("ca-certificates.crt");
    let mut pem = std::fs::read(unpacked.root().join(AUTHORITIES)).unwrap();
    pem.extend(authority.pem().as_bytes());
    std::fs::write(&trusted, pem).unwrap();
    let front = HttpsFront::start(&cloud, &authority).await.unwrap();
    let names = CloudNames::start(front.address()).await.unwrap();
    let kubeconfig = plane.service_account_kubeconfig(NAMESPACE, CONTROLLER).await.unwrap();
    let mut files = service_account(folder.path(), &kubeconfig);
    files.push((names.resolv_conf(), "/etc/resolv.conf".to_owned()));
    files.push((trusted, format!("/{AUTHORITIES}")));
    let files: Vec<_> = files.iter().map(|(from, to)| (from.clone(), to.as_str())).collect();
    let server: http::Uri = plane.url().parse().unwrap();
    let port = server.port_u16().unwrap().to_string();
    let env = [
        ("KUBERNETES_SERVICE_HOST", server.host().unwrap()),
        ("KUBERNETES_SERVICE_PORT", &port),
        ("POD_NAMESPACE", NAMESPACE),
        ("POD_NAME", "controller-0"),
        ("NO_COLOR", "1"),
    ];
    let container = Container::new(&unpacked, None, &files, &env).unwrap();
    let mut options = options(kubeconfig, &cloud);
    options.binary = container.program();
    options.by_https = true;
    let controller = Controller::start_ready(options, PATIENCE).await.unwrap();
    let lab = Lab { client: plane.client(), plane, cloud, controller };

    lab.create_namespace("contained").await;
    lab.bind("contained", spec(&["contained"])).await;
    lab.until_ready_is("contained", "True", "Succeeded").await;
    lab.until_attached("contained", "default").await;
    let resolved = names.resolved();
    assert!(resolved.iter().any(|name| name == "cr-vpc.cn-hangzhou.aliyuncs.com"), "{resolved:?}");
    // What the controller of the image wrote opens the registry that holds the image.
    let login = lab.docker_config("contained").await;
    let again = Unpacked::pull(&registry, &login, &reference, own_architecture()).await.unwrap();
    assert_eq!(again.files().unwrap(), unpacked.files().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_runs_from_its_image_and_reaches_the_cloud_by_name() {
    if usable().await.unwrap() {
        serves(&preferred().await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_runs_from_the_image_with_glibc_and_reaches_the_cloud_by_name() {
    if usable().await.unwrap() {
        let folder = tempfile::tempdir().unwrap();
        serves(&with_glibc(folder.path())).await;
    }
}
