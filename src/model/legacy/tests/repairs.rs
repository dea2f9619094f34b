//! Mistakes in the nested YAML: their reading, their findings, and their repair by the edits.

use super::{codes, data, info, of, only, reported, spec};
use crate::api::binding::RegistryEntry;
use crate::model::legacy::{Severity, apply_edits, convert};

fn entry(id: &str, region: &str, domains: &[&str]) -> RegistryEntry {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    RegistryEntry {
        instance_id: some(id),
        region_id: some(region),
        domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
        ..RegistryEntry::default()
    }
}

/// Each slip is read as it was meant, reported by its code, and gone once the edits are applied.
#[test]
fn a_slip_is_read_as_meant_and_its_edit_heals_it() {
    let a = || vec![entry("cri-a", "cn-beijing", &[])];
    let with = |domains: &[&str]| vec![entry("cri-a", "", domains)];
    let ab = || vec![entry("cri-a", "cn-beijing", &[]), entry("cri-b", "", &[])];
    let cases: Vec<(&str, Vec<RegistryEntry>, &[&str])> = vec![
        // The space after a colon.
        ("- instanceId:\"cri-a\"\n  regionId:\"cn-beijing\"\n", a(), &["ACR404", "ACR404"]),
        ("- instanceId:cri-a\n  regionId: cn-beijing\n", a(), &["ACR404"]),
        ("- instanceId: cri-a\n  regionId:cn-beijing\n- instanceId: cri-b", ab(), &["ACR404"]),
        // The space after a dash.
        ("-instanceId: cri-a\n  regionId: cn-beijing\n", a(), &["ACR405"]),
        // Comments of other languages, and one without its space.
        ("- instanceId: \"cri-a\" // id\n  regionId: cn-beijing // 地域\n", a(), &["ACR406", "ACR406"]),
        ("// the list\n- instanceId: cri-a\n  regionId: cn-beijing\n", a(), &["ACR406"]),
        ("- instanceId: \"cri-a\"# id\n  regionId: cn-beijing\n", a(), &["ACR406"]),
        ("- instanceId: cri-a // id\n  regionId: cn-beijing\n", a(), &["ACR406"]),
        // Tabs.
        ("- instanceId: cri-a\n\tregionId: cn-beijing\n", a(), &["ACR407"]),
        ("-\tinstanceId: cri-a\n\tregionId: cn-beijing\n", a(), &["ACR407", "ACR407"]),
        // Full-width signs and spaces.
        ("- instanceId：cri-a\n  regionId： cn-beijing\n", a(), &["ACR408", "ACR408"]),
        ("- instanceId: cri-a\n　regionId: cn-beijing\n", a(), &["ACR408"]),
        ("－ instanceId: cri-a\n  regionId: cn-beijing\n", a(), &["ACR408"]),
        ("- instanceId: \"cri-a”\n  regionId: cn-beijing\n", a(), &["ACR408"]),
        ("- instanceId: “cri-a”\n  regionId: ‘cn-beijing’\n", a(), &["ACR131", "ACR132"]),
        ("- instanceId: cri-a\n  domains: “a.com，b.com”\n", with(&["a.com", "b.com"]), &["ACR131"]),
        // Indentation.
        ("- instanceId: \"cri-a\"\n    regionId: \"cn-beijing\"\n", a(), &["ACR409"]),
        ("- instanceId: cri-a\n      regionId: cn-beijing\n- instanceId: cri-b\n", ab(), &["ACR409"]),
        ("- instanceId: cri-a\nregionId: cn-beijing\n", a(), &["ACR409"]),
        ("- instanceId: cri-a\n regionId: cn-beijing\n - instanceId: cri-b\n", ab(), &["ACR409", "ACR409"]),
        ("  - instanceId: cri-a\n    regionId: cn-beijing\n- instanceId: cri-b\n", ab(), &["ACR409"]),
        // Several quoted values in a row.
        (
            "- instanceId: cri-a\n  domains: \"xxa.com\",\"yya.com\"\n",
            with(&["xxa.com", "yya.com"]),
            &["ACR410"],
        ),
        (
            "- instanceId: cri-a\n  domains: \"a.com\", \"b.com\" # two\n",
            with(&["a.com", "b.com"]),
            &["ACR410"],
        ),
        // A sign that YAML keeps for itself.
        ("- instanceId: cri-a\n  domains: *.a.com # all\n", with(&["*.a.com"]), &["ACR411"]),
        // No list.
        ("instanceId: cri-a\nregionId: cn-beijing\n", a(), &["ACR105", "ACR409"]),
        (
            "instanceId: cri-a\nregionId: cn-beijing\ninstanceId: cri-b\n",
            ab(),
            &["ACR105", "ACR105", "ACR409"],
        ),
        // Two documents.
        ("- instanceId: cri-a\n  regionId: cn-beijing\n---\n- instanceId: cri-b\n", ab(), &["ACR403"]),
        // Line ends and marks of other systems.
        ("\u{feff}- instanceId:\"cri-a\"\r\n\tregionId: \"cn-beijing\"\r\n", a(), &["ACR404", "ACR407"]),
    ];
    for (value, expected, found) in cases {
        // A glob gets a note of its own.
        let info = |value: &str| {
            let mut conversion = info(value);
            conversion.findings.retain(|finding| finding.code != crate::model::legacy::Code::DomainGlob);
            conversion
        };
        let conversion = info(value);
        assert_eq!(spec(&conversion).registries, expected, "{value}: {}", reported(&conversion));
        let mut kinds = codes(&conversion);
        kinds.sort_unstable();
        assert_eq!(kinds, found, "{value}: {}", reported(&conversion));
        assert!(conversion.findings.iter().all(|f| f.severity == Severity::Warning && !f.edits.is_empty()));
        let repaired = apply_edits(value, "acr-registry-info", &conversion.findings);
        let again = info(&repaired);
        assert_eq!(codes(&again), [""; 0], "{value} became {repaired}: {}", reported(&again));
        assert_eq!(again.spec, conversion.spec, "{value} became {repaired}");
    }
}

