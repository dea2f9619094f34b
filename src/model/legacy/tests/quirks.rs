//! Each key, its default, and the spellings found in the wild.

use super::{codes, convert, data, enterprise, info, marks, of, only, reported, spec};
use crate::api::binding::{FailurePolicy, RegistryEntry, Webhook};

#[test]
fn nothing_said_is_the_personal_edition_for_the_default_account_in_the_default_namespace() {
    let conversion = convert(&data(&[]));
    assert_eq!(only(&conversion), &RegistryEntry::default());
    let spec = spec(&conversion);
    assert_eq!(
        (&spec.service_accounts.names[..], &spec.watch_namespaces.names[..]),
        (&["default".to_owned()][..], &["default".to_owned()][..])
    );
    assert_eq!(spec.watch_namespaces.exclude, [""; 0]);
    assert_eq!((spec.expiring_threshold.as_str(), spec.notify_email.as_ref()), ("15m", None));
    assert_eq!(
        spec.webhook,
        Webhook { enable: false, failure_policy: FailurePolicy::Ignore, timeout_seconds: 10 }
    );
    assert_eq!(codes(&conversion), ["ACR101"]);
    assert!(!conversion.has_errors());
}

type Names<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

#[test]
fn service_accounts_are_read_as_people_write_them() {
    let cases: &[Names<'_>] = &[
        ("default", &["default"], &[]),
        ("default,builder.v1", &["default", "builder.v1"], &[]),
        (" default , builder ", &["default", "builder"], &[]),
        ("*", &["*"], &[]),
        ("default,*", &["*"], &["W service-account"]),
        ("“*”", &["*"], &["W service-account"]),
        ("\"*\"", &["*"], &["W service-account"]),
        ("＊", &["*"], &["W service-account"]),
        ("Default", &["default"], &["W service-account"]),
        ("default,,builder,", &["default", "builder"], &["W service-account"]),
        ("default,default", &["default"], &["W service-account"]),
        ("default,Default", &["default"], &["W service-account"]),
        ("default，builder", &["default", "builder"], &["W service-account"]),
        ("“default,builder”", &["default", "builder"], &["W service-account"]),
        ("“default”，“builder”", &["default", "builder"], &["W service-account"]),
        ("all", &["all"], &["W service-account"]),
        ("", &["default"], &["W service-account"]),
        (",", &["default"], &["W service-account"]),
        ("build_er,default", &["default"], &["E service-account"]),
        ("default\r\n", &["default"], &[]),
    ];
    for (value, names, expected) in cases {
        let conversion = of("service-account", value);
        assert_eq!(spec(&conversion).service_accounts.names, *names, "{value}");
        assert_eq!(marks(&conversion), *expected, "{value}: {}", reported(&conversion));
    }
    assert!(reported(&of("service-account", "Default，b")).contains("write \"default,b\""));
}

#[test]
fn namespaces_are_exact_names_or_all() {
    let cases: &[Names<'_>] = &[
        ("default", &["default"], &[]),
        ("prod, dev", &["prod", "dev"], &[]),
        ("all", &["*"], &[]),
        ("ALL", &["*"], &["W watch-namespace"]),
        ("*", &["*"], &["W watch-namespace"]),
        ("prod,all", &["*"], &["W watch-namespace"]),
        ("Default", &["default"], &["W watch-namespace"]),
        ("team-*,prod", &["prod"], &["E watch-namespace"]),
        ("a.b,prod", &["prod"], &["E watch-namespace"]),
        (" ", &["default"], &["W watch-namespace"]),
    ];
    for (value, names, expected) in cases {
        let conversion = of("watch-namespace", value);
        assert_eq!(spec(&conversion).watch_namespaces.names, *names, "{value}");
        assert_eq!(spec(&conversion).watch_namespaces.exclude, [""; 0], "{value}");
        assert_eq!(marks(&conversion), *expected, "{value}: {}", reported(&conversion));
    }
    assert!(reported(&of("watch-namespace", "team-*")).contains("does not support globs"));
}

/// An empty list of names would mean `default`, which the user did not write.
#[test]
fn names_that_are_none_do_not_turn_into_the_default() {
    for key in ["service-account", "watch-namespace"] {
        let conversion = of(key, "no_name");
        assert_eq!(conversion.spec, None);
        assert_eq!(marks(&conversion), [format!("E {key}")]);
    }
}

#[test]
fn more_names_than_the_schema_allows_are_reported() {
    let names: Vec<String> = (0..300).map(|i| format!("ns-{i}")).collect();
    let conversion = of("watch-namespace", &names.join(","));
    assert_eq!(spec(&conversion).watch_namespaces.names, names[..256]);
    assert_eq!(marks(&conversion), ["E watch-namespace"]);
}

