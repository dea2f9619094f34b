//! The commands of the README, word for word, from nothing to a Pod that runs.

use std::path::Path;

use acr_lab::docs::{block, commands};
use acr_lab::helm;
use acr_lab::plane::Options;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use super::installed::{Installed, usable};
use super::{HOST, create_pod, until_running};
use crate::documentation::{Docker, words};
use crate::harness::NAMESPACE;

/// A shell of a user who has Docker, Helm and kubectl, and keeps images in the registry of this cluster.
struct User {
    docker: Docker,
    programs: Vec<std::path::PathBuf>,
    kubeconfig: std::path::PathBuf,
    authorities: tempfile::NamedTempFile,
    _login: tempfile::NamedTempFile,
}

impl User {
    async fn of(cluster: &Installed) -> Self {
        let registry = &cluster.site.registry;
        let login = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(login.path(), registry.admin_config()).unwrap();
        // The registry's real name leads to it from the node only.
        let push = format!(
            "BUILDAH push --authfile {} --cert-dir {} \"$2\" \"docker://{}/${{2#*/}}\"",
            login.path().display(),
            registry.certificates().display(),
            registry.domain()
        );
        let authorities = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(authorities.path(), cluster.authority_pem()).unwrap();
        let folder = |program: &Path| program.parent().unwrap().to_owned();
        let (helm, kubectl) = (helm::program().await.unwrap(), cluster.plane.kubectl_path());
        Self {
            docker: Docker::new(&push),
            programs: vec![folder(&helm), folder(&kubectl)],
            kubeconfig: cluster.plane.kubeconfig().to_owned(),
            authorities,
            _login: login,
        }
    }

    /// Runs a line, and returns what it printed.
    async fn run(&self, line: &str) -> Result<String, String> {
        let mut command = self.docker.shell(line, &format!("{HOST}/platform"));
        let path = command.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_owned();
        let folders = self.programs.iter().cloned().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders).unwrap());
        // The image trusts the cloud of this cluster, as it does the real one otherwise.
        command.env("KUBECONFIG", &self.kubeconfig).env("CA_BUNDLE", self.authorities.path());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_leads_from_nothing_to_a_pod_that_runs() {
    if !usable("the_readme_leads_from_nothing_to_a_pod_that_runs").await {
        return;
    }
    let install = commands("README.md", "Install").unwrap();
    assert_eq!(install, commands("docs/install.md", "Install with Helm").unwrap());
    let cluster = Installed::bare(NAMESPACE, Options::default()).await;
    // No login is needed for the image of the controller, as from a public repository.
    cluster.site.registry.open("platform/acr-credential-controller");
    let user = User::of(&cluster).await;
    for line in install.iter().chain(&commands("docs/install.md", "Enforce Pod Security").unwrap()) {
        if let Err(error) = user.run(line).await {
            panic!("{line}: {error}\n{}", cluster.described().await);
        }
    }

    for namespace in ["team-a-dev", "team-a-prod"] {
        cluster.create_namespace(namespace).await;
    }
    cluster
        .plane
        .kubectl_ok(&["create", "serviceaccount", "builder", "--namespace=team-a-dev"])
        .await
        .unwrap();
    cluster.plane.apply(&block("README.md", "The smallest binding", "yaml").unwrap()).await.unwrap();
    cluster.until_condition("team-a", "Ready", "True", "Succeeded").await;
    let documented = block("README.md", "The smallest binding", "console").unwrap();
    let command = documented.lines().next().unwrap().strip_prefix("$ ").unwrap();
    cluster
        .until("the printed figures are those of the README", async || {
            let printed = user.run(command).await.unwrap();
            words(&printed, 1)[..5] == words(&documented, 2)[..5]
        })
        .await;
    let pods: Api<Pod> = cluster.namespaced("team-a-prod");
    create_pod(&pods, "app", "Always").await;
    until_running(&pods, "app", &cluster.site.node).await;
    // The label did not come too late: the next Pods of the controller comply with it.
    cluster.plane.kubectl_ok(&["delete", "pods", "--all", "--namespace", NAMESPACE]).await.unwrap();
    cluster.until_available("acr-credential-controller", 2).await;
}
