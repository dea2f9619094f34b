//! The documented samples, once the YAML of the ConfigMap itself is right.

use std::collections::BTreeMap;

use super::{info, marks, only, reported, spec};
use crate::api::binding::{AccessKeySecretRef, DeletionPolicy, RegistryEntry};
use crate::model::legacy::{Conversion, Severity, apply_edits, convert};
use secrecy::ExposeSecret;

const SAME_ACCOUNT: &str = include_str!("../testdata/same-account.yaml");
const TWO_REGIONS: &str = include_str!("../testdata/two-regions.yaml");
const RRSA: &str = include_str!("../testdata/rrsa.yaml");
const ROLE_ASSUMPTION: &str = include_str!("../testdata/role-assumption.yaml");
const KEY_PAIR: &str = include_str!("../testdata/key-pair.yaml");
const PERSONAL: &str = include_str!("../testdata/personal.yaml");

pub(super) const SAMPLES: [&str; 6] = [SAME_ACCOUNT, TWO_REGIONS, RRSA, ROLE_ASSUMPTION, KEY_PAIR, PERSONAL];

pub(super) fn read(sample: &str) -> BTreeMap<String, String> {
    serde_saphyr::from_str::<BTreeMap<String, BTreeMap<String, String>>>(sample)
        .unwrap()
        .remove("data")
        .unwrap()
}

/// Returns the sample with its placeholders replaced.
pub(super) fn cured(sample: &str) -> BTreeMap<String, String> {
    let text = sample
        .replacen("cri-instanceId", "cri-abc1", 1)
        .replace("cri-instanceId", "cri-abc2")
        .replace("aUserRoleARN", "acs:ram::1:role/a")
        .replace("aUserClusterOIDCProviderRoleARN", "acs:ram::1:oidc-provider/ack-rrsa-c1")
        .replace("bUserRoleARN", "acs:ram::2:role/b")
        .replace("acs:ram::.*:role", "acs:ram::2:role")
        .replace(" //", " #")
        .replace("\"xxxxx\"", "\"LTAI5tSample\"")
        .replace("\"xxxxxx\"", "\"SampleSecret\"")
        .replace("cri-xxx", "cri-abc3")
        .replace("cn-xxxx", "cn-beijing");
    read(&text)
}

fn cleanly(sample: &str) -> Conversion {
    let conversion = convert(&cured(sample));
    assert_eq!(marks(&conversion), [""; 0], "{}", reported(&conversion));
    conversion
}

fn two_domains() -> Vec<String> {
    ["instance.default.domain.com", "instance.custom.domain.com"].map(str::to_owned).to_vec()
}

#[test]
fn same_account() {
    let printed = convert(&read(SAME_ACCOUNT));
    assert_eq!(marks(&printed), ["E acr-registry-info[0].instanceId:1"]);
    assert!(
        reported(&printed).contains("\"cri-instanceId\" is not an Enterprise instance ID: write the ID cri-")
    );
    assert_eq!(printed.spec, None);

    let conversion = cleanly(SAME_ACCOUNT);
    let spec = spec(&conversion);
    assert_eq!(spec.service_accounts.names, ["default"]);
    assert_eq!(spec.watch_namespaces.names, ["*"]);
    assert_eq!(spec.watch_namespaces.exclude, [""; 0]);
    assert_eq!(
        (spec.watch_namespaces.selector.as_ref(), spec.service_accounts.selector.as_ref()),
        (None, None)
    );
    assert_eq!(spec.expiring_threshold, "15m");
    assert_eq!(spec.notify_email.as_deref(), Some("c*@aliyuncs.com"));
    assert_eq!(spec.deletion_policy, DeletionPolicy::Retain);
    assert!(!spec.suspend && !spec.webhook.enable);
    let expected = RegistryEntry {
        instance_id: Some("cri-abc1".to_owned()),
        region_id: Some("cn-hangzhou".to_owned()),
        domains: two_domains(),
        ..RegistryEntry::default()
    };
    assert_eq!(spec.registries, [expected]);
}

#[test]
fn two_regions() {
    let conversion = cleanly(TWO_REGIONS);
    let places: Vec<_> = spec(&conversion)
        .registries
        .iter()
        .map(|r| (r.instance_id.as_deref(), r.region_id.as_deref()))
        .collect();
    let expected = [(Some("cri-abc1"), Some("cn-beijing")), (Some("cri-abc2"), Some("cn-hangzhou"))];
    assert_eq!(places, expected);
}

#[test]
fn rrsa() {
    let printed = convert(&read(RRSA));
    let mut found = marks(&printed);
    found.sort();
    assert_eq!(
        found,
        [
            "E acr-registry-info[0].assumeRoleARN:6",
            "E acr-registry-info[0].rrsaOIDCProviderRoleARN:5",
            "E acr-registry-info[0].rrsaRoleARN:4",
            "W acr-registry-info[0].instanceId:1"
        ]
    );
    assert_eq!(printed.spec, None);

    let conversion = cleanly(RRSA);
    let expected = RegistryEntry {
        instance_id: Some("cri-abc3".to_owned()),
        region_id: Some("cn-hangzhou".to_owned()),
        domains: two_domains(),
        assume_role_arn: Some("acs:ram::2:role/b".to_owned()),
        expire_duration: Some(3600),
        rrsa_role_arn: Some("acs:ram::1:role/a".to_owned()),
        rrsa_oidc_provider_role_arn: Some("acs:ram::1:oidc-provider/ack-rrsa-c1".to_owned()),
        access_key_secret_ref: None,
    };
    assert_eq!(only(&conversion), &expected);
}