/// The reference page lists these shapes of older pages and users' files.
#[test]
fn shapes_of_older_pages_and_users_files() {
    let personal = || entry("", "", &[]);
    let cases: Vec<(&str, Vec<RegistryEntry>, &[&str])> = vec![
        // `|-` with unquoted scalars: the value has no line end.
        (
            "- instanceId: cri-a\n  regionId: cn-beijing\n  domains: a.com",
            vec![entry("cri-a", "cn-beijing", &["a.com"])],
            &[],
        ),
        // Comments after every value.
        (
            "- instanceId: cri-a # ← the instance\n  regionId: cn-beijing # ←地域\n  domains: \"a.com,b.com\"   # 域名\n",
            vec![entry("cri-a", "cn-beijing", &["a.com", "b.com"])],
            &[],
        ),
        ("#- instanceId: \"\"", vec![personal()], &["ACR102", "ACR101"]),
        ("#- instanceId: \"\"\n", vec![personal()], &["ACR102", "ACR101"]),
        // The `#` taken away, and its space with it.
        ("-instanceId: \"\"\n  regionId: cn-beijing\n", vec![entry("", "cn-beijing", &[])], &["ACR405"]),
        // Only the other keys laid bare.
        (
            "#-instanceId: \"\"\n  regionId: cn-beijing\n",
            vec![entry("", "cn-beijing", &[])],
            &["ACR105", "ACR103"],
        ),
        (
            "- instanceId: cri-a\n#-instanceId: \"cri-b\"\n  regionId: cn-beijing\n",
            vec![entry("cri-a", "cn-beijing", &[])],
            &["ACR103"],
        ),
        (
            "- instanceId: cri-a\n#- instanceId: cri-b\n#  regionId: cn-beijing\n",
            vec![entry("cri-a", "", &[])],
            &["ACR102"],
        ),
        // Two Personal Editions of two regions.
        (
            "- instanceId: \"\"\n  regionId: cn-beijing\n- instanceId: \"\"\n  regionId: cn-hangzhou\n",
            vec![entry("", "cn-beijing", &[]), entry("", "cn-hangzhou", &[])],
            &[],
        ),
        // Personal and Enterprise, neither with a region.
        ("- instanceId: cri-a\n- instanceId: \"\"\n", vec![entry("cri-a", "", &[]), personal()], &[]),
        ("- instanceId: cri-a\n  domains: \"\"\n", vec![entry("cri-a", "", &[])], &[]),
        ("- instanceId: cri-a\r\n  domains: \"a.com\"\r\n", vec![entry("cri-a", "", &["a.com"])], &[]),
        (
            "[{\"instanceId\": \"cri-a\", \"regionId\": \"cn-beijing\"}, {\"instanceId\": \"\"}]",
            vec![entry("cri-a", "cn-beijing", &[]), personal()],
            &["ACR106"],
        ),
        ("- instanceId: cri-a,cri-b", vec![entry("cri-a", "", &[]), entry("cri-b", "", &[])], &["ACR115"]),
        (
            "- InstanceId: cri-a\n  RegionID: cn-beijing\n",
            vec![entry("cri-a", "cn-beijing", &[])],
            &["ACR111", "ACR111"],
        ),
    ];
    for (value, expected, found) in cases {
        let conversion = info(value);
        assert_eq!(spec(&conversion).registries, expected, "{value}: {}", reported(&conversion));
        assert_eq!(codes(&conversion), found, "{value}: {}", reported(&conversion));
        assert!(!conversion.has_errors());
    }
}

