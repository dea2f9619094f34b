//! Cures of identities whose sources are in the cluster.

use acr_lab::message::{after, between};
use serde_json::{Value, json};

use super::{apply, run};
use crate::harness::{Lab, NAMESPACE, spec};

fn of(namespace: &str, entry: Value) -> Value {
    let mut of = spec(&[namespace]);
    of["registries"] = json!([entry]);
    of
}

fn by_key(secret: &str) -> Value {
    json!({ "instanceId": "cri-demo0003", "accessKeySecretRef": { "name": secret } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_an_identity_is_created_or_allowed_as_the_message_says() {
    let lab = Lab::start().await;
    for namespace in ["keyed", "unlisted", "oidc"] {
        lab.create_namespace(namespace).await;
    }
    let (id, secret) = lab.key_of("2", "partner-puller");
    lab.bind("keyed", of("keyed", by_key("acr-access-key"))).await;
    lab.bind("unlisted", of("unlisted", by_key("elsewhere"))).await;
    let by_rrsa = json!({
        "instanceId": "cri-demo0001",
        "rrsaRoleARN": "acs:ram::1:role/acr-rrsa",
        "rrsaOIDCProviderRoleARN": "acs:ram::1:oidc-provider/ack-rrsa-demo",
    });
    lab.bind("oidc", of("oidc", by_rrsa)).await;

    // The Secret, with one of its keys misspelt at first.
    let message = lab.until_ready_is("keyed", "False", "SecretNotFound").await;
    let (namespace, name) = between(&message, "the Secret ", " does not exist").split_once('/').unwrap();
    let (first, second) = after(&message, "create it with the keys ").split_once(" and ").unwrap();
    let (id, secret) = (format!("={id}"), format!("={secret}"));
    let literal = |key: &str, value: &str| format!("--from-literal={key}{value}");
    let create = ["-n", namespace, "create", "secret", "generic", name];
    let wrong = literal("accessKeySecrt", &secret);
    lab.plane.kubectl_ok(&[&create[..], &[&literal(first, &id), &wrong]].concat()).await.unwrap();
    let message = lab
        .until_ready_says("keyed", "False", "SecretNotFound", "lacks accessKeyId or accessKeySecret")
        .await;
    after(&message, "give it both");
    let data = json!({ "stringData": { second: secret.trim_start_matches('=') } }).to_string();
    lab.plane.kubectl_ok(&["-n", namespace, "patch", "secret", name, "-p", &data]).await.unwrap();
    lab.until_ready_is("keyed", "True", "Succeeded").await;

    // The line of the Role.
    let message = lab.until_ready_is("unlisted", "False", "Forbidden").await;
    let name = between(&message, "add ", " to resourceNames of the Role ").to_owned();
    let (role, namespace) = after(&message, " to resourceNames of the Role ").split_once(" in ").unwrap();
    assert_eq!(namespace, NAMESPACE);
    let add = json!([{ "op": "add", "path": "/rules/0/resourceNames/-", "value": name }]).to_string();
    lab.plane.kubectl_ok(&["-n", namespace, "patch", "role", role, "--type=json", "-p", &add]).await.unwrap();
    // The next message asks for the Secret.
    lab.annotate("unlisted", "acrcredential.dev/refresh-at", "granted").await;
    lab.until_ready_is("unlisted", "False", "SecretNotFound").await;
    let create = ["-n", namespace, "create", "secret", "generic", &name];
    lab.plane
        .kubectl_ok(&[&create[..], &[&literal(first, &id), &literal(second, &secret)]].concat())
        .await
        .unwrap();
    lab.until_ready_is("unlisted", "True", "Succeeded").await;

    // The command.
    let message = lab.until_ready_is("oidc", "False", "ServiceAccountNotFound").await;
    after(&message, "create it: kubectl");
    run(&lab, &message).await;
    lab.until_ready_is("oidc", "True", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_addon_token_may_be_read_once_the_rbac_is_applied_as_the_message_says() {
    let lab = Lab::start_with(|options| options.arg("--token-mode=managedRole")).await;
    let rights = ["delete", "rolebinding", "-n", "kube-system", "acr-credential-controller"];
    lab.plane.kubectl_ok(&rights).await.unwrap();
    let token = lab.cloud.addon_token(std::time::Duration::from_secs(3600));
    let data = json!({ "addon.token.config": token });
    lab.put_secret("kube-system", "addon.aliyuncsmanagedacrrole.token", data).await;
    lab.create_namespace("managed").await;
    lab.bind("managed", spec(&["managed"])).await;
    let message = lab.until_ready_is("managed", "False", "Forbidden").await;
    after(&message, "may not be read; apply the RBAC of this version");
    apply(&lab, "deploy/rbac.yaml").await;
    lab.annotate("managed", "acrcredential.dev/refresh-at", "granted").await;
    lab.until_ready_is("managed", "True", "Succeeded").await;
}

/// A mount that is a folder where the file belongs, as a wrong `subPath` gives.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_that_cannot_be_read_is_read_once_its_volume_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("addon.token.config");
    std::fs::create_dir(&file).unwrap();
    let flag = format!("--addon-token-file={}", file.display());
    let lab = Lab::start_with(|options| options.arg("--token-mode=managedRole").arg(flag)).await;
    lab.create_namespace("mounted").await;
    lab.bind("mounted", spec(&["mounted"])).await;
    let message = lab.until_ready_is("mounted", "False", "AddonTokenInvalid").await;
    let path = between(&message, "in cn-hangzhou: ", " cannot be read").to_owned();
    after(&message, "check the volume and its mode");
    assert_eq!(path, file.display().to_string());
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, lab.cloud.addon_token(std::time::Duration::from_secs(3600))).unwrap();
    lab.annotate("mounted", "acrcredential.dev/refresh-at", "mounted").await;
    lab.until_ready_is("mounted", "True", "Succeeded").await;
}
