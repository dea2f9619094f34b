//! A binding said as a ConfigMap.

use proptest::prelude::*;

use super::samples::{SAMPLES, cured};
use super::{codes, convert, data, of, reported, spec};
use crate::api::binding::{
    AccessKeySecretRef, AcrCredentialBindingSpec, DeletionPolicy, RegistryEntry, ServiceAccounts,
    WatchNamespaces,
};
use crate::model::legacy::to_data;

#[test]
fn a_documented_sample_comes_back_the_same() {
    for sample in SAMPLES {
        let conversion = convert(&cured(sample));
        match to_data(spec(&conversion)) {
            Ok(said) => {
                let again = convert(&said);
                assert_eq!(codes(&again), [""; 0], "{said:?}: {}", reported(&again));
                assert_eq!(again.spec, conversion.spec, "{said:?}");
            }
            Err(unsaid) => assert_eq!(unsaid, ["spec.registries[0].accessKeySecretRef"]),
        }
    }
}

#[test]
fn a_binding_is_said_as_the_page_prints_it() {
    let conversion = convert(&data(&[
        (
            "acr-registry-info",
            "[{instanceId: cri-a, domains: 'a.com,b.com', expireDuration: 3600, assumeRoleARN: 'acs:ram::2:role/b'}, {}]",
        ),
        ("watch-namespace", "ALL"),
        ("webhook-configuration", "enable: on\nfailure-policy: fail\ntimeout-seconds: 7"),
    ]));
    let said = to_data(spec(&conversion)).unwrap();
    let expected = data(&[
        (
            "acr-registry-info",
            "- instanceId: \"cri-a\"\n  domains: \"a.com,b.com\"\n  assumeRoleARN: \"acs:ram::2:role/b\"\n  expireDuration: 3600\n- instanceId: \"\"\n",
        ),
        ("expiring-threshold", "15m"),
        ("service-account", "default"),
        ("watch-namespace", "all"),
        ("webhook-configuration", "enable: true\nfailure-policy: Fail\ntimeout-seconds: 7\n"),
    ]);
    assert_eq!(said, expected);
    // What is off is said with the rest of it.
    let off = of("webhook-configuration", "enable: false\ntimeout-seconds: 5");
    let said = to_data(spec(&off)).unwrap();
    assert_eq!(said["webhook-configuration"], "enable: false\nfailure-policy: Ignore\ntimeout-seconds: 5\n");
}

/// Each change alone is what no key of the ConfigMap can say.
#[test]
fn what_cannot_be_said_is_named() {
    type SpecChange = fn(&mut AcrCredentialBindingSpec);
    let cases: &[(&str, SpecChange)] = &[
        ("registries", |spec| spec.registries.clear()),
        ("registries[1]", |spec| spec.registries.push(spec.registries[0].clone())),
        ("registries[0].accessKeySecretRef", |spec| {
            spec.registries[0].access_key_secret_ref = Some(AccessKeySecretRef { name: "ak".to_owned() });
        }),
        ("watchNamespaces.selector", |spec| spec.watch_namespaces.selector = Some(Default::default())),
        ("watchNamespaces.exclude", |spec| spec.watch_namespaces.exclude = vec!["kube-*".to_owned()]),
        ("watchNamespaces.names", |spec| spec.watch_namespaces.names = vec!["team-*".to_owned()]),
        ("watchNamespaces.names", |spec| spec.watch_namespaces.names = vec!["all".to_owned()]),
        ("watchNamespaces.names", |spec| spec.watch_namespaces.names = vec!["*".to_owned(), "a".to_owned()]),
        ("serviceAccounts.selector", |spec| spec.service_accounts.selector = Some(Default::default())),
        ("serviceAccounts.names", |spec| spec.service_accounts.names = vec!["a?".to_owned()]),
        ("expiringThreshold", |spec| spec.expiring_threshold = "900".to_owned()),
        ("registries[0].domains", |spec| {
            spec.registries[0].domains = vec!["a.com".to_owned(), "a.com".to_owned()];
        }),
        ("deletionPolicy", |spec| spec.deletion_policy = DeletionPolicy::Delete),
        ("suspend", |spec| spec.suspend = true),
        ("notifyEmail", |spec| spec.notify_email = Some(" a ".to_owned())),
    ];
    let plain = AcrCredentialBindingSpec {
        registries: vec![RegistryEntry::default()],
        watch_namespaces: WatchNamespaces { exclude: Vec::new(), ..WatchNamespaces::default() },
        service_accounts: ServiceAccounts::default(),
        expiring_threshold: "15m".to_owned(),
        deletion_policy: DeletionPolicy::Retain,
        ..AcrCredentialBindingSpec::default()
    };
    assert!(to_data(&plain).is_ok());
    // A threshold may be spelt otherwise: the ConfigMap's is the shortest.
    for (threshold, shortest) in [("900s", "15m"), ("60m", "1h")] {
        let spec = AcrCredentialBindingSpec { expiring_threshold: threshold.to_owned(), ..plain.clone() };
        assert_eq!(to_data(&spec).unwrap()["expiring-threshold"], shortest);
    }
    // An account may be called so, though every one was perhaps meant.
    let mut all = plain.clone();
    all.service_accounts.names = vec!["all".to_owned()];
    let again = convert(&to_data(&all).unwrap());
    assert_eq!((codes(&again), &spec(&again).service_accounts), (vec!["ACR206"], &all.service_accounts));
    for (field, change) in cases {
        let mut changed = plain.clone();
        change(&mut changed);
        assert_eq!(to_data(&changed), Err(vec![format!("spec.{field}")]));
    }
}

/// KeptRegistries, names and settings of every kind, most of them right.
fn configuration() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let entry = "- (instanceId|InstanceId): (cri-[a-c]|\"\"|“cri-x”)\n(  regionId: (cn-beijing|CN-Hangzhou)\n)?(  domains: \"(A\\.com,?|b\\.com:5000|，){1,3}\"\n)?(  assumeRoleARN: acs:ram::1:role/r\n  expireDuration: (3600|\"7200\")\n)?(  rrsaRoleARN: acs:ram::1:role/a\n  rrsaOIDCProviderRoleARN: acs:ram::1:oidc-provider/p\n)?";
    let list = proptest::collection::vec(entry, 0..4).prop_map(|entries| entries.concat());
    let names = "(all|\\*|[a-z]{1,4}(,|，|, )?){1,3}";
    let threshold = "([1-9][0-9]?(m|h|s|min)){1,2}";
    let flag = "(enable: (yes|no|true))?";
    let webhook =
        "(enable: (yes|no|true)\n)?(failure-policy: (Fail|ignore)\n)?(timeout-seconds: ([1-9]|30)\n)?";
    let all = (list, names, names, threshold, flag, webhook, "[a-z@. ]{0,9}");
    all.prop_map(|(list, namespaces, accounts, threshold, flag, webhook, email)| {
        vec![
            ("acr-registry-info", list),
            ("watch-namespace", namespaces),
            ("service-account", accounts),
            ("expiring-threshold", threshold),
            ("rrsa", flag),
            ("webhook-configuration", webhook),
            ("notify-email", email),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_converted_can_be_said_and_is_the_same(pairs in configuration()) {
        let map = pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let conversion = convert(&map);
        if let Some(spec) = &conversion.spec {
            let said = to_data(spec).unwrap();
            let again = convert(&said);
            prop_assert!(!again.has_errors(), "{}", reported(&again));
            prop_assert_eq!(again.spec, conversion.spec);
        }
    }
}