#[test]
fn keys_of_data_below_the_list_are_read_as_keys_of_data() {
    let text = "service-account: \"default\"\nwatch-namespace: \"all\" # every one\nrrsa:\n  enable: true\nacr-registry-info:\n  - instanceId: cri-a\n    rrsaRoleARN: acs:ram::1:role/a\n    rrsaOIDCProviderRoleARN: acs:ram::1:oidc-provider/p\n";
    let conversion = info(text);
    assert_eq!(codes(&conversion), ["ACR114"], "{}", reported(&conversion));
    assert_eq!(conversion.findings[0].edits, []);
    assert_eq!(spec(&conversion).watch_namespaces.names, ["*"]);
    assert!(only(&conversion).rrsa_role_arn.is_some());
    // The key in its right place wins.
    let beside = convert(&data(&[("acr-registry-info", text), ("watch-namespace", "prod")]));
    assert_eq!(spec(&beside).watch_namespaces.names, ["prod"]);
    let after = info("- instanceId: cri-a\nwatch-namespace: prod\n");
    assert_eq!(spec(&after).watch_namespaces.names, ["prod"]);
    assert_eq!(only(&after), &entry("cri-a", "", &[]));
}

#[test]
fn an_entry_that_is_no_yaml_is_left_out_and_the_others_are_served() {
    for bad in [
        "- instanceId: \"cri-x",
        "- instanceId: [cri-x",
        "- regionId: a: b: c",
        "- {instanceId: cri-x",
        "- instanceId: cri-x\n  %",
        "- &a\n  *b",
        "- instanceId: *nothing\n  x: *y",
    ] {
        let text = format!("- instanceId: cri-a\n{bad}\n- instanceId: cri-b\n  domains: \"é.com\"\n");
        let conversion = info(&text.replace('é', "e"));
        assert_eq!(
            spec(&conversion).registries,
            [entry("cri-a", "", &[]), entry("cri-b", "", &["e.com"])],
            "{text}: {}",
            reported(&conversion)
        );
        let error = conversion.findings.iter().find(|f| f.severity == Severity::Error).unwrap();
        assert_eq!((error.code.as_str(), error.key.as_str()), ("ACR412", "acr-registry-info[1]"), "{bad}");
        assert_eq!((error.line, error.column), (Some(2), Some(1)));
        assert_eq!(conversion.findings.iter().filter(|f| f.severity == Severity::Error).count(), 1, "{bad}");
    }
}

