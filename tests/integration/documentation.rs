//! The command blocks of the documentation, run as they are written.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use acr_lab::docs::{block, commands};
use acr_lab::image::{storage, usable};
use acr_lab::plane::{Options, Plane};
use serde_json::{Value, json};

use crate::harness::{Lab, root, spec};

/// Runs a line as a shell does that finds `kubectl` and the plugin.
pub fn shell(plane: &Plane, line: &str) -> Result<String, String> {
    shell_in(plane, root(), &[], line)
}

pub fn shell_in(plane: &Plane, folder: &Path, programs: &[&Path], line: &str) -> Result<String, String> {
    let own = [plane.kubectl_path(), PathBuf::from(env!("CARGO_BIN_EXE_kubectl-acr"))];
    let folders = programs.iter().copied().chain(own.iter().filter_map(|program| program.parent()));
    let system = ["/usr/bin", "/bin"].map(Path::new);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).current_dir(folder);
    command.env("KUBECONFIG", plane.kubeconfig()).env("HOME", plane.dir());
    command.env_remove("KUBERNETES_SERVICE_HOST");
    command.env("PATH", std::env::join_paths(folders.chain(system)).unwrap());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// Runs the commands of a page under a heading, each of which must succeed, and returns what they print.
fn run(plane: &Plane, commands: &[String]) -> Vec<String> {
    let run = |line: &String| shell(plane, line).unwrap_or_else(|error| panic!("{line}: {error}"));
    commands.iter().map(run).collect()
}

/// Buildah in the place of Docker, with a storage of its own.
pub struct Docker(tempfile::TempDir);

impl Docker {
    /// Returns it. `push` is a line of the shell that pushes the image `$2`.
    pub fn new(push: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let buildah = storage(folder.path().as_os_str());
        let docker = folder.path().join("docker");
        let text = format!("#!/bin/sh\nif [ \"$1\" = push ]; then {push}; exit; fi\nexec {buildah} \"$@\"\n");
        std::fs::write(&docker, text.replace("BUILDAH", &buildah)).unwrap();
        std::fs::set_permissions(&docker, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    /// Returns a shell that finds it, and what builds a release.
    pub fn shell(&self, line: &str, registry: &str) -> Command {
        let path = std::env::var_os("PATH").unwrap();
        let folders = [self.0.path().to_owned()].into_iter().chain(std::env::split_paths(&path));
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]).current_dir(root()).env("PATH", std::env::join_paths(folders).unwrap());
        command.env("BUILDAH_ISOLATION", "chroot").env("REGISTRY", registry);
        // All optimisations would take longer than all tests.
        command.env("PROFILE", "image-quick").env_remove("WAY").env_remove("BUILT").env_remove("DIST");
        command
    }

    /// Runs a line, and returns what it printed.
    pub fn run(&self, line: &str, registry: &str) -> Result<String, String> {
        let output = self.shell(line, registry).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }
}

