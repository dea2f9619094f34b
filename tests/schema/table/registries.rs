//! Entries of `spec.registries`.

use serde_json::{Value, json};

use super::{Field, list, long, texts};

pub fn registries() -> Vec<Field> {
    let of = |length: usize| (0..length).map(|i| json!({ "instanceId": format!("cri-{i}") })).collect();
    vec![
        Field::at("/registries")
            .passes("registries minItems", [of(1)])
            .breaks(("registries minItems", "spec.registries in body should have at least 1 items"), [of(0)])
            .passes("registries maxItems", [of(64)])
            .breaks(
                ("registries maxItems", "spec.registries: Too many: 65: must have at most 64 items"),
                [of(65)],
            )
            .passes("registries required", [json!([{}])]),
        Field::at("").breaks(("registries required", "spec.registries: Required value"), [json!({})]),
    ]
}

pub fn entry() -> Vec<Field> {
    const ID: &str = "registries[].instanceId cel instanceId must be the ID";
    const NO_TOKEN: &str = "for which the cloud issues no token. Create a pull Secret with kubectl create secret docker-registry";
    const PERSONAL_ID: &str = "registries[].instanceId cel instanceId belongs";
    const REGION: &str = "registries[].regionId cel regionId must be the ID";
    const ZONE: &str = "registries[].regionId cel regionId is the ID of a zone";
    const DOMAIN: &str = "registries[].domains[] cel a domain must be";
    const PERSONAL_HOST: &str = "registries[].domains[] cel the domain belongs";
    const PERSONAL_GLOB: &str = "registries[].domains[] cel the glob belongs";
    let domains = |domains: &[&str]| domains.iter().map(|d| json!([d])).collect::<Vec<_>>();
    vec![
        Field::at("/registries/0/instanceId")
            .passes(ID, [json!(null), json!(""), json!("cri-abc123"), json!("cri-0-a-")])
            .breaks(
                (ID, "instanceId must be the ID cri-… that the console shows with the name"),
                texts([
                    "abc123",
                    "cri-",
                    "cri--a",
                    "CRI-abc123",
                    "cri-ABC",
                    "cri-a,cri-b",
                    " cri-a",
                    "cri-a\n",
                    "生产",
                ]),
            )
            .breaks(
                (ID, "and not a host: write the host in domains"),
                texts(["cri-a.b", "demo-registry.cn-hangzhou.cr.aliyuncs.com"]),
            )
            .passes(PERSONAL_ID, [json!(null), json!("cri-pi")])
            .breaks((PERSONAL_ID, NO_TOKEN), texts(["crpi-k3v9w2m7q1x8abcd", "CRPI-K3V9", "crpi-"]))
            .passes("registries[].instanceId maxLength", [long("cri-", 64)])
            .breaks(
                ("registries[].instanceId maxLength", "spec.registries[0].instanceId: Too long"),
                [long("cri-", 65)],
            ),
        Field::at("/registries/0/regionId")
            .passes(REGION, texts(["cn-hangzhou", "us-east-1", "cn-wulanchabu-acdr-1", "cn-atlantis"]))
            .breaks(
                (REGION, "write the ID, not the name in the console"),
                texts([
                    "",
                    "cn",
                    "cn-",
                    "cn--a",
                    "Hangzhou",
                    "chn-hangzhou",
                    "c1-a",
                    "华东1（杭州）",
                    "China (Hangzhou)",
                ]),
            )
            .breaks(
                (REGION, "regionId must be the ID of a region: write cn-hangzhou"),
                texts(["cn-Hangzhou", "cn_hangzhou", "CN-Hangzhou", "cn hangzhou"]),
            )
            .passes(
                ZONE,
                texts(["cn-hangzhou-finance", "cn-shanghai-finance-1", "cn-wuhan-lr", "cn-hangzhou-1bc"]),
            )
            .breaks(
                (ZONE, "regionId is the ID of a zone and not of a region: write its region cn-hangzhou"),
                texts(["cn-hangzhou-b"]),
            )
            .breaks(
                (ZONE, "write its region cn-shanghai-finance-1"),
                texts(["cn-shanghai-finance-1b", "cn-shanghai-finance-1-b"]),
            )
            .breaks((ZONE, "write its region cn-1"), texts(["cn-1b"]))
            .passes("registries[].regionId maxLength", [json!(null), long("cn-", 32)])
            .breaks(
                ("registries[].regionId maxLength", "spec.registries[0].regionId: Too long"),
                [long("cn-", 33)],
            ),
        Field::at("/registries/0/domains")
            .passes(
                DOMAIN,
                domains(&[
                    "img.example.com",
                    "*.cn-hangzhou.cr.aliyuncs.com",
                    "xxx-registry.*.cr.aliyuncs.com",
                    "localhost",
                    "10.0.0.1:5000",
                    "host:65001",
                    "registry.cn-hangzhou.aliyuncs.com/team-b",
                    "host:1/a/b_c/",
                ]),
            )
            .breaks(
                (DOMAIN, "spec.registries[0].domains[0]: Invalid value"),
                domains(&[
                    "Img.example.com",
                    "img.example.com/Team",
                    "img.example.com:",
                    "img.example.com:123456",
                    "img.example.com:https",
                    ".example.com",
                    "example.com.",
                    "-a.example.com",
                    "a b",
                    "[::1]",
                    "镜像.example.com",
                    "img.example.com\n",
                ]),
            )
            .breaks(
                (DOMAIN, "leave out the scheme and a trailing /"),
                domains(&[
                    "https://img.example.com",
                    "http://img.example.com/",
                    "docker://img.example.com/a:1",
                ]),
            )
            .breaks((DOMAIN, "leave out the trailing /"), domains(&["img.example.com/"]))
            .breaks(
                (DOMAIN, "leave out the tag or the digest of an image"),
                domains(&["img.example.com/team/app:1.2", "img.example.com/app@sha256:01"]),
            )
            .breaks((DOMAIN, "leave out the user name"), domains(&["a@b", "https://u:p@img.example.com/"]))
            .breaks((DOMAIN, "write each address as an item of its own"), domains(&["a,b"]))
            .passes(
                PERSONAL_HOST,
                domains(&[
                    "*.distributed.*.cr.aliyuncs.com",
                    "crpi-mirror.example.com",
                    "registry.cn-hangzhou.aliyuncs.com/crpi-team",
                ]),
            )
            .breaks(
                (PERSONAL_HOST, NO_TOKEN),
                domains(&[
                    "crpi-k3v9w2m7q1x8abcd.cn-hangzhou.personal.cr.aliyuncs.com",
                    "crpi-k3v9w2m7q1x8abcd-vpc.cn-hangzhou.personal.cr.aliyuncs.com:443/team",
                    "CRPI-k3v9.cn-hangzhou.personal.cr.aliyuncs.com",
                    "crpi-k3v9w2m7q1x8abcd",
                    "*.cn-hangzhou.personal.cr.aliyuncs.com",
                ]),
            )
            .passes(
                PERSONAL_GLOB,
                domains(&["*.distributed.*.cr.aliyuncs.com", "demo-registry.*.*.cr.aliyuncs.com"]),
            )
            .breaks(
                (PERSONAL_GLOB, NO_TOKEN),
                domains(&["*.*.*.cr.aliyuncs.com", "*.*.*.*.*.*", "crpi-*.cn-*.p*.cr.aliyuncs.com:443"]),
            )
            .passes("registries[].domains[] minLength", domains(&["a"]))
            .breaks(
                (
                    "registries[].domains[] minLength",
                    "spec.registries[0].domains[0] in body should be at least 1 chars",
                ),
                domains(&[""]),
            )
            .passes("registries[].domains[] maxLength", [json!([long("", 253)])])
            .breaks(
                ("registries[].domains[] maxLength", "spec.registries[0].domains[0]: Too long"),
                [json!([long("", 254)]), json!([long("host/", 254)])],
            )
            .passes("registries[].domains maxItems", [json!([]), list(32)])
            .breaks(
                ("registries[].domains maxItems", "spec.registries[0].domains: Too many: 33"),
                [list(33)],
            ),
    ]
}