#[test]
fn a_finding_knows_its_line_its_column_in_characters_and_its_bytes() {
    let text = "# 镜像\n- instanceId: cri-a # 实例\n  domains: \"好.com，镜 .com\"\n";
    let found = info("- instanceId: cri-a\n  domains: \"a.com,好,https://b.com\"\n");
    let places: Vec<_> =
        found.findings.iter().map(|f| (f.key.as_str(), f.line, f.column, f.span.clone())).collect();
    assert_eq!(
        places,
        [
            ("acr-registry-info[0].domains[1]", Some(2), Some(19), Some(38..41)),
            ("acr-registry-info[0].domains[2]", Some(2), Some(21), Some(42..55)),
        ]
    );
    let found = &info(text).findings[0];
    assert_eq!((found.line, found.column), (Some(3), Some(12)));
    let of = |key: &str, value: &str| {
        let mut findings = of(key, value).findings;
        findings.retain(|finding| finding.data_key() == key);
        findings
    };
    let found = &of("watch-namespace", "好，prod,_x")[0];
    assert_eq!((found.line, found.column, found.span.clone()), (Some(1), Some(1), Some(0..3)));
    // The quote around a whole list does not belong to its first item.
    assert_eq!(of("service-account", "“_x,ok”")[0].span, Some(3..5));
    // A byte order mark takes no column.
    let found = &info("\u{feff}- InstanceId: cri-a").findings[0];
    assert_eq!((found.line, found.column, found.span.clone()), (Some(1), Some(3), Some(5..15)));
    let found = of("service-account", "“默认”,Default");
    assert_eq!(found[0].span, Some(3..9), "{found:?}");
    assert_eq!(found[1].edits[0].text, "默认,default");
}

#[test]
fn an_edit_keeps_the_way_a_text_was_written() {
    for (value, repaired) in [
        (
            "- instanceId: cri-a\n  regionId: CN-Beijing # x\n",
            "- instanceId: cri-a\n  regionId: cn-beijing # x\n",
        ),
        (
            "- instanceId: cri-a\n  regionId: 'CN-Beijing'\n",
            "- instanceId: cri-a\n  regionId: \"cn-beijing\"\n",
        ),
        ("- {\"InstanceId\": \"cri-a\"}\n", "- {\"instanceId\": \"cri-a\"}\n"),
        ("- instanceId: cri-a\n  domains: A.com,b.com\n", "- instanceId: cri-a\n  domains: a.com,b.com\n"),
        (
            "- instanceId: cri-a\n  domains: [A.com, 'b.com']\n",
            "- instanceId: cri-a\n  domains: \"a.com,b.com\"\n",
        ),
    ] {
        let conversion = info(value);
        assert_eq!(
            apply_edits(value, "acr-registry-info", &conversion.findings),
            repaired,
            "{}",
            reported(&conversion)
        );
    }
}

/// What is found in a repaired text has its place in the text that the user wrote.
#[test]
fn a_repair_moves_no_other_finding() {
    let text = "- instanceId:\"cri-a\"\n\tregionId: CN-Beijing // é\n";
    let conversion = info(text);
    let region = conversion.findings.iter().find(|f| f.code.as_str() == "ACR118").unwrap();
    assert_eq!(&text[region.span.clone().unwrap()], "CN-Beijing");
    assert_eq!((region.line, region.column), (Some(2), Some(12)));
    let repaired = apply_edits(text, "acr-registry-info", &conversion.findings);
    assert_eq!(repaired, "- instanceId: \"cri-a\"\n  regionId: cn-beijing # é\n");
}

#[test]
fn of_two_edits_of_the_same_bytes_one_is_kept() {
    let text = "- instanceId: cri-a\n  domains: A.com，B.com\n";
    let conversion = info(text);
    assert_eq!(codes(&conversion), ["ACR131", "ACR120", "ACR120"]);
    let edits = conversion.findings.iter().filter(|f| !f.edits.is_empty()).count();
    assert_eq!(edits, 1, "{:?}", conversion.findings);
    let repaired = apply_edits(text, "acr-registry-info", &conversion.findings);
    assert_eq!(repaired, "- instanceId: cri-a\n  domains: \"a.com,b.com\"\n");
}
