//! Cures of a spec that is refused: what each message asks for is accepted, by the API server and by the controller.

use serde_json::{Value, json};

use crate::server::{Server, parse, valid_with};

/// A refused value, words of its message, and what they ask for; each with its JSON pointer below `spec`.
struct Case {
    pointer: &'static str,
    refused: Value,
    words: &'static str,
    /// Whether the API server says so too, and not only the controller.
    by_server: bool,
    accepted: Vec<(&'static str, Value)>,
}

fn case(pointer: &'static str, refused: Value, words: &'static str, accepted: Value) -> Case {
    Case { pointer, refused, words, by_server: false, accepted: vec![(pointer, accepted)] }
}

fn by_server(case: Case) -> Case {
    Case { by_server: true, ..case }
}

/// Returns an entry with more fields.
fn entry(more: Value) -> Value {
    let mut entry = json!({ "instanceId": "cri-abc123", "regionId": "cn-hangzhou" });
    for (key, value) in more.as_object().unwrap() {
        entry[key] = value.clone();
    }
    entry
}

fn cases() -> Vec<Case> {
    const ROLE: &str = "acs:ram::1:role/pull";
    const PROVIDER: &str = "acs:ram::1:oidc-provider/ack";
    let names = |count: usize| json!((0..count).map(|n| format!("team-{n}")).collect::<Vec<_>>());
    let rrsa = json!({ "rrsaRoleARN": ROLE, "rrsaOIDCProviderRoleARN": PROVIDER });
    let secret = json!({ "accessKeySecretRef": { "name": "pair" } });
    let both = json!({ "rrsaRoleARN": ROLE, "rrsaOIDCProviderRoleARN": PROVIDER, "accessKeySecretRef": { "name": "pair" } });
    let session = |more: Value| {
        let mut session = more;
        session["expireDuration"] = json!(3600);
        entry(session)
    };
    let operator = |operator: &str, values: Value| json!({ "matchExpressions": [{ "key": "tier", "operator": operator, "values": values }] });
    let everything = "use names: [\"*\"] if that is intended";
    vec![
        Case {
            accepted: vec![
                ("/registries/0", session(rrsa.clone())),
                ("/registries/0", session(json!({ "assumeRoleARN": ROLE }))),
            ],
            ..by_server(case(
                "/registries/0",
                session(json!({})),
                "needs an assumed role: set assumeRoleARN or rrsaRoleARN with it",
                json!(null),
            ))
        },
        Case {
            accepted: vec![("/registries/0", entry(rrsa.clone())), ("/registries/0", entry(secret))],
            ..by_server(case(
                "/registries/0",
                entry(both),
                "rrsaRoleARN and accessKeySecretRef exclude each other: set one of them",
                json!(null),
            ))
        },
        Case {
            accepted: vec![("/registries/0", entry(rrsa)), ("/registries/0", entry(json!({})))],
            ..by_server(case(
                "/registries/0",
                entry(json!({ "rrsaRoleARN": ROLE })),
                "rrsaRoleARN and rrsaOIDCProviderRoleARN go together: set both or neither",
                json!(null),
            ))
        },
        case("/watchNamespaces/names", names(257), ": split the binding", names(129)),
        case(
            "/registries/0/instanceId",
            json!("acr-abc"),
            ": write cri-… as in the console",
            json!("cri-abc"),
        ),
        case(
            "/registries/0/accessKeySecretRef",
            json!({ "name": "My_Pair" }),
            "is not a valid Secret name: write lower-case letters, digits, '-' and '.'",
            json!({ "name": "my-pair.1" }),
        ),
        Case {
            accepted: vec![
                ("/watchNamespaces/names", json!(["team-1"])),
                ("/watchNamespaces/names", json!(["team-*", "t?"])),
            ],
            ..case(
                "/watchNamespaces/names",
                json!(["Team_A"]),
                "write lower-case letters, digits and '-', or a glob with * and ?",
                json!(null),
            )
        },
        Case {
            accepted: vec![
                ("/serviceAccounts/names", json!(["app.v1-a"])),
                ("/serviceAccounts/names", json!(["app-*", "a?"])),
            ],
            ..case(
                "/serviceAccounts/names",
                json!(["App"]),
                "write lower-case letters, digits, '-' and '.', or a glob with * and ?",
                json!(null),
            )
        },
        case(
            "/watchNamespaces/selector",
            json!({ "matchExpressions": [{ "key": "", "operator": "Exists" }] }),
            "an expression has no key: add key: and the name of a label",
            operator("Exists", json!([])),
        ),
        Case {
            accepted: ["15m", "900s", "1h30m", "0.5h"].map(|text| ("/expiringThreshold", json!(text))).into(),
            ..case(
                "/expiringThreshold",
                json!(".5h"),
                "has an unusual format: write 15m, 900s, 1h30m or 0.5h",
                json!(null),
            )
        },
        by_server(case("/expiringThreshold", json!("0s"), "must be ", json!("12h"))),
        case(
            "/registries/0/domains",
            json!(["https://img.example.com/"]),
            "has a scheme or a trailing /: write only ",
            json!(["img.example.com"]),
        ),
        case(
            "/registries/0/domains",
            json!(["IMG.example.com"]),
            "write host[:port][/path] in lower case, such as demo-registry.cn-hangzhou.cr.aliyuncs.com",
            json!(["demo-registry.cn-hangzhou.cr.aliyuncs.com", "img.example.com:5000/team"]),
        ),
        Case {
            accepted: [
                ("In", json!(["a"])),
                ("NotIn", json!(["a"])),
                ("Exists", json!([])),
                ("DoesNotExist", json!([])),
            ]
            .map(|(name, values)| ("/watchNamespaces/selector", operator(name, values)))
            .into(),
            ..case(
                "/watchNamespaces/selector",
                operator("Equals", json!(["a"])),
                "does not exist: use In, NotIn, Exists or DoesNotExist",
                json!(null),
            )
        },
        Case {
            accepted: vec![("/watchNamespaces", json!({ "names": ["*"] }))],
            ..by_server(case("/watchNamespaces/selector", json!({}), everything, json!(null)))
        },
        Case {
            accepted: vec![("/serviceAccounts", json!({ "names": ["*"] }))],
            ..by_server(case("/serviceAccounts/selector", json!({}), everything, json!(null)))
        },
    ]
}

#[tokio::test]
async fn a_refused_spec_is_accepted_once_it_is_written_as_the_message_says() {
    let server = Server::get().await;
    for Case { pointer, refused, words, by_server, accepted } in cases() {
        let object = valid_with(pointer, &refused);
        let invalid = parse(&object).expect_err(words);
        let said: Vec<String> = invalid.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|message| message.contains(words)), "{words}: {said:?}");
        let refusal = server.dry_run(&object).await.expect_err(words);
        assert!(!by_server || refusal.message.contains(words), "{words}: {}", refusal.message);
        for (pointer, value) in accepted {
            let object = valid_with(pointer, &value);
            parse(&object).unwrap_or_else(|invalid| panic!("{words}: {value}: {invalid:?}"));
            server.dry_run(&object).await.unwrap_or_else(|refusal| panic!("{words}: {value}: {refusal:?}"));
        }
    }
}
