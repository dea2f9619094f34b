//! STS `AssumeRoleWithOIDC`: a session of a role, for a token of the cluster that the role trusts.

use k8s_openapi::jiff::Timestamp;
use secrecy::ExposeSecret;

use super::assume::{self, SESSION_NAME};
use super::sources::OidcToken;
use crate::cloud::call::{Action, At, By, Call, Form};
use crate::cloud::client::Client;
use crate::cloud::error::Failure;
use crate::cloud::single_flight::Held;
use crate::model::identity::Arn;

/// Which session is wanted.
pub(super) struct Ask<'a> {
    /// STS.
    pub(super) at: At<'a>,
    /// The role.
    pub(super) role: &'a Arn,
    /// The provider that vouches for the token.
    pub(super) provider: &'a Arn,
    /// How long the session shall last.
    pub(super) seconds: u32,
    /// When.
    pub(super) now: Timestamp,
}

/// One call, unsigned: the token is the proof. It travels in the body, since addresses get logged.
///
/// # Errors
/// What STS says, or an answer without a session that lives.
pub(super) async fn assume_role(client: &Client, ask: &Ask<'_>, token: &OidcToken) -> Result<Held, Failure> {
    let seconds = ask.seconds.to_string();
    let form = Form {
        holder: &token.holder,
        parameters: &[
            ("OIDCProviderArn", ask.provider.as_str()),
            ("RoleArn", ask.role.as_str()),
            ("RoleSessionName", SESSION_NAME),
            ("DurationSeconds", &seconds),
            ("OIDCToken", token.token.expose_secret()),
        ],
    };
    let call = Call {
        action: Action::AssumeRoleWithOidc,
        at: ask.at,
        subject: ask.role.as_str(),
        query: &[],
        by: By::Form(&form),
        now: ask.now,
    };
    let (answer, _) = client.call::<assume::Answer>(&call).await.map_err(|denial| denial.into_failure())?;
    assume::read(answer, ask.role, ask.now).map_err(|what| call.unexpected(what))
}