pub fn roles() -> Vec<Field> {
    const BAD_ROLES: [&str; 9] = [
        "",
        "role/b",
        "acs:ram::.*:role/b",
        "acs:ram:::role/b",
        "acs:ram::1:role/",
        "acs:ram::1:role/a/b",
        "acs:ram::1:user/b",
        "arn:aws:iam::1:role/b",
        "acs:ram::1:role/b c",
    ];
    let rrsa =
        |role: Value, provider: Value| json!({ "rrsaRoleARN": role, "rrsaOIDCProviderRoleARN": provider });
    let role = || json!("acs:ram::1:role/a");
    let provider = || json!("acs:ram::1:oidc-provider/p");
    vec![
        Field::at("/registries/0/assumeRoleARN")
            .passes(
                "registries[].assumeRoleARN pattern",
                texts(["acs:ram::2:role/b", "acs:ram::1234567890123456:role/A.b_c-D9"]),
            )
            .breaks(
                (
                    "registries[].assumeRoleARN pattern",
                    "spec.registries[0].assumeRoleARN in body should match",
                ),
                texts(BAD_ROLES),
            )
            .passes("registries[].assumeRoleARN maxLength", [json!(null), long("acs:ram::1:role/", 128)])
            .breaks(
                ("registries[].assumeRoleARN maxLength", "spec.registries[0].assumeRoleARN: Too long"),
                [long("acs:ram::1:role/", 129)],
            ),
        Field::at("/registries/0")
            .passes("registries[].rrsaRoleARN pattern", [rrsa(role(), provider())])
            .breaks(
                ("registries[].rrsaRoleARN pattern", "spec.registries[0].rrsaRoleARN in body should match"),
                texts(BAD_ROLES).map(|bad| rrsa(bad, provider())),
            )
            .passes("registries[].rrsaRoleARN maxLength", [rrsa(long("acs:ram::1:role/", 128), provider())])
            .breaks(
                ("registries[].rrsaRoleARN maxLength", "spec.registries[0].rrsaRoleARN: Too long"),
                [rrsa(long("acs:ram::1:role/", 129), provider())],
            )
            .passes(
                "registries[].rrsaOIDCProviderRoleARN pattern",
                [rrsa(role(), provider()), rrsa(role(), json!("acs:ram::1:oidc-provider/ack-rrsa-c1_2.3"))],
            )
            .breaks(
                (
                    "registries[].rrsaOIDCProviderRoleARN pattern",
                    "spec.registries[0].rrsaOIDCProviderRoleARN in body should match",
                ),
                texts([
                    "",
                    "acs:ram::1:role/a",
                    "acs:ram::x:oidc-provider/p",
                    "acs:ram::1:oidc-provider/",
                    "p",
                ])
                .map(|bad| rrsa(role(), bad)),
            )
            .passes(
                "registries[].rrsaOIDCProviderRoleARN maxLength",
                [rrsa(role(), long("acs:ram::1:oidc-provider/", 192))],
            )
            .breaks(
                (
                    "registries[].rrsaOIDCProviderRoleARN maxLength",
                    "spec.registries[0].rrsaOIDCProviderRoleARN: Too long",
                ),
                [rrsa(role(), long("acs:ram::1:oidc-provider/", 193))],
            ),
    ]
}

