//! `metrics.md`: every metric that `/metrics` serves.

use acr_credential_binding::server::metrics::{
    AccountState, AdmissionOutcome, CallResult, Metrics, ReconcileResult, Reconciler,
};

/// Returns the page.
pub fn page() -> String {
    let mut page = "# Metrics\n\n\
        `--listen-address` (port 8080) serves `/metrics`. The namespace is not a label: the number of namespaces has no \
        bound. With 1,000 bindings of a registry each, there are 8,000 series and those of the controller itself, regardless \
        of the number of namespaces. The [runbook](../runbook.md) has alerts.\n\n\
        The format is Prometheus' text format 0.0.4, or OpenMetrics 1.0.0 if the header `Accept` asks for it.\n"
        .to_owned();
    for metric in Metrics::default().descriptions() {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        page.push_str(&format!(
            "\n## `{}`\n\n{}.\n\n- Type: {}\n",
            metric.name,
            metric.help.trim(),
            metric.kind
        ));
        if !labels.is_empty() {
            page.push_str(&format!("- Labels: {}\n", labels.join(", ")));
        }
    }
    let values = |all: Vec<&str>| all.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
    page.push_str("\n## Values of labels\n\n");
    for (label, all) in [
        ("`result`", values(CallResult::ALL.iter().map(|value| value.as_str()).collect())),
        (
            "`result` of a reconciliation",
            values(ReconcileResult::ALL.iter().map(|value| value.as_str()).collect()),
        ),
        ("`controller`", values(Reconciler::ALL.iter().map(|value| value.as_str()).collect())),
        (
            "`state` of ServiceAccounts",
            values(AccountState::ALL.iter().map(|value| value.as_str()).collect()),
        ),
        ("`outcome`", values(AdmissionOutcome::ALL.iter().map(|value| value.as_str()).collect())),
    ] {
        page.push_str(&format!("- {label}: {all}\n"));
    }
    page
}
