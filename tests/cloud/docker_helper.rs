//! Docker's credential helper as a process: by itself, and called by skopeo for a pull.

use std::path::{Path, PathBuf};
use std::process::Command;

use acr_lab::cloud::{Cloud, CloudConfig};
use acr_lab::registry::{Access, Registry, usable};
use serde_json::{Value, json};

use crate::lab::user_pair;
use crate::provider::{SUBJECT, Site, run};

const NOT_FOUND: &str = "credentials not found in native keychain";

/// A home directory with the program by its other name.
pub(crate) struct Home {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) cloud: Cloud,
}

impl Home {
    pub(crate) async fn start(domain: &str, cloud: Cloud) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join(".config");
        std::fs::create_dir(&config).unwrap();
        let registries = format!(
            "region: cn-hangzhou\nregistries: [{{instanceId: cri-demo0001, domains: ['{domain}']}}]\n"
        );
        std::fs::write(config.join("acr-credential-provider.yaml"), registries).unwrap();
        let plugin = env!("CARGO_BIN_EXE_acr-credential-provider");
        std::os::unix::fs::symlink(plugin, folder.path().join("docker-credential-acr")).unwrap();
        Self { folder, cloud }
    }

    pub(crate) fn helper(&self) -> PathBuf {
        self.folder.path().join("docker-credential-acr")
    }

    /// Returns a command with nothing of this machine's environment but this home and the cloud.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().env("HOME", self.folder.path()).env("ACR_CLOUD_ADDRESS", self.cloud.address());
        command.env("ALIBABA_CLOUD_IMDS_ENDPOINT", self.cloud.address());
        command
    }

    pub(crate) fn keys(&self, user: &str) -> [(&'static str, String); 2] {
        let (id, secret) = user_pair(&self.cloud, "1", user);
        [("ALIBABA_CLOUD_ACCESS_KEY_ID", id), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret)]
    }

    /// Returns a profile with the keys of a user.
    fn profile(&self, user: &str) -> Value {
        let (id, secret) = user_pair(&self.cloud, "1", user);
        json!({ "name": "work", "mode": "AK", "access_key_id": id, "access_key_secret": secret })
    }

    pub(crate) fn configure(&self, profile: &Value) {
        let folder = self.folder.path().join(".aliyun");
        std::fs::create_dir_all(&folder).unwrap();
        let file = json!({ "current": "work", "profiles": [profile] });
        std::fs::write(folder.join("config.json"), file.to_string()).unwrap();
    }

    /// Runs a verb with an address on standard input. Standard error never has a secret.
    pub(crate) async fn answer(
        &self,
        verb: &str,
        address: &str,
        environment: &[(&str, String)],
    ) -> (Option<i32>, String) {
        let mut command = self.command(self.helper());
        command.arg(verb).envs(environment.iter().map(|(name, value)| (name, value)));
        let output = run(command, address.to_owned()).await;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        for secret in self.cloud.secrets() {
            assert!(!errors.contains(&secret), "a secret in {errors}");
        }
        (output.status.code(), String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    /// Returns who minted last: the simulator's name of the caller.
    fn caller(&self) -> String {
        let calls = self.cloud.calls();
        calls.iter().rfind(|call| call.action == "GetAuthorizationToken").unwrap().identity.clone()
    }
}

#[tokio::test]
async fn the_identity_is_of_the_environment_then_of_the_command_line_then_of_the_machine() {
    let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
    let home = Home::start("img.example.com", cloud).await;
    let (code, answer) = home.answer("get", "img.example.com", &[]).await;
    assert_eq!(code, Some(0), "{answer}");
    assert_eq!(home.caller(), "role/KubernetesWorkerRole-demo");

    home.configure(&home.profile("puller"));
    let (code, answer) = home.answer("get", "https://img.example.com/v1/", &[]).await;
    assert_eq!(code, Some(0), "{answer}");
    assert_eq!(home.caller(), "user/puller");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["ServerURL"], "https://img.example.com/v1/");
    let (user, token) = (answer["Username"].as_str().unwrap(), answer["Secret"].as_str().unwrap());
    assert!(home.cloud.token_may_pull(user, token, "cri-demo0001"));

    // The keys of the environment come before the profile.
    let (code, message) = home.answer("get", "img.example.com", &home.keys("stranger")).await;
    assert!(code == Some(1) && message.contains("permission"), "{message}");
    home.configure(&home.profile("stranger"));
    let (code, message) = home.answer("get", "img.example.com", &[]).await;
    assert!(code == Some(1) && message.contains("the profile \"work\" in "), "{message}");
    home.configure(&json!({ "name": "work", "mode": "EcsRamRole" }));
    let (code, answer) = home.answer("get", "img.example.com", &[]).await;
    assert_eq!((code, home.caller().as_str()), (Some(0), "role/KubernetesWorkerRole-demo"), "{answer}");
}

