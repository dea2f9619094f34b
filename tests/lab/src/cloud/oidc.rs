//! AssumeRoleWithOIDC of STS, version 2015-04-01: a session for the bearer of an OIDC token, with no key at
//! all.
//!
//! ```text
//! [prove]: form -> provider -> signature -> issuer, audience, times
//! [assume]: role -> trust policy -> duration -> session
//! ```

use serde_json::{Value, json};

use super::clock::{Millis, iso8601};
use super::gateway::State;
use super::identity::{Identity, parse_oidc_provider_arn};
use super::jwt::{Claims, Jwt};
use super::reply::Refusal;
use super::request::Request;
use super::sts::Wanted;
use super::world::{OidcProvider, Role, World};

/// The bearer of a genuine token that is meant for this provider and valid now.
#[derive(Debug)]
pub(super) struct Bearer<'a> {
    wanted: Wanted<'a>,
    provider_arn: &'a str,
    claims: Claims,
}

/// Verifies the token. [`assume`] decides what its bearer gets.
///
/// # Caveats
/// A request signature is ignored. The world holds the issuers' keys: the simulator fetches nothing, so it
/// never answers `.IssuerConfigurationBroken` or `.HttpsUrlInvalid`.
pub(super) fn prove<'a>(request: &'a Request, state: &mut State, now: Millis) -> Result<Bearer<'a>, Refusal> {
    let provider_arn = request.required("OIDCProviderArn")?;
    let token = request.required("OIDCToken")?;
    let wanted = Wanted::read(request)?;
    let invalid = || bad_token("Invalid", "The OIDC token is invalid.");
    let jwt = Some(token).filter(|token| (4..=20_000).contains(&token.len())).and_then(Jwt::parse);
    if jwt.is_some() {
        // A refused token is as secret as an accepted one: it may be valid elsewhere.
        state.vault.remember(token);
    }
    let provider = find_provider(provider_arn, &state.world)
        .ok_or_else(|| no_permission("No such OIDC Provider registered."))?;
    let jwt = jwt.ok_or_else(invalid)?;
    if !jwt.is_signed_by(&provider.jwks) {
        return Err(bad_token("InvalidSignature", "The signature of the OIDC token is invalid."));
    }
    let claims = jwt.claims;
    if claims.iss != provider.issuer {
        return Err(bad_token("IssuerNotMatch", "The issuer of the OIDC token is not the provider's."));
    }
    if !claims.aud.iter().any(|meant| provider.client_ids.contains(meant)) {
        return Err(bad_token(
            "AudienceNotMatch",
            "The audience of the OIDC token is not a client of the provider.",
        ));
    }
    if now >= claims.exp.saturating_mul(1000) {
        return Err(bad_token("Expired", "The OIDC token is expired."));
    }
    if claims.nbf.is_some_and(|start| now < start.saturating_mul(1000)) {
        return Err(invalid());
    }
    Ok(Bearer { wanted, provider_arn, claims })
}

/// Opens a session of the role, if its trust policy names the provider and the token meets its conditions.
pub(super) fn assume(
    bearer: &Bearer<'_>,
    state: &mut State,
    request_id: &str,
    now: Millis,
) -> Result<(Identity, Value), Refusal> {
    let role = bearer.wanted.role(&state.world)?;
    if !is_trusted(bearer, role) {
        return Err(no_permission("There is no permission"));
    }
    bearer.wanted.check_duration(role)?;
    let session = bearer.wanted.open(state, now);
    let mut reply = bearer.wanted.reply(&session, request_id);
    let claims = &bearer.claims;
    reply["OIDCTokenInfo"] = json!({
        "Issuer": claims.iss,
        "Subject": claims.sub,
        "ClientIds": claims.aud.join(","),
        "ExpirationTime": iso8601(claims.exp.saturating_mul(1000)),
        "IssuanceTime": iso8601(claims.iat.saturating_mul(1000)),
        "VerificationInfo": "Success",
    });
    Ok((session.identity, reply))
}

fn find_provider<'w>(arn: &str, world: &'w World) -> Option<&'w OidcProvider> {
    let (account, name) = parse_oidc_provider_arn(arn)?;
    world.accounts.get(account)?.oidc_providers.get(name)
}

/// Returns whether the role trusts the bearer. A condition on a key that OIDC tokens have no value for fails
/// for all of them.
fn is_trusted(bearer: &Bearer<'_>, role: &Role) -> bool {
    let claims = &bearer.claims;
    let values = |key: &str| match key {
        "oidc:iss" => std::slice::from_ref(&claims.iss),
        "oidc:sub" => std::slice::from_ref(&claims.sub),
        "oidc:aud" => claims.aud.as_slice(),
        _ => &[],
    };
    let mut trusts = role.oidc_trust.iter().filter(|trust| trust.federated == bearer.provider_arn);
    trusts.any(|trust| {
        let mut conditions = trust.string_equals.iter();
        conditions.all(|(key, wanted)| values(key).iter().any(|value| wanted.contains(value)))
    })
}

fn no_permission(message: &str) -> Refusal {
    Refusal::new(401, "AuthenticationFail.NoPermission", message)
}

fn bad_token(ending: &str, message: &str) -> Refusal {
    Refusal::new(401, format!("AuthenticationFail.OIDCToken.{ending}"), message)
}
