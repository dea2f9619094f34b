//! Files of tools for infrastructure, as users have them: each becomes the binding that it means, or says why not.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use acr_lab::docs::commands;
use serde_json::{Value, json};

use crate::acr::{acr, fixed, root, run, text};

/// Returns a file of the folder.
fn file(name: &str) -> String {
    std::fs::read_to_string(root().join("tests/cli/structured").join(name)).unwrap()
}

/// Returns what a file becomes: instance, region, namespaces and ServiceAccounts.
fn becomes(name: &str) -> Value {
    let converted = acr(&["convert", "-"], &file(name));
    assert_eq!(converted.code, Some(0), "{name}: {}", converted.err);
    let binding: Value = serde_saphyr::from_str(&converted.out).unwrap();
    let spec = &binding["spec"];
    assert_eq!(spec["registries"].as_array().map(Vec::len), Some(1), "{name}");
    let registry = &spec["registries"][0];
    json!([
        registry["instanceId"],
        registry["regionId"],
        spec["watchNamespaces"]["names"],
        spec["serviceAccounts"]["names"]
    ])
}

fn codes(name: &str) -> Vec<String> {
    let printed = acr(&["lint", "-o", "json", "-"], &file(name)).out;
    let report: Value = serde_json::from_str(&printed).unwrap();
    report["findings"].as_array().unwrap().iter().map(|found| text(found, "code").to_owned()).collect()
}

#[test]
fn each_file_becomes_the_binding_that_it_means() {
    const ID: &str = "cri-k3v9w2m7q1x8abcd";
    let all = json!([ID, "cn-hangzhou", ["*"], ["default"]]);
    for (name, expected, found) in [
        ("jsonencode.tf", json!([ID, "cn-hangzhou", ["shop", "shop-jobs"], ["runner"]]), vec![]),
        ("config-map.tf", all.clone(), vec![]),
        ("show.json", all.clone(), vec![]),
        ("addons-block.tf", all.clone(), vec!["ACR118"]),
        ("local-value.tf", json!([ID, "cn-hangzhou", ["shop", "shop-jobs"], ["default"]]), vec!["ACR111"]),
        ("module.tf", all.clone(), vec![]),
        ("by-name.tfvars", all.clone(), vec![]),
        ("for-each.tf", json!([ID, null, ["*"], ["default"]]), vec!["ACR202"]),
        ("kubernetes-manifest.tf", json!([ID, "cn-hangzhou", ["shop"], ["*"]]), vec!["ACR118"]),
        ("kubectl-manifest.tf", json!([ID, "cn-hangzhou", ["shop"], ["*"]]), vec!["ACR118"]),
        ("cut-out.tf", json!([ID, "cn-hangzhou", ["default"], ["default"]]), vec!["ACR118"]),
        ("console.txt", all.clone(), vec![]),
        ("plan.json", json!([ID, null, ["default"], ["default"]]), vec![]),
        ("terraform.tfstate", all.clone(), vec!["ACR118"]),
        ("config-map-state.json", all.clone(), vec!["ACR118"]),
        ("addon-instance.json", all.clone(), vec!["ACR118"]),
        ("ros.yaml", all.clone(), vec!["ACR118"]),
        ("ros.json", all.clone(), vec!["ACR118"]),
        ("pulumi.yaml", all.clone(), vec!["ACR118"]),
        ("crossplane.yaml", all.clone(), vec!["ACR118"]),
        ("flat-state.json", all.clone(), vec!["ACR118"]),
        ("flat-config-map.json", all.clone(), vec!["ACR118"]),
        ("ros-sub.yaml", all.clone(), vec!["ACR118"]),
        ("ros-join.yaml", all.clone(), vec![]),
        ("ros-manifest.yaml", json!([ID, "cn-hangzhou", ["shop"], ["*"]]), vec!["ACR118"]),
    ] {
        assert_eq!(becomes(name), expected, "{name}");
        assert_eq!(codes(name), found, "{name}");
        // The printed changes are made in the user's file, and leave nothing. A manifest in a text has none.
        if !["kubectl-manifest.tf", "ros-manifest.yaml"].contains(&name) {
            let linted = acr(&["lint", "--strict", "-"], &fixed(&file(name)));
            assert_eq!(linted.code, Some(0), "{name}: {}", linted.out);
        }
    }
}

