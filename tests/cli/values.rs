//! Values of the right form that cannot work: each is reported with the value that is meant.

use serde_json::Value;

use crate::acr::{acr, findings, fixed, text};

fn config_map(info: &str) -> String {
    let indented: String = info.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: acr-configuration, namespace: kube-system}}\ndata:\n  service-account: \"default\"\n  watch-namespace: \"shop\"\n  acr-registry-info: |\n{indented}"
    )
}

fn of<'a>(found: &'a [Value], code: &str) -> Vec<&'a str> {
    found.iter().filter(|f| text(f, "code") == code).map(|f| text(f, "message")).collect()
}

const NEW_PERSONAL: &str = r#"- instanceId: "crpi-k3v9w2m7q1x8abcd"
  regionId: "cn-hangzhou"
  domains: "crpi-k3v9w2m7q1x8abcd.cn-hangzhou.personal.cr.aliyuncs.com"
- instanceId: ""
  regionId: "cn-shanghai"
  domains: "crpi-q9z8y7x6w5v4efgh.cn-shanghai.personal.cr.aliyuncs.com"
"#;

#[test]
fn both_entries_of_a_new_personal_instance_are_reported_with_what_to_use_instead() {
    let file = config_map(NEW_PERSONAL);
    let found = findings(&file);
    let keys: Vec<&str> = found.iter().map(|f| text(f, "key")).collect();
    let expected =
        ["[0].instanceId", "[0].domains[0]", "[1].domains[0]"].map(|at| format!("acr-registry-info{at}"));
    assert_eq!(keys, expected, "{found:#?}");
    for finding in &found {
        assert_eq!((text(finding, "code"), text(finding, "severity")), ("ACR134", "error"));
        let message = text(finding, "message");
        for words in ["2024-09-08", "no token", "kubectl create secret docker-registry", "Enterprise Edition"]
        {
            assert!(message.contains(words), "{message}");
        }
        assert!(!message.contains("omit") && !message.contains("leave"), "{message}");
    }
    let converted = acr(&["convert", "-"], &file);
    assert_eq!((converted.code, converted.out.as_str()), (Some(2), ""), "nothing is published");
}

#[test]
fn a_new_personal_host_in_any_shape_is_in_no_binding() {
    for domain in [
        "CRPI-Q9Z8.cn-shanghai.personal.cr.aliyuncs.com",
        "https://crpi-q9z8.cn-shanghai.personal.cr.aliyuncs.com/",
        "crpi-q9z8-vpc.cn-shanghai.personal.cr.aliyuncs.com:443/team",
        "crpi-q9z8.cn-shanghai.personal.cr.aliyuncs.com/team/app:1.2",
        "*.cn-shanghai.personal.cr.aliyuncs.com",
        "*.*.*.cr.aliyuncs.com",
        "crpi-q9z8",
    ] {
        for id in ["", "cri-a1b2c3"] {
            let entry = format!(
                "- instanceId: \"{id}\"\n  regionId: cn-shanghai\n  domains: \"{domain},img.example.com\"\n"
            );
            let file = config_map(&entry);
            let found = findings(&file);
            assert_eq!(of(&found, "ACR134").len(), 1, "{domain}: {found:#?}");
            let converted = acr(&["convert", "-"], &file).out;
            let lower = converted.to_lowercase();
            assert!(
                lower.contains("img.example.com") && !lower.contains("crpi") && !lower.contains('*'),
                "{converted}"
            );
        }
    }
    let listed = config_map("- instanceId: \"cri-a1b2c3,crpi-q9z8\"\n  regionId: cn-shanghai\n");
    assert_eq!(of(&findings(&listed), "ACR134").len(), 1);
    let converted = acr(&["convert", "-"], &listed).out;
    assert!(converted.contains("cri-a1b2c3") && !converted.contains("crpi"), "{converted}");
    // The old Personal Edition is served as ever.
    let old = config_map(
        "- instanceId: \"\"\n  regionId: cn-shanghai\n  domains: registry.cn-shanghai.aliyuncs.com\n",
    );
    assert!(findings(&old).is_empty());
}

