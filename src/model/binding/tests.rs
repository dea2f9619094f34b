//! Every rule of the validator: one valid object, mutated.

use super::{Binding, CredentialSource, Edition};
use crate::api::binding::{AcrCredentialBinding, AcrCredentialBindingSpec, RegistryEntry};
use crate::model::Labels;

fn valid() -> AcrCredentialBinding {
    let entry = RegistryEntry { instance_id: Some("cri-abc123".into()), ..RegistryEntry::default() };
    let mut object = AcrCredentialBinding::new("team-a", AcrCredentialBindingSpec::default());
    object.spec.registries = vec![entry];
    object.spec.expiring_threshold = "15m".to_owned();
    object
}

#[test]
fn an_entry_without_a_region_takes_the_clusters() {
    let binding = Binding::parse(&valid(), "cn-hangzhou").unwrap();
    assert_eq!(&*binding.registries[0].key.region, "cn-hangzhou");
    assert_eq!(binding.registries[0].key.identity.source, CredentialSource::ControllerIdentity);
}

#[test]
fn an_empty_instance_id_is_the_personal_edition() {
    for id in [None, Some(String::new())] {
        let mut object = valid();
        object.spec.registries[0].instance_id = id;
        assert_eq!(
            Binding::parse(&object, "cn-hangzhou").unwrap().registries[0].key.edition,
            Edition::Personal
        );
    }
}

#[test]
fn nothing_said_of_namespaces_and_accounts_means_default() {
    let binding = Binding::parse(&valid(), "cn-hangzhou").unwrap();
    let none = Labels::default();
    assert!(binding.namespaces.covers("default", &none) && binding.service_accounts.covers("default", &none));
    assert!(!binding.namespaces.covers("prod", &none) && !binding.service_accounts.covers("builder", &none));
}

#[test]
fn exclude_wins_over_names() {
    let mut object = valid();
    object.spec.watch_namespaces.names = vec!["*".to_owned()];
    let binding = Binding::parse(&object, "cn-hangzhou").unwrap();
    assert!(binding.namespaces.covers("prod", &Labels::default()));
    assert!(!binding.namespaces.covers("kube-system", &Labels::default()));
}

#[test]
fn the_converted_binding_adopts() {
    let mut object = valid();
    assert!(!Binding::parse(&object, "cn-hangzhou").unwrap().adopt);
    object.metadata.labels = Some([("acrcredential.dev/converted".to_owned(), "true".to_owned())].into());
    assert!(Binding::parse(&object, "cn-hangzhou").unwrap().adopt);
}

type Mutation = fn(&mut AcrCredentialBinding);

/// What the schema refuses as well: each of these is also tried on a real API server.
#[test]
fn each_mistake_is_found_where_it_is() {
    let cases: &[(&str, Mutation)] = &[
        ("spec.registries", |o| o.spec.registries.clear()),
        ("spec.registries[0].instanceId", |o| o.spec.registries[0].instance_id = Some("abc".into())),
        ("spec.registries[0].regionId", |o| o.spec.registries[0].region_id = Some("Hangzhou".into())),
        ("spec.registries[0].domains[0]", |o| {
            o.spec.registries[0].domains = vec!["https://img.example.com".into()]
        }),
        ("spec.registries[0].assumeRoleARN", |o| {
            o.spec.registries[0].assume_role_arn = Some("acs:ram::.*:role/x".into());
        }),
        ("spec.registries[0].expireDuration", |o| o.spec.registries[0].expire_duration = Some(3600)),
        ("spec.registries[0].expireDuration", |o| {
            o.spec.registries[0].assume_role_arn = Some("acs:ram::2:role/b".into());
            o.spec.registries[0].expire_duration = Some(60);
        }),
        ("spec.registries[0]", |o| o.spec.registries[0].rrsa_role_arn = Some("acs:ram::1:role/a".into())),
        ("spec.registries[0]", |o| {
            o.spec.registries[0].rrsa_role_arn = Some("acs:ram::1:role/a".into());
            o.spec.registries[0].rrsa_oidc_provider_role_arn = Some("acs:ram::1:oidc-provider/p".into());
            o.spec.registries[0].access_key_secret_ref =
                Some(crate::api::binding::AccessKeySecretRef { name: "ak".into() });
        }),
        ("spec.expiringThreshold", |o| o.spec.expiring_threshold = "15min".into()),
        ("spec.expiringThreshold", |o| o.spec.expiring_threshold = "0s".into()),
        ("spec.expiringThreshold", |o| o.spec.expiring_threshold = "13h".into()),
        ("spec.registries[0].assumeRoleARN", |o| {
            o.spec.registries[0].assume_role_arn = Some(format!("acs:ram::1:role/{}", "a".repeat(113)));
        }),
        ("spec.registries[0].domains", |o| o.spec.registries[0].domains = vec!["a".into(); 33]),
        ("spec.registries[0].accessKeySecretRef.name", |o| {
            o.spec.registries[0].access_key_secret_ref =
                Some(crate::api::binding::AccessKeySecretRef { name: "A".into() });
        }),
        ("spec.expiringThreshold", |o| o.spec.expiring_threshold = ".5h".into()),
        ("spec.watchNamespaces.names", |o| o.spec.watch_namespaces.names = vec!["a".into(); 257]),
        ("spec.watchNamespaces.names[1]", |o| o.spec.watch_namespaces.names = vec!["a".into(), "A".into()]),
        ("spec.watchNamespaces.exclude", |o| o.spec.watch_namespaces.exclude = vec!["a".into(); 257]),
        ("spec.watchNamespaces.exclude[0]", |o| o.spec.watch_namespaces.exclude = vec!["a.b".into()]),
        ("spec.serviceAccounts.names", |o| o.spec.service_accounts.names = vec!["a".into(); 257]),
        ("spec.serviceAccounts.names[0]", |o| o.spec.service_accounts.names = vec!["a_b".into()]),
        ("spec.webhook.timeoutSeconds", |o| o.spec.webhook.timeout_seconds = 0),
        ("spec.webhook.timeoutSeconds", |o| o.spec.webhook.timeout_seconds = 31),
        ("spec.notifyEmail", |o| o.spec.notify_email = Some("a".repeat(321))),
        ("spec.watchNamespaces.selector", |o| o.spec.watch_namespaces.selector = Some(Default::default())),
        ("spec.serviceAccounts.selector", |o| o.spec.service_accounts.selector = Some(Default::default())),
    ];
    for (path, mutate) in cases {
        let mut object = valid();
        mutate(&mut object);
        let found = Binding::parse(&object, "cn-hangzhou").expect_err(path);
        assert_eq!(found.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), [*path], "{found:?}");
    }
}

#[test]
fn all_mistakes_are_found_not_only_the_first() {
    let mut object = valid();
    object.spec.registries[0].region_id = Some("x".into());
    object.spec.expiring_threshold = "soon".into();
    assert_eq!(Binding::parse(&object, "cn-hangzhou").unwrap_err().len(), 2);
}
