//! The API server's audit log, as a test reads it: each request, its user and its outcome.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    ops::Deref,
    path::PathBuf,
};

use anyhow::Context;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

/// The audit policy: one line for each request, when it is answered. A watch is one request, and is answered
/// when it ends, so its stage `ResponseStarted` is omitted with the others. Health checks are omitted.
pub(super) const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: None
  nonResourceURLs: [/readyz*, /livez*, /healthz*]
- level: Metadata
";

/// Bytes that are searched at a time for the end of the last line.
const TAIL: usize = 8192;

/// Reads the audit log from any point on.
///
/// Guarantee: a request whose reply was read is in the log; the API server writes the line first. A watch is
/// in the log once it ended.
#[derive(Debug, Clone)]
pub struct Audit {
    path: PathBuf,
}

/// A point in the audit log: everything before it is past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mark(u64);

/// One answered request.
#[derive(Debug, Clone)]
pub struct AuditEvent {
    /// The authenticated user: `system:serviceaccount:NAMESPACE:NAME`, or `admin` for the plane's own client.
    pub user: String,
    /// The Kubernetes verb: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The API group; empty for the core one.
    pub api_group: String,
    /// The resource's plural; empty for a path that is not a resource, such as `/readyz`.
    pub resource: String,
    /// The subresource, such as `status` or `token`; mostly empty.
    pub subresource: String,
    /// The object's namespace; empty across all of them and for cluster-scoped objects.
    pub namespace: String,
    /// The object's name; empty for a list, a watch of a list, and a create by POST.
    pub name: String,
    /// The HTTP status; 0 if there was none.
    pub code: u16,
    /// `ResponseComplete`, or `Panic`.
    pub stage: String,
    /// The path and query as sent.
    pub request_uri: String,
    /// The client's user agent.
    pub user_agent: String,
    /// When the request arrived.
    pub timestamp: Timestamp,
    /// When it was answered.
    pub completed: Timestamp,
    /// What admission noted: which policies and webhooks had a part in it.
    pub annotations: BTreeMap<String, String>,
}

impl AuditEvent {
    /// Returns whether the request would change what the cluster holds. Dry runs, reviews and token requests
    /// do not: they are questions by POST. Leases are excluded: they are renewed at rest too.
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
            && !self.request_uri.contains("dryRun=")
            && !self.resource.ends_with("reviews")
            && self.resource != "leases"
            && self.subresource != "token"
    }

    /// Returns the resource with its subresource, as RBAC writes it: `serviceaccounts/token`.
    pub fn target(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// Some events, in the order in which they were answered.
#[derive(Debug, Clone, Default)]
pub struct AuditEvents(pub Vec<AuditEvent>);

impl AuditEvents {
    /// Returns the events of one user, by its full name.
    pub fn by_user(&self, user: &str) -> AuditEvents {
        self.filter(|event| event.user == user)
    }

    /// Returns the events of one ServiceAccount.
    pub fn by_service_account(&self, namespace: &str, name: &str) -> AuditEvents {
        self.by_user(&format!("system:serviceaccount:{namespace}:{name}"))
    }

    /// Returns the events that would change something.
    pub fn writes(&self) -> AuditEvents {
        self.filter(AuditEvent::is_write)
    }

    /// Returns the events of one resource, or of a subresource if written with a slash.
    pub fn of(&self, target: &str) -> AuditEvents {
        self.filter(|event| event.target() == target)
    }

    /// Returns the events of all resources but one: the Lease of a controller is renewed at rest too.
    pub fn without(&self, target: &str) -> AuditEvents {
        self.filter(|event| event.target() != target)
    }

    /// Returns the events that a test picks.
    pub fn filter(&self, keep: impl Fn(&AuditEvent) -> bool) -> AuditEvents {
        AuditEvents(self.0.iter().filter(|event| keep(event)).cloned().collect())
    }

    /// Counts the events by verb and resource: `patch secrets` → 12.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for event in &self.0 {
            *counts.entry(format!("{} {}", event.verb, event.target())).or_default() += 1;
        }
        counts
    }
}

impl Deref for AuditEvents {
    type Target = [AuditEvent];

    fn deref(&self) -> &[AuditEvent] {
        &self.0
    }
}

