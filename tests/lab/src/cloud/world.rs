//! The content of the simulated cloud, as plain data that a test changes while it runs.
//!
//! Nothing here decides anything: `identity` checks rights and trust; `enterprise`, `sts` and `metadata`
//! answer from it. A change counts from the next request on, as a change in a RAM console does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The cloud's whole content.
#[derive(Clone, Debug)]
pub struct World {
    /// The region of the cluster, whose VPC hosts can be reached. It is also the region of requests to the
    /// numeric loopback address.
    pub cluster_region: String,
    /// The account that owns the cluster's nodes.
    pub cluster_account: String,
    /// Regions by id; a host name of another region belongs to no product.
    pub regions: BTreeMap<String, Region>,
    /// Accounts by id.
    pub accounts: BTreeMap<String, Account>,
    /// Enterprise instances by id (`cri-…`).
    pub instances: BTreeMap<String, Instance>,
    /// The node that the ECS metadata service describes.
    pub node: Node,
    /// Lifetimes of credentials.
    pub lifetimes: Lifetimes,
    /// Replies without a source: `docs/contributing/cloud-api.md`, "Undocumented behaviour".
    pub unconfirmed: Unconfirmed,
}

/// One region.
#[derive(Clone, Debug)]
pub struct Region {
    /// Whether `cr-vpc.<region>` exists: the endpoints page lists none for `cn-huhehaote`, `cn-wulanchabu` and
    /// `cn-heyuan`.
    pub cr_vpc: bool,
}

/// An Alibaba Cloud account with what RAM holds in it.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Keys of the account itself, which may do anything but assume a role.
    pub root_keys: Vec<AccessKey>,
    /// RAM users by name.
    pub users: BTreeMap<String, User>,
    /// RAM roles by name.
    pub roles: BTreeMap<String, Role>,
    /// OIDC identity providers by name: `acs:ram::<account>:oidc-provider/<name>`.
    pub oidc_providers: BTreeMap<String, OidcProvider>,
    /// Regions where it has a Personal Edition registry of the kind that tokens open. One created after
    /// 2024-09-08 (`crpi-….<region>.personal.cr.aliyuncs.com`) takes fixed passwords only, so it does not count.
    pub personal: BTreeSet<String>,
}

/// A RAM user.
#[derive(Clone, Debug, Default)]
pub struct User {
    /// What the user may do.
    pub policy: Policy,
    /// Its AccessKeys; RAM allows two, so that one can replace the other.
    pub keys: Vec<AccessKey>,
}

/// A long-lived AccessKey pair.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// The AccessKeyId, which is not secret.
    pub id: String,
    /// The AccessKeySecret.
    pub secret: String,
    /// Whether it may be used.
    pub status: KeyStatus,
}

/// RAM's two states of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStatus {
    /// Usable.
    Active,
    /// Disabled: `InvalidAccessKeyId.Inactive`.
    Inactive,
}

/// A RAM role.
#[derive(Clone, Debug)]
pub struct Role {
    /// What a session of the role may do.
    pub policy: Policy,
    /// ARNs of the identities that may assume it: `acs:ram::<account>:root` (anyone of that account),
    /// `…:user/<name>` or `…:role/<name>`.
    pub trust: BTreeSet<String>,
    /// The OIDC tokens that open a session of it.
    pub oidc_trust: Vec<OidcTrust>,
    /// `MaxSessionDuration` in seconds; RAM allows 3600 to 43200.
    pub max_session_duration: u32,
}

/// An OIDC identity provider that RAM trusts.
#[derive(Clone, Debug)]
pub struct OidcProvider {
    /// `IssuerUrl`: the required `iss` of a token.
    pub issuer: String,
    /// `ClientIds`: a token's `aud` must have one of them.
    pub client_ids: BTreeSet<String>,
    /// The JSON Web Key Set that the issuer publishes. RAM fetches it; here the world holds it.
    pub jwks: serde_json::Value,
}

/// A statement of a trust policy that lets tokens of an OIDC provider assume the role.
#[derive(Clone, Debug)]
pub struct OidcTrust {
    /// `Principal.Federated`: the provider's ARN.
    pub federated: String,
    /// `Condition.StringEquals`: for each key (`oidc:iss`, `oidc:aud`, `oidc:sub`) the values of which the
    /// token must have one. A key that is absent demands nothing.
    pub string_equals: BTreeMap<String, BTreeSet<String>>,
}

/// Allowed actions, each on every resource (`*`). A trailing `*` in an action matches any ending.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// For example `cr:GetAuthorizationToken`, `cr:*`.
    pub allow: BTreeSet<String>,
}

impl Policy {
    /// Returns a policy that allows these actions and nothing else.
    pub fn allowing(actions: &[&str]) -> Self {
        Self { allow: actions.iter().map(ToString::to_string).collect() }
    }
}

