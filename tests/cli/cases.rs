//! Files as users pasted them: what is reported of each, and that the printed changes are enough.

use crate::acr::{acr, findings, fixed, root, text};

fn case(name: &str) -> String {
    std::fs::read_to_string(root().join("tests/cli/cases").join(name)).unwrap()
}

/// Returns each finding as `code key line:column`.
fn places(input: &str) -> Vec<String> {
    let place = |finding: &serde_json::Value| {
        let region = &finding["region"];
        let (line, column) = (&region["startLine"], &region["startColumn"]);
        format!("{} {} {line}:{column}", text(finding, "code"), text(finding, "key"))
    };
    findings(input).iter().map(place).collect()
}

fn messages(input: &str) -> Vec<String> {
    findings(input).iter().map(|finding| text(finding, "message").to_owned()).collect()
}

/// Returns the binding of a file that has nothing left to report.
#[track_caller]
fn clean(input: &str) -> String {
    let linted = acr(&["lint", "--strict", "-"], input);
    assert_eq!(linted.code, Some(0), "{}", linted.out);
    let converted = acr(&["convert", "-"], input);
    assert_eq!(converted.code, Some(0), "{}", converted.err);
    converted.out
}

#[test]
fn a_webhook_configuration_of_uneven_depth_is_reported_by_its_own_key() {
    let file = case("uneven-webhook.json");
    assert_eq!(places(&file), ["ACR415 webhook-configuration 1:240"]);
    let [message] = &messages(&file)[..] else { panic!("one finding") };
    assert!(
        message.starts_with(
            "line 2 of the value (failure-policy) is indented deeper than enable: write all keys at one depth"
        ),
        "{message}"
    );
    let repaired = fixed(&file);
    assert_eq!(repaired, file.replace("\\n  failure", "\\nfailure").replace("\\n  timeout", "\\ntimeout"));
    let binding = clean(&repaired);
    // The other two have their defaults, and so do empty domains: all of the instance.
    assert!(binding.contains("  webhook:\n    enable: true\n"), "{binding}");
    assert!(
        binding.contains("  - instanceId: cri-k3v9w2m7q1x8abcd\n    regionId: cn-hongkong\n  watch"),
        "{binding}"
    );
    let other = fixed(&file.replace("policy: Ignore", "policy: Fail").replace("seconds: 10", "seconds: 5"));
    let binding = clean(&other);
    assert!(binding.contains("    failurePolicy: Fail\n    timeoutSeconds: 5\n"), "{binding}");
}

#[test]
fn each_variable_is_named_with_the_command_that_replaces_it_and_nothing_else() {
    let file = case("variables.yaml");
    let expected = [
        "ACR720 service-account 7:21",
        "ACR720 watch-namespace 8:21",
        "ACR720 acr-registry-info[0].instanceId 11:20",
        "ACR720 acr-registry-info[0].regionId 12:18",
        "ACR720 acr-registry-info[0].domains[0] 13:17",
    ];
    assert_eq!(places(&file), expected);
    let converted = acr(&["convert", "-"], &file);
    assert_eq!((converted.code, converted.out.as_str()), (Some(2), ""));
    assert!(converted.err.ends_with("no binding: fix the errors above first\n"), "{}", converted.err);
    for (message, (variable, command)) in messages(&file).iter().zip([
        ("${ACR_SERVICE_ACCOUNTS:=default}", "flux envsubst --strict < FILE | kubectl acr lint -"),
        ("${ACR_NAMESPACES}", "envsubst < FILE | kubectl acr lint -"),
        ("${ACR_INSTANCE_ID}", "envsubst < FILE | kubectl acr lint -"),
        ("${REGION}", "envsubst < FILE | kubectl acr lint -"),
        ("$(ACR_DOMAIN)", "kustomize build . | kubectl acr lint -"),
    ]) {
        assert!(message.starts_with(&format!("{variable} is a variable ")), "{message}");
        assert!(message.contains(command), "{message}");
        assert!(converted.err.contains(message.as_str()), "{}", converted.err);
    }
    let rendered = file
        .replace("${ACR_SERVICE_ACCOUNTS:=default}", "default")
        .replace("${ACR_NAMESPACES}", "shop")
        .replace("${ACR_INSTANCE_ID}", "cri-k3v9w2m7q1x8abcd")
        .replace("${REGION}", "cn-hangzhou")
        .replace("$(ACR_DOMAIN)", "shop-registry.cn-hangzhou.cr.aliyuncs.com");
    assert!(clean(&rendered).contains("instanceId: cri-k3v9w2m7q1x8abcd"));
}

