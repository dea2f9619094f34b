//! Another writer changes the configuration.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{NAME, asking, configuration, configurations, start, until_asked, until_served_by_webhook};

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_keeps_reverting_the_configuration_is_reported_and_not_fought() {
    let lab = start(|options| options).await;
    lab.create_namespace("fought").await;
    lab.bind("fought", asking(&["fought"], "Ignore", 5)).await;
    until_served_by_webhook(&lab, "fought").await;
    lab.until_settled().await;
    let mark = lab.mark();
    let other = PatchParams { field_manager: Some("other".to_owned()), ..PatchParams::default() };
    lab.until("the other writer is reported", async || {
        let mut configured = configuration(&lab).await.unwrap().webhooks.unwrap();
        if configured[0].timeout_seconds == Some(5) {
            configured[0].timeout_seconds = Some(29);
            let theirs = Patch::Merge(json!({ "webhooks": configured }));
            configurations(&lab).patch(NAME, &other, &theirs).await.unwrap();
        }
        let said = lab.condition("fought", "AdmissionConfigured").await;
        said.is_some_and(|(status, _, message)| {
            status == "False"
                && message.contains("again and again by the field manager other")
                && message.contains("it is left alone for a while: stop that writer")
        })
    })
    .await;
    let writes = async || lab.requests(mark).of("mutatingwebhookconfigurations").writes().len();
    // Ten are not a conflict yet; then each attempt allows two.
    assert!((10..=16).contains(&writes().await), "{}", writes().await);
    // It rests now.
    until_served_by_webhook(&lab, "fought").await;
    until_asked(&lab, "fought").await;
    assert!(writes().await <= 20, "{}", writes().await);
}