/// An ACR Enterprise instance.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Its only region: elsewhere it does not exist.
    pub region: String,
    /// The owning account.
    pub account: String,
    /// `InstanceName`, the beginning of its system domains.
    pub name: String,
    /// The endpoints that `ListInstanceEndpoint` lists for the module `Registry`.
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint of an instance.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `EndpointType`: `internet` or `vpc`.
    pub endpoint_type: String,
    /// `Enable`; a disabled endpoint is listed too.
    pub enable: bool,
    /// `AclEnable`.
    pub acl_enable: bool,
    /// `Status`, for example `RUNNING`.
    pub status: String,
    /// Host names.
    pub domains: Vec<Domain>,
    /// `VpcId`s; a VPC domain resolves only inside a linked VPC.
    pub linked_vpcs: Vec<String>,
    /// CIDR blocks, left out of the reply under `Summary=true`.
    pub acl_entries: Vec<String>,
}

/// A host name of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The host name, without scheme or port.
    pub domain: String,
    /// Origin of the host name.
    pub kind: DomainKind,
}

/// `Domains[].Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainKind {
    /// Assigned by the cloud.
    System,
    /// Chosen by the customer.
    User,
}

/// The ECS node under the controller.
#[derive(Clone, Debug)]
pub struct Node {
    /// The RAM role bound to it, of the cluster's account; `None` makes the role path answer 404.
    pub role: Option<String>,
    /// Whether the metadata service requires a token.
    pub http_tokens: HttpTokens,
    /// Lifetime of the role's credentials; six hours in the documentation's sample.
    pub credentials_life: Duration,
    /// How long before the expiry new credentials are served, but at most half their lifetime.
    pub renew_before: Duration,
}

/// The ECS instance attribute `HttpTokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpTokens {
    /// A token may be used.
    Optional,
    /// Hardened mode: 403 without one.
    Required,
}

/// Lifetimes of credentials. The caps are the lab's own: they let a test see an expiry within seconds, where
/// the cloud's shortest session is 15 minutes.
#[derive(Clone, Debug)]
pub struct Lifetimes {
    /// A registry token requested with a user's AccessKey; one hour.
    pub registry_token: Duration,
    /// The longest lifetime of any registry token.
    pub registry_token_cap: Option<Duration>,
    /// The longest lifetime of any STS session, regardless of `DurationSeconds`.
    pub session_cap: Option<Duration>,
}

/// The cloud's answers where its documentation is silent. A client must cope with every setting.
#[derive(Clone, Debug)]
pub struct Unconfirmed {
    /// `INSTANCE_NOT_EXIST` as an HTTP error with this status, or as 200 with `IsSuccess` false.
    pub missing_instance: MissingInstance,
    /// The answer about an instance that exists in its region, but under another account.
    pub foreign_instance: ForeignInstance,
    /// The answer to an account that requests a Personal token without a registry that takes one.
    pub missing_personal: MissingPersonal,
    /// The status of `InvalidSecurityToken.*`: 400 by one page, 403 by those of DTS.
    pub security_token_status: u16,
}

/// The form of `INSTANCE_NOT_EXIST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingInstance {
    /// An error body with this HTTP status.
    Status(u16),
    /// 200, `IsSuccess: false`.
    NotSuccess,
}

/// The answer to an account without a Personal registry that takes tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissingPersonal {
    /// An error body.
    Refusal {
        /// The HTTP status.
        status: u16,
        /// `code`.
        code: String,
    },
    /// A token as any other, which no registry accepts.
    UselessToken,
}

/// The answer about another account's instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignInstance {
    /// 403 `NoPrivilege`.
    NoPrivilege,
    /// As if it did not exist.
    NotExist,
}

impl World {
    /// Returns a role, by account and name.
    pub fn role(&self, account: &str, name: &str) -> Option<&Role> {
        self.accounts.get(account)?.roles.get(name)
    }

    /// Returns a role to change, by account and name.
    pub fn role_mut(&mut self, account: &str, name: &str) -> Option<&mut Role> {
        self.accounts.get_mut(account)?.roles.get_mut(name)
    }

    /// Returns a user to change, by account and name.
    pub fn user_mut(&mut self, account: &str, name: &str) -> Option<&mut User> {
        self.accounts.get_mut(account)?.users.get_mut(name)
    }

    /// Registers a provider: see [`Cloud::register_oidc_provider`](super::Cloud::register_oidc_provider).
    pub(super) fn register_oidc_provider(
        &mut self,
        account: &str,
        name: &str,
        provider: OidcProvider,
    ) -> String {
        let arn = format!("acs:ram::{account}:oidc-provider/{name}");
        let roles = self.accounts.values_mut().flat_map(|held| held.roles.values_mut());
        let trusts = roles.flat_map(|role| &mut role.oidc_trust).filter(|trust| trust.federated == arn);
        for trust in trusts {
            trust.string_equals.insert("oidc:iss".to_owned(), [provider.issuer.clone()].into());
        }
        let account = self.accounts.entry(account.to_owned()).or_default();
        account.oidc_providers.insert(name.to_owned(), provider);
        arn
    }

    /// Returns every AccessKey with its identity.
    pub(super) fn keys(&self) -> impl Iterator<Item = (super::identity::Identity, &AccessKey)> {
        use super::identity::Identity;
        self.accounts.iter().flat_map(|(account, held)| {
            let root = held.root_keys.iter().map(|key| (Identity::root(account), key));
            let users = held.users.iter().flat_map(move |(name, user)| {
                user.keys.iter().map(move |key| (Identity::user(account, name), key))
            });
            root.chain(users)
        })
    }
}
