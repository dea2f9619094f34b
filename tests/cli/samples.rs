//! The documented samples, as printed: the first text that a user pastes.

use crate::acr::{acr, findings, fixed, root, sample, text};

pub const SAMPLES: [&str; 7] =
    ["same-account", "two-regions", "rrsa", "role-assumption", "key-pair", "personal", "webhook"];

/// Returns the sample with its printed fixes applied, and then with its placeholders replaced.
pub fn cured(name: &str) -> String {
    fixed(&sample(name))
        .replacen("cri-instanceId", "cri-a1b2c3", 1)
        .replace("cri-instanceId", "cri-d4e5f6")
        .replace("\"xxxxx\"", "\"LTAI5tSample\"")
        .replace("\"xxxxxx\"", "\"SampleSecret\"")
        .replace("cri-xxx", "cri-a1b2c3")
        .replace("cn-xxxx", "cn-shanghai")
        .replace("aUserRoleARN", "acs:ram::1:role/a")
        .replace("aUserClusterOIDCProviderRoleARN", "acs:ram::1:oidc-provider/ack-rrsa-c1")
        .replace("bUserRoleARN", "acs:ram::2:role/b")
        .replace("acs:ram::.*:role", "acs:ram::2:role")
}

/// Compares with the golden file; `UPDATE_GOLDEN=1` rewrites it.
fn golden(name: &str, actual: &str) {
    let path = root().join("tests/cli/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, kept, "{}: UPDATE_GOLDEN=1 keeps the new one", path.display());
}

fn marks(input: &str) -> Vec<String> {
    findings(input).iter().map(|f| format!("{} {}", text(f, "code"), text(f, "key"))).collect()
}

#[test]
fn each_sample_has_exactly_its_known_faults() {
    for name in SAMPLES {
        let linted = acr(&["lint", &format!("{name}.yaml")], "");
        golden(&format!("{name}.txt"), &linted.out);
        assert_eq!(linted.err, "");
        assert_eq!(linted.code, Some(if name == "webhook" { 0 } else { 2 }), "{name}");
    }
}

#[test]
fn with_the_printed_fixes_only_placeholders_are_left() {
    for (name, left) in [
        ("same-account", vec!["ACR124 acr-registry-info[0].instanceId"]),
        (
            "two-regions",
            vec!["ACR124 acr-registry-info[0].instanceId", "ACR124 acr-registry-info[1].instanceId"],
        ),
        (
            "rrsa",
            vec![
                "ACR133 acr-registry-info[0].instanceId",
                "ACR124 acr-registry-info[0].rrsaRoleARN",
                "ACR124 acr-registry-info[0].rrsaOIDCProviderRoleARN",
                "ACR124 acr-registry-info[0].assumeRoleARN",
            ],
        ),
        ("role-assumption", vec!["ACR124 acr-registry-info[0].assumeRoleARN"]),
        // No fix moves a key out of the ConfigMap.
        (
            "key-pair",
            vec![
                "ACR133 acr-registry-info[0].customAccessKey",
                "ACR501 acr-registry-info[0].customAccessKey",
                "ACR133 acr-registry-info[0].customAccessKeySecret",
            ],
        ),
        ("personal", vec!["ACR133 acr-registry-info[0].regionId"]),
        ("webhook", vec!["ACR101 acr-registry-info"]),
    ] {
        let once = fixed(&sample(name));
        assert_eq!(fixed(&once), once, "{name}: all fixes are printed at once");
        assert_eq!(marks(&once), left, "{name}");
    }
}

#[test]
fn with_its_placeholders_replaced_each_sample_is_clean_and_becomes_a_binding() {
    for name in SAMPLES {
        let file = cured(name);
        let linted = acr(&["lint", "--strict", "-"], &file);
        let expected = if name == "key-pair" { 1 } else { 0 };
        assert_eq!(linted.code, Some(expected), "{name}: {}", linted.out);
        let converted = acr(&["convert", "-"], &file);
        assert_eq!(converted.code, Some(0), "{name}: {}", converted.err);
        golden(&format!("{name}.binding.yaml"), &converted.out);
        golden(&format!("{name}.steps.txt"), &converted.err);
    }
}

#[test]
fn a_sample_as_printed_becomes_a_binding_or_reports_why_not() {
    for name in SAMPLES {
        let converted = acr(&["convert", "-"], &sample(name));
        let expected = if converted.out.is_empty() { 2 } else { 0 };
        assert_eq!(converted.code, Some(expected), "{name}: {}", converted.err);
        assert!(!converted.err.is_empty());
    }
}

/// Shapes of older pages and of users' files. The printed changes fix each, in a few rounds where changes
/// overlap.
#[test]
fn older_shapes_are_clean_once_the_printed_changes_are_applied() {
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: acr-configuration\n  namespace: kube-system\ndata:\n";
    for (shape, expected) in [
        (
            "  acr-registry-info: |\n    - instanceId: cri-a1b2c3,cri-d4e5f6\n      regionId: cn-beijing\n  rrsa: \"\"\n",
            "  acr-registry-info: |\n    - instanceId: cri-a1b2c3\n      regionId: cn-beijing\n    - instanceId: cri-d4e5f6\n      regionId: cn-beijing\n  rrsa: \"\"\n",
        ),
        (
            "  acr-registry-info: |\n    [{\"instanceId\": \"cri-a1b2c3\", \"regionId\": \"cn-beijing\"}, {\"instanceId\": \"\"}]\n",
            "  acr-registry-info: |\n    - \"instanceId\": \"cri-a1b2c3\"\n      \"regionId\": \"cn-beijing\"\n    - \"instanceId\": \"\"\n",
        ),
        (
            "  acr-registry-info: \"[{\\\"instanceId\\\": \\\"cri-a1b2c3\\\", \\\"domains\\\": [\\\"a.com\\\"]}]\"\n",
            "  acr-registry-info: \"- \\\"instanceId\\\": \\\"cri-a1b2c3\\\"\\n  \\\"domains\\\": \\\"a.com\\\"\"\n",
        ),
        (
            "  acr-registry-info: |\n    - instanceId: cri-a1b2c3\n    - instanceId: cri-a1b2c3\n  rrsa: \"\"\n",
            "  acr-registry-info: |\n    - instanceId: cri-a1b2c3\n  rrsa: \"\"\n",
        ),
        (
            "  Acr-Registry-Info: |\n    - InstanceId: cri-a1b2c3\n  \"WATCH-NAMESPACE\": prod\n",
            "  acr-registry-info: |\n    - instanceId: cri-a1b2c3\n  \"watch-namespace\": prod\n",
        ),
        (
            "  acr-registry-info: |\n    - instanceId: cri-a1b2c3\n      domains:\n        - a.com\n        - b.com\n",
            "  acr-registry-info: |\n    - instanceId: cri-a1b2c3\n      domains: \"a.com,b.com\"\n",
        ),
        (
            "  acr-registry-info: [{instanceId: cri-a1b2c3, regionId: CN-BEIJING}]\n",
            "  acr-registry-info: \"- instanceId: cri-a1b2c3\\n  regionId: cn-beijing\"\n",
        ),
    ] {
        let mut file = format!("{head}{shape}");
        for _ in 0..4 {
            file = fixed(&file);
        }
        assert_eq!(file, format!("{head}{expected}"), "{shape}");
        assert_eq!(acr(&["lint", "--strict", "-"], &file).code, Some(0), "{file}");
    }
}
