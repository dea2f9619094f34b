//! Further instances of the simulated cloud, as many as a measurement needs.

use acr_lab::cloud::{
    World,
    world::{Domain, DomainKind, Endpoint, Instance},
};
use serde_json::{Value, json};

/// Returns the ID of an instance, by its number.
pub(crate) fn instance_id(number: usize) -> String {
    format!("cri-bad{number:05}")
}

/// Adds this many instances to the world; `account` owns them.
pub(crate) fn add_instances(world: &mut World, account: &str, count: usize) {
    for number in 0..count {
        let name = format!("bad{number:05}");
        let endpoint = |kind: &str, infix: &str| Endpoint {
            endpoint_type: kind.to_owned(),
            enable: true,
            acl_enable: false,
            status: "RUNNING".to_owned(),
            domains: vec![Domain {
                domain: format!("{name}-registry{infix}.cn-hangzhou.cr.aliyuncs.com"),
                kind: DomainKind::System,
            }],
            linked_vpcs: Vec::new(),
            acl_entries: Vec::new(),
        };
        let instance = Instance {
            region: "cn-hangzhou".to_owned(),
            account: account.to_owned(),
            endpoints: vec![endpoint("internet", ""), endpoint("vpc", "-vpc")],
            name: name.clone(),
        };
        world.instances.insert(instance_id(number), instance);
    }
}

/// Returns the registries of a binding that name some of these instances.
pub(crate) fn registries(numbers: impl IntoIterator<Item = usize>) -> Value {
    numbers.into_iter().map(|number| json!({ "instanceId": instance_id(number) })).collect()
}
