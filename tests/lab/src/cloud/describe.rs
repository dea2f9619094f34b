//! A description of the world for readers who point another client at it.

use std::collections::BTreeSet;
use std::fmt;

use super::world::{HttpTokens, KeyStatus, Role, World};

const NONE: &str = "none";

/// Endpoints, identities with their keys, instances and domains, a line each.
pub(super) struct Description<'a> {
    /// The world to describe.
    pub(super) world: &'a World,
    /// `http://127.0.0.1:<port>`.
    pub(super) address: &'a str,
}

impl fmt::Display for Description<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { world, address } = self;
        write_endpoints(f, world, address)?;
        write_identities(f, world)?;
        write_instances(f, world)
    }
}

fn write_endpoints(text: &mut fmt::Formatter<'_>, world: &World, address: &str) -> fmt::Result {
    let region = &world.cluster_region;
    writeln!(text, "Simulated Alibaba Cloud at {address}")?;
    writeln!(text, "  plain HTTP; also an HTTP proxy, so real host names work with http_proxy={address}")?;
    writeln!(text, "  cr   cr-vpc.{region}.aliyuncs.com, cr.<region>.aliyuncs.com")?;
    writeln!(text, "  sts  sts-vpc.{region}.aliyuncs.com, sts.<region>.aliyuncs.com, sts.aliyuncs.com")?;
    writeln!(text, "  ECS metadata  {address}/latest/ ({})", metadata_mode(world))?;
    let regions: Vec<_> = world.regions.keys().map(String::as_str).collect();
    writeln!(text, "  regions  {}", regions.join(", "))
}

fn write_identities(text: &mut fmt::Formatter<'_>, world: &World) -> fmt::Result {
    for (id, account) in &world.accounts {
        let owner = if *id == world.cluster_account { " (owns the cluster)" } else { "" };
        writeln!(text, "Account {id}{owner}")?;
        for (name, role) in &account.roles {
            let node = id == &world.cluster_account && world.node.role.as_ref() == Some(name);
            let node = if node { ", the node's role" } else { "" };
            writeln!(text, "  role acs:ram::{id}:role/{name}{node}, max {} s", role.max_session_duration)?;
            writeln!(text, "    allowed  {}", list(&role.policy.allow))?;
            writeln!(text, "    trusts   {}", trusted(role))?;
        }
        for (name, user) in &account.users {
            writeln!(text, "  user {name}")?;
            writeln!(text, "    allowed  {}", list(&user.policy.allow))?;
        }
        for (name, provider) in &account.oidc_providers {
            writeln!(text, "  OIDC provider acs:ram::{id}:oidc-provider/{name}")?;
            writeln!(text, "    issuer   {}", provider.issuer)?;
            writeln!(text, "    clients  {}", list(&provider.client_ids))?;
        }
    }
    for (identity, key) in world.keys() {
        let state = if key.status == KeyStatus::Active { "active" } else { "inactive" };
        writeln!(
            text,
            "AccessKey {} {} ({state}, account {}, {identity})",
            key.id, key.secret, identity.account
        )?;
    }
    Ok(())
}

fn write_instances(text: &mut fmt::Formatter<'_>, world: &World) -> fmt::Result {
    for (id, account) in &world.accounts {
        for region in &account.personal {
            writeln!(text, "Personal registry ({region}, account {id})")?;
            writeln!(
                text,
                "  registry.{region}.aliyuncs.com, registry-vpc.{region}.aliyuncs.com, \
                 registry-internal.{region}.aliyuncs.com"
            )?;
        }
    }
    for (id, instance) in &world.instances {
        writeln!(
            text,
            "Instance {id} {} ({}, account {})",
            instance.name, instance.region, instance.account
        )?;
        for endpoint in &instance.endpoints {
            let state = if endpoint.enable { "" } else { " (disabled)" };
            let domains: Vec<_> = endpoint.domains.iter().map(|held| held.domain.as_str()).collect();
            writeln!(text, "  {}{state}  {}", endpoint.endpoint_type, domains.join(", "))?;
        }
    }
    Ok(())
}

fn metadata_mode(world: &World) -> &'static str {
    match world.node.http_tokens {
        HttpTokens::Required => "hardened mode: a token is required",
        HttpTokens::Optional => "plain mode: a token is optional",
    }
}

/// Lists the principals by their ARNs, and a provider's tokens with their required claims.
fn trusted(role: &Role) -> String {
    let oidc = role.oidc_trust.iter().map(|trust| {
        let wanted = trust.string_equals.iter().map(|(key, values)| format!("{key} {}", list(values)));
        let wanted = wanted.collect::<Vec<_>>().join(" and ");
        let condition = if wanted.is_empty() { String::new() } else { format!(" if {wanted}") };
        format!("{}{condition}", trust.federated)
    });
    let all: Vec<_> = role.trust.iter().cloned().chain(oidc).collect();
    if all.is_empty() { NONE.to_owned() } else { all.join(", ") }
}

fn list(names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return NONE.to_owned();
    }
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