#[test]
fn the_threshold_becomes_a_go_duration() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("15m", "15m", &[]),
        ("900s", "15m", &[]),
        ("90m", "1h30m", &[]),
        ("0.5h", "30m", &[]),
        ("1500ms", "1500ms", &[]),
        ("90µs", "90000ns", &[]),
        (" 15m\n", "15m", &[]),
        ("", "15m", &[]),
        ("20min", "20m", &["W expiring-threshold"]),
        ("1h 20 Min", "1h20m", &["W expiring-threshold"]),
        ("20mins", "20m", &["W expiring-threshold"]),
        ("1 hour 1 minute", "1h1m", &["W expiring-threshold"]),
        ("2hours5minutes", "2h5m", &["W expiring-threshold"]),
        ("900 seconds", "15m", &["W expiring-threshold"]),
        ("“20m”", "20m", &["W expiring-threshold"]),
        ("900", "15m", &["E expiring-threshold"]),
        ("soon", "15m", &["E expiring-threshold"]),
        ("0s", "15m", &["E expiring-threshold"]),
        ("13h", "15m", &["E expiring-threshold"]),
    ];
    for (value, threshold, expected) in cases {
        let conversion = of("expiring-threshold", value);
        assert_eq!(spec(&conversion).expiring_threshold, *threshold, "{value}");
        assert_eq!(marks(&conversion), *expected, "{value}: {}", reported(&conversion));
    }
    assert!(reported(&of("expiring-threshold", "20min")).contains("write 20m"));
}

#[test]
fn the_email_is_carried() {
    assert_eq!(spec(&of("notify-email", " a@example.com ")).notify_email.as_deref(), Some("a@example.com"));
    assert_eq!(spec(&of("notify-email", "")).notify_email, None);
    let long = of("notify-email", &"é".repeat(321));
    assert_eq!((spec(&long).notify_email.as_ref(), marks(&long)), (None, vec!["W notify-email".to_owned()]));
    assert!(spec(&of("notify-email", &"é".repeat(320))).notify_email.is_some());
}

#[test]
fn the_webhook_is_mapped_and_a_wrong_field_costs_only_itself() {
    let webhook =
        |enable, failure_policy, timeout_seconds| Webhook { enable, failure_policy, timeout_seconds };
    let (ignore, fail) = (FailurePolicy::Ignore, FailurePolicy::Fail);
    let at = "webhook-configuration";
    let cases: &[(&str, Webhook, Vec<String>)] = &[
        ("enable: true\nfailure-policy: Ignore\ntimeout-seconds: 10\n", webhook(true, ignore, 10), vec![]),
        ("enable: true\nfailure-policy: Fail\ntimeout-seconds: \"15\"", webhook(true, fail, 15), vec![]),
        ("enable: yes", webhook(true, ignore, 10), vec![]),
        ("enable: \"false\"", webhook(false, ignore, 10), vec![]),
        ("", webhook(false, ignore, 10), vec![]),
        (
            "enable: true\nFailure-Policy: fail",
            webhook(true, fail, 10),
            vec![format!("W {at}.failure-policy:2"), format!("W {at}.failure-policy:2")],
        ),
        (
            "enable: true\nfailure-policy: Maybe",
            webhook(true, ignore, 10),
            vec![format!("E {at}.failure-policy:2")],
        ),
        (
            "enable: true\ntimeout-seconds: 15s",
            webhook(true, ignore, 15),
            vec![format!("W {at}.timeout-seconds:2")],
        ),
        (
            "enable: true\ntimeout-seconds: 31",
            webhook(true, ignore, 10),
            vec![format!("E {at}.timeout-seconds:2")],
        ),
        ("enable: maybe", webhook(false, ignore, 10), vec![format!("E {at}.enable:1")]),
        ("enable: true\nport: 1", webhook(true, ignore, 10), vec![format!("W {at}:2")]),
    ];
    for (value, expected, found) in cases {
        let conversion = of(at, value);
        assert_eq!(&spec(&conversion).webhook, expected, "{value}");
        assert_eq!(&marks(&conversion), found, "{value}: {}", reported(&conversion));
    }
    for value in ["true", "- enable: true", "enable: : true"] {
        assert_eq!(of(at, value).spec, None, "{value}");
    }
}

const RRSA_ENTRY: &str = "- instanceId: cri-a\n  rrsaRoleARN: acs:ram::1:role/a\n  rrsaOIDCProviderRoleARN: acs:ram::1:oidc-provider/p\n  expireDuration: 3600\n";