#[test]
fn an_invisible_character_is_named_where_it_is_and_a_change_removes_it() {
    let file = case("invisible-characters.yaml");
    let expected =
        ["ACR413 watch-namespace 8:26", "ACR413 acr-registry-info 11:5", "ACR413 acr-registry-info 12:58"];
    assert_eq!(places(&file), expected);
    for (message, name) in messages(&file).iter().zip([
        "a zero-width space (U+200B)",
        "a no-break space (U+00A0)",
        "a no-break space (U+00A0)",
    ]) {
        assert!(message.starts_with(name), "{message}");
    }
    let repaired = fixed(&file);
    assert_eq!(repaired, file.replace('\u{200b}', "").replace('\u{a0}', " "));
    assert!(clean(&repaired).contains("    domains:\n    - shop-registry.cn-hangzhou.cr.aliyuncs.com\n"));
}

#[test]
fn a_bar_within_the_text_is_taken_out() {
    let file = case("bar-in-the-text.yaml");
    assert_eq!(places(&file), ["ACR416 acr-registry-info 8:5"]);
    let repaired = fixed(&file);
    assert_eq!(repaired, file.replace("    |\n", ""));
    assert!(clean(&repaired).contains("  - instanceId: cri-k3v9w2m7q1x8abcd\n    regionId: cn-hangzhou\n"));
}

