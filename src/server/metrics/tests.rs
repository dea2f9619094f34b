use std::time::Duration;

use super::{
    AccountState, AccountsLabel, AdmissionLabel, AdmissionOutcome, ApiLabel, Metrics, QueueLabel,
    ReconcileResult, Reconciler, RegistryLabel, TaskLabel, TextFormat, WaitingWork,
};

/// Metrics with a series in each family.
fn filled() -> Metrics {
    let metrics = Metrics::default();
    for family in [
        &metrics.mints,
        &metrics.secret_writes,
        &metrics.service_account_patches,
        &metrics.status_writes,
        &metrics.stuck_pods,
    ] {
        Metrics::count(family, true);
    }
    metrics.set_ready("a", "True");
    metrics.set_ages(&[("secrets", Duration::from_secs(7))], &[("the loop", Duration::from_secs(1))]);
    metrics.set_waiting(&[("namespace", None)]);
    metrics.long_polls.get_or_create(&TaskLabel::of("the loop")).observe(0.06);
    let registry = RegistryLabel { registry: "r".to_owned(), identity: "i".to_owned() };
    metrics.expiration.get_or_create(&registry).set(5);
    metrics.renewal.get_or_create(&registry).set(4);
    let call = ApiLabel { action: "assume_role", code: "200" };
    metrics.api_duration.get_or_create(&call).observe(0.2);
    let accounts = AccountsLabel { binding: "a".to_owned(), state: AccountState::Pending };
    metrics.service_accounts.get_or_create(&accounts).set(1);
    metrics.set_leader(true);
    metrics.observe_wait("namespace", Duration::from_millis(2));
    metrics.queue_depth.get_or_create(&QueueLabel { name: "namespace" }).set(1);
    metrics.admissions.get_or_create(&AdmissionLabel { outcome: AdmissionOutcome::Attached }).inc();
    let took = Duration::from_millis(20);
    metrics.observe_reconcile(Reconciler::Namespace, ReconcileResult::RequeueAfter, took);
    metrics
}

#[test]
fn every_metric_is_described_as_it_is_scraped() {
    let metrics = filled();
    let text = metrics.render();
    let open_metrics = metrics.render_as(TextFormat::OpenMetrics);
    assert!(open_metrics.ends_with("# EOF\n") && !text.contains("# EOF"), "{open_metrics}");
    let helps = text.lines().filter(|line| line.starts_with("# HELP ")).count();
    assert_eq!(helps, metrics.descriptions().len(), "{text}");
    for description in metrics.descriptions() {
        let suffix = if description.kind == "histogram" { "_count" } else { "" };
        let begin = format!("{}{suffix}", description.name);
        let series = text
            .lines()
            .find(|line| line.strip_prefix(&begin).is_some_and(|rest| rest.starts_with(['{', ' '])));
        let series = series.unwrap_or_else(|| panic!("{begin} is not in\n{text}"));
        for label in description.labels {
            assert!(series.contains(&format!("{label}=\"")), "{series} lacks {label}");
        }
        assert_eq!(series.matches("=\"").count(), description.labels.len(), "{series}");
        assert!(text.contains(&format!(" {}.\n", description.help)), "{}", description.help);
    }
}

#[test]
fn reconciliations_have_the_names_and_buckets_of_controller_runtime() {
    let text = filled().render();
    for line in [
        "controller_runtime_reconcile_total{controller=\"namespace\",result=\"requeue_after\"} 1",
        "controller_runtime_reconcile_time_seconds_sum{controller=\"namespace\"} 0.02",
        "controller_runtime_reconcile_time_seconds_bucket{le=\"0.01\",controller=\"namespace\"} 0",
        "controller_runtime_reconcile_time_seconds_bucket{le=\"0.025\",controller=\"namespace\"} 1",
        "controller_runtime_reconcile_time_seconds_bucket{le=\"60.0\",controller=\"namespace\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn one_status_of_ready_is_set_at_a_time() {
    let metrics = Metrics::default();
    for status in ["True", "Unknown", "False"] {
        metrics.set_ready("a", status);
        let text = metrics.render();
        for other in super::READY {
            let line = format!(
                "acr_binding_ready_status{{name=\"a\",condition=\"{other}\"}} {}\n",
                u8::from(other == status)
            );
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }
    metrics.forget("a");
    assert!(!metrics.render().contains("name=\"a\""));
}

#[test]
fn work_that_no_loop_takes_has_an_age() {
    let metrics = Metrics::default();
    let work = Some(WaitingWork { keys: 2, age: Duration::from_millis(91_900) });
    metrics.set_waiting(&[("binding", None), ("namespace", work)]);
    let text = metrics.render();
    for series in ["{name=\"binding\"} 0\n", "{name=\"namespace\"} 91\n"] {
        assert!(text.contains(&format!("acr_queue_untaken_work_age_seconds{series}")), "{text}");
    }
}

#[test]
fn ages_are_whole_seconds_and_a_task_that_ended_has_none() {
    let metrics = filled();
    metrics.set_ages(&[("secrets", Duration::from_millis(312_900))], &[]);
    let text = metrics.render();
    assert!(text.contains("acr_watch_last_event_age_seconds{watch=\"secrets\"} 312\n"), "{text}");
    assert!(!text.contains("acr_task_heartbeat_age_seconds{"), "{text}");
}

#[test]
fn the_lease_and_the_queues_have_the_names_and_buckets_of_controller_runtime() {
    let metrics = filled();
    let text = metrics.render();
    for line in [
        "leader_election_master_status{name=\"acr-credential-controller\"} 1",
        "workqueue_queue_duration_seconds_bucket{le=\"0.001\",name=\"namespace\"} 0",
        "workqueue_queue_duration_seconds_bucket{le=\"0.01\",name=\"namespace\"} 1",
        "workqueue_queue_duration_seconds_bucket{le=\"1000.0\",name=\"namespace\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    metrics.set_leader(false);
    assert!(metrics.render().contains("leader_election_master_status{name=\"acr-credential-controller\"} 0"));
}

#[test]
fn values_of_labels_are_in_lower_case_but_those_of_the_condition() {
    let metrics = filled();
    metrics.long_polls.get_or_create(&TaskLabel::of("the ConfigMap loop")).observe(0.06);
    metrics.set_ages(&[], &[("the ConfigMap loop", Duration::from_secs(1))]);
    for line in metrics.render().lines().filter(|line| !line.starts_with('#')) {
        let labels = line.split_once('{').map_or("", |(_, labels)| labels);
        // Infinity is written `+Inf` as a bound.
        let not_free = ["condition=", "le="];
        let free = labels.split(',').filter(|label| !not_free.iter().any(|name| label.starts_with(name)));
        for value in free {
            assert_eq!(value, value.to_lowercase(), "{line}");
        }
    }
}