#[test]
fn role_assumption() {
    let printed = convert(&read(ROLE_ASSUMPTION));
    assert_eq!(marks(&printed), ["E acr-registry-info[0].assumeRoleARN:4"]);
    assert!(reported(&printed).contains("is not an ARN of the form acs:ram::<account>:role/<name>"));
    assert_eq!(printed.spec, None);

    let conversion = cleanly(ROLE_ASSUMPTION);
    let expected = RegistryEntry {
        region_id: Some("cn-beijing".to_owned()),
        domains: vec!["registry.cn-beijing.aliyuncs.com".to_owned()],
        assume_role_arn: Some("acs:ram::2:role/kubernetesworkerrole-test".to_owned()),
        expire_duration: Some(3600),
        ..RegistryEntry::default()
    };
    assert_eq!(only(&conversion), &expected);
}

#[test]
fn key_pair() {
    let printed = convert(&read(KEY_PAIR));
    let expected = [
        "W acr-registry-info:2",
        "W acr-registry-info:3",
        "W acr-registry-info[0].customAccessKey:2",
        "W acr-registry-info[0].customAccessKeySecret:3",
        "W acr-registry-info[0].customAccessKey:2",
    ];
    assert_eq!(marks(&printed), expected);
    assert!(reported(&printed).contains("write # instead of //"), "{}", reported(&printed));
    assert_eq!(printed.spec, convert(&cured(KEY_PAIR)).spec);
    assert_eq!(printed.key_pairs[0].access_key_id.expose_secret(), "xxxxx");

    let conversion = convert(&cured(KEY_PAIR));
    assert_eq!(marks(&conversion), ["W acr-registry-info[0].customAccessKey:2"]);
    assert!(reported(&conversion).contains("in clear text"));
    let reference = AccessKeySecretRef { name: "acr-configuration-0".to_owned() };
    let expected = RegistryEntry { access_key_secret_ref: Some(reference), ..RegistryEntry::default() };
    assert_eq!(only(&conversion), &expected);
    let pair = &conversion.key_pairs[0];
    assert_eq!(conversion.key_pairs.len(), 1);
    assert_eq!(pair.secret_name, "acr-configuration-0");
    assert_eq!(pair.access_key_id.expose_secret(), "LTAI5tSample");
    assert_eq!(pair.access_key_secret.expose_secret(), "SampleSecret");
}

#[test]
fn personal() {
    assert_eq!(marks(&convert(&read(PERSONAL))), ["W acr-registry-info[0].regionId:2"]);
    let conversion = cleanly(PERSONAL);
    let expected = RegistryEntry { region_id: Some("cn-beijing".to_owned()), ..RegistryEntry::default() };
    assert_eq!(only(&conversion), &expected);
}

/// The edits repair a sample except for what only its user knows: the value of a placeholder, and where a key pair
/// is to be moved.
#[test]
fn the_edits_of_a_sample_leave_only_what_its_user_must_say() {
    let cases: [(&str, &[&str]); 6] = [
        (SAME_ACCOUNT, &["ACR124"]),
        (TWO_REGIONS, &["ACR124", "ACR124"]),
        (RRSA, &["ACR124", "ACR124", "ACR124", "ACR133"]),
        (ROLE_ASSUMPTION, &["ACR124"]),
        (KEY_PAIR, &["ACR133", "ACR133", "ACR501"]),
        (PERSONAL, &["ACR133"]),
    ];
    for (sample, by_hand) in cases {
        let data = read(sample);
        // As printed, and as it comes out of a console and an input method.
        let worse: BTreeMap<String, String> = data
            .iter()
            .map(|(key, value)| {
                (key.clone(), value.replace(": \"", ":\"").replace("    ", "\t").replace('\n', "\r\n"))
            })
            .collect();
        let mut expected = convert(&data).spec;
        for printed in [data, worse] {
            let conversion = convert(&printed);
            let repaired: BTreeMap<String, String> = printed
                .iter()
                .map(|(key, value)| (key.clone(), apply_edits(value, key, &conversion.findings)))
                .collect();
            let again = convert(&repaired);
            let mut left: Vec<_> = again
                .findings
                .iter()
                .filter(|finding| finding.severity != Severity::Note)
                .map(|finding| finding.code.as_str())
                .collect();
            left.sort_unstable();
            assert_eq!(left, by_hand, "{repaired:?}: {}", reported(&again));
            assert_eq!(again.spec, expected, "{repaired:?}");
            expected = again.spec;
        }
    }
}

/// The lists alone, as printed in the page, also the one in its table of keys.
#[test]
fn the_list_of_the_table_of_keys() {
    let conversion =
        info("- instanceId: <cri-instanceId>\n  regionId: \"cn-hangzhou\"\n  domains: \"xxx.com,yyy.com\"\n");
    assert_eq!(marks(&conversion), ["E acr-registry-info[0].instanceId:1"]);
    assert_eq!(super::codes(&conversion), ["ACR124"]);
    let cured = info("- instanceId: cri-a\n  regionId: \"cn-hangzhou\"\n  domains: \"xxx.com,yyy.com\"\n");
    assert_eq!(only(&cured).domains, ["xxx.com", "yyy.com"]);
}