#[test]
fn a_url_and_an_image_get_the_address_and_a_glob_is_explained() {
    let file = config_map(
        r#"- instanceId: "cri-k3v9w2m7q1x8abcd"
  regionId: "cn-hangzhou"
  domains: "https://shop-registry.cn-hangzhou.cr.aliyuncs.com/,shop-registry-vpc.cn-hangzhou.cr.aliyuncs.com/team/app:1.2,*-registry.cn-hangzhou.cr.aliyuncs.com"
"#,
    );
    let found = findings(&file);
    let [url, image] = of(&found, "ACR119")[..] else { panic!("{found:#?}") };
    assert!(url.contains("has a scheme: write only shop-registry.cn-hangzhou.cr.aliyuncs.com"), "{url}");
    let tag = "has a tag or a digest, which is not a part of a registry's address";
    assert!(image.contains(tag), "{image}");
    assert!(of(&found, "ACR138")[0].contains("is served as a glob"), "{found:#?}");
    let corrected = fixed(&file);
    let domains = "\"shop-registry.cn-hangzhou.cr.aliyuncs.com,shop-registry-vpc.cn-hangzhou.cr.aliyuncs.com/team/app,*-registry.cn-hangzhou.cr.aliyuncs.com\"";
    assert!(corrected.contains(domains), "{corrected}");
    assert_eq!(acr(&["lint", "--strict", "-"], &corrected).code, Some(0));
}

#[test]
fn other_forms_of_an_address_get_the_address() {
    for (written, address) in [
        ("docker://a.example.com/team", Some("a.example.com/team")),
        ("https://user@a.example.com", Some("a.example.com")),
        ("user@a.example.com", Some("a.example.com")),
        ("a.example.com/app@sha256:0123", Some("a.example.com/app")),
        ("https://a.example.com/v2/", Some("a.example.com")),
        ("A.Example.com:5000", Some("a.example.com:5000")),
        ("a.example.com.", Some("a.example.com")),
        ("10.0.0.1:5000", Some("10.0.0.1:5000")),
        ("a.example.com:70000", None),
        ("[::1]:5000", None),
    ] {
        let file = config_map(&format!(
            "- instanceId: cri-a1b2c3\n  regionId: cn-hangzhou\n  domains: \"{written}\"\n"
        ));
        let corrected = fixed(&file);
        let found = findings(&corrected);
        match address {
            Some(address) => {
                assert!(corrected.contains(&format!("domains: \"{address}\"")), "{corrected}");
                assert!(found.is_empty(), "{found:#?}");
            }
            None => assert_eq!(of(&found, "ACR119").len(), 1, "{found:#?}"),
        }
    }
    let list = config_map(
        "- instanceId: cri-a1b2c3\n  regionId: cn-hangzhou\n  domains:\n    - \"a.com, b.com\"\n    - c.com\n",
    );
    assert!(fixed(&list).contains("domains: \"a.com,b.com,c.com\""), "{}", fixed(&list));
}

