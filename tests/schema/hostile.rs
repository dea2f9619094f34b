//! Every text and every type in every field: the API server and the validator agree.

use std::collections::BTreeSet;

use futures::StreamExt;
use serde_json::{Value, json};

use crate::server::{Refusal, Server, parse, valid, valid_with};
use crate::table::table;

/// Texts that the table does not have.
const TEXTS: [&str; 40] = [
    " ",
    "-",
    ".",
    "..",
    "/",
    ":",
    "*",
    "?",
    "**",
    "*?*",
    "a..b",
    "a.-b",
    "a--b",
    "*.",
    "-*",
    "a:1",
    "a:0",
    "a:",
    "a:1/",
    "a/",
    "a//b",
    "a/*",
    "a?b",
    "a*b:1/c",
    "A",
    "١m",
    "Ａ",
    "\u{0}",
    "a\u{0}",
    "a\n",
    "a\r\nb",
    "\ta",
    "null",
    "~",
    "1h1",
    "1e3s",
    "0x1s",
    "00015m",
    "0.000000001s",
    "9999999999999999999h",
];

/// Sends each object to both, several at a time, and returns what `differ` finds.
async fn differences(
    objects: Vec<Value>,
    differ: impl Fn(&Value, Result<Value, Refusal>) -> Option<String>,
) -> Vec<String> {
    let (server, differ) = (&Server::get().await, &differ);
    let ask = |object: Value| async move { differ(&object, server.dry_run(&object).await) };
    futures::stream::iter(objects).map(ask).buffer_unordered(8).filter_map(std::future::ready).collect().await
}

/// Returns a text in every field that has a pattern, so that one answer covers each.
fn everywhere(text: &str) -> Value {
    let mut object = valid();
    object["spec"] = json!({
        "registries": [
            { "assumeRoleARN": text, "rrsaRoleARN": text, "rrsaOIDCProviderRoleARN": text },
            { "accessKeySecretRef": { "name": text } },
        ],
        "watchNamespaces": { "names": ["a", text], "exclude": [text, "a"] },
        "serviceAccounts": {
            "names": [text],
            "selector": { "matchLabels": { "a": "b" }, "matchExpressions": [{ "key": "a", "operator": "In", "values": [text] }] },
        },
        "notifyEmail": text,
    });
    object
}

/// Returns a text in each field with a CEL rule, alone: such a rule is not evaluated while another field is wrong.
fn alone(text: &str) -> [Value; 4] {
    [
        valid_with("/expiringThreshold", &json!(text)),
        valid_with("/registries/0/instanceId", &json!(text)),
        valid_with("/registries/0/regionId", &json!(text)),
        valid_with("/registries/0/domains", &json!(["img.example.com", text])),
    ]
}

#[tokio::test]
async fn the_two_agree_on_every_text_in_every_field() {
    let table = table();
    let texts: BTreeSet<&str> = table.iter().flat_map(|case| case.texts()).chain(TEXTS).collect();
    let each = texts.iter().flat_map(|text| alone(text));
    let objects = texts.iter().map(|text| everywhere(text)).chain(each).collect();
    let found = differences(objects, |object, answer| {
        let server = answer.err().map(|refusal| refusal.fields).unwrap_or_default();
        let validator = parse(object).err().unwrap_or_default();
        let validator: BTreeSet<String> = validator.into_iter().map(|invalid| invalid.path).collect();
        (server != validator).then(|| {
            let only =
                |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
            format!(
                "{}: only the server refuses {:?}, only the validator {:?}",
                object["spec"],
                only(&server, &validator),
                only(&validator, &server)
            )
        })
    })
    .await;
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Fields that do not hold an object.
const FIELDS: [&str; 18] = [
    "/registries/0/instanceId",
    "/registries/0/regionId",
    "/registries/0/domains",
    "/registries/0/assumeRoleARN",
    "/registries/0/rrsaRoleARN",
    "/registries/0/rrsaOIDCProviderRoleARN",
    "/registries/0/expireDuration",
    "/watchNamespaces/names",
    "/watchNamespaces/exclude",
    "/watchNamespaces/selector/matchExpressions",
    "/serviceAccounts/names",
    "/expiringThreshold",
    "/webhook/enable",
    "/webhook/failurePolicy",
    "/webhook/timeoutSeconds",
    "/deletionPolicy",
    "/suspend",
    "/notifyEmail",
];

/// Fields that hold an object, or a list of them. There serde reads a list as the fields in their order,
/// which the server never accepts; so lists are left out.
const OBJECTS: [&str; 7] = [
    "/registries",
    "/registries/0",
    "/registries/0/accessKeySecretRef",
    "/watchNamespaces",
    "/watchNamespaces/selector",
    "/serviceAccounts",
    "/webhook",
];

#[tokio::test]
async fn the_two_agree_on_every_type_in_every_field() {
    let plain = [
        json!(null),
        json!(true),
        json!("x"),
        json!({}),
        json!(1),
        json!(1.5),
        json!(-1),
        json!(4000),
        json!(i64::MAX),
    ];
    let lists = [json!([]), json!([1]), json!([null]), json!([[]]), json!([{}]), json!(["x", null])];
    let objects = FIELDS
        .iter()
        .flat_map(|at| plain.iter().chain(&lists).map(|value| valid_with(at, value)))
        .chain(OBJECTS.iter().flat_map(|at| plain.iter().map(|value| valid_with(at, value))))
        .collect();
    // The validator sees an accepted object as stored: the server took a `null` for absent.
    let found = differences(objects, |object, answer| match answer {
        Ok(stored) => {
            parse(&stored).err().map(|e| format!("{}: only the validator refuses: {e:?}", object["spec"]))
        }
        Err(refusal) => {
            parse(object).ok().map(|_| format!("{}: only the server refuses: {refusal:?}", object["spec"]))
        }
    })
    .await;
    assert!(found.is_empty(), "{}", found.join("\n"));
}