#[test]
fn what_a_file_cannot_say_is_named_with_the_command_that_prints_it() {
    const SHOW: &str = "terraform show -json | kubectl acr lint -";
    const DESCRIBE: &str = "aliyun cs DescribeClusterAddonInstance --ClusterId <id> --AddonName managed-aliyun-acr-credential-helper | kubectl acr lint -";
    const PREVIEW: &str = "aliyun ros PreviewStack --StackName preview --TemplateBody \"$(cat FILE)\" --Parameters.1.ParameterKey KEY --Parameters.1.ParameterValue VALUE | kubectl acr lint -";
    const GET: &str = "kubectl -n kube-system get cm acr-configuration -o yaml | kubectl acr lint -";
    for (name, code, parts) in [
        ("variables.tf", "ACR606", vec!["depends on var.instance_id and join(\",\", var.namespaces)", SHOW]),
        (
            "file.tf",
            "ACR606",
            vec!["echo 'file(\"${path.module}/acr.json\")' | terraform console | kubectl acr lint -"],
        ),
        ("dynamic.tf", "ACR702", vec!["the file is Terraform", SHOW, GET]),
        ("helm-release.tf", "ACR702", vec!["the file is Terraform", SHOW, GET]),
        ("plan.txt", "ACR702", vec!["the file is Terraform", SHOW]),
        ("plan-unknown.json", "ACR606", vec!["once it is applied", SHOW]),
        ("expression.tf.json", "ACR606", vec!["of the tool around it", SHOW]),
        ("installed.json", "ACR702", vec!["without its configuration", DESCRIBE]),
        ("two-clusters.tf", "ACR605", vec!["line 4 has another configuration", DESCRIBE]),
        ("unmanaged.tf", "ACR702", vec!["configured by a ConfigMap", GET]),
        ("broken.tf", "ACR401", vec!["not valid HCL", "terraform show -json"]),
        (
            "ros-variables.yaml",
            "ACR720",
            vec!["${Acr.InstanceId} is a variable of a template for a stack of resources", PREVIEW],
        ),
        ("ros-functions.yaml", "ACR606", vec!["depends on Fn::Join, a function of the template", PREVIEW]),
        (
            "cloud-formation.json",
            "ACR606",
            vec!["depends on Fn::GetAtt, a function of the template", DESCRIBE],
        ),
        (
            "variable-default.tf",
            "ACR606",
            vec![
                "echo 'var.acr' | terraform console | kubectl acr lint - reads it",
                "The default in this file counts only where no tfvars file sets another value.",
                "Give the console the -var-file that you apply with",
            ],
        ),
        ("sensitive.txt", "ACR702", vec!["echo 'nonsensitive(<expression>)' | terraform console"]),
    ] {
        let linted = acr(&["lint", "-"], &file(name));
        assert_eq!((linted.code, codes(name)), (Some(2), vec![code.to_owned()]), "{name}: {}", linted.out);
        for part in parts {
            assert!(linted.out.contains(part), "{name}: {part}: {}", linted.out);
        }
        assert!(
            !linted.out.contains("name the right file") && !linted.out.contains("YAML ("),
            "{}",
            linted.out
        );
        assert_eq!(acr(&["convert", "-"], &file(name)).out, "", "{name}");
    }
}

/// Another add-on of the list has one.
#[test]
fn an_add_on_without_configuration_means_its_defaults_and_says_so() {
    let linted = acr(&["lint", "-"], &file("without-config.tf"));
    for part in [
        "<stdin>:13:14",
        "Personal Edition of the cluster's region",
        "ServiceAccount default in the namespace default",
        "config = jsonencode({ AcrInstanceInfo = [{ instanceId = \"<id>\" }] })",
    ] {
        assert!(linted.out.contains(part), "{part}: {}", linted.out);
    }
    assert_eq!(codes("without-config.tf"), ["ACR604"]);
    assert_eq!(becomes("without-config.tf"), json!([null, null, ["default"], ["default"]]));
    // Its cure is followed to the letter.
    let cured = file("without-config.tf").replace(
        "\"managed-aliyun-acr-credential-helper\" }",
        "\"managed-aliyun-acr-credential-helper\", config = jsonencode({ AcrInstanceInfo = [{ instanceId = \"cri-k3v9w2m7q1x8abcd\" }] }) }",
    );
    assert_eq!(acr(&["lint", "--strict", "-"], &cured).code, Some(0));
}

/// Scripts print what the tools do.
#[test]
fn the_commands_of_the_page_give_input_that_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let script = |name: &str, body: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let files = root().join("tests/cli/structured");
    script(
        "terraform",
        &format!("[ $1 = show ] && cat {0}/show.json || cat {0}/console.txt", files.display()),
    );
    let map = "{kind: ConfigMap, metadata: {name: acr-configuration, namespace: kube-system}, data: {acr-registry-info: \"- instanceId: cri-k3v9w2m7q1x8abcd\"}}";
    let plugin = env!("CARGO_BIN_EXE_kubectl-acr");
    script("kubectl", &format!("[ $1 = acr ] && shift && exec {plugin} \"$@\"\necho '{map}'"));
    let commands = commands("docs/kubectl-acr.md", "What it reads").unwrap();
    assert_eq!(commands.len(), 3);
    for command in commands {
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()));
        let done = run(shell, "");
        assert_eq!(done.code, Some(0), "{command}: {}{}", done.out, done.err);
        assert!(done.out.contains("served as written"), "{command}: {}", done.out);
    }
}
