//! The managed add-on's JSON, plain and as Terraform has it.

use super::{codes, marks, reported, spec};
use crate::api::binding::DeletionPolicy;
use crate::model::legacy::{apply_edits, convert, from_addon_config};

pub(super) const SAMPLE: &str = r#"{
  "AcrInstanceInfo": [
    {
      "instanceId": "cri-a,cri-b",
      "regionId": "cn-beijing",
      "domains": "",
      "assumeRoleARN": "acs:ram::2:role/b",
      "expireDuration": "7200",
      "rrsaRoleARN": "acs:ram::1:role/a",
      "rrsaOIDCProviderRoleARN": "acs:ram::1:oidc-provider/p"
    },
    {"instanceId": "", "regionId": "cn-hangzhou", "domains": "registry.cn-hangzhou.aliyuncs.com"}
  ],
  "enableRRSA": true,
  "watchNamespace": "prod,dev",
  "serviceAccount": "*",
  "expiringThreshold": "30m",
  "notifyEmail": "a@example.com"
}"#;

/// Returns the ConfigMap that says the same.
fn same() -> crate::model::legacy::Conversion {
    convert(&super::data(&[
        (
            "acr-registry-info",
            "- instanceId: cri-a,cri-b\n  regionId: cn-beijing\n  assumeRoleARN: acs:ram::2:role/b\n  expireDuration: 7200\n  rrsaRoleARN: acs:ram::1:role/a\n  rrsaOIDCProviderRoleARN: acs:ram::1:oidc-provider/p\n- instanceId: \"\"\n  regionId: cn-hangzhou\n  domains: registry.cn-hangzhou.aliyuncs.com\n",
        ),
        ("rrsa", "enable: true"),
        ("watch-namespace", "prod,dev"),
        ("service-account", "*"),
        ("expiring-threshold", "30m"),
        ("notify-email", "a@example.com"),
    ]))
}

#[test]
fn the_add_ons_json_is_the_spec_that_the_configmap_would_be() {
    let conversion = from_addon_config(SAMPLE);
    assert_eq!(codes(&conversion), ["ACR115"], "{}", reported(&conversion));
    assert_eq!(conversion.spec, same().spec);
    assert_eq!(spec(&conversion).deletion_policy, DeletionPolicy::Retain);
    assert_eq!((conversion.findings[0].line, conversion.findings[0].column), (Some(4), Some(21)));
}

#[test]
fn json_in_a_string_is_unwrapped() {
    let once = serde_json::to_string(SAMPLE).unwrap();
    let forms = [once.clone(), serde_json::to_string(&once).unwrap(), SAMPLE.replace("  ", "\t")];
    for form in forms {
        let conversion = from_addon_config(&form);
        assert_eq!(conversion.spec, same().spec, "{form}: {}", reported(&conversion));
        assert_eq!(codes(&conversion), ["ACR115"], "{form}");
        // Only text outside strings has bytes of its own.
        let placed = conversion.findings.iter().any(|f| f.span.is_some() || !f.edits.is_empty());
        assert_eq!(placed, form.contains('\t'), "{form}");
    }
}

#[test]
fn the_list_may_be_a_string_and_the_scalars_other_than_texts() {
    let conversion = from_addon_config(
        r#"{"AcrInstanceInfo": "[{\"instanceId\":\"cri-a\"}]", "enableRRSA": "false", "tokenMode": "auto"}"#,
    );
    assert_eq!(spec(&conversion).registries[0].instance_id.as_deref(), Some("cri-a"));
    assert_eq!(codes(&conversion), ["ACR602"]);
}

#[test]
fn mistakes_in_the_json_are_reported_at_their_place_and_repaired() {
    let json = r#"{"acrInstanceInfo": [{"InstanceId": "cri-a", "regionId": "CN-Beijing", "domains": "A.com，b.com"}],
 "enableRRSA": "yes", "watchNamespace": "ALL", "serviceAccount": "Default", "expiringThreshold": "15min", "x": 1}"#;
    let conversion = from_addon_config(json);
    let mut found = marks(&conversion);
    found.sort();
    assert_eq!(
        found,
        [
            "W AcrInstanceInfo",
            "W AcrInstanceInfo[0].domains:1",
            "W AcrInstanceInfo[0].domains[0]:1",
            "W AcrInstanceInfo[0].instanceId:1",
            "W AcrInstanceInfo[0].regionId:1",
            "W config:2",
            "W expiringThreshold:2",
            "W serviceAccount:2",
            "W watchNamespace:2",
        ]
    );
    let mut repaired = json.to_owned();
    let mut edits: Vec<_> = conversion.findings.iter().flat_map(|f| f.edits.clone()).collect();
    edits.sort_by_key(|edit| std::cmp::Reverse((edit.span.start, edit.span.end)));
    for edit in edits {
        repaired.replace_range(edit.span, &edit.text);
    }
    let again = from_addon_config(&repaired);
    assert_eq!(codes(&again), ["ACR603"], "{repaired}: {}", reported(&again));
    assert_eq!(again.spec, conversion.spec);
    assert!(serde_json::from_str::<serde_json::Value>(&repaired).is_ok(), "{repaired}");
    assert_eq!(apply_edits("x", "none", &conversion.findings), "x");
}

#[test]
fn what_says_nothing_is_the_personal_edition_and_what_is_no_json_has_a_cure() {
    for (json, code) in [("{}", "ACR101"), (r#"{"AcrInstanceInfo": []}"#, "ACR101")] {
        let conversion = from_addon_config(json);
        assert_eq!(codes(&conversion), [code], "{json}");
        assert_eq!(spec(&conversion).registries.len(), 1);
    }
    for json in ["", "null", "[]", "cri-a", "{", "\"{\"", "[{}]", "[{}, {}]", "{\\\"a\\\":"] {
        let conversion = from_addon_config(json);
        assert_eq!((codes(&conversion), conversion.spec), (vec!["ACR601"], None), "{json}");
    }
    let wrong = from_addon_config(r#"{"watchNamespace": ["prod"], "enableRRSA": "perhaps"}"#);
    assert_eq!((codes(&wrong), wrong.spec), (vec!["ACR310", "ACR101", "ACR129"], None));
}