#[tokio::test]
async fn a_session_token_an_oidc_token_and_a_folder_are_taken_from_the_environment() {
    let site = Site::start().await;
    let home = Home::start("img.example.com", site.cloud.clone()).await;
    // The cloud refuses a token that is not of the key, so it must have been sent.
    let token = ("ALIBABA_CLOUD_SECURITY_TOKEN", "other".to_owned());
    let with_token: Vec<_> = home.keys("puller").into_iter().chain([token]).collect();
    let (code, message) = home.answer("get", "img.example.com", &with_token).await;
    assert!(code == Some(1) && message.contains("SecurityToken"), "{message}");

    // OIDC comes before the profile. Files of tokens may end with a line.
    home.configure(&home.profile("stranger"));
    let file = home.folder.path().join("token");
    let request = site.request("img.example.com/a", SUBJECT, None);
    std::fs::write(&file, format!("{}\n", request["serviceAccountToken"].as_str().unwrap())).unwrap();
    let oidc = |file: &Path| {
        [
            ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/acr-rrsa".to_owned()),
            ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "acs:ram::1:oidc-provider/ack-rrsa-demo".to_owned()),
            ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", file.display().to_string()),
        ]
    };
    let (code, answer) = home.answer("get", "img.example.com", &oidc(&file)).await;
    assert_eq!((code, home.caller().as_str()), (Some(0), "role/acr-rrsa"), "{answer}");
    let large = home.folder.path().join("large");
    std::fs::write(&large, "x".repeat(1 << 20)).unwrap();
    let (code, message) = home.answer("get", "img.example.com", &oidc(&large)).await;
    assert!(code == Some(1) && message.contains("is too large for an OIDC token"), "{message}");

    // A profile that cannot be read is not the same as none.
    let cli = home.folder.path().join(".aliyun/config.json");
    std::fs::remove_file(&cli).unwrap();
    std::fs::create_dir(&cli).unwrap();
    let (code, message) = home.answer("get", "img.example.com", &[]).await;
    assert!(code == Some(2) && message.contains("config.json cannot be read"), "{message}");

    let folder = home.folder.path().join("other");
    std::fs::create_dir(&folder).unwrap();
    let moved = folder.join("acr-credential-provider.yaml");
    std::fs::rename(home.folder.path().join(".config/acr-credential-provider.yaml"), moved).unwrap();
    let elsewhere = ("XDG_CONFIG_HOME", folder.display().to_string());
    let with_folder: Vec<_> = home.keys("puller").into_iter().chain([elsewhere]).collect();
    let (code, answer) = home.answer("get", "img.example.com", &with_folder).await;
    assert_eq!(code, Some(0), "{answer}");
}

#[tokio::test]
async fn a_profile_with_a_role_mints_as_that_role() {
    let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
    let home = Home::start("img.example.com", cloud).await;
    // The role is of the account whose Personal Edition this is.
    let file = home.folder.path().join(".config/acr-credential-provider.yaml");
    let registry = "{regionId: cn-hangzhou, domains: [img.example.com]}";
    std::fs::write(file, format!("region: cn-hangzhou\nregistries: [{registry}]\n")).unwrap();
    let (id, secret) = user_pair(&home.cloud, "2", "partner-hopper");
    home.configure(&json!({
        "name": "work", "mode": "RamRoleArn", "access_key_id": id, "access_key_secret": secret,
        "ram_role_arn": "acs:ram::2:role/acr-pull",
    }));
    let (code, answer) = home.answer("get", "img.example.com", &[]).await;
    assert_eq!(code, Some(0), "{answer}");
    assert_eq!(home.cloud.calls().last().unwrap().identity, "role/acr-pull");
}

#[tokio::test]
async fn an_entry_of_a_part_of_a_host_is_not_for_the_whole_of_it() {
    let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
    let home = Home::start("img.example.com/team", cloud).await;
    let found = home.answer("get", "img.example.com", &home.keys("puller")).await;
    assert_eq!(found, (Some(1), NOT_FOUND.to_owned()));
}

#[tokio::test]
async fn not_found_differs_from_denied_and_nothing_is_stored() {
    let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
    let home = Home::start("img.example.com", cloud).await;
    let found = home.answer("get", "other.example.com", &home.keys("puller")).await;
    assert_eq!(found, (Some(1), NOT_FOUND.to_owned()));
    assert_eq!(home.answer("list", "", &home.keys("puller")).await, (Some(0), "{}".to_owned()));
    for verb in ["store", "erase"] {
        let (code, message) = home.answer(verb, "img.example.com", &home.keys("puller")).await;
        assert!(code == Some(2) && message.contains("remove the registry from credHelpers"), "{message}");
    }
    assert!(home.cloud.calls().is_empty(), "{:?}", home.cloud.calls());
    let (code, message) = home.answer("get", "img.example.com", &home.keys("retired")).await;
    assert_eq!(code, Some(1));
    assert!(!message.contains(NOT_FOUND) && message.contains("the AccessKey is disabled"), "{message}");
}

#[tokio::test]
async fn skopeo_pulls_with_the_helper_and_not_without_its_rights() {
    if !usable().unwrap() {
        return;
    }
    let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
    let registry = Registry::start(&cloud, Access::enterprise("cri-demo0001")).await.unwrap();
    registry.push("team/app").await.unwrap();
    let home = Home::start(&registry.domain(), cloud).await;
    let auth_file = home.folder.path().join("auth.json");
    let helpers = json!({ "credHelpers": { registry.domain(): "acr" } });
    std::fs::write(&auth_file, helpers.to_string()).unwrap();
    let copy = async |to: &str, environment: &[(&str, String)]| {
        let mut command = home.command("skopeo");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", home.folder.path().display());
        command.env("PATH", path).env("_CONTAINERS_ROOTLESS_UID", "1");
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.args(["--insecure-policy", "copy"]);
        command.arg(format!("--src-cert-dir={}", registry.certificates().display()));
        command.arg(format!("--src-authfile={}", auth_file.display()));
        command.arg(format!("docker://{}/team/app:latest", registry.domain()));
        command.arg(format!("dir:{}", home.folder.path().join(to).display()));
        run(command, String::new()).await
    };
    let pulled = copy("image", &home.keys("puller")).await;
    assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
    assert!(home.folder.path().join("image/manifest.json").exists());
    let refused = copy("none", &home.keys("stranger")).await;
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && errors.contains("permission"), "{errors}");
}
