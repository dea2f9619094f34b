//! Cures of a spec that is refused: what each message asks for is accepted, by the API server and by the controller.

use serde_json::{Value, json};

use crate::server::{Server, parse, valid_with};

/// A refused value, words of its message, and what they ask for; each with its JSON pointer below `spec`.
struct Case {
    pointer: &'static str,
    refused: Value,
    words: &'static str,
    says: By,
    accepted: Vec<(&'static str, Value)>,
}

/// Who says the words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Controller,
    Server,
    Both,
}

fn case(pointer: &'static str, refused: Value, words: &'static str, accepted: Value) -> Case {
    Case { pointer, refused, words, says: By::Controller, accepted: vec![(pointer, accepted)] }
}

fn by_server(case: Case) -> Case {
    Case { says: By::Both, ..case }
}

fn by_server_alone(case: Case) -> Case {
    Case { says: By::Server, ..case }
}

/// Returns an entry with more fields.
fn entry(more: Value) -> Value {
    let mut entry = json!({ "instanceId": "cri-abc123", "regionId": "cn-hangzhou" });
    for (key, value) in more.as_object().unwrap() {
        entry[key] = value.clone();
    }
    entry
}

/// Returns the cases of an instance, its region and its domains.
fn addresses() -> Vec<Case> {
    let instance = |refused: &str, words, accepted: &str| {
        case("/registries/0/instanceId", json!(refused), words, json!(accepted))
    };
    let region = |refused: &str, words, accepted: &str| {
        case("/registries/0/regionId", json!(refused), words, json!(accepted))
    };
    let domain = |refused: &str, words, accepted: &[&str]| {
        case("/registries/0/domains", json!([refused]), words, json!(accepted))
    };
    const HOST: &str = "shop-registry.cn-hangzhou.cr.aliyuncs.com";
    let with_host = || vec![("/registries/0", entry(json!({ "domains": [HOST] })))];
    let image = "img.example.com/team/app:1";
    vec![
        by_server(instance("crpi-abc", "or use an Enterprise Edition instance", "cri-abc")),
        instance("CRI_ABC", "is not an Enterprise instance ID: write ", "cri-abc"),
        instance("shop", "that the console shows with the instance's name", "cri-abc"),
        instance("shop", "or omit it for the Personal Edition", ""),
        Case {
            accepted: with_host(),
            ..instance(HOST, "write cri-… as in the console, and the host in domains", "")
        },
        by_server_alone(Case { accepted: with_host(), ..instance(HOST, "write the host in domains", "") }),
        by_server_alone(region("华东1", "write the ID, not the name in the console", "cn-hangzhou")),
        region("华东9", "write the ID, not the console's name", "cn-hangzhou"),
        region("华东1", "is not a region ID: write ", "cn-hangzhou"),
        region("cn-hangzhou-b", "is a zone and not a region: write its region ", "cn-hangzhou"),
        by_server_alone(region("cn-hangzhou-b", "write its region cn-hangzhou", "cn-hangzhou")),
        domain("a:b@img.example.com", "the address has a user name in it: write only ", &["img.example.com"]),
        domain(
            "a.com,b.com",
            "lists several addresses: write each as an item of its own",
            &["a.com", "b.com"],
        ),
        domain("https://img.example.com/", ": write only ", &["img.example.com"]),
        domain(image, ": write only ", &["img.example.com/team/app"]),
        by_server_alone(domain(
            "a.com,b.com",
            "write each address as an item of its own",
            &["a.com", "b.com"],
        )),
        by_server_alone(domain("a:b@img.example.com", "leave out the user name", &["img.example.com"])),
        by_server_alone(domain(
            "https://img.example.com/",
            "leave out the scheme and a trailing /",
            &["img.example.com"],
        )),
        by_server_alone(domain(
            image,
            "leave out the tag or the digest of an image",
            &["img.example.com/team/app"],
        )),
        by_server_alone(domain("img.example.com/", "leave out the trailing /", &["img.example.com"])),
    ]
}

/// Returns the cases of numbers, lengths and lists.
fn limits() -> Vec<Case> {
    const ROLE: &str = "acs:ram::1:role/pull";
    let session = |seconds: u32| entry(json!({ "assumeRoleARN": ROLE, "expireDuration": seconds }));
    let email = |length: usize| json!("a".repeat(length));
    let operator = |operator: &str, values: Value| json!({ "matchExpressions": [{ "key": "tier", "operator": operator, "values": values }] });
    vec![
        case("/registries", json!([]), "entries: write 1 to 64", json!([entry(json!({}))])),
        case("/webhook/timeoutSeconds", json!(31), "is out of range: write 1 to 30 seconds", json!(30)),
        case("/registries/0", session(60), "is out of range: write 3600 to 43200 seconds", session(3600)),
        case("/notifyEmail", email(321), "at most 320: write fewer", email(320)),
        case("/expiringThreshold", json!(format!("{}15m", "0h".repeat(20))), ": write fewer", json!("15m")),
        case(
            "/registries/0/assumeRoleARN",
            json!("acs:ram:cn-hangzhou:1:role/pull"),
            "RAM has no region: leave the third part empty",
            json!(ROLE),
        ),
        case(
            "/watchNamespaces/selector",
            operator("In", json!([])),
            "needs values: write values: and a list",
            operator("In", json!(["a"])),
        ),
        case(
            "/watchNamespaces/selector",
            operator("Exists", json!(["a"])),
            "takes no values: delete them",
            operator("Exists", json!([])),
        ),
    ]
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
            json!(["img_example.com"]),
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
    for Case { pointer, refused, words, says, accepted } in
        cases().into_iter().chain(addresses()).chain(limits())
    {
        let object = valid_with(pointer, &refused);
        let invalid = parse(&object).expect_err(words);
        let said: Vec<String> = invalid.iter().map(ToString::to_string).collect();
        let by_controller = said.iter().any(|message| message.contains(words));
        assert!(says == By::Server || by_controller, "{words}: {said:?}");
        let refusal = server.dry_run(&object).await.expect_err(words);
        assert!(says == By::Controller || refusal.message.contains(words), "{words}: {}", refusal.message);
        for (pointer, value) in accepted {
            let object = valid_with(pointer, &value);
            parse(&object).unwrap_or_else(|invalid| panic!("{words}: {value}: {invalid:?}"));
            server.dry_run(&object).await.unwrap_or_else(|refusal| panic!("{words}: {value}: {refusal:?}"));
        }
    }
}
