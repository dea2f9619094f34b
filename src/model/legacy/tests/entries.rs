//! The entries of `acr-registry-info` as people write them.

use super::{Severity, codes, convert, data, enterprise, info, marks, of, only, reported, spec};
use crate::api::binding::RegistryEntry;
use crate::model::legacy::{Code, apply_edits};
use secrecy::ExposeSecret;

#[test]
fn an_empty_list_is_the_personal_edition_of_the_clusters_region() {
    let cases: &[(&str, &[&str])] = &[
        ("", &[]),
        ("\n  \n", &[]),
        ("\"\"", &[]),
        ("- {}", &[]),
        ("# nothing yet\n", &[]),
        ("#- instanceId: \"\"\n#  regionId: cn-hangzhou\n", &[]),
        ("#-instanceId: \"\"", &[]),
        ("[]", &[]),
    ];
    for (value, expected) in cases {
        let conversion = info(value);
        assert_eq!(only(&conversion), &RegistryEntry::default(), "{value}");
        assert_eq!(marks(&conversion), *expected, "{value}: {}", reported(&conversion));
    }
}

#[test]
fn an_entry_is_read_as_people_write_it() {
    let a = || enterprise("cri-a");
    let b = || RegistryEntry { region_id: Some("cn-beijing".to_owned()), ..a() };
    let d = |domains: &[&str]| RegistryEntry {
        domains: domains.iter().map(|d| (*d).to_owned()).collect(),
        ..a()
    };
    let role = |expire_duration| RegistryEntry {
        assume_role_arn: Some("acs:ram::1:role/secret-reader".to_owned()),
        expire_duration,
        ..a()
    };
    let cases: Vec<(&str, RegistryEntry, &[&str])> = vec![
        ("- instanceId: cri-a", a(), &[]),
        ("\u{feff}- instanceId: cri-a\r\n  regionId: cn-beijing\r\n", b(), &[]),
        ("- instanceId: “cri-a”", a(), &["W acr-registry-info[0].instanceId:1"]),
        ("- InstanceId: cri-a", a(), &["W acr-registry-info[0].instanceId:1"]),
        ("- instanceId: cri-a\n  regionid: cn-beijing", b(), &["W acr-registry-info[0].regionId:2"]),
        ("- instanceId: cri-a\n  regionId: CN-Beijing", b(), &["W acr-registry-info[0].regionId:2"]),
        ("- instanceId: cri-a\n  regionId: \"\"\n  domains: \"\"\n  assumeRoleARN:\n", a(), &[]),
        ("- instanceId: cri-a\n  team: b", a(), &["W acr-registry-info[0]:2"]),
        ("- instanceId: cri-a\n  instanceId: cri-a", a(), &["W acr-registry-info[0].instanceId:2"]),
        ("[{\"instanceId\":\"cri-a\",\"regionId\":\"cn-beijing\"}]", b(), &["W acr-registry-info"]),
        ("- instanceId: cri-a\n  domains: a.com, b.com:5000/x", d(&["a.com", "b.com:5000/x"]), &[]),
        (
            "- instanceId: cri-a\n  domains: [a.com, b.com]",
            d(&["a.com", "b.com"]),
            &["W acr-registry-info[0].domains:2"],
        ),
        (
            "- instanceId: cri-a\n  domains: a.com，b.com,,a.com",
            d(&["a.com", "b.com"]),
            &["W acr-registry-info[0].domains:2"],
        ),
        ("- instanceId: cri-a\n  domains: A.com", d(&["a.com"]), &["W acr-registry-info[0].domains[0]:2"]),
        (
            "- instanceId: cri-a\n  domains: https://a.com,b.com",
            d(&["b.com"]),
            &["E acr-registry-info[0].domains[0]:2"],
        ),
        ("- instanceId: cri-a\n  expireDuration: 3600", a(), &["W acr-registry-info[0].expireDuration:2"]),
        (
            "- instanceId: cri-a\n  assumeRoleARN: acs:ram::1:role/secret-reader\n  expireDuration: \"7200\"",
            role(Some(7200)),
            &[],
        ),
        ("- instanceId: cri-a\n  assumeRoleARN: acs:ram::1:role/secret-reader", role(None), &[]),
    ];
    for (value, expected, found) in cases {
        let conversion = info(value);
        assert_eq!(only(&conversion), &expected, "{value}");
        assert_eq!(marks(&conversion), found, "{value}: {}", reported(&conversion));
    }
}