impl IntoIterator for AuditEvents {
    type Item = AuditEvent;
    type IntoIter = std::vec::IntoIter<AuditEvent>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Audit {
    pub(super) fn new(path: PathBuf) -> Audit {
        Audit { path }
    }

    /// Returns the current end of the log: the end of its last complete line, since one may be in progress.
    pub fn mark(&self) -> anyhow::Result<Mark> {
        let mut file = File::open(&self.path).context("no audit log")?;
        let mut end = file.seek(SeekFrom::End(0))?;
        let mut piece = vec![0; TAIL];
        while end > 0 {
            let length = TAIL.min(usize::try_from(end)?);
            let start = end - length as u64;
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(&mut piece[..length])?;
            if let Some(at) = piece[..length].iter().rposition(|byte| *byte == b'\n') {
                return Ok(Mark(start + at as u64 + 1));
            }
            end = start;
        }
        Ok(Mark(0))
    }

    /// Returns the events after a point. The log goes on: ask again with the same mark and get more.
    pub fn since(&self, mark: Mark) -> anyhow::Result<AuditEvents> {
        Ok(self.read(mark)?.0)
    }

    /// Returns the events after a point, and the next point, for readers of a long log in pieces.
    pub fn read(&self, mark: Mark) -> anyhow::Result<(AuditEvents, Mark)> {
        let mut file = File::open(&self.path).context("no audit log")?;
        file.seek(SeekFrom::Start(mark.0))?;
        let mut reader = BufReader::new(file);
        let (mut events, mut next, mut line) = (Vec::new(), mark.0, String::new());
        loop {
            line.clear();
            let read = reader.read_line(&mut line)?;
            // A line without its end is still being written.
            if !line.ends_with('\n') {
                return Ok((AuditEvents(events), Mark(next)));
            }
            next += read as u64;
            let wire: Wire =
                serde_json::from_str(&line).with_context(|| format!("not an audit event: {line}"))?;
            events.push(wire.into());
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    user: WireUser,
    verb: String,
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: WireObject,
    #[serde(default)]
    response_status: WireStatus,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct WireUser {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WireObject {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireStatus {
    code: u16,
}

impl From<Wire> for AuditEvent {
    fn from(wire: Wire) -> AuditEvent {
        AuditEvent {
            user: wire.user.username,
            verb: wire.verb,
            api_group: wire.object_ref.api_group,
            resource: wire.object_ref.resource,
            subresource: wire.object_ref.subresource,
            namespace: wire.object_ref.namespace,
            name: wire.object_ref.name,
            code: wire.response_status.code,
            stage: wire.stage,
            request_uri: wire.request_uri,
            user_agent: wire.user_agent,
            annotations: wire.annotations,
            timestamp: wire.request_received_timestamp,
            completed: wire.stage_timestamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn line(name: &str) -> String {
        format!(
            r#"{{"user":{{"username":"{name}"}},"verb":"get","stage":"ResponseComplete","requestURI":"/","requestReceivedTimestamp":"2026-01-01T00:00:00.000000Z","stageTimestamp":"2026-01-01T00:00:00.000000Z"}}"#
        )
    }

    /// The API server writes a line in pieces.
    #[test]
    fn a_mark_is_before_an_unfinished_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let mut file = File::create(&path).unwrap();
        let audit = Audit::new(path);
        assert_eq!(audit.mark().unwrap(), Mark(0), "nothing is written yet");
        let long = line(&"long".repeat(TAIL));
        for half in [&long[..TAIL], &long[TAIL..]] {
            file.write_all(half.as_bytes()).unwrap();
            assert_eq!(audit.mark().unwrap(), Mark(0), "the first line is under way");
        }
        writeln!(file).unwrap();
        let second = line("second");
        file.write_all(&second.as_bytes()[..second.len() / 2]).unwrap();
        let mark = audit.mark().unwrap();
        file.write_all(&second.as_bytes()[second.len() / 2..]).unwrap();
        assert!(audit.since(mark).unwrap().is_empty(), "it has no end yet");
        writeln!(file).unwrap();
        let events = audit.since(mark).unwrap();
        assert_eq!(events.iter().map(|event| event.user.as_str()).collect::<Vec<_>>(), ["second"]);
    }
}