#[test]
fn rrsa_fields_count_only_where_rrsa_is_on() {
    let with = |rrsa: &str| convert(&data(&[("acr-registry-info", RRSA_ENTRY), ("rrsa", rrsa)]));
    for on in ["enable: true", "enable: \"true\"", "enable: on", "enable: Y", "enable: yes", "enable: True\n"]
    {
        let conversion = with(on);
        assert_eq!(only(&conversion).rrsa_role_arn.as_deref(), Some("acs:ram::1:role/a"), "{on}");
        assert_eq!(marks(&conversion), [""; 0], "{on}");
    }
    let no = ["enable: false", "enable: no", "enable: Off", "enable: n", "enable: FALSE"];
    for off in no.into_iter().chain(["", "{}", "enable:", "# enable: true"]) {
        let conversion = with(off);
        // The session's length goes with the role.
        assert_eq!(only(&conversion), &enterprise("cri-a"), "{off}");
        let expected = ["W acr-registry-info[0].rrsaRoleARN:2", "W acr-registry-info[0].expireDuration:4"];
        assert_eq!(marks(&conversion), expected, "{off}");
    }
    assert_eq!(only(&info(RRSA_ENTRY)), &enterprise("cri-a"));
    assert!(only(&with("true")).rrsa_role_arn.is_some());
    // Which identity is meant cannot be reported, and the wrong one would be refused: the last good binding stays.
    for unreadable in ["enable: perhaps", "- enable: true", "enable: : true", "perhaps"] {
        let conversion = with(unreadable);
        assert_eq!(conversion.spec, None, "{unreadable}");
        assert_eq!(conversion.findings.len(), 1, "{unreadable}: {}", reported(&conversion));
    }
}

#[test]
fn unknown_keys_are_reported_and_ignored() {
    let conversion =
        convert(&data(&[("acr-api-version", "2018-12-01"), ("foo", "bar"), ("Watch-Namespace", "prod")]));
    assert_eq!(spec(&conversion).watch_namespaces.names, ["prod"]);
    assert_eq!(marks(&conversion), ["W Watch-Namespace", "W foo"]);
    let carried = conversion.findings.iter().find(|finding| finding.key == "acr-api-version").unwrap();
    assert_eq!(carried.code.as_str(), "ACR316", "{carried}");
    let both = convert(&data(&[("watch-namespace", "prod"), ("Watch-Namespace", "dev")]));
    assert_eq!(spec(&both).watch_namespaces.names, ["prod"]);
    assert_eq!(marks(&both), ["W Watch-Namespace"]);
}

#[test]
fn the_spelling_of_2019_has_its_own_finding() {
    let hosts = "xxx-registry.*.cr.aliyuncs.com,yyy-registry.cn-hangzhou.cr.aliyuncs.com";
    let alone = of("acr-registry", hosts);
    assert_eq!(marks(&alone), ["E acr-registry"]);
    assert!(
        reported(&alone).contains("write in acr-registry-info")
            && reported(&alone).contains("domains: \"yyy-registry.cn-hangzhou.cr.aliyuncs.com\"")
    );
    let beside = convert(&data(&[("acr-registry", hosts), ("acr-registry-info", "- instanceId: cri-a")]));
    assert_eq!(marks(&beside), ["W acr-registry"]);
}

#[test]
fn the_second_of_two_spellings_of_one_key_is_reported_as_ignored() {
    let conversion = convert(&data(&[("WATCH-NAMESPACE", "b"), ("Watch-Namespace", "a")]));
    let reported = codes(&conversion);
    assert_eq!((reported[0], reported[1]), ("ACR312", "ACR313"), "{reported:?}");
    assert_eq!(conversion.findings[1].key, "Watch-Namespace");
    assert_eq!(spec(&conversion).watch_namespaces.names, ["b"]);
}

#[test]
fn a_key_below_the_list_that_is_given_already_is_reported_as_ignored() {
    let list = "- instanceId: cri-a\nwatch-namespace: b\n";
    let conversion = convert(&data(&[("watch-namespace", "a"), ("acr-registry-info", list)]));
    assert!(codes(&conversion).contains(&"ACR313"), "{:?}", codes(&conversion));
    assert_eq!(spec(&conversion).watch_namespaces.names, ["a"]);
    let conversion = info("- instanceId: cri-a\nwatch-namespace: b\nwatch-namespace: c\n");
    assert!(codes(&conversion).contains(&"ACR313"), "{:?}", codes(&conversion));
    assert_eq!(spec(&conversion).watch_namespaces.names, ["b"]);
}

#[test]
fn a_map_below_the_list_may_be_on_one_line() {
    let list = "- instanceId: cri-a\n  rrsaRoleARN: acs:ram::1:role/a\n  rrsaOIDCProviderRoleARN: acs:ram::1:oidc-provider/x\n";
    for (rrsa, webhook) in [
        ("{enable: true}", "{enable: true}"),
        ("\"enable: true\"", "'enable: true' # on"),
        ("|\n  enable: true", "\n  enable: true"),
    ] {
        let conversion = info(&format!("{list}rrsa: {rrsa}\nwebhook-configuration: {webhook}\n"));
        assert!(!codes(&conversion).contains(&"ACR127"), "{rrsa}: {}", reported(&conversion));
        assert!(only(&conversion).rrsa_role_arn.is_some(), "{rrsa}: {}", reported(&conversion));
        assert!(spec(&conversion).webhook.enable, "{webhook}: {}", reported(&conversion));
    }
    let short = info(&format!("{list}rrsa: true\n"));
    assert!(only(&short).rrsa_role_arn.is_some(), "{}", reported(&short));
}