#[test]
fn a_list_of_instances_is_an_entry_for_each() {
    for value in [
        "- instanceId: cri-a,cri-b\n  regionId: cn-beijing",
        "- instanceId: [cri-a, cri-b]\n  regionId: cn-beijing",
    ] {
        let conversion = info(value);
        let expected = ["cri-a", "cri-b"]
            .map(|id| RegistryEntry { region_id: Some("cn-beijing".to_owned()), ..enterprise(id) });
        assert_eq!(spec(&conversion).registries, expected);
        assert!(marks(&conversion).iter().all(|mark| mark == "W acr-registry-info[0].instanceId:1"));
        assert!(!conversion.findings.is_empty() && !conversion.has_errors());
    }
    let half = info("- instanceId: cri-a,abc\n  regionId: cn-beijing");
    assert_eq!(only(&half).instance_id.as_deref(), Some("cri-a"));
    assert!(half.has_errors());
    // A fault that all share is reported once.
    let region = info("- instanceId: cri-a,cri-b\n  regionId: beijing");
    assert_eq!(marks(&region).iter().filter(|mark| mark.starts_with('E')).count(), 1);
}

#[test]
fn two_personal_editions_and_an_enterprise_one_stand_side_by_side() {
    let conversion =
        info("- regionId: cn-beijing\n- regionId: cn-shanghai\n- instanceId: \"\"\n- instanceId: cri-a\n");
    assert_eq!(spec(&conversion).registries.len(), 4);
    assert_eq!(marks(&conversion), [""; 0]);
}

/// One check reports everything to repair in an entry.
#[test]
fn a_field_that_is_refused_hides_none_of_the_others() {
    let wrong = "instanceId: foo\n  regionId: 1\n  domains: https://a.com\n  assumeRoleARN: bad\n";
    let others = ["ACR116", "ACR117", "ACR119", "ACR121", "ACR123"];
    for (more, codes_of_it) in [
        ("  expireDuration: abc\n", vec!["ACR125"]),
        ("  customAccessKey: LTAI\n", vec!["ACR502"]),
        ("  rrsaRoleARN: <ARN of the role>\n  rrsaOIDCProviderRoleARN: x\n", vec!["ACR123", "ACR124"]),
        ("  regionId: cn-beijing\n", vec!["ACR113"]),
        ("  rrsaRoleARN: acs:ram::1:role/x\n  rrsaOIDCProviderRoleARN: [x]\n", vec!["ACR129"]),
    ] {
        let entry = format!("- {wrong}{more}");
        let conversion = convert(&data(&[("acr-registry-info", &entry), ("rrsa", "enable: true")]));
        let mut found = codes(&conversion);
        let mut expected = [&others[..], &codes_of_it].concat();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{more}: {}", reported(&conversion));
    }
    // What is refused is not said to be absent as well.
    let session = info("- assumeRoleARN: <ARN of the role>\n  expireDuration: 7200\n");
    assert_eq!(codes(&session), ["ACR124"]);
}

/// No edit writes what is refused then.
#[test]
fn what_is_no_region_is_not_respelt() {
    for (region, expected) in
        [("$REGION", "ACR720"), ("CN_BEIJING", "ACR117"), ("Beijing", "ACR117"), ("CN-Beijing", "ACR118")]
    {
        let conversion = info(&format!("- instanceId: cri-a\n  regionId: {region}\n"));
        assert_eq!(codes(&conversion), [expected], "{region}: {}", reported(&conversion));
    }
    assert!(reported(&info("- regionId: CN_BEIJING\n")).contains("\"CN_BEIJING\""));
}

