//! What the Helm chart renders, read by the product's own parsers.

use acr_credential_binding::args::acr_credential_controller;
use acr_credential_binding::cli::exceptions::PolicyLists;
use acr_credential_binding::model::exceptions::ExceptionList;
use acr_lab::helm::Helm;
use serde_json::Value;

use crate::server::root;

/// Texts that a quotation of CEL must survive.
const NOTE: &str = r#"it's \"quoted\" \\ twice"#;

/// Renders one template of the chart.
async fn render(template: &str, values: &[&str]) -> String {
    let helm = Helm::alone().await.unwrap();
    let chart = root().join("deploy/helm").display().to_string();
    let only = format!("--show-only=templates/{template}.yaml");
    let arguments =
        ["template", "acr-credential-controller", &chart, "--namespace=acr-credential-system", &only];
    helm.ok(&[&arguments, values].concat()).await.unwrap()
}

/// Returns the flags of the rendered controller.
async fn flags(values: &[&str]) -> Vec<String> {
    let deployment: Value = serde_saphyr::from_str(&render("deployment", values).await).unwrap();
    let flags = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    serde_json::from_value(flags.clone()).unwrap()
}

/// Each value that is a flag, with the flag.
const FLAGS: [(&str, &str); 15] = [
    ("--set=region=cn-hangzhou", "--region=cn-hangzhou"),
    ("--set=tokenMode=managedRole", "--token-mode=managedRole"),
    ("--set=tokenMode=workerRole", "--token-mode=workerRole"),
    ("--set=secretName=acr-pull", "--secret-name=acr-pull"),
    ("--set=secretLabels.team=a", "--secret-label=team=a"),
    ("--set=secretAnnotations.note=b", "--secret-annotation=note=b"),
    ("--set=dryRun=true", "--dry-run"),
    ("--set=replaceStuckPods.enabled=true", "--replace-stuck-pods"),
    ("--set=verifyCredentials=warn", "--verify-credentials=warn"),
    ("--set=verifyCredentials=enforce", "--verify-credentials=enforce"),
    ("--set=caBundle.configMap=ca", "--ca-bundle=/etc/acr-credential-controller/ca/ca.crt"),
    ("--set=leaderElection.leaseDuration=1m30s", "--lease-duration=1m30s"),
    ("--set=logLevel=debug", "--log-level=debug"),
    ("--set=logFormat=text", "--log-format=text"),
    ("--set=extraArgs={--config-map-grace=5m}", "--config-map-grace=5m"),
];

#[tokio::test]
async fn each_value_that_is_a_flag_is_one_that_the_controller_reads() {
    let parse = |flags: &[String]| {
        let words = std::iter::once("acr-credential-controller").chain(flags.iter().map(String::as_str));
        acr_credential_controller::command().try_get_matches_from(words).map(drop)
    };
    let plain = flags(&[]).await;
    assert_eq!(plain, ["--log-format=json"]);
    let webhook = [
        "--set=admission.mode=webhook",
        "--set=webhook.certificate=certManager",
        "--set=webhook.onUpdate=true",
    ];
    let certificate = "--webhook-cert-dir=/etc/acr-credential-controller/webhook";
    let found = flags(&webhook).await;
    assert_eq!(found, ["--log-format=json", certificate, "--webhook-on-update"]);
    parse(&found).unwrap();
    for (value, flag) in FLAGS {
        let found = flags(&[value]).await;
        assert!(found.iter().any(|found| found == flag), "{value}: {found:?}");
        parse(&found).unwrap_or_else(|error| panic!("{value}: {error}"));
    }
    assert!(parse(&["--lease-duration=1s".to_owned()]).is_err(), "flags are read");
}

/// The labels and annotations of the Secret are exceptions, too. No text ends its quotation.
#[tokio::test]
async fn the_exceptions_of_the_policies_are_those_of_the_values() {
    let note = format!("--set-json=secretAnnotations={{\"note\":\"{NOTE}\"}}");
    let more =
        format!("--set-json=policies.exceptions.secrets.annotations=[\"more={NOTE}\",\"a.example.com/*\"]");
    let values = [
        "--set=secretLabels.cost-center=retail",
        "--set=policies.exceptions.secrets.labels={cost-center=retail,team}",
        &note,
        &more,
        "--set=policies.exceptions.serviceAccounts.labels={b}",
        "--set=policies.exceptions.serviceAccounts.annotations={c.example.com/*}",
        "--set=policies.exceptions.serviceAccounts.fields={automountServiceAccountToken=false}",
        "--set=policies.exceptions.serviceAccounts.pullSecrets={harbor}",
    ];
    let lists = PolicyLists::read(&render("policies", &values).await).unwrap();
    let exceptions = lists.exceptions();
    assert_eq!(exceptions.invalid(), None);
    let note: String = serde_json::from_str(&format!("\"{NOTE}\"")).unwrap();
    let sorted = |list| {
        let mut items = exceptions.of(list).to_vec();
        items.sort();
        items
    };
    let expected = [
        vec!["cost-center=retail".to_owned(), "team".to_owned()],
        vec!["a.example.com/*".to_owned(), format!("more={note}"), format!("note={note}")],
        vec!["b".to_owned()],
        vec!["c.example.com/*".to_owned()],
        vec!["automountServiceAccountToken=false".to_owned()],
        vec!["harbor".to_owned()],
    ];
    assert_eq!(ExceptionList::ALL.map(sorted), expected);
}
