//! The managed add-on's JSON: its binding and its steps.

use crate::acr::acr;

const ADDON: &str = r#"{"AcrInstanceInfo":[{"instanceId":"cri-demo0001","regionId":"cn-hangzhou"}],"enableRRSA":false,"expiringThreshold":"15m","serviceAccount":"api","watchNamespace":"api"}"#;

#[test]
fn its_steps_uninstall_the_add_on_and_adopt_what_it_left() {
    let escaped = format!("config = {}\n", serde_json::Value::from(ADDON));
    for input in [ADDON, &escaped] {
        let converted = acr(&["convert", "-"], input);
        assert_eq!(converted.code, Some(0), "{}", converted.err);
        let binding: serde_json::Value = serde_saphyr::from_str(&converted.out).unwrap();
        assert_eq!(
            binding["metadata"]["annotations"]["acrcredential.dev/adopt"], "true",
            "{}",
            converted.out
        );
        let lines: Vec<&str> = converted.err.lines().filter(|line| !line.is_empty()).collect();
        let [heading, uninstall, apply, wait] = lines[..] else { panic!("{lines:#?}") };
        assert!(heading.starts_with("from the managed add-on to the binding"), "{heading}");
        for word in
            ["aliyun cs POST", "managed-aliyun-acr-credential-helper", "acr-credential-helper-webhook"]
        {
            assert!(uninstall.starts_with("1. ") && uninstall.contains(word), "{uninstall}");
        }
        assert!(apply.starts_with("2. kubectl apply") && apply.contains("adopt"), "{apply}");
        assert!(wait.starts_with("3. kubectl wait") && wait.contains("condition=Ready"), "{wait}");
        assert!(
            !converted.err.contains("configmap") && !converted.err.contains("ConfigMap"),
            "{}",
            converted.err
        );
    }
}

#[test]
fn the_steps_of_the_config_map_stay_its_own() {
    let converted = acr(&["convert", "-"], "acr-registry-info: |\n  - instanceId: cri-demo0001\n");
    assert!(converted.err.contains("from the ConfigMap to the binding:"), "{}", converted.err);
    assert!(!converted.err.contains("aliyun") && !converted.out.contains("adopt"), "{}", converted.err);
}