/// Builds the image by the first command of a page. Returns whether it succeeded, and the configuration of the image then.
fn build_image(line: &str) -> Result<Value, String> {
    let docker = Docker::new("true");
    let registry = "registry.example.com/team";
    docker.run(line, registry)?;
    let manifest = std::fs::read_to_string(root().join("deploy/controller.yaml")).unwrap();
    let image = manifest.lines().find_map(|line| line.trim().strip_prefix("image: ")).unwrap();
    let config = docker.run(&format!("docker inspect --type image {registry}/{image}"), registry)?;
    Ok(serde_json::from_str::<Value>(&config).unwrap()["OCIv1"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_builds_the_image_that_the_manifests_name() {
    if usable().await.unwrap() {
        let image = commands("README.md", "Install").unwrap().remove(0);
        let built = build_image(&image).unwrap();
        assert_eq!(built["config"]["Entrypoint"], json!(["/usr/local/bin/acr-credential-controller"]));
        assert_eq!(built["config"]["User"], "65532:65532");
        let wrong = image.replace("deploy/Dockerfile", "Dockerfile");
        let error = build_image(&wrong).unwrap_err();
        assert!(error.contains("Dockerfile"), "{error}");
    }
}

/// Returns the words of a line.
pub fn words(text: &str, line: usize) -> Vec<String> {
    text.lines().nth(line).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plain_manifests_install_the_controller_and_the_binding_of_the_readme_is_served() {
    let plane = Plane::start(Options::default()).await.unwrap();
    run(&plane, &commands("docs/install.md", "Install with plain manifests").unwrap());

    // No node runs it here: the process is started as the Deployment would.
    let lab = Lab::start_on_installed(plane).await;
    let binding = block("README.md", "The smallest binding", "yaml").unwrap();
    assert_eq!(binding, block("docs/install.md", "Create a binding", "yaml").unwrap());
    for namespace in ["team-a-dev", "team-a-prod"] {
        lab.create_namespace(namespace).await;
    }
    lab.create_account("team-a-dev", "builder", &[]).await;
    lab.plane.apply(&binding).await.unwrap();
    lab.until_ready_is("team-a", "True", "Succeeded").await;
    let documented = block("README.md", "The smallest binding", "console").unwrap();
    let command = documented.lines().next().unwrap().strip_prefix("$ ").unwrap();
    lab.until("the printed figures are those of the README", async || {
        let printed = shell(&lab.plane, command).unwrap();
        assert_eq!(words(&printed, 0), words(&documented, 1), "{printed}");
        words(&printed, 1)[..5] == words(&documented, 2)[..5]
    })
    .await;

    // Kustomize brings the same objects, with the component and the image of the page.
    let kustomization = block("docs/install.md", "Install with Kustomize", "yaml").unwrap();
    let file = root().join("deploy/kustomize/example/kustomization.yaml");
    assert_eq!(std::fs::read_to_string(file).unwrap(), kustomization);
    run(&lab.plane, &commands("docs/install.md", "Install with Kustomize").unwrap());
    let deployment = "kubectl get deployment acr-credential-controller --namespace acr-credential-system --output \
                      jsonpath={.spec.replicas}:{.spec.template.spec.containers[0].image}";
    let shown = shell(&lab.plane, deployment).unwrap();
    assert_eq!(shown, "3:registry.example.com/team/acr-credential-controller:0.1.0");

    run(&lab.plane, &commands("docs/install.md", "Without the policies").unwrap());
    lab.until_ready_is("team-a", "True", "Succeeded").await;
}

/// What each command does is tested elsewhere: here it is accepted, and does what the page says it is for.
#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_operations_page_work() {
    let lab = Lab::start().await;
    for namespace in ["team-a-prod", "team-a-legacy"] {
        lab.create_namespace(namespace).await;
    }
    lab.bind("team-a", spec(&["team-a-*"])).await;
    lab.until_ready_is("team-a", "True", "Succeeded").await;
    let plane = &lab.plane;
    plane.apply_file(root().join("deploy/controller.yaml")).await.unwrap();

    let shown = run(plane, &commands("docs/operations.md", "See what a binding does").unwrap());
    assert!(shown.iter().all(|text| text.contains("team-a")), "{shown:?}");
    let shown = run(plane, &commands("docs/troubleshooting.md", "Troubleshooting").unwrap());
    assert!(shown[0].contains("team-a"), "{shown:?}");
    let shown = run(plane, &commands("docs/operations.md", "Run two replicas").unwrap());
    assert!(shown[0].contains("acr-credential-controller"), "{shown:?}");

    run(plane, &commands("docs/operations.md", "Refresh now").unwrap());
    lab.until("the refresh is handled", async || {
        let binding = lab.bindings().get("team-a").await.unwrap();
        let asked =
            binding.metadata.annotations.as_ref().map(|all| all["acrcredential.dev/refresh-at"].clone());
        asked.is_some() && binding.status.and_then(|status| status.last_handled_refresh_at) == asked
    })
    .await;

    run(plane, &commands("docs/operations.md", "Opt out a namespace or a ServiceAccount").unwrap());
    lab.until("the namespace is left", async || lab.secret("team-a-legacy").await.is_none()).await;

    let confirm = commands("docs/operations.md", "Confirm or undo a sudden loss of coverage").unwrap();
    let before = lab.bindings().get("team-a").await.unwrap().metadata.generation.unwrap();
    run(plane, &confirm);
    let confirmed = lab.bindings().get("team-a").await.unwrap().metadata.annotations.unwrap();
    assert_eq!(confirmed["acrcredential.dev/confirm-withdrawal"], before.to_string());

    run(plane, &commands("docs/operations.md", "Replace Pods that were created too early").unwrap());
    let deployment =
        plane.kubectl_ok(&["-n", "acr-credential-system", "get", "deployment", "-o", "yaml"]).await;
    assert!(deployment.unwrap().contains("ACR_REPLACE_STUCK_PODS"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_admission_page_work() {
    let lab = Lab::start().await;
    let plane = &lab.plane;
    run(plane, &commands("docs/admission.md", "Enable the policy").unwrap());
    run(plane, &commands("docs/admission.md", "Enable the webhook").unwrap());
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": { "name": "acr-credential-webhook" },
    });
    plane.apply(&configuration.to_string()).await.unwrap();
    let deleted = run(plane, &commands("docs/admission.md", "What failurePolicy: Fail means").unwrap());
    assert!(deleted[0].contains("deleted"), "{deleted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_plugins_page_work() {
    let lab = Lab::start().await;
    let data = json!({
        "acr-registry-info": "- instanceId: cri-demo0001\n  regionId: cn-hangzhou\n",
        "watch-namespace": "default",
        "service-account": "default",
    });
    lab.put_config_map(data.clone()).await;
    lab.until_ready_is("acr-configuration", "True", "Succeeded").await;
    let folder = tempfile::tempdir().unwrap();
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "acr-configuration", "namespace": "kube-system" },
        "data": data,
    });
    std::fs::write(folder.path().join("acr-configuration.yaml"), map.to_string()).unwrap();
    let mut printed = Vec::new();
    for line in commands("docs/kubectl-acr.md", "Commands").unwrap() {
        let text = shell_in(&lab.plane, folder.path(), &[], &line);
        let text = text.unwrap_or_else(|error| panic!("{line}: {error}"));
        if line.contains("convert acr-configuration.yaml") {
            std::fs::write(folder.path().join("binding.yaml"), &text).unwrap();
        }
        printed.push(text);
    }
    assert!(printed[1].contains("sarif"), "{}", printed[1]);
    assert!(printed[2].contains("kind: AcrCredentialBinding"), "{}", printed[2]);
    assert!(printed[3].contains("kind: ConfigMap"), "{}", printed[3]);
    assert!(printed[4].contains("nothing was written"), "{}", printed[4]);
}
