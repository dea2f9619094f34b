//! Cures of the kubelet's plugin.

use std::process::Command;

use serde_json::{Value, json};

use crate::provider::{CONFIG, HOST, PLUGIN, SUBJECT, Site, run};

/// Returns faults of the file of registries: the file, words of the message, and the file as they say.
fn faults_of_the_file() -> Vec<(&'static str, String, &'static str, String)> {
    let good = CONFIG.to_owned();
    let entry = "- instanceId: cri-demo0001";
    let role = |name: &str| good.replace("demo'}", &format!("demo', roleName: {name}}}"));
    vec![
        (
            "too large",
            format!("{CONFIG}# {}\n", "x".repeat(1 << 20)),
            "has more than 1 MiB: list fewer registries",
            good.clone(),
        ),
        (
            "a Secret",
            good.replace(entry, &format!("{entry}\n  accessKeySecretRef: {{name: keys}}")),
            "accessKeySecretRef: there is no Secret to read here: remove it, and use a role",
            good.clone(),
        ),
        (
            "an ARN",
            role("'acs:ram::1:role/acr-rrsa'"),
            "is not the name of a role: write it without its ARN, such as acr-pull",
            role("acr-rrsa"),
        ),
        (
            "a text",
            good.replace("registries:\n", "registries:\n- cri-demo0001\n"),
            "registries[0] is not an entry: write fields such as instanceId: cri-abc123",
            good.replace(
                "registries:\n",
                "registries:\n- {instanceId: cri-demo0001, domains: [other.example.com]}\n",
            ),
        ),
        (
            "another field",
            good.replace("instanceId", "instance"),
            "registries[0].instance is not a field of a registry: write one of ",
            good.clone(),
        ),
    ]
}

#[tokio::test]
async fn a_file_or_a_request_is_accepted_once_it_is_corrected_as_the_message_says() {
    let site = Site::start().await;
    let image = format!("{HOST}/team/app");
    let good = site.request(&image, SUBJECT, Some("acr-rrsa"));
    for (fault, file, words, corrected) in faults_of_the_file() {
        let (code, message) = site.failure(&file, &good).await;
        assert!(code == Some(2) && message.contains(words), "{fault}: {message}");
        let response = site.response(&corrected, good.clone()).await;
        assert!(response["auth"][HOST].is_object(), "{fault}: {response}");
    }

    let changed = |field: &str, value: Value| {
        let mut request = good.clone();
        request[field] = value;
        request
    };
    let role = "pod-identity.alibabacloud.com/role-name";
    let nameless =
        CONFIG.replace("podIdentity: {oidcProviderARN: 'acs:ram::1:oidc-provider/ack-rrsa-demo'}", "");
    for (file, request, words) in [
        (
            CONFIG,
            changed("apiVersion", json!("credentialprovider.kubelet.k8s.io/v1beta1")),
            "set apiVersion: credentialprovider.kubelet.k8s.io/v1 of this provider in the CredentialProviderConfig",
        ),
        (
            CONFIG,
            changed("serviceAccountAnnotations", json!({ role: "acs:ram::1:role/acr-rrsa" })),
            "which is not the name of a role: write the name alone, such as acr-pull",
        ),
        (&*nameless, good.clone(), "the file names no OIDC provider: set podIdentity.oidcProviderARN"),
        (
            CONFIG,
            changed("serviceAccountToken", Value::Null),
            "set tokenAttributes with serviceAccountTokenAudience: sts.aliyuncs.com in the CredentialProviderConfig",
        ),
    ] {
        let (_, message) = site.failure(file, &request).await;
        assert!(message.contains(words), "{message}");
    }
    // The kubelet sends what the corrected configuration asks for.
    assert!(site.response(CONFIG, good.clone()).await["auth"][HOST].is_object());
}

#[tokio::test]
async fn the_file_and_the_region_are_given_as_the_message_says() {
    let site = Site::start().await;
    let request = site.request(&format!("{HOST}/team/app"), SUBJECT, Some("acr-rrsa")).to_string();
    let (absent, here) = (site.folder.path().join("absent.yaml"), site.folder.path().join("here.yaml"));
    let cloud = site.cloud.address();
    let ask = async |file: &std::path::Path, metadata: &str| {
        let mut command = Command::new(PLUGIN);
        command.env_clear().env("ACR_CLOUD_ADDRESS", &cloud);
        command.arg("--config").arg(file).env("ALIBABA_CLOUD_IMDS_ENDPOINT", metadata);
        let output = run(command, request.clone()).await;
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    std::fs::write(&here, CONFIG).unwrap();
    let (code, message) = ask(&absent, &cloud).await;
    let words = "write the registries there, or name another file with --config";
    assert!(code == Some(2) && message.contains(words), "{message}");
    assert_eq!(ask(&here, &cloud).await, (Some(0), String::new()));
    std::fs::write(&absent, CONFIG).unwrap();
    assert_eq!(ask(&absent, &cloud).await, (Some(0), String::new()));

    // Port 1 listens nowhere.
    let nowhere = "http://127.0.0.1:1";
    std::fs::write(&here, CONFIG.replace("region: cn-hangzhou\n", "")).unwrap();
    let (code, message) = ask(&here, nowhere).await;
    assert!(code == Some(1) && message.contains("; or set region in the file of registries"), "{message}");
    assert_eq!(ask(&absent, nowhere).await, (Some(0), String::new()));
    assert_eq!(ask(&here, &cloud).await, (Some(0), String::new()));
}
