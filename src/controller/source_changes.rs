//! Secrets that identities begin with, as they change.

use super::sources;
use super::state::SharedState;
use crate::cluster::named_secret::Seen;
use crate::model::identity::CredentialSource;

impl SharedState {
    /// Records that a Secret changed. `pair`: it is a key pair in the controller's namespace, rather than a source of the
    /// controller's own identity.
    pub fn source_changed(&self, secret: &str, pair: bool, seen: &Seen) {
        let data = match seen {
            Seen::Present(data) => Some(data),
            Seen::Absent | Seen::Refused(_) => None,
        };
        let mut state = self.state();
        match pair {
            true => {
                let key_id = data.and_then(|data| sources::key_id(data));
                state.credentials.beginning_changed(|base| sources::begins_with(base, secret), key_id);
            }
            false => state
                .credentials
                .beginning_changed(|base| *base == CredentialSource::ControllerIdentity, None),
        }
        drop(state);
        self.credentials.notify_one();
    }
}