#[test]
fn the_address_within_a_domain_is_what_is_proposed() {
    for (domains, expected) in [
        ("https://a.com/", Some("a.com")),
        ("b.com,https://A.com:5000/x", Some("b.com,a.com:5000/x")),
        ("a.com/", Some("a.com")),
        ("https:///", None),
        ("a.com:65536", None),
        ("https://a.com:65536", None),
        ("a.com:65535", Some("a.com:65535")),
    ] {
        let text = format!("- instanceId: cri-a\n  domains: {domains}\n");
        let conversion = info(&text);
        let written = apply_edits(&text, "acr-registry-info", &conversion.findings);
        let wanted = text.replace(domains, expected.unwrap_or(domains));
        assert_eq!(written, wanted, "{}", reported(&conversion));
        let after = codes(&info(&written));
        assert_eq!(after.is_empty(), expected.is_some(), "{written}: {after:?}");
    }
    assert!(reported(&info("- domains: https://a.com/\n")).contains("write only a.com;"));
}

/// An invisible character is reported, since the texts differ although they look alike.
#[test]
fn an_invisible_character_is_reported() {
    for (text, code) in [
        ("- instanceId: \"cri-a\u{200b}\"\n", "ACR413"),
        ("- regionId: \"\u{feff}cn-beijing\"\n", "ACR413"),
        ("- domains: \"a.com\u{200b},b.com\"\n", "ACR413"),
        ("- domains: \"\u{200b}a.com,b.com\"\n", "ACR413"),
        ("- regionId: \"cn-beijing\u{3000}\"\n", "ACR408"),
    ] {
        let conversion = info(text);
        assert_eq!(codes(&conversion), [code], "{text:?}: {}", reported(&conversion));
        let written = apply_edits(text, "acr-registry-info", &conversion.findings);
        assert_eq!(codes(&info(&written)), [""; 0], "{written:?}");
        assert_eq!(info(&written).spec, conversion.spec);
    }
    let names = of("watch-namespace", "prod\u{200b}");
    assert_eq!(
        (codes(&names), &spec(&names).watch_namespaces.names[0]),
        (vec!["ACR413", "ACR101"], &"prod".to_owned())
    );
    let text = "- customAccessKey: LTAI\u{200b}\n  customAccessKeySecret: \"abc\"\n";
    let pair = info(text);
    assert_eq!(codes(&pair), ["ACR413", "ACR501"]);
    let written = apply_edits(text, "acr-registry-info", &pair.findings);
    assert_eq!(codes(&info(&written)), ["ACR501"], "{written:?}");
}

#[test]
fn a_key_pair_of_the_documentation_is_reported() {
    let pair = |id: &str, secret: &str, wanted: &str| {
        let text = format!("- customAccessKey: \"{id}\"\n  customAccessKeySecret: \"{secret}\"\n");
        codes(&info(&text)).into_iter().filter(|code| *code == wanted).count()
    };
    for placeholder in ["xxxxx", "XXX", "*****", "LTAIxxxxxxxx", "LTAI****"] {
        let found = (pair(placeholder, "abc", "ACR133"), pair("LTAI5t", placeholder, "ACR133"));
        assert_eq!(found, (1, 1), "{placeholder}");
    }
    for (unrendered, code) in [("<AccessKey>", "ACR124"), ("${ID}", "ACR720")] {
        assert_eq!((pair(unrendered, "abc", code), pair("LTAI5t", unrendered, code)), (1, 1), "{unrendered}");
    }
    assert_eq!(pair("LTAI5txxxQ", "abcxxxdef", "ACR133"), 0);
}

#[test]
fn a_message_says_what_is_there() {
    let comma = info("- instanceId: \"cri-a\",\n  regionId: cn-beijing\n");
    assert_eq!(codes(&comma), ["ACR132"]);
    assert!(reported(&comma).contains("comma"), "{}", reported(&comma));
    // Every instance is given the domains; the controller then serves the first.
    let shared = info("- instanceId: cri-a,cri-b\n  domains: a.com\n");
    assert!(spec(&shared).registries.iter().all(|registry| registry.domains == ["a.com"]));
    assert!(reported(&shared).contains("DomainContested"), "{}", reported(&shared));
    let json = r#"{"AcrInstanceInfo": [{"customAccessKey": "LTAI", "customAccessKeySecret": "abc"}]}"#;
    let addon = reported(&crate::model::legacy::from_addon_config(json));
    assert!(addon.contains("in clear text") && !addon.contains("ConfigMap"), "{addon}");
}

