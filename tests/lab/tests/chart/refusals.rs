//! Values that do not go together: rendering fails, with a message that says what to do.

use acr_lab::helm::Helm;

use crate::{refused, render};

/// The arguments, the beginning of the message, and its cure.
type Case = (&'static [&'static str], &'static str, &'static str);

const CASES: [Case; 15] = [
    (
        &["--set=admission.mode=webhook", "--set=policies.enabled=false"],
        "admission.mode: webhook gives the controller rights that only the admission policies confine",
        "set policies.enabled to auto, or leave admission.mode: webhook out",
    ),
    (
        &["--set=admission.mode=webhook", "--kube-version=1.29.4"],
        "admission.mode: webhook gives the controller rights that only the admission policies confine",
        "upgrade to Kubernetes 1.30, or leave admission.mode: webhook out",
    ),
    (
        &["--set=replaceStuckPods.enabled=true", "--set=policies.enabled=false"],
        "replaceStuckPods.enabled gives the controller rights that only the admission policies confine",
        "set policies.enabled to auto, or leave replaceStuckPods.enabled out",
    ),
    (
        &["--set=replaceStuckPods.enabled=true", "--kube-version=1.29.4"],
        "replaceStuckPods.enabled gives the controller rights that only the admission policies confine",
        "upgrade to Kubernetes 1.30, or leave replaceStuckPods.enabled out",
    ),
    (
        &["--set=policies.enabled=true", "--kube-version=1.29.4"],
        "policies.enabled: true needs Kubernetes 1.30, and this is v1.29.4",
        "set policies.enabled to auto",
    ),
    (
        &["--set=admission.mode=policy", "--kube-version=1.35.2"],
        "admission.mode: policy needs Kubernetes 1.36, and this is v1.35.2",
        "set admission.mode to webhook or none",
    ),
    (
        &["--set=flowSchema.enabled=true", "--kube-version=1.28.9"],
        "flowSchema.enabled needs Kubernetes 1.29, and this is v1.28.9",
        "leave flowSchema.enabled out",
    ),
    (
        &["--set=podDisruptionBudget.unhealthyPodEvictionPolicy=AlwaysAllow", "--kube-version=1.26.1"],
        "podDisruptionBudget.unhealthyPodEvictionPolicy needs Kubernetes 1.27, and this is v1.26.1",
        "leave podDisruptionBudget.unhealthyPodEvictionPolicy out",
    ),
    (
        &["--kube-version=1.24.17"],
        "chart requires kubeVersion: >=1.25.0-0",
        "incompatible with Kubernetes v1.24.17",
    ),
    (
        &["--set=admission.mode=webhook", "--set=webhook.certificate=secret"],
        "webhook.certificate: secret needs webhook.secretName",
        "the Secret with tls.crt, tls.key and ca.crt",
    ),
    (
        &["--set=extraArgs={--secret-name=acr-pull}"],
        "extraArgs has --secret-name, which rights and policies would not follow",
        "set secretName instead",
    ),
    (
        &["--set=prometheus.podmonitor.enabled=true", "--set=prometheus.podmonitor.renderMode=failIfMissing"],
        "prometheus.podmonitor.enabled needs the CRD of PodMonitor, which this cluster does not have",
        "install the Prometheus operator, or set prometheus.podmonitor.renderMode to skipIfMissing",
    ),
    (
        &["--set=prometheusRule.enabled=true", "--set=prometheusRule.renderMode=failIfMissing"],
        "prometheusRule.enabled needs the CRD of PrometheusRule, which this cluster does not have",
        "install the Prometheus operator, or set prometheusRule.renderMode to skipIfMissing",
    ),
    (
        &[
            "--set=prometheus.servicemonitor.enabled=true",
            "--set=prometheus.servicemonitor.renderMode=failIfMissing",
        ],
        "prometheus.servicemonitor.enabled needs the CRD of ServiceMonitor, which this cluster does not have",
        "install the Prometheus operator, or set prometheus.servicemonitor.renderMode to skipIfMissing",
    ),
    (
        &["--set=policies.exceptions.serviceAccounts.pullSecrets={acr-credential-secret-aggregation}"],
        "policies.exceptions.serviceAccounts.pullSecrets has acr-credential-secret-aggregation, the controller's own entry",
        "leave it out",
    ),
];

#[tokio::test]
async fn what_does_not_go_together_is_refused_with_what_to_do() {
    let helm = Helm::alone().await.unwrap();
    for (arguments, words, cure) in CASES {
        let message = refused(&helm, arguments).await;
        assert!(message.contains(words) && message.contains(cure), "{arguments:?}: {message}");
    }
}

