//! Somebody else wants the configuration otherwise.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{NAME, asking, configuration, configurations, start, until_asked, until_served_by_webhook};

#[tokio::test(flavor = "multi_thread")]
async fn who_undoes_the_configuration_again_and_again_is_told_and_not_fought() {
    let lab = start(|options| options).await;
    lab.create_namespace("fought").await;
    lab.bind("fought", asking(&["fought"], "Ignore", 5)).await;
    until_served_by_webhook(&lab, "fought").await;
    lab.until_settled().await;
    let mark = lab.mark();
    let rival = PatchParams { field_manager: Some("rival".to_owned()), ..PatchParams::default() };
    lab.until("the rival is told of", async || {
        let mut standing = configuration(&lab).await.unwrap().webhooks.unwrap();
        if standing[0].timeout_seconds == Some(5) {
            standing[0].timeout_seconds = Some(29);
            let theirs = Patch::Merge(json!({ "webhooks": standing }));
            configurations(&lab).patch(NAME, &rival, &theirs).await.unwrap();
        }
        let said = lab.condition("fought", "AdmissionConfigured").await;
        said.is_some_and(|(status, _, message)| {
            status == "False" && message.contains("again and again by the field manager rival")
        })
    })
    .await;
    let writes = async || lab.requests(mark).of("mutatingwebhookconfigurations").writes().len();
    // Ten are no fight yet, then there are two in each try.
    assert!((10..=16).contains(&writes().await), "{}", writes().await);
    // It rests now.
    until_served_by_webhook(&lab, "fought").await;
    until_asked(&lab, "fought").await;
    assert!(writes().await <= 20, "{}", writes().await);
}