#[test]
fn a_region_that_cannot_be_is_corrected_to_the_one_that_is_meant() {
    for (written, region, code) in [
        ("cn-hangzhou-b", "cn-hangzhou", "ACR117"),
        ("cn-shanghai-finance-1b", "cn-shanghai-finance-1", "ACR117"),
        ("us-east-1a", "us-east-1", "ACR117"),
        ("华东1（杭州）", "cn-hangzhou", "ACR117"),
        ("华东 1", "cn-hangzhou", "ACR117"),
        ("China (Hangzhou)", "cn-hangzhou", "ACR117"),
        ("Hangzhou", "cn-hangzhou", "ACR117"),
        ("杭州", "cn-hangzhou", "ACR117"),
        ("cn_hangzhou", "cn-hangzhou", "ACR117"),
        ("CN-Hangzhou", "cn-hangzhou", "ACR118"),
        ("cn-hangzou", "cn-hangzhou", "ACR135"),
        ("cn-shangahi", "cn-shanghai", "ACR135"),
    ] {
        for quote in ["", "\""] {
            let file =
                config_map(&format!("- instanceId: cri-a1b2c3\n  regionId: {quote}{written}{quote}\n"));
            let found = findings(&file);
            let [message] = of(&found, code)[..] else { panic!("{written}: {found:#?}") };
            assert!(found.len() == 1 && message.contains(region), "{found:#?}");
            let corrected = fixed(&file);
            assert!(corrected.contains(region) && !corrected.contains(written), "{corrected}");
            assert!(findings(&corrected).is_empty(), "{corrected}");
        }
    }
    for region in ["cn-hangzhou-finance", "cn-shanghai-finance-1", "cn-wulanchabu-acdr-1", "ap-southeast-7"] {
        let file = config_map(&format!("- instanceId: cri-a1b2c3\n  regionId: {region}\n"));
        assert!(findings(&file).is_empty(), "{region}");
    }
    // A region that is newer than the list is served.
    let new = config_map("- instanceId: cri-a1b2c3\n  regionId: ap-southeast-9\n");
    assert_eq!(acr(&["lint", "-"], &new).code, Some(0));
    assert!(of(&findings(&new), "ACR135")[0].contains("not among the regions"));
    assert!(acr(&["convert", "-"], &new).out.contains("regionId: ap-southeast-9"));
}

#[test]
fn a_host_of_another_region_is_reported() {
    let entry = |region: &str| {
        config_map(&format!(
            "- instanceId: cri-a1b2c3\n{region}  domains: x-registry.cn-shanghai.cr.aliyuncs.com\n"
        ))
    };
    let other = findings(&entry("  regionId: cn-hangzhou\n"));
    assert!(of(&other, "ACR136")[0].contains("write regionId cn-shanghai"), "{other:#?}");
    let zone = findings(&entry("  regionId: cn-shanghai-b\n"));
    assert!(zone.len() == 1 && of(&zone, "ACR117").len() == 1, "{zone:#?}");
    let absent = findings(&entry(""));
    assert!(of(&absent, "ACR137")[0].contains("write regionId cn-shanghai"), "{absent:#?}");
    assert!(findings(&entry("  regionId: cn-shanghai\n")).is_empty());
}

#[test]
fn an_instance_is_named_by_its_id() {
    for (written, words) in [
        ("shop", "the ID cri-… that the console shows"),
        ("生产镜像", "the ID cri-… that the console shows"),
        ("shop-registry.cn-hangzhou.cr.aliyuncs.com", "the host in domains"),
        ("CRI-A1B2C3", "write cri-a1b2c3"),
        ("acs:ram::1:role/a", "the ID cri-…"),
    ] {
        let file = config_map(&format!("- instanceId: \"{written}\"\n  regionId: cn-hangzhou\n"));
        let found = findings(&file);
        assert!(of(&found, "ACR116")[0].contains(words), "{found:#?}");
    }
    assert!(fixed(&config_map("- instanceId: \"CRI-A1B2C3\"\n")).contains("\"cri-a1b2c3\""));
    for (arn, words) in [
        ("acs:ram:cn-hangzhou:123:role/a", "RAM has no region"),
        ("acs:ram::my-account:role/a", "the account is its number"),
        ("acs:ram::123:user/a", "a user and not a role"),
        ("arn:acs:ram::123:role/a", "with arn: before it"),
        ("acr-pull", "a name alone"),
    ] {
        let file = config_map(&format!(
            "- instanceId: cri-a1b2c3\n  regionId: cn-hangzhou\n  assumeRoleARN: \"{arn}\"\n"
        ));
        let found = findings(&file);
        assert!(of(&found, "ACR123")[0].contains(words), "{found:#?}");
    }
}
