//! Authentication of a request: the key, the clock, the nonce, the signature and the session's token.

use std::collections::HashMap;

use super::acs3::{self, Authorization};
use super::clock::{Millis, parse_iso8601};
use super::gateway::State;
use super::identity::Identity;
use super::reply::Refusal;
use super::request::Request;
use super::rpc_sha1;
use super::world::KeyStatus;

/// The largest difference between the two clocks.
const CLOCK_TOLERANCE: Millis = 15 * 60 * 1000;

/// Above this many remembered nonces the expired ones are dropped.
const NONCES_BEFORE_PRUNING: usize = 10_000;

/// The authenticated caller of a request.
#[derive(Debug)]
pub(super) struct Caller {
    /// The caller's identity.
    pub(super) identity: Identity,
    /// When its session expires; `None` for a long-lived key.
    pub(super) expires: Option<Millis>,
}

/// The recently used nonces, by key.
#[derive(Debug, Default)]
pub(super) struct Nonces(HashMap<(String, String), Millis>);

impl Nonces {
    /// Uses a nonce up; false if it was used before. An expired one may be forgotten, since the clock check
    /// refuses a replay by then.
    fn spend(&mut self, access_key_id: &str, nonce: &str, now: Millis) -> bool {
        if self.0.len() > NONCES_BEFORE_PRUNING {
            self.0.retain(|_, spent| (now - *spent).abs() <= 2 * CLOCK_TOLERANCE);
        }
        self.0.insert((access_key_id.to_owned(), nonce.to_owned()), now).is_none()
    }
}

/// The claims of a request, in either style of signing.
struct Claim {
    access_key_id: String,
    date: String,
    nonce: String,
    security_token: Option<String>,
    /// `x-acs-accesskey-id`, which the SDKs send along with a session's token.
    stated_key: Option<String>,
    signed: Signed,
}

enum Signed {
    Acs3(Authorization),
    RpcSha1 { signature: String },
}

/// Verifies a signed request.
///
/// # Guarantees
/// A nonce is spent only by a request that passed every other check, so a refused one can be sent again.
pub(super) fn authenticate(request: &Request, state: &mut State, now: Millis) -> Result<Caller, Refusal> {
    let claim = Claim::read(request)?;
    let (secret, caller) = find_key(&claim.access_key_id, state)?;
    check_date(&claim.date, now)?;
    claim.signed.verify(request, &secret)?;
    check_security_token(&claim, state, now)?;
    if !state.nonces.spend(&claim.access_key_id, &claim.nonce, now) {
        return Err(Refusal::new(400, "SignatureNonceUsed", "Specified signature nonce was used already."));
    }
    Ok(caller)
}

impl Claim {
    fn read(request: &Request) -> Result<Self, Refusal> {
        match request.header("authorization") {
            Some(written) => Self::read_acs3(request, &written),
            None => Self::read_rpc(request),
        }
    }

    fn read_acs3(request: &Request, written: &str) -> Result<Self, Refusal> {
        let authorization = Authorization::parse(written).ok_or_else(|| {
            Refusal::new(
                400,
                "InvalidAuthorization",
                "The Authorization header is not of the documented form.",
            )
        })?;
        for name in acs3::REQUIRED {
            if name != "host" && request.header(name).is_none_or(|value| value.is_empty()) {
                return Err(Refusal::missing(name));
            }
        }
        Ok(Self {
            access_key_id: authorization.credential.clone(),
            date: request.header("x-acs-date").unwrap_or_default(),
            nonce: request.header("x-acs-signature-nonce").unwrap_or_default(),
            security_token: request.header(acs3::SECURITY_TOKEN),
            stated_key: request.header("x-acs-accesskey-id"),
            signed: Signed::Acs3(authorization),
        })
    }

    fn read_rpc(request: &Request) -> Result<Self, Refusal> {
        let needed =
            |name: &str| request.parameter(name).map(str::to_owned).ok_or_else(|| Refusal::missing(name));
        let access_key_id = needed("AccessKeyId")?;
        if needed("SignatureMethod")? != rpc_sha1::METHOD || needed("SignatureVersion")? != "1.0" {
            return Err(Refusal::new(
                400,
                "InvalidSignatureMethod",
                "Specified signature method is not supported.",
            ));
        }
        Ok(Self {
            access_key_id,
            date: needed("Timestamp")?,
            nonce: needed("SignatureNonce")?,
            security_token: request.parameter("SecurityToken").map(str::to_owned),
            stated_key: None,
            signed: Signed::RpcSha1 { signature: needed("Signature")? },
        })
    }
}

impl Signed {
    fn verify(&self, request: &Request, secret: &str) -> Result<(), Refusal> {
        match self {
            Self::RpcSha1 { signature } => {
                let ours = rpc_sha1::signature(&request.method, request.parameters(), secret);
                match ours.map_err(|error| mismatch(error.to_string()))? == *signature {
                    true => Ok(()),
                    false => Err(mismatch(acs3::NO_MATCH)),
                }
            }
            Self::Acs3(authorization) => authorization.verify(request, secret).map_err(mismatch),
        }
    }
}

/// Returns the secret of a key, and its caller.
fn find_key(access_key_id: &str, state: &State) -> Result<(String, Caller), Refusal> {
    if let Some(session) = state.vault.session(access_key_id) {
        let caller = Caller { identity: session.identity.clone(), expires: Some(session.expires) };
        return Ok((session.access_key_secret.clone(), caller));
    }
    let (identity, key) = state.world.keys().find(|(_, key)| key.id == access_key_id).ok_or_else(|| {
        Refusal::new(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
    })?;
    if key.status == KeyStatus::Inactive {
        return Err(Refusal::new(400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled."));
    }
    Ok((key.secret.clone(), Caller { identity, expires: None }))
}

fn check_date(date: &str, now: Millis) -> Result<(), Refusal> {
    let sent = parse_iso8601(date).ok_or_else(|| {
        Refusal::new(
            400,
            "InvalidTimeStamp.Format",
            "Specified time stamp is not of the form yyyy-MM-ddTHH:mm:ssZ.",
        )
    })?;
    if (now - sent).abs() > CLOCK_TOLERANCE {
        return Err(Refusal::new(
            400,
            "InvalidTimeStamp.Expired",
            "Specified time stamp or date value is expired.",
        ));
    }
    Ok(())
}

fn check_security_token(claim: &Claim, state: &State, now: Millis) -> Result<(), Refusal> {
    let refuse = |ending: &str, message: &str| {
        let status = state.world.unconfirmed.security_token_status;
        Err(Refusal::new(status, format!("InvalidSecurityToken.{ending}"), message))
    };
    if claim.stated_key.as_ref().is_some_and(|stated| *stated != claim.access_key_id) {
        return refuse("MismatchWithAccessKey", "x-acs-accesskey-id is not the key of the signature.");
    }
    match (state.vault.session(&claim.access_key_id), claim.security_token.as_deref()) {
        (None, None) => Ok(()),
        (Some(_), None) => {
            Err(Refusal::new(400, "MissingSecurityToken", "SecurityToken is mandatory for this action."))
        }
        (Some(session), Some(token)) if session.security_token == token => {
            if now < session.expires {
                return Ok(());
            }
            refuse("Expired", "Specified SecurityToken is expired.")
        }
        (_, Some(token)) if state.vault.knows_security_token(token) => {
            refuse("MismatchWithAccessKey", "Specified SecurityToken mismatch with the AccessKey.")
        }
        (_, Some(_)) => refuse("Malformed", "Specified SecurityToken is malformed."),
    }
}

fn mismatch(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "SignatureDoesNotMatch", message)
}
