//! ACR Personal, version 2016-06-07.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::enterprise::{TEMP_USERNAME, no_privilege, token_expiry};
use super::gateway::{Asked, State};
use super::reply::Refusal;
use super::vault::{Registry, RegistryToken, random_hex};
use super::world::{MissingPersonal, World};

const ACTION: &str = "cr:GetAuthorizationToken";

/// Mints a token for the caller's account in the region that was called. It expires by the same rule as
/// Enterprise's.
pub(super) fn get_authorization_token(asked: &Asked<'_>, state: &mut State) -> Result<Value, Refusal> {
    let identity = asked.caller.identity.clone();
    if !identity.may(ACTION, &state.world) {
        return Err(no_privilege(asked, ACTION));
    }
    let exists = has_registry(&state.world, &identity.account, asked.region);
    if let (false, MissingPersonal::Refusal { status, code }) =
        (exists, &state.world.unconfirmed.missing_personal)
    {
        return Err(Refusal::new(*status, code, "Access denied for this user."));
    }
    let expires = token_expiry(asked, &state.world);
    let facts = json!({ "time": expires.to_string(), "type": "sub", "userId": identity.account });
    let token = format!("{}:{}", STANDARD.encode(facts.to_string()), random_hex(40));
    let opens = Registry::Personal { account: identity.account.clone(), region: asked.region.to_owned() };
    let user = TEMP_USERNAME.to_owned();
    state.vault.keep_registry_token(&token, RegistryToken { user, opens, identity, expires });
    Ok(json!({
        "data": { "authorizationToken": token, "tempUserName": TEMP_USERNAME, "expireDate": expires },
        "requestId": asked.request_id,
    }))
}

/// Returns whether a Personal registry exists and accepts tokens. Always true for another edition.
pub(super) fn accepts_tokens(registry: &Registry, world: &World) -> bool {
    match registry {
        Registry::Instance(_) => true,
        Registry::Personal { account, region } => has_registry(world, account, region),
    }
}

fn has_registry(world: &World, account: &str, region: &str) -> bool {
    world.accounts.get(account).is_some_and(|held| held.personal.contains(region))
}
