//! The kubelet's plugin as a process, against the simulated cloud.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use acr_credential_binding::provider::address;
use acr_lab::cloud::world::{OidcProvider, OidcTrust};
use acr_lab::cloud::{Cloud, CloudConfig, Fault, FaultKind, OidcIssuer};
use serde_json::{Value, json};

use crate::lab::user_pair;

pub(crate) const PLUGIN: &str = env!("CARGO_BIN_EXE_acr-credential-provider");
pub(crate) const HOST: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";
const ISSUER: &str = "https://oidc.example.com/demo";
pub(crate) const SUBJECT: &str = "system:serviceaccount:team:app";

/// One registry, roles by ServiceAccount.
pub(crate) const CONFIG: &str = "
region: cn-hangzhou
registries:
- instanceId: cri-demo0001
  domains: [demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com, img.example.com]
podIdentity: {oidcProviderARN: 'acs:ram::1:oidc-provider/ack-rrsa-demo'}
";

/// Returns the same without the registry's domains.
fn unlisted() -> String {
    CONFIG.replace("  domains: [demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com, img.example.com]\n", "")
}

/// A cloud that trusts the tokens of a cluster.
pub(crate) struct Site {
    pub(crate) cloud: Cloud,
    issuer: OidcIssuer,
    pub(crate) folder: tempfile::TempDir,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
        let issuer = OidcIssuer::new().unwrap();
        let client_ids = ["sts.aliyuncs.com".to_owned()].into();
        let provider = OidcProvider { issuer: ISSUER.to_owned(), client_ids, jwks: issuer.jwks() };
        let federated = cloud.register_oidc_provider("1", "ack-rrsa-demo", provider);
        let subject = ("oidc:sub".to_owned(), [SUBJECT.to_owned()].into());
        cloud.world(|world| {
            let role = world.role_mut("1", "acr-rrsa").unwrap();
            role.oidc_trust = vec![OidcTrust { federated, string_equals: [subject].into() }];
        });
        Self { cloud, issuer, folder: tempfile::tempdir().unwrap() }
    }

    /// Returns a request of a ServiceAccount that names a role, if any.
    pub(crate) fn request(&self, image: &str, subject: &str, role: Option<&str>) -> Value {
        let now = self.cloud.now() / 1000;
        let claims = json!({
            "iss": ISSUER, "sub": subject, "aud": ["sts.aliyuncs.com"], "iat": now, "nbf": now, "exp": now + 3600,
        });
        let annotations = role.map(|role| json!({ "pod-identity.alibabacloud.com/role-name": role }));
        json!({
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "kind": "CredentialProviderRequest",
            "image": image,
            "serviceAccountToken": self.issuer.token(&claims).unwrap(),
            "serviceAccountAnnotations": annotations,
        })
    }

    /// Runs the plugin with a request, and asserts that standard error has at most one line and no secret.
    async fn run(&self, config: &str, request: impl ToString) -> Output {
        let file = self.folder.path().join("registries.yaml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(PLUGIN);
        command.arg("--config").arg(&file).env_clear().env("ACR_CLOUD_ADDRESS", self.cloud.address());
        command.env("ALIBABA_CLOUD_IMDS_ENDPOINT", self.cloud.address());
        let request = request.to_string();
        let output = run(command, request.clone()).await;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(errors.lines().count() <= 1, "{errors}");
        let token = serde_json::from_str::<Value>(&request).ok();
        let token = token.and_then(|request| Some(request["serviceAccountToken"].as_str()?.to_owned()));
        for secret in self.cloud.secrets().into_iter().chain(token) {
            assert!(!errors.contains(&secret), "a secret in {errors}");
        }
        output
    }

    /// Runs it, and returns the response.
    pub(crate) async fn response(&self, config: &str, request: Value) -> Value {
        let output = self.run(config, &request).await;
        assert!(output.status.success(), "{output:?}");
        let response: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(response["apiVersion"], "credentialprovider.kubelet.k8s.io/v1");
        assert_eq!(response["kind"], "CredentialProviderResponse");
        response
    }

    /// Runs it, and returns its exit code and its message. It answers nothing.
    pub(crate) async fn failure(&self, config: &str, request: impl ToString) -> (Option<i32>, String) {
        let output = self.run(config, request).await;
        assert!(output.stdout.is_empty(), "{output:?}");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    fn may_pull(&self, login: &Value, instance: &str) -> bool {
        self.cloud.token_may_pull(
            login["username"].as_str().unwrap(),
            login["password"].as_str().unwrap(),
            instance,
        )
    }
}

/// Runs a command with standard input. The cloud answers meanwhile.
pub(crate) async fn run(mut command: Command, input: String) -> Output {
    let run = move || {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        // A program that refuses a long input closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test]
async fn a_pods_role_mints_every_entry_of_the_host_and_half_of_what_is_left_is_kept() {
    let site = Site::start().await;
    let request = site.request(&format!("{HOST}/team/app"), SUBJECT, Some("acr-rrsa"));
    let response = site.response(CONFIG, request).await;
    assert_eq!(response["cacheKeyType"], "Registry");
    let seconds: u64 = response["cacheDuration"].as_str().unwrap().trim_end_matches('s').parse().unwrap();
    assert!((1700..=1800).contains(&seconds), "{seconds}");
    let auth = response["auth"].as_object().unwrap();
    assert_eq!(auth.keys().collect::<Vec<_>>(), [HOST]);
    assert!(site.may_pull(&auth[HOST], "cri-demo0001"));
    let actions: Vec<String> = site.cloud.calls().into_iter().map(|call| call.action).collect();
    assert_eq!(actions, ["AssumeRoleWithOIDC", "GetAuthorizationToken"]);
}

#[tokio::test]
async fn domains_that_are_not_listed_are_those_of_the_instance_and_an_entry_with_a_path_is_of_its_host() {
    let site = Site::start().await;
    let request = site.request("img.example.com/team/app", SUBJECT, Some("acr-rrsa"));
    let response = site.response(&unlisted(), request).await;
    assert!(site.may_pull(&response["auth"]["img.example.com"], "cri-demo0001"));
    assert_eq!(site.cloud.count("ListInstanceEndpoint"), 1);

    // Entries of one host, and one of them fails: what the image needs is kept for the image only.
    let host = "registry-vpc.cn-hangzhou.aliyuncs.com";
    let config = format!("{CONFIG}{}", "fallBackToNodeRole: false\n").replace(
        "  domains: [demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com, img.example.com]\n",
        &format!("  domains: ['{host}/a', '{host}/c']\n- regionId: cn-hangzhou\n  domains: ['{host}/b']\n"),
    );
    let request = site.request(&format!("{host}/a/app"), SUBJECT, Some("acr-rrsa"));
    let all = site.response(&config, request.clone()).await;
    assert_eq!((all["cacheKeyType"].as_str(), all["auth"].as_object().unwrap().len()), (Some("Registry"), 3));
    let kind = FaultKind::Status { status: 500, code: "InternalError".to_owned(), message: String::new() };
    let action = "Personal:GetAuthorizationToken".to_owned();
    site.cloud.fault(Fault { action, instance: None, kind, times: None });
    let some = site.response(&config, request).await;
    let entries: Vec<_> = some["auth"].as_object().unwrap().keys().cloned().collect();
    assert_eq!((some["cacheKeyType"].as_str(), entries), (Some("Image"), vec![format!("{host}/a")]));
}

#[tokio::test]
async fn entries_of_one_identity_are_minted_once_and_the_earlier_of_two_wins() {
    let site = Site::start().await;
    let first = format!("- {{instanceId: cri-demo0001, domains: ['{HOST}/a', '{HOST}/b']}}");
    let config = |second: &str| {
        let start = CONFIG.find("registries:").unwrap();
        let end = CONFIG.find("podIdentity").unwrap();
        format!("{}registries:\n{first}\n{second}\n{}", &CONFIG[..start], &CONFIG[end..])
    };
    let request = site.request(&format!("{HOST}/a/app"), SUBJECT, Some("acr-rrsa"));
    let again = format!("- {{instanceId: cri-demo0001, domains: ['{HOST}/c']}}");
    let response = site.response(&config(&again), request.clone()).await;
    let auth = response["auth"].as_object().unwrap();
    assert_eq!(auth.len(), 3);
    assert!(auth.values().all(|login| login == &auth[&format!("{HOST}/a")]));
    assert_eq!(site.cloud.count("GetAuthorizationToken"), 1);

    let personal = format!("- {{regionId: cn-hangzhou, domains: ['{HOST}/a']}}");
    let response = site.response(&config(&personal), request).await;
    assert!(site.may_pull(&response["auth"][format!("{HOST}/a")], "cri-demo0001"));
}

#[tokio::test]
async fn an_unknown_host_has_no_entry_and_the_answer_is_not_kept() {
    let site = Site::start().await;
    for image in
        ["docker.io/library/nginx", "other.example.com/a", "demo-registry.cn-beijing.cr.aliyuncs.com/a"]
    {
        let response = site.response(CONFIG, site.request(image, SUBJECT, Some("acr-rrsa"))).await;
        assert_eq!(
            (&response["auth"], response["cacheDuration"].as_str()),
            (&Value::Null, Some("0s")),
            "{image}"
        );
    }
    // Nor does an instance whose domains are asked for cost a call for a host that cannot be its own.
    let other = site.request("demo-registry.cn-beijing.cr.aliyuncs.com/a", SUBJECT, Some("acr-rrsa"));
    assert!(site.response(&unlisted(), other).await["auth"].is_null());
    assert!(site.cloud.calls().is_empty());
    // Without them, the registry may have an entry or not, which is a failure.
    let kind = FaultKind::Status { status: 500, code: "InternalError".to_owned(), message: String::new() };
    let action = "ListInstanceEndpoint".to_owned();
    site.cloud.fault(Fault { action, instance: None, kind, times: None });
    let own = site.request("img.example.com/a", SUBJECT, Some("acr-rrsa"));
    let (code, message) = site.failure(&unlisted(), own).await;
    assert!(code == Some(1) && message.contains("InternalError"), "{message}");
}

#[tokio::test]
async fn another_accounts_role_is_refused_and_the_nodes_role_is_an_explicit_switch() {
    let site = Site::start().await;
    let image = format!("{HOST}/team/app");
    let stranger = "system:serviceaccount:team:stranger";
    let (code, message) = site.failure(CONFIG, site.request(&image, stranger, Some("acr-rrsa"))).await;
    assert!(code == Some(1) && message.contains("acs:ram::1:role/acr-rrsa"), "{message}");
    // The node's role does not help one that names another's role.
    let switched = format!("{CONFIG}fallBackToNodeRole: true\n");
    let (code, _) = site.failure(&switched, site.request(&image, stranger, Some("acr-rrsa"))).await;
    assert_eq!((code, site.cloud.count("GetAuthorizationToken")), (Some(1), 0));

    let without = site.request(&image, stranger, None);
    let (code, message) = site.failure(CONFIG, &without).await;
    assert_eq!(code, Some(1));
    assert!(
        message.contains("or set podIdentity.roleName or fallBackToNodeRole: true in the file"),
        "{message}"
    );
    // The message's cures, followed.
    let response = site.response(&switched, without.clone()).await;
    assert!(site.may_pull(&response["auth"][HOST], "cri-demo0001"));
    // The role is the node's, also where the kubelet's environment has keys.
    let file = site.folder.path().join("registries.yaml");
    let mut command = Command::new(PLUGIN);
    command.arg("--config").arg(&file).env_clear().env("ACR_CLOUD_ADDRESS", site.cloud.address());
    command.env("ALIBABA_CLOUD_IMDS_ENDPOINT", site.cloud.address());
    let (id, secret) = user_pair(&site.cloud, "1", "puller");
    command.env("ALIBABA_CLOUD_ACCESS_KEY_ID", id).env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret);
    assert!(run(command, without.to_string()).await.status.success());
    assert_eq!(site.cloud.calls().last().unwrap().identity, "role/KubernetesWorkerRole-demo");

    let annotated = site.request(&image, SUBJECT, Some("acr-rrsa"));
    assert!(message.contains("annotate it with pod-identity.alibabacloud.com/role-name"));
    assert!(site.response(CONFIG, annotated).await["auth"].is_object());
    let named = CONFIG.replace("demo'}", "demo', roleName: acr-rrsa}");
    assert!(message.contains("set podIdentity.roleName"));
    assert!(site.response(&named, site.request(&image, SUBJECT, None)).await["auth"].is_object());
}

#[tokio::test]
async fn a_bad_request_a_bad_file_and_a_wrong_cloud_have_a_line_and_an_exit_code() {
    let site = Site::start().await;
    let good = site.request(&format!("{HOST}/team/app"), SUBJECT, Some("acr-rrsa"));
    let changed = |field: &str, value: Value| {
        let mut request = good.clone();
        request[field] = value;
        request.to_string()
    };
    let text = good.to_string();
    for (request, words) in [
        (String::new(), "standard input is empty"),
        (text[..text.len() / 2].to_owned(), "the request is cut short"),
        (changed("image", Value::Null), "is not a CredentialProviderRequest"),
        (changed("image", json!("")), "the request has no valid image"),
        (
            changed("apiVersion", json!("credentialprovider.kubelet.k8s.io/v1beta1")),
            "set apiVersion: credentialprovider.kubelet.k8s.io/v1 of this provider",
        ),
        (changed("serviceAccountToken", json!("x".repeat(1 << 20))), "more than 256 KiB"),
    ] {
        let (code, message) = site.failure(CONFIG, request).await;
        assert!(code == Some(2) && message.contains(words), "{message}");
    }
    for (config, words) in [
        (CONFIG.replace("cri-demo0001", "demo"), "registries[0].instanceId: "),
        (CONFIG.replace("registries:", "registry:"), "is not a file of registries: "),
    ] {
        let (code, message) = site.failure(&config, &text).await;
        assert!(code == Some(2) && message.contains(words), "{message}");
    }
    assert!(site.cloud.calls().is_empty());

    // The registry, the cloud and the clock.
    let (code, message) = site.failure(&CONFIG.replace("cri-demo0001", "cri-demo9999"), &text).await;
    assert!(code == Some(1) && message.contains("cri-demo9999"), "{message}");
    let kind = FaultKind::Status { status: 500, code: "InternalError".to_owned(), message: "m".to_owned() };
    site.cloud.fault(Fault { action: "*".to_owned(), instance: None, kind, times: None });
    let (code, message) = site.failure(CONFIG, &text).await;
    assert!(
        code == Some(1) && message.contains("InternalError") && message.contains("RequestId"),
        "{message}"
    );
    site.cloud.clear_faults();
    site.cloud.set_clock_skew(3600);
    let switched = format!("{CONFIG}fallBackToNodeRole: true\n");
    let late = site.request(&format!("{HOST}/a"), SUBJECT, None);
    let (code, message) = site.failure(&switched, late).await;
    assert!(code == Some(1) && message.contains("clock"), "{message}");
}

#[tokio::test]
async fn a_request_that_never_ends_is_given_up() {
    let site = Site::start().await;
    let file = site.folder.path().join("registries.yaml");
    std::fs::write(&file, CONFIG).unwrap();
    let mut command = Command::new(PLUGIN);
    command.arg("--config").arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let wait = move || {
        let mut child = command.spawn().unwrap();
        let open = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        drop(open);
        output
    };
    let output = tokio::task::spawn_blocking(wait).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no answer within 15 s"), "{output:?}");
}

#[test]
fn the_kubelet_asks_for_images_of_each_edition_and_not_for_others() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubelet/credential-provider-config.yaml");
    let file: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let patterns: Vec<&str> =
        file["providers"][0]["matchImages"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
    for (image, expected) in [
        ("demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app", true),
        ("demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com/team/app", true),
        ("registry.cn-hangzhou.aliyuncs.com/team/app", true),
        ("registry-vpc.cn-hangzhou.aliyuncs.com/team/app", true),
        ("registry-internal.cn-hangzhou.aliyuncs.com/team/app", true),
        ("registry-intl-vpc.ap-southeast-1.aliyuncs.com/team/app", true),
        // A custom domain has a line of its own.
        ("img.example.com/team/app", false),
        ("docker.io/library/nginx", false),
        ("oss.cn-hangzhou.aliyuncs.com/a", false),
    ] {
        let matched = patterns.iter().any(|pattern| address::is_for(pattern, image));
        assert_eq!(matched, expected, "{image}");
    }
    assert!(address::is_for("img.example.com", "img.example.com/team/app"));
}

#[test]
fn the_shipped_file_of_registries_is_valid() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubelet/acr-credential-provider.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let config = acr_credential_binding::provider::ProviderConfig::parse(path, &text).unwrap();
    assert_eq!(config.registries("cn-hangzhou").unwrap().len(), 1);
    assert!(!config.fall_back_to_node_role);
}