/// Without the policies, a cluster before 1.30 has the controller, and nothing that the policies alone confine.
#[tokio::test]
async fn before_kubernetes_1_30_the_policies_are_left_out_alone() {
    let helm = Helm::alone().await.unwrap();
    let keys = |documents: Vec<crate::Document>| -> Vec<String> {
        documents.iter().map(|document| format!("{} {}", document.template, document.key())).collect()
    };
    let (old, new) =
        (render(&helm, &["--kube-version=1.29.4"]).await, render(&helm, &["--kube-version=1.30.0"]).await);
    let (old, new) = (keys(old), keys(new));
    let left_out: Vec<&String> = new.iter().filter(|key| !old.contains(key)).collect();
    assert!(old.iter().all(|key| new.contains(key)));
    assert_eq!(left_out.iter().filter(|key| key.contains("ValidatingAdmissionPolicy")).count(), 18);
    assert!(left_out.iter().all(|key| key.contains("policies") || key.contains("-policy ")), "{left_out:?}");
}

/// A key that the policies refuse would fail each write of the controller. The lists are those of the policies.
#[tokio::test]
async fn a_key_that_the_policies_never_allow_is_refused() {
    let helm = Helm::alone().await.unwrap();
    let policies = render(&helm, &["--show-only=templates/policies.yaml"]).await;
    let variables = policies[0].object["spec"]["variables"].as_array().unwrap();
    let list = |name: &str| -> Vec<&str> {
        let variable = variables.iter().find(|variable| variable["name"] == name).unwrap();
        variable["expression"].as_str().unwrap().split('\'').skip(1).step_by(2).collect()
    };
    let (domains, keys) = (list("refusedDomains"), list("refusedKeys"));
    assert!(domains.len() > 30 && keys.len() > 5, "{domains:?} {keys:?}");
    let refused_keys =
        domains.iter().map(|domain| format!("sub.{domain}/a")).chain(keys.iter().map(|&key| key.to_owned()));
    for (number, key) in refused_keys.enumerate() {
        let (value, set) = match number % 4 {
            0 => ("secretLabels", format!("--set-json=secretLabels={{\"{key}\":\"b\"}}")),
            1 => ("secretAnnotations", format!("--set-json=secretAnnotations={{\"{key}\":\"b\"}}")),
            2 => (
                "secrets.annotations",
                format!("--set-json=policies.exceptions.secrets.annotations=[\"{key}\"]"),
            ),
            _ => (
                "serviceAccounts.labels",
                format!("--set-json=policies.exceptions.serviceAccounts.labels=[\"{key}=b\"]"),
            ),
        };
        let message = refused(&helm, &[&set]).await;
        let words = format!("{value} has the key {key}, which the policies never allow");
        assert!(message.contains(&words), "{set}: {message}");
    }
    render(&helm, &["--set-json=secretLabels={\"myhelm.sh/a\":\"b\",\"team\":\"c\"}"]).await;
}

/// Returns what `helm install` says after an installation, without a cluster.
async fn notes(helm: &Helm, values: &[&str]) -> String {
    let chart = crate::chart();
    let arguments =
        [&["install", crate::RELEASE, &chart, "--namespace", crate::NAMESPACE, "--dry-run=client"], values];
    let said = helm.ok(&arguments.concat()).await.unwrap();
    said.split_once("\nNOTES:\n").unwrap().1.trim_end().to_owned()
}

#[tokio::test]
async fn the_notes_name_what_was_skipped_and_end_in_the_next_command() {
    let helm = Helm::alone().await.unwrap();
    let next = "helm test acr-credential-controller --namespace acr-credential-system --logs";
    let plain = notes(&helm, &[]).await;
    assert!(!plain.contains("Skipped"), "{plain}");
    assert_eq!(plain.lines().last().unwrap().trim(), next);
    let cases: [(&[&str], &str); 6] = [
        (
            &["--set=policies.enabled=false"],
            "Skipped: the admission policies that confine the controller, because policies.enabled is false",
        ),
        (
            &["--set=prometheus.servicemonitor.enabled=true"],
            "Skipped: the ServiceMonitor, because this cluster does not have its CRD",
        ),
        (
            &["--set=prometheus.podmonitor.enabled=true"],
            "Skipped: the PodMonitor, because this cluster does not have its CRD",
        ),
        (
            &["--set=prometheusRule.enabled=true"],
            "Skipped: the PrometheusRule, because this cluster does not have its CRD",
        ),
        (
            &["--set=replicaCount=1"],
            "Skipped: the PodDisruptionBudget, because with one replica it would block every node drain",
        ),
        (
            &["--set=crds.enabled=false"],
            "Skipped: the CustomResourceDefinition, because crds.enabled is false",
        ),
    ];
    for (values, words) in cases {
        let said = notes(&helm, values).await;
        assert!(said.contains(words) && said.matches("Skipped").count() == 1, "{said}");
        assert_eq!(said.lines().last().unwrap().trim(), next, "{said}");
    }
}
