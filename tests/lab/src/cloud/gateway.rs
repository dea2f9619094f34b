//! The path of one request through the cloud: host, action, authentication, fault, rights, work, record.

use serde_json::{Value, json};

use super::authenticate::{Caller, Nonces, authenticate};
use super::calls::Call;
use super::clock::Millis;
use super::fault::{FaultKind, Faults};
use super::host::Place;
use super::reply::{Refusal, Reply, Style};
use super::request::Request;
use super::route::{Action, Entry, Route};
use super::vault::{Vault, random_hex};
use super::world::World;
use super::{enterprise, metadata, oidc, personal, sts};

/// The cloud's whole state, behind one lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) world: World,
    pub(super) vault: Vault,
    pub(super) nonces: Nonces,
    pub(super) faults: Faults,
    pub(super) calls: Vec<Call>,
    /// The node's current credentials: the role's name and the session's AccessKeyId.
    pub(super) node_session: Option<(String, String)>,
}

/// An authenticated request to an action, as the products see it.
pub(super) struct Asked<'a> {
    pub(super) caller: &'a Caller,
    pub(super) request: &'a Request,
    /// The region of the host that was called.
    pub(super) region: &'a str,
    pub(super) request_id: &'a str,
    pub(super) now: Millis,
}

impl Asked<'_> {
    /// Returns `AccessDeniedDetail`, which names the identity without permission.
    pub(super) fn denied(&self, action: &str, policy_type: &str) -> Value {
        let (principal_type, display_name) = self.caller.identity.principal();
        json!({
            "AuthAction": action,
            "AuthPrincipalType": principal_type,
            "AuthPrincipalDisplayName": display_name,
            "AuthPrincipalOwnerId": self.caller.identity.account,
            "NoPermissionType": "ImplicitDeny",
            "PolicyType": policy_type,
        })
    }
}

/// A reply, and the fault in its delivery.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) fault: Option<FaultKind>,
}

/// Answers a request and records it.
pub(super) fn answer(request: &Request, state: &mut State, now: Millis) -> Answer {
    let mut call = Call::arrived(request, now, request_id());
    let answer = if request.path.starts_with("/latest/") {
        metadata(request, state, &mut call)
    } else {
        open_api(request, state, &mut call)
    };
    call.answered(&answer);
    state.calls.push(call);
    answer
}

fn metadata(request: &Request, state: &mut State, call: &mut Call) -> Answer {
    "ecs-metadata".clone_into(&mut call.product);
    metadata::action(&request.path).clone_into(&mut call.action);
    let fault = state.faults.take(&call.action, None);
    let reply = match fault.as_ref().and_then(FaultKind::refusal) {
        Some(refusal) => refusal.into_metadata_reply(),
        None => metadata::answer(request, state, call.at),
    };
    Answer { reply: spoiled(reply, fault.as_ref(), call.at), fault }
}

fn open_api(request: &Request, state: &mut State, call: &mut Call) -> Answer {
    let mut fault = None;
    let style = if request.path == "/" { Style::Rpc } else { Style::Roa };
    let answered = work(request, state, call, &mut fault);
    let mut reply =
        answered.unwrap_or_else(|refusal| refusal.into_reply(&call.request_id, &call.host, style));
    reply.headers.push(("x-acs-request-id", call.request_id.clone()));
    Answer { reply: spoiled(reply, fault.as_ref(), call.at), fault }
}

/// Authenticates the request and runs its action.
///
/// # Guarantees
/// A fault applies only to requests that are well signed, or show a genuine OIDC token: it never hides a
/// client's own mistake.
fn work(
    request: &Request,
    state: &mut State,
    call: &mut Call,
    fault: &mut Option<FaultKind>,
) -> Result<Reply, Refusal> {
    let place = Place::find(&request.host, &state.world)?;
    let route = Route::find(request, &place)?;
    route.product.name().clone_into(&mut call.product);
    route.recorded.clone_into(&mut call.action);
    route.check_form(request)?;
    let body = match route.entry {
        Entry::Signed(action) => {
            let caller = authenticate(request, state, call.at)?;
            call.by(&caller.identity);
            apply_fault(fault, state, call)?;
            let (region, request_id, now) = (place.region.as_str(), call.request_id.as_str(), call.at);
            act(action, &Asked { caller: &caller, request, region, request_id, now }, state)?
        }
        Entry::OidcToken => {
            let bearer = oidc::prove(request, state, call.at)?;
            apply_fault(fault, state, call)?;
            // Its bearer has no name of its own in the cloud, so the record names the role that it assumed.
            let (identity, body) = oidc::assume(&bearer, state, &call.request_id, call.at)?;
            call.by(&identity);
            body
        }
    };
    Ok(Reply::json(&body))
}

/// Takes the fault for this call, and refuses if the fault is a refusal.
fn apply_fault(fault: &mut Option<FaultKind>, state: &mut State, call: &Call) -> Result<(), Refusal> {
    *fault = state.faults.take(&call.action, call.instance.as_deref());
    fault.as_ref().and_then(FaultKind::refusal).map_or(Ok(()), Err)
}

fn act(action: Action, asked: &Asked<'_>, state: &mut State) -> Result<Value, Refusal> {
    match action {
        Action::GetAuthorizationToken => enterprise::get_authorization_token(asked, state),
        Action::ListInstanceEndpoint => enterprise::list_instance_endpoint(asked, state),
        Action::GetPersonalAuthorizationToken => personal::get_authorization_token(asked, state),
        Action::AssumeRole => sts::assume_role(asked, state),
    }
}

fn spoiled(mut reply: Reply, fault: Option<&FaultKind>, now: Millis) -> Reply {
    if let Some(fault) = fault {
        fault.edit(&mut reply, now);
    }
    reply
}

/// Returns a request ID in the cloud's form: an upper-case UUID.
fn request_id() -> String {
    let groups = [8, 4, 4, 4, 12].map(random_hex);
    groups.join("-").to_ascii_uppercase()
}