/// Each of these is between two good entries.
#[test]
fn one_bad_entry_is_left_out_and_never_voids_the_rest() {
    let cases = [
        ("instanceId: <your instance>", ".instanceId"),
        ("instanceId: abc", ".instanceId"),
        ("instanceId: cri-x\n  regionId: hangzhou", ".regionId"),
        ("instanceId: cri-x\n  domains: https://a.com", ".domains[0]"),
        ("instanceId: cri-x\n  domains: {a: b}", ".domains"),
        ("instanceId: cri-x\n  assumeRoleARN: acs:ram::.*:role/x", ".assumeRoleARN"),
        ("instanceId: cri-x\n  assumeRoleARN: <ARN of the role>", ".assumeRoleARN"),
        ("instanceId: cri-x\n  assumeRoleARN: [a]", ".assumeRoleARN"),
        ("instanceId: cri-x\n  assumeRoleARN: acs:ram::1:role/x\n  expireDuration: 60", ".expireDuration"),
        ("instanceId: cri-x\n  assumeRoleARN: acs:ram::1:role/x\n  expireDuration: 1h", ".expireDuration"),
        ("instanceId: cri-x\n  rrsaRoleARN: acs:ram::1:role/x", ""),
        ("instanceId: cri-x\n  customAccessKey: LTAI", ""),
        ("instanceId: cri-x\n  customAccessKeySecret: abc", ""),
        (
            "instanceId: cri-x\n  rrsaRoleARN: acs:ram::1:role/x\n  rrsaOIDCProviderRoleARN: acs:ram::1:oidc-provider/x\n  customAccessKey: a\n  customAccessKeySecret: b",
            "",
        ),
        ("instanceId: cri-x\n  instanceId: cri-y", ".instanceId"),
        ("cri-x", ""),
        ("", ""),
        ("[]", ""),
    ];
    for (bad, field) in cases {
        let text = format!("- instanceId: cri-a\n- {bad}\n- instanceId: cri-b\n");
        let conversion = convert(&data(&[("acr-registry-info", &text), ("rrsa", "enable: true")]));
        assert_eq!(spec(&conversion).registries, [enterprise("cri-a"), enterprise("cri-b")], "{bad}");
        let errors: Vec<_> = conversion.findings.iter().filter(|f| f.severity == Severity::Error).collect();
        assert_eq!(errors[0].key, format!("acr-registry-info[1]{field}"), "{bad}: {}", reported(&conversion));
        assert!(errors[0].line.is_some_and(|line| line >= 2), "{bad}: {errors:?}");
        assert!(conversion.key_pairs.is_empty());

        let alone = convert(&data(&[("acr-registry-info", &format!("- {bad}\n")), ("rrsa", "enable: true")]));
        assert_eq!(alone.spec, None, "{bad}");
        assert!(alone.has_errors() && alone.key_pairs.is_empty(), "{bad}");
    }
}

#[test]
fn a_repeated_entry_is_left_out_with_a_warning() {
    let pair = "- customAccessKey: a\n  customAccessKeySecret: b\n";
    for (text, kept) in [
        ("- instanceId: cri-a\n- instanceId: \"cri-a\"\n  domains: \"\"\n".to_owned(), 1),
        ("- instanceId: cri-a\n- instanceId: cri-a\n  regionId: cn-beijing\n".to_owned(), 2),
        (pair.repeat(2), 1),
        (format!("{pair}- customAccessKey: a\n  customAccessKeySecret: c\n"), 2),
        (format!("{pair}- instanceId: \"\"\n"), 2),
    ] {
        let conversion = info(&text);
        assert_eq!(spec(&conversion).registries.len(), kept, "{text}");
        let repeated = marks(&conversion).iter().any(|mark| mark.starts_with("W acr-registry-info[1]:"));
        assert_eq!(repeated, kept == 1, "{text}");
    }
}

