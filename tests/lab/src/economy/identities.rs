//! Fifty instances, and the five ways to their tokens.

use acr_lab::cloud::{
    Cloud, CloudConfig, World,
    world::{Domain, DomainKind, Endpoint, Instance, Lifetimes},
};
use anyhow::Context;
use serde_json::{Value, json};

use super::{
    NAMESPACE, PREFIX,
    minimum::{NODE_KEY_LIFE, Pace, THRESHOLD, TOKEN_LIFE},
};
use crate::bench::{call::Call, scout::BINDINGS};

/// Instances of each identity.
pub(super) const EACH: usize = 10;

/// The Secret of the AccessKey pair, which the product's Role grants by this name.
const ACCESS_KEY: &str = "acr-access-key";

/// The regions, in turn.
const REGIONS: [&str; 2] = ["cn-hangzhou", "cn-beijing"];

const ROLE: (&str, &str) = ("assumeRoleARN", "acs:ram::2:role/acr-pull");
const RRSA_ROLE: (&str, &str) = ("rrsaRoleARN", "acs:ram::1:role/acr-rrsa");
const RRSA_PROVIDER: (&str, &str) = ("rrsaOIDCProviderRoleARN", "acs:ram::1:oidc-provider/ack-rrsa-demo");

/// One of the five identities.
pub(super) struct Way {
    /// The name for readers.
    pub(super) name: &'static str,
    /// Whether it signs with the key of the node's role itself.
    pub(super) is_node: bool,
    /// The account that its instances belong to.
    account: &'static str,
    /// The fields of an entry that select it.
    fields: &'static [(&'static str, &'static str)],
    by_key: bool,
}

/// All five identities. Each has ten instances, in this order.
pub(super) const WAYS: [Way; 5] = [
    Way { name: "worker role", is_node: true, account: "1", fields: &[], by_key: false },
    Way {
        name: "worker role → role of account 2",
        is_node: false,
        account: "2",
        fields: &[ROLE],
        by_key: false,
    },
    Way {
        name: "RRSA role",
        is_node: false,
        account: "1",
        fields: &[RRSA_ROLE, RRSA_PROVIDER],
        by_key: false,
    },
    Way {
        name: "RRSA role → role of account 2",
        is_node: false,
        account: "2",
        fields: &[RRSA_ROLE, RRSA_PROVIDER, ROLE],
        by_key: false,
    },
    Way { name: "AccessKey", is_node: false, account: "2", fields: &[], by_key: true },
];

impl Way {
    /// Returns whether its tokens are requested by a session of an assumed role.
    pub(super) fn assumes(&self) -> bool {
        self.fields.contains(&ROLE)
    }

    fn entry(&self, number: usize) -> Value {
        let mut entry = json!({ "instanceId": instance_id(number), "regionId": region(number) });
        for (key, value) in self.fields {
            entry[key] = json!(value);
        }
        if self.by_key {
            entry["accessKeySecretRef"] = json!({ "name": ACCESS_KEY });
        }
        entry
    }
}

/// Returns the number of registries.
pub(super) const fn registries() -> usize {
    WAYS.len() * EACH
}

/// Returns the identity of an instance, or `None` if it is not one of the fifty.
pub(super) fn way_of(instance: &str) -> Option<usize> {
    let number: usize = instance.strip_prefix("cri-econ")?.parse().ok()?;
    Some(number.checked_sub(1)? / EACH).filter(|way| *way < WAYS.len())
}

/// Returns the instances with their numbers, from 1 on, and identities.
fn numbered() -> impl Iterator<Item = (usize, &'static Way)> {
    (0..registries()).map(|index| (index + 1, &WAYS[index / EACH]))
}

fn instance_id(number: usize) -> String {
    format!("cri-econ{number:03}")
}

fn region(number: usize) -> &'static str {
    REGIONS[number % REGIONS.len()]
}

/// Returns the demonstration's world with fifty more instances, in which everything expires sooner.
///
/// The product requests a new key of the node when a third of its lifetime or 15 minutes remain, whichever is
/// less: of a compressed lifetime always the third. In production the new key has been served for a while by
/// then. To match, it is served here from half of the lifetime on.
pub(super) fn world(pace: &Pace) -> World {
    let mut world = CloudConfig::demo().world;
    world.instances = numbered().map(|(number, way)| (instance_id(number), instance(number, way))).collect();
    let life = pace.compressed(TOKEN_LIFE);
    let cap = (!pace.long_node_tokens).then_some(life);
    world.lifetimes = Lifetimes { registry_token: life, registry_token_cap: cap, session_cap: Some(life) };
    world.node.credentials_life = pace.compressed(NODE_KEY_LIFE);
    world.node.renew_before = world.node.credentials_life / 2;
    world
}

fn instance(number: usize, way: &Way) -> Instance {
    let (name, region) = (format!("econ{number:03}"), region(number));
    let endpoint = |kind: &str, infix: &str| Endpoint {
        endpoint_type: kind.to_owned(),
        enable: true,
        acl_enable: false,
        status: "RUNNING".to_owned(),
        domains: vec![Domain {
            domain: format!("{name}-registry{infix}.{region}.cr.aliyuncs.com"),
            kind: DomainKind::System,
        }],
        linked_vpcs: Vec::new(),
        acl_entries: Vec::new(),
    };
    Instance {
        region: region.to_owned(),
        account: way.account.to_owned(),
        endpoints: vec![endpoint("internet", ""), endpoint("vpc", "-vpc")],
        name,
    }
}

/// Returns the Secret with the AccessKey pair.
pub(super) fn access_key(cloud: &Cloud) -> anyhow::Result<Call> {
    let key = cloud.world(|world| world.user_mut("2", "partner-puller")?.keys.first().cloned());
    let key = key.context("the AccessKey's user has no key")?;
    let object = json!({
        "metadata": { "name": ACCESS_KEY },
        "stringData": { "accessKeyId": key.id, "accessKeySecret": key.secret },
    });
    Ok(Call::create(format!("/api/v1/namespaces/{NAMESPACE}/secrets"), &object))
}

/// Returns a binding of the instances with some of the numbers, for every covered namespace. Each identity
/// has ten consecutive numbers.
pub(super) fn binding(name: &str, pace: &Pace, wanted: impl Fn(usize) -> bool) -> Call {
    let registries = numbered().filter(|(number, _)| wanted(*number));
    let threshold = pace.compressed(THRESHOLD);
    let object = json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": { "name": name },
        "spec": {
            "registries": registries.map(|(number, way)| way.entry(number)).collect::<Vec<_>>(),
            "watchNamespaces": { "names": [format!("{PREFIX}*")] },
            "serviceAccounts": { "names": ["*"] },
            "expiringThreshold": format!("{}ms", threshold.as_millis()),
        },
    });
    Call::create(BINDINGS, &object)
}

#[cfg(test)]
mod tests {
    use super::{WAYS, numbered, way_of};

    #[test]
    fn each_instance_belongs_to_its_identity() {
        for (number, way) in numbered() {
            let found = way_of(&super::instance_id(number)).unwrap();
            assert_eq!(WAYS[found].name, way.name);
        }
        for other in ["cri-econ000", "cri-econ051", "cri-demo0001"] {
            assert_eq!(way_of(other), None, "{other}");
        }
    }
}
