//! The plain manifests in `deploy/`: each is `helm template` of the chart with the values of one table.

use acr_lab::docs::root;
use acr_lab::helm::Helm;

use crate::{Document, render};

/// A file of `deploy/`.
struct Manifest {
    file: &'static str,
    /// Its first lines, as comments, which apply to the file and not to the chart.
    header: &'static str,
    /// The values that differ from the chart's own, besides those of [`PLAIN`].
    values: &'static [&'static str],
    /// The templates whose objects it has, in its order: Helm sorts by kind, which would put rights before the policies
    /// that confine them.
    templates: &'static [&'static str],
}

/// Without Helm, nothing reads Helm's labels and hooks.
pub const PLAIN: [&str; 8] = [
    "--no-hooks",
    "--kube-version=1.37.0",
    "--set=standardLabels=false",
    "--set=crds.keep=false",
    "--set=namespace.create=true",
    "--set=policies.enabled=true",
    // A Role without a name would be left out, and the file could not show where to write it.
    "--set=accessKeySecrets={acr-access-key}",
    "--set=flowSchema.enabled=true",
];

/// A component gives rights only, so that the policies are in force before.
const KUSTOMIZE_BASE: [&str; 9] = [
    "crds",
    "namespace",
    "policies",
    "webhook-policy",
    "stuck-pods-policy",
    "serviceaccount",
    "rbac",
    "deployment",
    "pdb",
];

const MANIFESTS: [Manifest; 14] = [
    Manifest {
        file: "install.yaml",
        header: "\
# All that the controller needs: API, namespace, policies, rights and controller. The optional parts are files of their
# own. Replace the image by one that you built from deploy/Dockerfile and pushed to a registry.
#
# It needs Kubernetes 1.30. On an older cluster, leave out the ValidatingAdmissionPolicies and their bindings: apply the
# other files of this folder one by one, without policies.yaml. Every binding then has the condition
# PoliciesEnforced=False.
",
        values: &[],
        templates: &["crds", "namespace", "policies", "serviceaccount", "rbac", "deployment", "pdb"],
    },
    Manifest { file: "namespace.yaml", header: "", values: &[], templates: &["namespace"] },
    Manifest { file: "rbac.yaml", header: "", values: &[], templates: &["serviceaccount", "rbac"] },
    Manifest { file: "policies.yaml", header: "", values: &[], templates: &["policies"] },
    Manifest {
        file: "controller.yaml",
        header: "\
# The controller. Replace the image by one that you built from deploy/Dockerfile and pushed to a registry.
",
        values: &[],
        templates: &["deployment", "pdb"],
    },
    Manifest {
        file: "admission.yaml",
        header: "",
        values: &["--set=admission.mode=policy"],
        templates: &["admission"],
    },
    Manifest {
        file: "webhook.yaml",
        header: "\
# Optional: a webhook that adds the entry to ServiceAccounts during admission, for bindings with spec.webhook.enable. Use
# it where the API server has no MutatingAdmissionPolicy v1 (before Kubernetes 1.36).
#
# Never apply it before Kubernetes 1.30: without the ValidatingAdmissionPolicy below, a stolen token of the controller
# could have every Secret of the cluster sent to itself.
#
# The controller writes the MutatingWebhookConfiguration acr-credential-webhook, and creates its own certificates. To turn
# the webhook off, delete the objects of this file, then the configuration: the controller can no longer delete it.
",
        values: &["--set=admission.mode=webhook"],
        templates: &["webhook-policy", "webhook", "webhook-rbac"],
    },
    Manifest {
        file: "stuck-pods.yaml",
        header: "\
# Optional, for --replace-stuck-pods: replaces Pods that were created before their ServiceAccount had the entry. Never
# apply it before Kubernetes 1.30: without the ValidatingAdmissionPolicy below, the rights reach every Pod.
",
        values: &["--set=replaceStuckPods.enabled=true"],
        templates: &["stuck-pods-policy", "stuck-pods-rbac"],
    },
    Manifest {
        file: "flow-schema.yaml",
        header: "\
# Optional, Kubernetes 1.29 or newer: places of the API server's priority and fairness for the controller's requests.
#
# Without this file they share the level workload-low with those of all other ServiceAccounts. Writes that hang in one
# namespace, such as behind an admission webhook that does not answer, then take places of all of them.
",
        values: &[],
        templates: &["flow-schema"],
    },
    Manifest {
        file: "network-policy.yaml",
        header: "",
        values: &["--set=networkPolicy.enabled=true"],
        templates: &["network-policy"],
    },
    Manifest { file: "kustomize/base/install.yaml", header: "", values: &[], templates: &KUSTOMIZE_BASE },
    Manifest {
        file: "kustomize/components/admission-policy/admission.yaml",
        header: "",
        values: &["--set=admission.mode=policy"],
        templates: &["admission"],
    },
    Manifest {
        file: "kustomize/components/webhook/webhook.yaml",
        header: "",
        values: &["--set=admission.mode=webhook"],
        templates: &["webhook", "webhook-rbac"],
    },
    Manifest {
        file: "kustomize/components/stuck-pods/stuck-pods.yaml",
        header: "",
        values: &["--set=replaceStuckPods.enabled=true"],
        templates: &["stuck-pods-rbac"],
    },
];

impl Manifest {
    /// Returns the text of the file.
    async fn text(&self, helm: &Helm) -> String {
        let documents = render(helm, &[&PLAIN, self.values].concat()).await;
        let of = |template: &&str| -> Vec<&Document> {
            let found: Vec<_> = documents.iter().filter(|document| document.template == *template).collect();
            assert!(!found.is_empty(), "{}: the chart renders no {template}", self.file);
            found
        };
        let texts: Vec<&str> =
            self.templates.iter().flat_map(of).map(|document| document.text.as_str()).collect();
        let header = if self.header.is_empty() { String::new() } else { format!("{}\n", self.header) };
        format!("# Rendered from the chart in deploy/helm.\n\n{header}{}", texts.join("---\n"))
    }
}

/// `UPDATE_GOLDEN=1` writes the files.
#[tokio::test]
async fn each_plain_manifest_is_what_the_chart_renders() {
    let helm = Helm::alone().await.unwrap();
    for manifest in &MANIFESTS {
        let (path, text) = (root().join("deploy").join(manifest.file), manifest.text(&helm).await);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(
            kept == text,
            "deploy/{} is not what the chart renders: change the chart in deploy/helm, then run \
             `UPDATE_GOLDEN=1 cargo test --package acr-lab --test chart manifest`",
            manifest.file
        );
    }
    // No other manifest is written by hand beside them.
    let files = std::fs::read_dir(root().join("deploy")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut files: Vec<_> =
        files.map(|name| name.into_string().unwrap()).filter(|name| name.ends_with(".yaml")).collect();
    let mut rendered: Vec<_> =
        MANIFESTS.iter().map(|manifest| manifest.file).filter(|file| !file.contains('/')).collect();
    files.sort();
    rendered.sort();
    assert_eq!(files, rendered);
}
