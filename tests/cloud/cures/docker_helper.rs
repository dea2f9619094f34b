//! Cures of Docker's credential helper.

use acr_lab::cloud::{Cloud, CloudConfig};
use acr_lab::registry::{Access, Registry, usable};
use serde_json::json;

use crate::docker_helper::Home;
use crate::lab::user_pair;
use crate::provider::run;

const HOST: &str = "img.example.com";

async fn home() -> Home {
    Home::start(HOST, Cloud::start(CloudConfig::demo()).await.unwrap()).await
}

#[tokio::test]
async fn a_profile_a_token_and_an_address_are_corrected_as_the_message_says() {
    let home = home().await;
    let fails = async |words: &str, environment: &[(&str, String)]| {
        let (code, message) = home.answer("get", HOST, environment).await;
        assert!(code.is_some_and(|code| code > 0) && message.contains(words), "{message}");
    };
    let works = async |environment: &[(&str, String)]| {
        let (code, message) = home.answer("get", HOST, environment).await;
        assert_eq!(code, Some(0), "{message}");
    };
    let (id, secret) = user_pair(&home.cloud, "1", "puller");
    let profile = |mode: &str| {
        json!({
            "name": "work", "mode": mode, "access_key_id": id, "access_key_secret": secret,
            "ram_role_arn": "acs:ram::1:role/acr-pull",
        })
    };
    // As `aliyun configure` writes it.
    let good = profile("AK");
    home.configure(&good);
    std::fs::write(home.folder.path().join(".aliyun/config.json"), "{\"current").unwrap();
    fails("is not valid (line 1, column 9): run aliyun configure", &[]).await;
    home.configure(&good);
    works(&[]).await;
    let named = |name: &str| [("ALIBABA_CLOUD_PROFILE", name.to_owned())];
    fails("has no profile \"home\": name one with ALIBABA_CLOUD_PROFILE", &named("home")).await;
    works(&named("work")).await;
    home.configure(&json!({ "name": "work", "mode": "AK" }));
    fails("the profile \"work\" has no AccessKey: run aliyun configure", &[]).await;
    home.configure(&profile("CloudSSO"));
    fails("is not supported: use AK, StsToken, RamRoleArn or EcsRamRole", &[]).await;
    home.configure(&good);
    works(&[]).await;

    let file = home.folder.path().join(".config/acr-credential-provider.yaml");
    let plain = std::fs::read_to_string(&file).unwrap();
    let twice = plain.replace("cri-demo0001,", "cri-demo0001, assumeRoleARN: 'acs:ram::1:role/acr-pull',");
    std::fs::write(&file, twice).unwrap();
    home.configure(&profile("RamRoleArn"));
    fails("would be a third step: use a profile of the mode AK", &[]).await;
    // The entry's role does not matter here: its own failure follows.
    std::fs::write(&file, plain).unwrap();
    home.configure(&good);
    works(&[]).await;

    let (code, message) = home.answer("get", "", &[]).await;
    let words = "standard input has no address of a registry: write one, such as img.example.com";
    assert!(code == Some(2) && message.contains(words), "{message}");
    works(&[]).await;
}

#[tokio::test]
async fn a_home_and_a_file_are_given_as_the_message_says() {
    let home = home().await;
    let get = async |environment: &[(&str, String)]| {
        let mut command = home.command(home.helper());
        command.arg("get").env_remove("HOME").envs(environment.iter().map(|(name, value)| (name, value)));
        let output = run(command, HOST.to_owned()).await;
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, message) = get(&[]).await;
    let words = "there is no HOME: set ACR_CREDENTIAL_PROVIDER_CONFIG to a file of registries";
    assert!(code == Some(2) && message.contains(words), "{message}");
    let file = home.folder.path().join(".config/acr-credential-provider.yaml").display().to_string();
    let (code, message) = get(&[("ACR_CREDENTIAL_PROVIDER_CONFIG", file)]).await;
    assert_eq!(code, Some(0), "{message}");
}

#[tokio::test]
async fn a_registry_without_the_helper_stores_a_password() {
    if !usable().unwrap() {
        return;
    }
    let cloud = Cloud::start(CloudConfig::demo()).await.unwrap();
    let registry = Registry::start(&cloud, Access::enterprise("cri-demo0001")).await.unwrap();
    let home = Home::start(&registry.domain(), cloud).await;
    let (_, answer) = home.answer("get", &registry.domain(), &home.keys("puller")).await;
    let login: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let auth_file = home.folder.path().join("auth.json");
    let log_in = async |config: serde_json::Value| {
        std::fs::write(&auth_file, config.to_string()).unwrap();
        let mut command = home.command("skopeo");
        command.env("PATH", format!("{}:/usr/bin:/bin", home.folder.path().display()));
        command.args(["login", "--password-stdin"]);
        command.arg(format!("--username={}", login["Username"].as_str().unwrap()));
        command.arg(format!("--cert-dir={}", registry.certificates().display()));
        command.arg(format!("--authfile={}", auth_file.display())).arg(registry.domain());
        let output = run(command, login["Secret"].as_str().unwrap().to_owned()).await;
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (done, message) = log_in(json!({ "credHelpers": { registry.domain(): "acr" } })).await;
    assert!(
        !done && message.contains("remove the registry from credHelpers to log in with a password"),
        "{message}"
    );
    let (done, message) = log_in(json!({})).await;
    assert!(done, "{message}");
}

#[tokio::test]
async fn an_oidc_token_is_given_as_the_message_says() {
    let site = crate::provider::Site::start().await;
    let home = Home::start(HOST, site.cloud.clone()).await;
    let token = home.folder.path().join("token");
    let request = site.request("img.example.com/a", crate::provider::SUBJECT, None);
    std::fs::write(&token, request["serviceAccountToken"].as_str().unwrap()).unwrap();
    let roles = [
        ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/acr-rrsa".to_owned()),
        ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "acs:ram::1:oidc-provider/ack-rrsa-demo".to_owned()),
    ];
    let with = |file: Option<&str>| {
        let file = file.map(|file| ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", file.to_owned()));
        roles.iter().cloned().chain(file).collect::<Vec<_>>()
    };
    let (code, message) = home.answer("get", HOST, &with(None)).await;
    let words = "there is no OIDC token: set ALIBABA_CLOUD_OIDC_TOKEN_FILE to a file with one";
    assert!(code == Some(1) && message.contains(words), "{message}");
    let (code, message) = home.answer("get", HOST, &with(Some("/absent"))).await;
    let words =
        "the OIDC token /absent cannot be read (entity not found): correct ALIBABA_CLOUD_OIDC_TOKEN_FILE";
    assert!(code == Some(1) && message.contains(words), "{message}");
    let (code, message) = home.answer("get", HOST, &with(token.to_str())).await;
    assert_eq!(code, Some(0), "{message}");
}
