//! Tests of the next step of the ConfigMap loop.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::{ConfigMapObservation, ConfigMapStep, LastConversion};
use crate::api::{AcrCredentialBinding, names};
use crate::model::legacy;

const GRACE: Duration = Duration::from_secs(60);

fn binding(converted: bool, deleting: bool) -> AcrCredentialBinding {
    let mut object = json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": { "name": names::LEGACY_NAME },
        "spec": { "registries": [{}], "watchNamespaces": { "names": ["*"] } },
    });
    if converted {
        object["metadata"]["labels"] = json!({ names::LABEL_CONVERTED: "true" });
    }
    if deleting {
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    serde_json::from_value(object).unwrap()
}

#[test]
fn each_state_of_the_config_map_has_one_next_step() {
    let authoritative = ConfigMap::default();
    let mut graduated = ConfigMap::default();
    let annotation = (names::ANNOTATION_AUTHORITATIVE.to_owned(), "false".to_owned());
    graduated.metadata.annotations = Some([annotation].into());
    let (ours, foreign, leaving) = (binding(true, false), binding(false, false), binding(true, true));
    use ConfigMapStep as Step;
    for (case, config_map, binding, expected) in [
        ("new", Some(&authoritative), None, Step::Convert),
        ("converted", Some(&authoritative), Some(&ours), Step::Convert),
        ("beside a user's binding", Some(&authoritative), Some(&foreign), Step::ReportForeignBinding),
        ("graduated", Some(&graduated), Some(&ours), Step::Graduate),
        ("graduated before", Some(&graduated), Some(&foreign), Step::Wait),
        ("never there", None, None, Step::DeleteUnusedKeys),
        ("gone beside a user's binding", None, Some(&foreign), Step::DeleteUnusedKeys),
        ("gone", None, Some(&ours), Step::ReportMissing(GRACE)),
        ("gone, and its binding is being deleted", None, Some(&leaving), Step::Wait),
    ] {
        let observed = ConfigMapObservation {
            listed: true,
            config_map,
            forbidden: None,
            binding,
            gone_since: None,
            grace: GRACE,
        };
        assert_eq!(observed.step(Instant::now()), expected, "{case}");
    }
}

#[test]
fn the_binding_of_a_missing_config_map_is_deleted_after_the_grace() {
    let (start, ours) = (Instant::now(), binding(true, false));
    let step = |seconds| {
        let observed = ConfigMapObservation {
            listed: true,
            config_map: None,
            forbidden: None,
            binding: Some(&ours),
            gone_since: Some(start),
            grace: GRACE,
        };
        observed.step(start + Duration::from_secs(seconds))
    };
    assert_eq!(step(20), ConfigMapStep::ReportMissing(Duration::from_secs(40)));
    assert_eq!(step(60), ConfigMapStep::DeleteBinding);
    assert_eq!(step(70), ConfigMapStep::DeleteBinding);
}

#[test]
fn before_the_first_list_only_a_missing_right_is_reported() {
    let ours = binding(true, false);
    for (forbidden, binding, expected) in [
        (None, Some(&ours), ConfigMapStep::Wait),
        (Some("no"), None, ConfigMapStep::Wait),
        (Some("no"), Some(&ours), ConfigMapStep::ReportForbidden),
    ] {
        let observed = ConfigMapObservation {
            listed: false,
            config_map: None,
            forbidden,
            binding,
            gone_since: None,
            grace: GRACE,
        };
        assert_eq!(observed.step(Instant::now()), expected);
    }
}

/// Each event of any binding comes by here, and the ConfigMap may hold a megabyte.
#[test]
fn a_config_map_is_converted_once_for_the_same_data() {
    let map = |version: &str, namespaces: &str| -> Arc<ConfigMap> {
        let object = json!({
            "metadata": { "resourceVersion": version },
            "data": { "watch-namespace": namespaces },
        });
        Arc::new(serde_json::from_value(object).unwrap())
    };
    let (count, mut last) = (Cell::new(0), LastConversion::default());
    let mut namespaces = |map: &Arc<ConfigMap>| {
        let converted = last.of(map, |data| {
            count.set(count.get() + 1);
            legacy::convert(data)
        });
        (converted.conversion.spec.clone().unwrap().watch_namespaces.names, count.get())
    };
    let first = map("1", "a");
    for _ in 0..100 {
        assert_eq!(namespaces(&first), (vec!["a".to_owned()], 1));
    }
    assert_eq!(namespaces(&map("2", "a")), (vec!["a".to_owned()], 1), "an annotation changed");
    assert_eq!(namespaces(&map("3", "b")), (vec!["b".to_owned()], 2));
    // After a restore of etcd, a version may come twice.
    assert_eq!(namespaces(&map("3", "c")), (vec!["c".to_owned()], 3));
}
