//! The other fields of `spec`.

use serde_json::json;

use super::{Field, long, texts};

pub fn settings() -> Vec<Field> {
    const PATTERN: (&str, &str) =
        ("expiringThreshold pattern", "spec.expiringThreshold in body should match");
    const BOUNDS: &str = "expiringThreshold cel expiringThreshold must be a Go duration such as 15m";
    vec![
        Field::at("/expiringThreshold")
            .passes("expiringThreshold pattern", texts(["15m", "1h30m", "0.5h", "900s", "250ms", "1us1ns"]))
            .breaks(
                PATTERN,
                texts([
                    "15min", "-5m", "+5m", "1h-5m", "15 m", "15M", "1d", ".5h", "5.h", "5µs", "soon", "15",
                    "15m\n",
                ]),
            )
            .passes("expiringThreshold minLength", texts(["1s"]))
            .breaks(
                ("expiringThreshold minLength", "spec.expiringThreshold in body should be at least 2 chars"),
                texts(["", "0"]),
            )
            .passes("expiringThreshold maxLength", [json!("1s".repeat(16))])
            .breaks(
                ("expiringThreshold maxLength", "spec.expiringThreshold: Too long"),
                [json!("1s".repeat(17))],
            )
            .passes(BOUNDS, texts(["1ns", "12h", "11h60m", "0h1m"]))
            .breaks(
                (BOUNDS, "expiringThreshold must be a Go duration such as 15m, more than 0 and at most 12h"),
                texts(["0s", "0h0m", "13h", "12h1ns", "721m"]),
            ),
        Field::at("/webhook/timeoutSeconds")
            .passes("webhook.timeoutSeconds minimum", [json!(1)])
            .breaks(
                (
                    "webhook.timeoutSeconds minimum",
                    "spec.webhook.timeoutSeconds in body should be greater than or equal to 1",
                ),
                [json!(0), json!(-1)],
            )
            .passes("webhook.timeoutSeconds maximum", [json!(30)])
            .breaks(
                (
                    "webhook.timeoutSeconds maximum",
                    "spec.webhook.timeoutSeconds in body should be less than or equal to 30",
                ),
                [json!(31)],
            ),
        Field::at("/webhook/failurePolicy")
            .passes("webhook.failurePolicy enum", texts(["Ignore", "Fail"]))
            .breaks(
                ("webhook.failurePolicy enum", "spec.webhook.failurePolicy: Unsupported value"),
                texts(["", "ignore", "Retry"]),
            ),
        Field::at("/deletionPolicy").passes("deletionPolicy enum", texts(["Delete", "Retain"])).breaks(
            ("deletionPolicy enum", "spec.deletionPolicy: Unsupported value"),
            texts(["", "delete", "Orphan"]),
        ),
        Field::at("/notifyEmail")
            .passes(
                "notifyEmail maxLength",
                [json!(null), json!(""), json!("c*@aliyuncs.com"), long("", 320), json!("é".repeat(320))],
            )
            .breaks(
                ("notifyEmail maxLength", "spec.notifyEmail: Too long"),
                [long("", 321), json!("é".repeat(321))],
            ),
    ]
}