pub fn identities() -> Vec<Field> {
    const PAIR: &str = "registries[] cel rrsaRoleARN and rrsaOIDCProviderRoleARN go together";
    const TWO_WAYS: &str = "registries[] cel rrsaRoleARN and accessKeySecretRef exclude each other";
    const SESSION: &str = "registries[] cel expireDuration needs an assumed role";
    const LOW: &str = "registries[].expireDuration minimum";
    const HIGH: &str = "registries[].expireDuration maximum";
    let (role, provider) = ("acs:ram::1:role/a", "acs:ram::1:oidc-provider/p");
    let both = json!({ "rrsaRoleARN": role, "rrsaOIDCProviderRoleARN": provider });
    let session = |seconds: i64| json!({ "assumeRoleARN": role, "expireDuration": seconds });
    let with = |mut entry: Value, key: &str, value: Value| {
        entry[key] = value;
        entry
    };
    let secret = json!({ "name": "ak" });
    vec![
        Field::at("/registries/0")
            .passes(
                PAIR,
                [json!({}), both.clone(), json!({ "rrsaRoleARN": null, "rrsaOIDCProviderRoleARN": null })],
            )
            .breaks(
                (PAIR, "rrsaRoleARN and rrsaOIDCProviderRoleARN go together: set both or neither"),
                [
                    json!({ "rrsaRoleARN": role }),
                    json!({ "rrsaOIDCProviderRoleARN": provider }),
                    json!({ "rrsaRoleARN": role, "rrsaOIDCProviderRoleARN": null }),
                    json!({ "rrsaRoleARN": null, "rrsaOIDCProviderRoleARN": provider }),
                    json!({ "rrsaOIDCProviderRoleARN": provider, "accessKeySecretRef": secret }),
                ],
            )
            .passes(
                TWO_WAYS,
                [
                    json!({ "accessKeySecretRef": secret }),
                    json!({ "accessKeySecretRef": secret, "rrsaRoleARN": null }),
                    json!({ "accessKeySecretRef": secret, "assumeRoleARN": role }),
                    with(both.clone(), "accessKeySecretRef", json!(null)),
                    with(both.clone(), "assumeRoleARN", json!("acs:ram::2:role/b")),
                ],
            )
            .breaks(
                (TWO_WAYS, "rrsaRoleARN and accessKeySecretRef exclude each other: set one of them"),
                [with(both.clone(), "accessKeySecretRef", secret.clone())],
            )
            .passes(
                SESSION,
                [
                    session(3600),
                    with(both, "expireDuration", json!(3600)),
                    json!({ "expireDuration": null }),
                    json!({ "assumeRoleARN": role, "expireDuration": null }),
                ],
            )
            .breaks(
                (SESSION, "expireDuration needs an assumed role: set assumeRoleARN or rrsaRoleARN"),
                [
                    json!({ "expireDuration": 3600 }),
                    json!({ "expireDuration": 3600, "accessKeySecretRef": secret }),
                    json!({ "expireDuration": 3600, "assumeRoleARN": null }),
                ],
            )
            .passes(LOW, [session(3600)])
            .breaks(
                (LOW, "spec.registries[0].expireDuration in body should be greater than or equal to 3600"),
                [session(3599), session(0), session(-3600)],
            )
            .passes(HIGH, [session(43200)])
            .breaks(
                (HIGH, "spec.registries[0].expireDuration in body should be less than or equal to 43200"),
                [session(43201), session(i64::from(i32::MAX))],
            ),
        Field::at("/registries/0/accessKeySecretRef")
            .passes("registries[].accessKeySecretRef.name required", [secret.clone()])
            .breaks(
                (
                    "registries[].accessKeySecretRef.name required",
                    "spec.registries[0].accessKeySecretRef.name: Required value",
                ),
                [json!({})],
            )
            .passes(
                "registries[].accessKeySecretRef.name pattern",
                ["ak", "ak.team-b", "0"].map(|n| json!({ "name": n })),
            )
            .breaks(
                (
                    "registries[].accessKeySecretRef.name pattern",
                    "spec.registries[0].accessKeySecretRef.name in body should match",
                ),
                ["AK", "-ak", "ak-", "ak_b", "ak*", "ns/ak", "ak b"].map(|n| json!({ "name": n })),
            )
            .passes("registries[].accessKeySecretRef.name minLength", [json!({ "name": "a" })])
            .breaks(
                (
                    "registries[].accessKeySecretRef.name minLength",
                    "spec.registries[0].accessKeySecretRef.name in body should be at least 1 chars",
                ),
                [json!({ "name": "" })],
            )
            .passes("registries[].accessKeySecretRef.name maxLength", [json!({ "name": long("", 253) })])
            .breaks(
                (
                    "registries[].accessKeySecretRef.name maxLength",
                    "spec.registries[0].accessKeySecretRef.name: Too long",
                ),
                [json!({ "name": long("", 254) })],
            ),
    ]
}
