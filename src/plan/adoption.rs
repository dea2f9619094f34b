//! The takeover of another owner's Secret: what its owner loses by it. Only hosts of registries and names of data keys
//! are known of it, never a credential.

use super::secret::SecretContent;
use super::view::SecretView;
use crate::model::count::count;

/// Hosts or keys that a message names at most.
const NAMED: usize = 3;

/// Hosts that are kept of one Secret.
const KEPT: usize = 16;

/// Bytes of the longest host that is kept, with its port and path.
const LONGEST: usize = 253;

/// The registry hosts of another owner's Secret, as read at one version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignHosts {
    version: Box<str>,
    /// Keys of its registries, without scheme and end.
    hosts: Box<[Box<str>]>,
    /// Registries whose key is not shown: too many, or not plain hosts.
    unnamed: usize,
    /// Whether the content could be read.
    is_readable: bool,
}

impl ForeignHosts {
    /// Returns the hosts among the keys of `auths`; `None` where its content cannot be read. A key that is not a
    /// plain host may hold anything, and is only counted.
    pub fn of(version: &str, keys: Option<impl IntoIterator<Item = String>>) -> Self {
        let is_readable = keys.is_some();
        let (mut hosts, mut unnamed) = (Vec::new(), 0);
        for key in keys.into_iter().flatten() {
            match plain_host(&key).filter(|_| hosts.len() < KEPT) {
                Some(host) => hosts.push(Box::from(host)),
                None => unnamed += 1,
            }
        }
        hosts.sort_unstable();
        Self { version: version.into(), hosts: hosts.into(), unnamed, is_readable }
    }

    /// Returns whether this was read of a Secret as it is now.
    pub fn is_of(&self, secret: &SecretView) -> bool {
        self.version == secret.resource_version
    }
}

/// Returns a key of `auths` as a host with an optional port and path, if it is nothing else.
fn plain_host(key: &str) -> Option<&str> {
    let host = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let host = host.trim_end_matches('/');
    let host = host.strip_suffix("/v1").or_else(|| host.strip_suffix("/v2")).unwrap_or(host);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '/' | '_' | '*');
    (!host.is_empty() && host.len() <= LONGEST && host.chars().all(plain)).then_some(host)
}

/// Returns what its owner loses when a Secret gets our content: `None` if nothing.
pub fn loss(secret: &SecretView, foreign: Option<&ForeignHosts>, ours: &SecretContent) -> Option<String> {
    let kept = |host: &str| {
        let name = host.split_once('/').map_or(host, |(name, _)| name);
        ours.listing.lists(host) || ours.listing.lists(name)
    };
    let foreign = foreign.filter(|foreign| foreign.is_of(secret));
    let hosts = foreign.into_iter().flat_map(|foreign| &foreign.hosts).map(|host| &**host);
    let hosts: Vec<&str> = hosts.filter(|host| !kept(host)).collect();
    let unnamed = foreign.map_or(0, |foreign| foreign.unnamed);
    let unreadable = foreign.is_some_and(|foreign| !foreign.is_readable);
    let keys: Vec<&str> = secret.extra_keys.iter().map(|key| &**key).collect();
    let entries = match (hosts.len() + unnamed, hosts.is_empty()) {
        _ if unreadable => Some("its content, which cannot be read".to_owned()),
        (0, _) => None,
        (all, true) => Some(count(all, "entry without a plain host", "entries without plain hosts")),
        (all, false) => Some(format!("its entries for {}", listed(&hosts, all))),
    };
    let keys = (!keys.is_empty()).then(|| format!("its data keys {}", listed(&keys, keys.len())));
    let all: Vec<String> = entries.into_iter().chain(keys).collect();
    (!all.is_empty()).then(|| all.join(" and "))
}

/// Returns the first names of a list, and how many more there are.
pub(super) fn listed(names: &[&str], all: usize) -> String {
    let shown: Vec<&str> = names.iter().take(NAMED).copied().collect();
    match all - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{ForeignHosts, loss};
    use crate::plan::SecretView;
    use crate::plan::fixture::{foreign, resolved, snapshot};

    fn lost(keys: Option<&[&str]>, extra: &[&str]) -> Option<String> {
        let secret = SecretView { extra_keys: extra.iter().map(|key| (*key).into()).collect(), ..foreign() };
        let keys = keys.map(|keys| keys.iter().map(|key| (*key).to_owned()));
        let hosts = ForeignHosts::of(&secret.resource_version, keys);
        loss(&secret, Some(&hosts), &snapshot([resolved("a")]).content(&[0]))
    }

    #[test]
    fn a_takeover_names_the_hosts_and_keys_that_go() {
        for (keys, extra, expected) in [
            (Some(&[][..]), &[][..], None),
            (Some(&["a.example.com", "https://a.example.com/", "a.example.com/team"][..]), &[][..], None),
            (Some(&["quay.io", "a.example.com"][..]), &[][..], Some("its entries for quay.io")),
            (
                Some(&["https://index.docker.io/v1/", "quay.io"][..]),
                &["more"][..],
                Some("its entries for index.docker.io, quay.io and its data keys more"),
            ),
            (
                Some(&["a:1", "b:1", "c:1", "d:1", "e:1"][..]),
                &[][..],
                Some("its entries for a:1, b:1, c:1 and 2 more"),
            ),
            (Some(&["user:secret@host"][..]), &[][..], Some("1 entry without a plain host")),
            (None, &[][..], Some("its content, which cannot be read")),
        ] {
            assert_eq!(lost(keys, extra).as_deref(), expected, "{keys:?} {extra:?}");
        }
    }

    #[test]
    fn nothing_but_plain_hosts_is_kept_and_not_too_many() {
        let keys = (0..100).map(|number| format!("host-{number}")).chain(["a@b".to_owned(), "x".repeat(254)]);
        let hosts = ForeignHosts::of("3", Some(keys));
        assert_eq!((hosts.hosts.len(), hosts.unnamed), (16, 86));
        let keys = ["a@b", "user:secret@host", "a b", "", "host:5000/team"].map(str::to_owned);
        let hosts = ForeignHosts::of("3", Some(keys));
        assert_eq!((&*hosts.hosts, hosts.unnamed), (&["host:5000/team".into()][..], 4));
        assert!(hosts.is_of(&foreign()) && !ForeignHosts::of("4", Some([])).is_of(&foreign()));
    }
}