#[test]
fn a_key_pairs_secret_is_counted_and_shared_by_the_entrys_instances() {
    let conversion = info(
        "- instanceId: nonsense\n- instanceId: cri-a\n- instanceId: cri-b,cri-c\n  customAccessKey: “LTAI”\n  customAccessKeySecret: 0123\n",
    );
    let names: Vec<_> = spec(&conversion)
        .registries
        .iter()
        .map(|r| r.access_key_secret_ref.as_ref().map(|reference| reference.name.as_str()))
        .collect();
    assert_eq!(names, [None, Some("acr-configuration-0"), Some("acr-configuration-0")]);
    assert_eq!(conversion.key_pairs.len(), 1);
    let pair = &conversion.key_pairs[0];
    assert_eq!(pair.secret_name, "acr-configuration-0");
    assert_eq!(
        (pair.access_key_id.expose_secret(), pair.access_key_secret.expose_secret()),
        ("LTAI", "0123")
    );
}

#[test]
fn more_registries_than_the_schema_allows_are_reported() {
    let text: String = (0..70).map(|i| format!("- instanceId: cri-a{i}\n")).collect();
    let conversion = info(&text);
    assert_eq!(spec(&conversion).registries.len(), 64);
    assert_eq!(marks(&conversion), ["E acr-registry-info"]);
    assert!(reported(&conversion).contains("has 70 registries"));
}

#[test]
fn what_is_no_list_gives_no_spec_and_a_cure() {
    for (value, line, cure) in [
        ("cri-a", 1, "is not a list"),
        ("- instanceId: \"cri-a", 1, "begin each entry with"),
        ("- instanceId: {\n  regionId: cn-beijing\n", 1, "begin each entry with"),
        ("- instanceId: [cri-a\n", 1, "begin each entry with"),
    ] {
        let conversion = info(value);
        assert_eq!(conversion.spec, None, "{value}");
        let found = conversion.findings.first().unwrap();
        assert!(found.message.contains(cure), "{value}: {found}");
        assert_eq!(found.line, Some(line), "{value}: {found}");
    }
}

/// RBAC names the Secrets that pairs are moved to, so they are counted, and not too many.
#[test]
fn key_pairs_are_counted_up_to_eight() {
    let entry = |n: usize| {
        format!("- instanceId: cri-abcdef{n}\n  customAccessKey: LTAI{n}\n  customAccessKeySecret: s{n}\n")
    };
    let info: String =
        ["- instanceId: cri-plain0\n".to_owned()].into_iter().chain((1..10).map(entry)).collect();
    let conversion = convert(&data(&[("acr-registry-info", &info)]));
    let names: Vec<&str> = conversion.key_pairs.iter().map(|pair| pair.secret_name.as_str()).collect();
    let expected: Vec<String> = (0..8).map(|n| format!("acr-configuration-{n}")).collect();
    assert_eq!(names, expected);
    let spec = conversion.spec.unwrap();
    assert_eq!(spec.registries.len(), 9);
    assert_eq!(spec.registries[1].access_key_secret_ref.as_ref().unwrap().name, "acr-configuration-0");
    assert!(conversion.findings.iter().any(|finding| finding.code == Code::KeyPairsTooMany));
}

#[test]
fn a_text_before_the_first_entry_is_reported_and_not_skipped() {
    let text = "# ours\nsee: our: wiki\n- instanceId: cri-b\n- instanceId: cri-c\n";
    let conversion = info(text);
    let ids: Vec<_> = spec(&conversion).registries.iter().map(|entry| entry.instance_id.as_deref()).collect();
    assert_eq!(ids, [Some("cri-b"), Some("cri-c")]);
    assert_eq!(marks(&conversion), ["E acr-registry-info[0]:1"], "{}", reported(&conversion));
    assert!(
        reported(&conversion).contains("the lines before the first entry are left out: write \"- \" before")
    );
    let comment = text.replace("see:", "# see:");
    assert!(marks(&info(&comment)).is_empty(), "a comment is none");
    let alone = "- instanceId: cri-b\n  a: b: c\n- instanceId: cri-c\n";
    assert!(reported(&info(alone)).contains("the entry is not valid YAML and is left out: align its keys"));
}
