//! The record of requests, so that tests can count instead of guess.

use super::clock::Millis;
use super::fault::FaultKind;
use super::gateway::Answer;
use super::identity::Identity;
use super::request::Request;

/// One request that reached the cloud, with its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When it arrived, by the cloud's clock.
    pub at: Millis,
    /// The `Host` header as sent.
    pub host: String,
    /// `cr`, `sts`, `ecs-metadata`; empty if the request named none that exists.
    pub product: String,
    /// The action's name as sent, but `Personal:GetAuthorizationToken` for that of the Personal Edition, which
    /// shares its name with Enterprise's; `IMDS:token`, `IMDS:role`, `IMDS:credentials`, `IMDS:region-id`,
    /// `IMDS:owner-account-id` or `IMDS:other` for the metadata service.
    pub action: String,
    /// `user/<name>`, `role/<name>` or `root`; empty if the request did not prove one. For
    /// AssumeRoleWithOIDC, the role that was assumed.
    pub identity: String,
    /// The identity's account; empty likewise.
    pub account: String,
    /// The parameter `InstanceId`.
    pub instance: Option<String>,
    /// The reply's `RequestId`.
    pub request_id: String,
    /// The HTTP status; 0 if no answer was given (a hang).
    pub status: u16,
    /// The `Code` that the cloud decided on, `success` if it refused nothing.
    pub code: String,
    /// The name of the fault that was applied.
    pub fault: Option<&'static str>,
}

impl Call {
    pub(super) fn arrived(request: &Request, at: Millis, request_id: String) -> Self {
        Self {
            at,
            host: request.host.clone(),
            product: String::new(),
            action: request.named("x-acs-action", "Action"),
            identity: String::new(),
            account: String::new(),
            instance: request.parameter("InstanceId").map(str::to_owned),
            request_id,
            status: 0,
            code: String::new(),
            fault: None,
        }
    }

    pub(super) fn by(&mut self, identity: &Identity) {
        self.identity = identity.to_string();
        self.account.clone_from(&identity.account);
    }

    pub(super) fn answered(&mut self, answer: &Answer) {
        let hangs = matches!(answer.fault, Some(FaultKind::Hang));
        self.status = if hangs { 0 } else { answer.reply.status };
        self.code.clone_from(&answer.reply.code);
        self.fault = answer.fault.as_ref().map(FaultKind::name);
    }
}
