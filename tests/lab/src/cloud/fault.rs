//! Faults to inject, by action.

use std::time::Duration;

use serde_json::{Value, json};

use super::clock::{Millis, iso8601};
use super::reply::{JSON, Refusal, Reply};

/// How long ago [`FaultKind::ExpireTimePast`] claims the expiry was.
const PAST: Millis = 60_000;

/// How far [`FaultKind::ExpireTimeFar`] claims the expiry is: ten years.
const FAR: Millis = 10 * 365 * 24 * 3_600_000;

/// The fields that [`FaultKind::MissingFields`] keeps.
const ENVELOPE: [&str; 4] = ["RequestId", "requestId", "Code", "IsSuccess"];

/// A fault for well-signed requests.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The action's name as in [`Call::action`](super::Call::action); `*` for all.
    pub action: String,
    /// Only requests for this `InstanceId`; `None` for all.
    pub instance: Option<String>,
    /// The kind of the fault.
    pub kind: FaultKind,
    /// How many requests it applies to; `None` until it is cleared.
    pub times: Option<u32>,
}

/// The kinds of faults.
#[derive(Clone, Debug)]
pub enum FaultKind {
    /// 400 `Throttling.User`.
    Throttle {
        /// `x-acs-retry-after`, in milliseconds; the header is left out if `None`.
        retry_after_ms: Option<u64>,
    },
    /// An error of any kind.
    Status {
        /// The HTTP status.
        status: u16,
        /// `Code`.
        code: String,
        /// `Message`.
        message: String,
    },
    /// 200 with `IsSuccess: false`; of the metadata service, credentials whose `Code` is this.
    NotSuccess {
        /// `Code`.
        code: String,
    },
    /// The request is read and never answered; the connection stays open.
    Hang,
    /// The right answer, late.
    Slow(Duration),
    /// 200 and JSON that stops in its middle, though the transfer is whole.
    MalformedJson,
    /// 200 and a web page, as a proxy's sign-in gives.
    Html,
    /// The connection breaks in the middle of the body.
    Truncated,
    /// 200 and a JSON string of this many bytes.
    HugeBody(usize),
    /// `ExpireTime` (of Personal: `expireDate`) as a JSON string instead of a number.
    ExpireTimeString,
    /// `ExpireTime`, `expireDate` and `Expiration` a minute ago.
    ExpireTimePast,
    /// `ExpireTime` (of Personal: `expireDate`) in ten years.
    ExpireTimeFar,
    /// 200 with the envelope only.
    MissingFields,
}

impl FaultKind {
    /// Returns a short name for the record.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Throttle { .. } => "Throttle",
            Self::Status { .. } => "Status",
            Self::NotSuccess { .. } => "NotSuccess",
            Self::Hang => "Hang",
            Self::Slow(_) => "Slow",
            Self::MalformedJson => "MalformedJson",
            Self::Html => "Html",
            Self::Truncated => "Truncated",
            Self::HugeBody(_) => "HugeBody",
            Self::ExpireTimeString => "ExpireTimeString",
            Self::ExpireTimePast => "ExpireTimePast",
            Self::ExpireTimeFar => "ExpireTimeFar",
            Self::MissingFields => "MissingFields",
        }
    }

    /// Returns the refusal that replaces the work.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Throttle { retry_after_ms } => Some(Refusal::throttled(*retry_after_ms)),
            Self::Status { status, code, message } => Some(Refusal::new(*status, code, message)),
            Self::NotSuccess { code } => Some(Refusal::not_success(code)),
            _ => None,
        }
    }

    /// Alters the reply of work that was done. The server applies faults of the connection.
    pub(super) fn edit(&self, reply: &mut Reply, now: Millis) {
        match self {
            Self::MalformedJson => reply.body.truncate(reply.body.len() / 2),
            Self::Html => {
                reply.status = 200;
                reply.content_type = "text/html";
                "<!DOCTYPE html><title>Sign in</title>".clone_into(&mut reply.body);
            }
            Self::HugeBody(_) => {
                reply.status = 200;
                reply.content_type = JSON;
            }
            Self::ExpireTimeString | Self::ExpireTimePast | Self::ExpireTimeFar | Self::MissingFields => {
                if let Ok(mut body) = serde_json::from_str::<Value>(&reply.body) {
                    self.edit_fields(&mut body, now);
                    reply.body = body.to_string();
                }
            }
            _ => {}
        }
    }

    fn edit_fields(&self, body: &mut Value, now: Millis) {
        let Some(fields) = body.as_object_mut() else { return };
        if matches!(self, Self::MissingFields) {
            fields.retain(|name, _| ENVELOPE.contains(&name.as_str()));
        }
        for (name, value) in fields {
            match (self, name.as_str()) {
                (Self::ExpireTimeString, "ExpireTime" | "expireDate") => *value = json!(value.to_string()),
                (Self::ExpireTimePast, "ExpireTime" | "expireDate") => *value = json!(now - PAST),
                (Self::ExpireTimeFar, "ExpireTime" | "expireDate") => *value = json!(now + FAR),
                (Self::ExpireTimePast, "Expiration") => *value = json!(iso8601(now - PAST)),
                _ => self.edit_fields(value, now),
            }
        }
    }
}

/// The handle of a fault, to clear it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultId(u64);

/// The active faults; the oldest that matches a request applies.
#[derive(Debug, Default)]
pub(super) struct Faults {
    standing: Vec<(FaultId, Fault)>,
    given: u64,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) -> FaultId {
        self.given += 1;
        let id = FaultId(self.given);
        self.standing.push((id, fault));
        id
    }

    pub(super) fn clear(&mut self, id: FaultId) {
        self.standing.retain(|(standing, _)| *standing != id);
    }

    pub(super) fn clear_all(&mut self) {
        self.standing.clear();
    }

    /// Returns the fault for this request, and counts it down.
    pub(super) fn take(&mut self, action: &str, instance: Option<&str>) -> Option<FaultKind> {
        let (_, fault) = self.standing.iter_mut().find(|(_, fault)| {
            let meant = fault.action == "*" || fault.action == action;
            meant
                && fault.times != Some(0)
                && fault.instance.as_deref().is_none_or(|only| Some(only) == instance)
        })?;
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        Some(fault.kind.clone())
    }
}