/// Each is one finding with the command that prints what can be read, for both commands.
#[test]
fn a_file_that_cannot_be_read_yet_is_named_with_its_command() {
    let folder = tempfile::tempdir().unwrap();
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: acr-configuration, namespace: kube-system}\ndata:\n";
    for (name, content, code, command) in [
        ("a.yaml", format!("{head}  watch-namespace: {{{{ .Values.names }}}}\n"), "ACR713", "helm template RELEASE CHART"),
        ("b.yaml.j2", format!("{head}{{% if all %}}\n  watch-namespace: all\n{{% endif %}}\n"), "ACR713", "jinja2 "),
        ("c.yaml", format!("{head}  watch-namespace: <%= names %>\n"), "ACR713", "erb "),
        ("d.yaml", format!("{head}  watch-namespace: #@ data.values.names\n"), "ACR713", "ytt -f "),
        ("e.yaml", format!("{head}  rrsa: ENC[AES256_GCM,data:Y,iv:Z,tag:T,type:str]\nsops:\n  mac: m\n"), "ACR722", "sops -d "),
        ("f.yaml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n".to_owned(), "ACR722", "ansible-vault view "),
        ("g.age", "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n".to_owned(), "ACR722", "age -d -i KEY "),
        ("h.asc", "-----BEGIN PGP MESSAGE-----\n\nhQEM\n".to_owned(), "ACR722", "gpg -d "),
        ("i.yaml", "version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12\n".to_owned(), "ACR724", "git lfs pull --include "),
        ("j.yaml", format!("{head}<<<<<<< HEAD\n  rrsa: a\n=======\n  rrsa: b\n>>>>>>> b\n"), "ACR723", "git diff --check"),
        ("kustomization.yaml", "configMapGenerator:\n- name: acr-configuration\n  files: [watch-namespace]\n".to_owned(), "ACR721", "kustomize build "),
        ("l.yaml", "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: acr}\nspec: {path: ./deploy}\n".to_owned(), "ACR721", "flux build kustomization acr --path ./deploy"),
        ("m.yaml", "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: acr}\nspec: {}\n".to_owned(), "ACR721", "helm template acr CHART"),
        ("values.yaml", "acr:\n  watch-namespace: all\n".to_owned(), "ACR721", "helm template RELEASE CHART -f "),
        ("n.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: acr}\n".to_owned(), "ACR721", "argocd app manifests acr"),
        ("o.yaml", "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: acr}\n".to_owned(), "ACR721", "kubectl acr lint --live"),
        ("p.yaml", "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: acr}\n".to_owned(), "ACR721", "kubectl acr lint --live"),
        ("q.jsonnet", "local c = import 'c.libsonnet';\n{ data: c }\n".to_owned(), "ACR721", "jsonnet "),
        ("r.cue", "package acr\n\ndata: \"watch-namespace\": \"all\"\n".to_owned(), "ACR721", "cue export "),
        ("s.json", "[{\"op\": \"replace\", \"path\": \"/data/rrsa\", \"value\": \"\"}]".to_owned(), "ACR721", "--dry-run=server -o yaml"),
        ("t.yaml", "<!DOCTYPE html>\n<html><body>data:</body></html>\n".to_owned(), "ACR702", "download the file itself"),
        ("u.txt", "Name:         acr-configuration\nNamespace:    kube-system\n\nData\n====\nrrsa:\n----\n\n".to_owned(), "ACR702", "-o yaml | kubectl acr lint -"),
        ("v.diff", "diff --git a/a.yaml b/a.yaml\n--- a/a.yaml\n+++ b/a.yaml\n@@ -1 +1 @@\n".to_owned(), "ACR702", "git apply"),
        ("w.sh", "#!/bin/sh\nkubectl create configmap acr-configuration\n".to_owned(), "ACR721", "--dry-run=client -o yaml"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, &content).unwrap();
        let path = path.to_str().unwrap();
        let linted = acr(&["lint", "-o", "json", path], "");
        assert_eq!(linted.code, Some(2), "{name}: {}", linted.err);
        let report: serde_json::Value = serde_json::from_str(&linted.out).unwrap();
        let [finding] = &report["findings"].as_array().unwrap()[..] else { panic!("{name}: {}", linted.out) };
        let message = text(finding, "message");
        assert_eq!(text(finding, "code"), code, "{name}: {message}");
        assert!(message.contains(command), "{name}: {message}");
        // A command that reads the file names it.
        assert!(!command.ends_with(' ') || message.contains(path) || name == "kustomization.yaml", "{name}: {message}");
        let converted = acr(&["convert", path], "");
        assert_eq!((converted.code, converted.out.as_str()), (Some(2), ""), "{name}");
        assert!(converted.err.contains(message), "{name}: {}", converted.err);
    }
}

/// Bytes that are not text are named by what they begin with.
#[test]
fn packed_and_encrypted_bytes_are_named_with_their_command() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, command) in [
        ("a.yaml", &b"\0GITCRYPT\0\xff\xfe"[..], "git-crypt unlock"),
        ("b.yaml.gz", &b"\x1f\x8b\x08\xff"[..], "gunzip -c "),
        ("c.age", &b"age-encryption.org/v1\n-> X25519 a\n\xff"[..], "age -d -i KEY "),
        ("d.gpg", &b"\x85\x01\x0c\xff"[..], "gpg -d "),
        ("e.zip", &b"PK\x03\x04\xff"[..], "unzip -p "),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        for verb in ["lint", "convert"] {
            let done = acr(&[verb, path.to_str().unwrap()], "");
            assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{name}");
            assert!(done.err.contains(command), "{name}: {}", done.err);
            assert!(
                !command.ends_with(' ') || done.err.contains(&format!("{command}{}", path.display())),
                "{}",
                done.err
            );
        }
    }
}
