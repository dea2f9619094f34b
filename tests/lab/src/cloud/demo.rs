//! The world that `lab up` and `demo` start with.

use std::collections::BTreeMap;
use std::time::Duration;

use super::vault::random;
use super::world::{
    AccessKey, Account, Domain, DomainKind, Endpoint, ForeignInstance, HttpTokens, Instance, KeyStatus,
    Lifetimes, MissingInstance, MissingPersonal, Node, OidcTrust, Policy, Region, Role, Unconfirmed, User,
    World,
};

/// The rights that the product's documentation asks users to grant.
const DOCUMENTED_RIGHTS: [&str; 3] =
    ["cr:GetAuthorizationToken", "cr:ListInstanceEndpoint", "cr:PullRepository"];

/// The role of ACK's own credential helper, whose sessions ACK writes into the cluster.
pub(super) const MANAGED_ROLE: &str = "AliyunCSManagedAcrRole";

/// The name that ACK gives to a cluster's provider: `ack-rrsa-` and the cluster's id.
const RRSA_PROVIDER: &str = "ack-rrsa-demo";

const HOUR: Duration = Duration::from_secs(3600);

/// Builds the accounts. Account 1 owns the cluster, two instances, and the roles of its node, of ACK's helper
/// and of the cluster's ServiceAccounts. Account 2 has the partner's instance, a role that trusts account 1's
/// roles, and two users. Both have a Personal registry in the cluster's region.
pub(super) fn world() -> World {
    World {
        cluster_region: "cn-hangzhou".to_owned(),
        cluster_account: "1".to_owned(),
        regions: regions(),
        accounts: [("1".to_owned(), cluster_account()), ("2".to_owned(), partner_account())].into(),
        instances: [
            ("cri-demo0001".to_owned(), instance("1", "cn-hangzhou", "demo", &["img.example.com"])),
            ("cri-demo0002".to_owned(), instance("1", "cn-beijing", "demo-north", &[])),
            ("cri-demo0003".to_owned(), instance("2", "cn-hangzhou", "partner", &[])),
        ]
        .into(),
        node: Node {
            role: Some("KubernetesWorkerRole-demo".to_owned()),
            http_tokens: HttpTokens::Required,
            credentials_life: 6 * HOUR,
            renew_before: HOUR / 2,
        },
        lifetimes: Lifetimes { registry_token: HOUR, registry_token_cap: None, session_cap: None },
        unconfirmed: Unconfirmed {
            missing_instance: MissingInstance::Status(404),
            foreign_instance: ForeignInstance::NotExist,
            missing_personal: MissingPersonal::Refusal { status: 403, code: "NoPrivilege".to_owned() },
            security_token_status: 400,
        },
    }
}

fn regions() -> BTreeMap<String, Region> {
    let usual = ["cn-hangzhou", "cn-beijing", "cn-shanghai", "cn-shenzhen", "cn-hongkong", "ap-southeast-1"];
    let without_vpc = ["cn-huhehaote", "cn-wulanchabu", "cn-heyuan"];
    let all = usual.map(|name| (name, true)).into_iter().chain(without_vpc.map(|name| (name, false)));
    all.map(|(name, cr_vpc)| (name.to_owned(), Region { cr_vpc })).collect()
}

fn cluster_account() -> Account {
    let chaining = [&DOCUMENTED_RIGHTS[..], &["sts:AssumeRole"]].concat();
    let rrsa = Role { oidc_trust: vec![rrsa_trust()], ..role(&chaining, &[]) };
    Account {
        users: [
            ("puller".to_owned(), user("LTAI-demo-puller", KeyStatus::Active, &DOCUMENTED_RIGHTS)),
            ("retired".to_owned(), user("LTAI-demo-retired", KeyStatus::Inactive, &DOCUMENTED_RIGHTS)),
            ("stranger".to_owned(), user("LTAI-demo-stranger", KeyStatus::Active, &[])),
        ]
        .into(),
        roles: [
            ("KubernetesWorkerRole-demo".to_owned(), role(&chaining, &[])),
            ("acr-rrsa".to_owned(), rrsa),
            (MANAGED_ROLE.to_owned(), role(&DOCUMENTED_RIGHTS, &[])),
        ]
        .into(),
        personal: ["cn-hangzhou".to_owned()].into(),
        ..Account::default()
    }
}

fn partner_account() -> Account {
    let trusted = [
        "acs:ram::1:role/KubernetesWorkerRole-demo",
        "acs:ram::1:role/acr-rrsa",
        "acs:ram::2:user/partner-hopper",
    ];
    let hopper = user("LTAI-demo-partner-hopper", KeyStatus::Active, &["sts:AssumeRole"]);
    let puller = user("LTAI-demo-partner-puller", KeyStatus::Active, &DOCUMENTED_RIGHTS);
    Account {
        users: [("partner-hopper".to_owned(), hopper), ("partner-puller".to_owned(), puller)].into(),
        roles: [("acr-pull".to_owned(), role(&DOCUMENTED_RIGHTS, &trusted))].into(),
        personal: ["cn-hangzhou".to_owned()].into(),
        ..Account::default()
    }
}

fn role(rights: &[&str], trusted: &[&str]) -> Role {
    Role {
        policy: Policy::allowing(rights),
        trust: trusted.iter().map(ToString::to_string).collect(),
        oidc_trust: Vec::new(),
        max_session_duration: 3600,
    }
}

/// Returns the trust that the product's documentation describes, but for the issuer, which is known when a
/// cluster runs and its provider is registered.
fn rrsa_trust() -> OidcTrust {
    let subject = "system:serviceaccount:kube-system:aliyun-acr-credential-helper";
    let wanted = [("oidc:aud", "sts.aliyuncs.com"), ("oidc:sub", subject)];
    OidcTrust {
        federated: format!("acs:ram::1:oidc-provider/{RRSA_PROVIDER}"),
        string_equals: wanted.map(|(key, value)| (key.to_owned(), [value.to_owned()].into())).into(),
    }
}

fn user(key: &str, status: KeyStatus, rights: &[&str]) -> User {
    // The secret is drawn at each start, so that scanners find none in the sources.
    let key = AccessKey { id: key.to_owned(), secret: random(30), status };
    User { policy: Policy::allowing(rights), keys: vec![key] }
}

fn instance(account: &str, region: &str, name: &str, own_domains: &[&str]) -> Instance {
    let own = own_domains.iter().map(|name| Domain { domain: (*name).to_owned(), kind: DomainKind::User });
    let system = |infix: &str| Domain {
        domain: format!("{name}-registry{infix}.{region}.cr.aliyuncs.com"),
        kind: DomainKind::System,
    };
    let endpoint = |endpoint_type: &str, domains, linked_vpcs| Endpoint {
        endpoint_type: endpoint_type.to_owned(),
        enable: true,
        acl_enable: false,
        status: "RUNNING".to_owned(),
        domains,
        linked_vpcs,
        acl_entries: Vec::new(),
    };
    Instance {
        region: region.to_owned(),
        account: account.to_owned(),
        name: name.to_owned(),
        endpoints: vec![
            endpoint("internet", std::iter::once(system("")).chain(own).collect(), Vec::new()),
            endpoint("vpc", vec![system("-vpc")], vec![format!("vpc-{region}-demo")]),
        ],
    }
}
