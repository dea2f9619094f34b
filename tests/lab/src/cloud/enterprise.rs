//! ACR Enterprise, version 2018-12-01.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::clock::{Millis, millis};
use super::gateway::{Asked, State};
use super::reply::{Refusal, SUCCESS};
use super::vault::{Registry, RegistryToken, random_hex};
use super::world::{DomainKind, Endpoint, ForeignInstance, Instance, MissingInstance, World};

/// The value seen in use, though the documentation's example differs; clients must take it from the reply.
pub(super) const TEMP_USERNAME: &str = "cr_temp_user";

/// Mints a registry token.
pub(super) fn get_authorization_token(asked: &Asked<'_>, state: &mut State) -> Result<Value, Refusal> {
    let instance = asked.request.required("InstanceId")?;
    find(asked, &state.world, "cr:GetAuthorizationToken", instance)?;
    let expires = token_expiry(asked, &state.world);
    let identity = asked.caller.identity.clone();
    let facts = json!({
        "instanceId": instance,
        "time": expires.to_string(),
        "type": "sub",
        "userId": identity.account,
    });
    let token = format!("{}:{}", STANDARD.encode(facts.to_string()), random_hex(40));
    let (user, opens) = (TEMP_USERNAME.to_owned(), Registry::Instance(instance.to_owned()));
    state.vault.keep_registry_token(&token, RegistryToken { user, opens, identity, expires });
    Ok(json!({
        "RequestId": asked.request_id,
        "Code": SUCCESS,
        "IsSuccess": true,
        "TempUsername": TEMP_USERNAME,
        "AuthorizationToken": token,
        "ExpireTime": expires,
    }))
}

/// Returns when a token expires: after an hour with a long-lived key, else with the caller's session. Both
/// editions have this rule.
pub(super) fn token_expiry(asked: &Asked<'_>, world: &World) -> Millis {
    let lifetimes = &world.lifetimes;
    let natural = asked.caller.expires.unwrap_or(asked.now + millis(lifetimes.registry_token));
    let cap = lifetimes.registry_token_cap.map(|cap| asked.now + millis(cap));
    cap.map_or(natural, |cap| natural.min(cap))
}

/// Lists the endpoints of an instance, disabled ones among them.
pub(super) fn list_instance_endpoint(asked: &Asked<'_>, state: &State) -> Result<Value, Refusal> {
    let instance = asked.request.required("InstanceId")?;
    let instance = find(asked, &state.world, "cr:ListInstanceEndpoint", instance)?;
    let summary = asked.request.parameter("Summary").is_some_and(|value| value == "true");
    let endpoints = match asked.request.parameter("ModuleName") {
        None | Some("" | "Registry") => instance.endpoints.as_slice(),
        Some("Chart") => &[],
        Some(_) => {
            let message = "The specified ModuleName is neither Registry nor Chart.";
            return Err(Refusal::new(400, "InvalidParameter.ModuleName", message));
        }
    };
    Ok(json!({
        "RequestId": asked.request_id,
        "Code": SUCCESS,
        "IsSuccess": true,
        "Endpoints": endpoints.iter().map(|endpoint| written(endpoint, summary)).collect::<Vec<_>>(),
    }))
}

fn written(endpoint: &Endpoint, summary: bool) -> Value {
    let kind = |kind| match kind {
        DomainKind::System => "SYSTEM",
        DomainKind::User => "USER",
    };
    let domains =
        endpoint.domains.iter().map(|held| json!({ "Domain": held.domain, "Type": kind(held.kind) }));
    let vpcs = endpoint.linked_vpcs.iter().map(|id| json!({ "VpcId": id }));
    let mut item = json!({
        "EndpointType": endpoint.endpoint_type,
        "Enable": endpoint.enable,
        "AclEnable": endpoint.acl_enable,
        "Status": endpoint.status,
        "Domains": domains.collect::<Vec<_>>(),
        "LinkedVpcs": vpcs.collect::<Vec<_>>(),
    });
    if !summary {
        item["AclEntries"] = endpoint.acl_entries.iter().map(|entry| json!({ "Entry": entry })).collect();
    }
    item
}

/// Returns the instance, if the caller has the right and it exists in this region under the caller's account.
/// Rights come first: a caller without any learns nothing about which instances exist.
fn find<'w>(asked: &Asked<'_>, world: &'w World, action: &str, id: &str) -> Result<&'w Instance, Refusal> {
    let identity = &asked.caller.identity;
    if !identity.may(action, world) {
        return Err(no_privilege(asked, action));
    }
    let here = world.instances.get(id).filter(|instance| instance.region == asked.region);
    match here {
        Some(instance) if instance.account == identity.account => Ok(instance),
        Some(_) if world.unconfirmed.foreign_instance == ForeignInstance::NoPrivilege => {
            Err(no_privilege(asked, action))
        }
        _ => Err(match world.unconfirmed.missing_instance {
            MissingInstance::Status(status) => {
                Refusal::new(status, "INSTANCE_NOT_EXIST", "The specified instance does not exist.")
            }
            MissingInstance::NotSuccess => Refusal::not_success("INSTANCE_NOT_EXIST"),
        }),
    }
}

/// Returns 403 with the missing right.
pub(super) fn no_privilege(asked: &Asked<'_>, action: &str) -> Refusal {
    Refusal::new(403, "NoPrivilege", "Access denied for this user.")
        .with_detail(asked.denied(action, "AccountLevelIdentityBasedPolicy"))
}
