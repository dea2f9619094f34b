//! The messages of container runtimes and kubelets about a failed pull, and what each means.

use crate::plan::stuck_pods::{is_refusal, without_image};

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullError {
    /// The registry refuses the credential, or there is none.
    Refused,
    /// The registry does not have the image or its tag.
    NotFound,
    /// The host is not reached.
    Unreachable,
    /// The certificate of the host is not trusted.
    Certificate,
    /// The image does not exist for the node's architecture.
    Platform,
    /// Too many pulls.
    RateLimited,
    /// The image may not be pulled, by its policy.
    NeverPulled,
}

/// One line of the table.
pub struct RuntimeMessage {
    /// Words of the message, in lower case.
    pub words: &'static str,
    /// What they mean.
    pub means: PullError,
    /// The programs that write them.
    pub written_by: &'static str,
    /// Where they are in the program's sources, or a report that quotes them.
    pub source: &'static str,
}

/// One table, so that words cannot lack their source.
macro_rules! runtime_messages {
    ($($means:ident $words:literal $written_by:literal $source:literal;)*) => {
        /// All lines. The first one whose words a message has decides: a refusal may be the answer of a token service, and
        /// an unreachable one is mentioned with the words of a refusal.
        pub const MESSAGES: &[RuntimeMessage] = &[
            $(RuntimeMessage { words: $words, means: PullError::$means, written_by: $written_by, source: $source },)*
        ];
    };
}

runtime_messages! {
    NeverPulled "is not present with pull policy of never" "kubelet" "kubernetes pkg/kubelet/images/image_manager.go";
    RateLimited "429 too many requests" "containerd 1.6, 1.7, 2.x; Docker" "containerd core/remotes/errors/errors.go";
    RateLimited "toomanyrequests" "containerd 1.6, 1.7, 2.x; CRI-O; Docker" "distribution registry/api/errcode/register.go";
    RateLimited "too many requests to registry" "CRI-O" "containers/image docker/errors.go";
    RateLimited "pull qps exceeded" "kubelet" "kubernetes pkg/kubelet/images/helpers.go";
    Certificate "x509: " "containerd 1.6, 1.7, 2.x; CRI-O; Docker" "go crypto/x509/verify.go; kubernetes/kubernetes#43924";
    Certificate "tls: failed to verify certificate" "containerd 1.7, 2.x; CRI-O; Docker" "go crypto/tls/common.go";
    Certificate "server gave http response to https client" "containerd 1.6, 1.7, 2.x; CRI-O; Docker" "go net/http/client.go";
    Unreachable "no such host" "containerd 1.6, 1.7, 2.x; CRI-O; Docker" "go net/net.go";
    Unreachable "server misbehaving" "containerd 1.6, 1.7, 2.x; CRI-O; Docker" "go net/dnsclient_unix.go";
    Unreachable "no route to host" "containerd 1.6, 1.7, 2.x; CRI-O; Docker" "go syscall/zerrors_linux_amd64.go";
    Unreachable "network is unreachable" "containerd 1.6, 1.7, 2.x; CRI-O; Docker" "go syscall/zerrors_linux_amd64.go";
    Unreachable "connection refused" "containerd 1.6, 1.7, 2.x; CRI-O; Docker" "go syscall/zerrors_linux_amd64.go";
    Unreachable "connection reset by peer" "containerd 1.6, 1.7, 2.x; CRI-O; Docker" "go syscall/zerrors_linux_amd64.go";
    Unreachable "i/o timeout" "containerd 1.6, 1.7, 2.x; CRI-O; Docker" "go net/net.go";
    Unreachable "tls handshake timeout" "containerd 1.6, 1.7, 2.x; CRI-O; Docker" "go net/http/transport.go";
    Unreachable "context deadline exceeded" "containerd 1.6, 1.7, 2.x; CRI-O" "go context/context.go";
    Unreachable "request canceled while waiting for connection" "Docker" "go net/http/client.go";
    Unreachable "because the registry is unavailable" "kubelet with CRI-O" "kubernetes pkg/kubelet/images/image_manager.go";
    Platform "no match for platform in manifest" "containerd 1.6, 1.7, 2.x; Docker" "containerd core/images/image.go";
    Platform "no matching manifest for" "Docker" "moby/moby#39201";
    Platform "no image found in manifest list for architecture" "CRI-O" "containers/image internal/manifest/docker_schema2_list.go";
    Platform "no image found in image index for architecture" "CRI-O" "containers/image internal/manifest/oci_index.go";
    NotFound "manifest unknown" "CRI-O; Docker" "distribution registry/api/v2/errors.go; cri-o/cri-o#4388";
    NotFound "repository name not known to registry" "CRI-O; Docker" "distribution registry/api/v2/errors.go";
}

/// The words with which containerd ends: `failed to resolve reference "…": …: not found`, in core/remotes/docker/resolver.go.
const CONTAINERD_NOT_FOUND: &str = ": not found";

/// Returns what a message means; `None` if no line has its words. The name of the image does not count.
pub fn recognise(message: &str, image: &str) -> Option<PullError> {
    let words = without_image(message, image).to_lowercase();
    // A message names the image in quotes as well, without which the rest is the same.
    if let Some(found) = MESSAGES
        .iter()
        .filter(|line| line.means != PullError::NotFound)
        .find(|line| words.contains(line.words))
    {
        return Some(found.means);
    }
    if is_refusal(message, image) {
        return Some(PullError::Refused);
    }
    let is_missing = words.trim_end().ends_with(CONTAINERD_NOT_FOUND)
        || MESSAGES.iter().any(|line| line.means == PullError::NotFound && words.contains(line.words));
    is_missing.then_some(PullError::NotFound)
}
