//! What Helm and its users read besides the templates.

use std::process::Command;

use acr_lab::docs::root;
use acr_lab::helm::Helm;
use acr_lab::image::program_usable;

use crate::{chart, render};

/// The version of helm-docs that writes the table of values.
const HELM_DOCS: &str = "github.com/norwoodj/helm-docs/cmd/helm-docs@v1.14.2";

/// Objects that only hold values, and values of Kubernetes that their parent explains.
const NOT_EXPLAINED: &str = r"^(image|namespace|crds|serviceAccount|rbac|policies|policies\.exceptions(\.secrets|\.serviceAccounts)?|admission|webhook(\.certManager)?|replaceStuckPods|flowSchema|caBundle|proxy|leaderElection|podDisruptionBudget|networkPolicy|prometheus(\.servicemonitor|\.podmonitor)?|prometheusRule|grafanaDashboard|uninstall|(resources|securityContext|containerSecurityContext|topologySpreadConstraints)\..*)$";

#[tokio::test]
async fn helm_finds_no_fault() {
    let helm = Helm::alone().await.unwrap();
    let chart = chart();
    let ha = format!("--values={chart}/values-ha.yaml");
    for values in
        [&[][..], &[ha.as_str()], &["--set=admission.mode=webhook"], &["--set=admission.mode=policy"]]
    {
        let output = helm.run(&[&["lint", "--strict", chart.as_str()], values].concat()).await.unwrap();
        assert!(
            output.status.success() && output.stdout.contains("0 chart(s) failed"),
            "{values:?}: {output:?}"
        );
        assert!(!output.stdout.contains("[WARNING]") && !output.stderr.contains("WARN"), "{output:?}");
    }
}

#[tokio::test]
async fn the_chart_is_of_this_version_and_has_its_definition() {
    let helm = Helm::alone().await.unwrap();
    let shown = helm.ok(&["show", "chart", &chart()]).await.unwrap();
    for line in ["version", "appVersion"] {
        let line = format!("{line}: {}", env!("CARGO_PKG_VERSION"));
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
    }
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    assert_eq!(read("deploy/helm/files/acrcredentialbindings.yaml"), read("crds/acrcredentialbindings.yaml"));
    // The annotation is the only difference of what is rendered.
    let rendered = render(&helm, &["--show-only=templates/crds.yaml"]).await.remove(0).object;
    let mut shipped: serde_json::Value =
        serde_saphyr::from_str(&read("crds/acrcredentialbindings.yaml")).unwrap();
    assert_eq!(rendered["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    shipped["metadata"] = rendered["metadata"].clone();
    assert_eq!(rendered, shipped);
}

/// `UPDATE_GOLDEN=1` writes the page.
#[test]
fn the_readme_is_what_helm_docs_writes() {
    if !program_usable("go", "install Go 1.26 or newer, which builds helm-docs").unwrap() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for file in ["Chart.yaml", "values.yaml", "README.md.gotmpl"] {
        std::fs::copy(root().join("deploy/helm").join(file), folder.path().join(file)).unwrap();
    }
    let run = |folder: &std::path::Path| {
        let mut command = Command::new("go");
        command.args(["run", HELM_DOCS, "--documentation-strict-mode", "--sort-values-order=file"]);
        command.arg(format!("--documentation-strict-ignore-absent-regex={NOT_EXPLAINED}"));
        let output = command.arg("--chart-search-root").arg(folder).current_dir(folder).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        said
    };
    let said = run(folder.path());
    let page = std::fs::read_to_string(folder.path().join("README.md"));
    let page = page.unwrap_or_else(|error| panic!("{error}: {said}"));
    let kept = root().join("deploy/helm/README.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&kept, &page).unwrap();
    }
    assert!(std::fs::read_to_string(kept).unwrap() == page, "UPDATE_GOLDEN=1 writes deploy/helm/README.md");

    // A value without an explanation is found.
    let values = folder.path().join("values.yaml");
    let text = std::fs::read_to_string(&values).unwrap();
    std::fs::write(&values, format!("{text}\nunexplained: 1\n")).unwrap();
    let said = run(folder.path());
    assert!(said.contains("values without documentation") && said.contains("unexplained"), "{said}");
}

/// The commands are tested with these rights.
#[tokio::test]
async fn the_hooks_have_the_rights_that_their_commands_need_and_no_others() {
    let helm = Helm::alone().await.unwrap();
    let needed = |file: &str| -> Vec<serde_json::Value> {
        let path = root().join("tests/integration/rights").join(file);
        serde_saphyr::from_multiple(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let withdraw = &["--set=uninstall.withdraw=true"][..];
    for (template, values, files) in [
        ("check", &[][..], &["check.yaml"][..]),
        ("uninstall", &[], &["uninstall.yaml"]),
        ("uninstall", withdraw, &["uninstall.yaml", "uninstall-withdraw.yaml"]),
    ] {
        let rendered = render(&helm, values).await;
        let of_hook = rendered.iter().filter(|document| document.template == template);
        let objects: Vec<_> = of_hook.map(|document| &document.object).collect();
        for kind in ["ClusterRole", "Role"] {
            let rules = |roles: &[&serde_json::Value]| -> Vec<serde_json::Value> {
                let roles = roles.iter().filter(|role| role["kind"] == kind);
                roles.flat_map(|role| role["rules"].as_array().unwrap().clone()).collect()
            };
            let needed: Vec<_> = files.iter().flat_map(|file| needed(file)).collect();
            assert_eq!(
                rules(&objects),
                rules(&needed.iter().collect::<Vec<_>>()),
                "{template} {values:?} {kind}"
            );
        }
        // An account of its own: the controller gets none of these rights.
        let names = |kind: &str| -> Vec<&serde_json::Value> {
            objects
                .iter()
                .filter(|object| object["kind"] == kind)
                .map(|object| &object["metadata"]["name"])
                .collect()
        };
        let account = names("ServiceAccount")[0];
        assert_ne!(account, crate::RELEASE);
        for binding in
            objects.iter().filter(|object| object["kind"].as_str().unwrap().ends_with("RoleBinding"))
        {
            assert_eq!(&binding["subjects"][0]["name"], account, "{binding}");
        }
    }
}
