//! The token that ACK stores in the cluster for a managed component: a session whose keys are encrypted with
//! a key beside them.

use std::array;
use std::time::Duration;

use aes::Aes128;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::Encryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeEncrypt, KeyIvInit};
use serde_json::{Value, json};

use super::clock::{Millis, iso8601, millis};
use super::demo::MANAGED_ROLE;
use super::gateway::State;
use super::identity::Identity;

/// AES's block, and the length of the key that ACK uses.
const BLOCK: usize = 16;

/// Returns the value of the key `addon.token.config` as ACK writes it: a new session of the role of its
/// credential helper, or the reason why there is none.
pub(super) fn token(life: Duration, state: &mut State, now: Millis) -> Value {
    let account = state.world.cluster_account.clone();
    if state.world.role(&account, MANAGED_ROLE).is_none() {
        let message = format!("The role not exists: acs:ram::{account}:role/{MANAGED_ROLE}.");
        let error = json!({ "roleName": MANAGED_ROLE, "code": "EntityNotExist.Role", "message": message });
        return json!({ "error": error });
    }
    let identity = Identity::role(&account, MANAGED_ROLE, "ack-addon");
    let session = state.vault.open_session(identity, now, now + millis(life));
    let keyring = array::from_fn::<char, BLOCK, _>(|_| fastrand::alphanumeric());
    let keyring_bytes = keyring.map(|letter| letter as u8);
    let mut sealed = |plain: &str| {
        let written = encrypt(plain, &keyring_bytes, &array::from_fn(|_| fastrand::u8(..)));
        // The keyring decrypts it, so it is as secret as its content.
        state.vault.remember(&written);
        written
    };
    json!({
        "access.key.id": sealed(&session.access_key_id),
        "access.key.secret": sealed(&session.access_key_secret),
        "security.token": sealed(&session.security_token),
        "expiration": iso8601(session.expires),
        "keyring": keyring.iter().collect::<String>(),
    })
}

/// Returns the base64 of the IV and of AES-CBC under the keyring's raw bytes, padded by PKCS#7.
fn encrypt(plain: &str, keyring: &[u8; BLOCK], iv: &[u8; BLOCK]) -> String {
    let cipher = Encryptor::<Aes128>::new(keyring.into(), iv.into());
    STANDARD.encode([&iv[..], &cipher.encrypt_padded_vec::<Pkcs7>(plain.as_bytes())].concat())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::encrypt;

    #[test]
    fn vector_d_of_the_csi_driver() {
        let written = "Ik032ULdaqWth2fvyigEcJHGMNNMnATo04/d+c5Jxz+bJN0Jh8fKd8A5MlNnYRwf";
        let iv: [u8; 16] = STANDARD.decode(written).unwrap()[..16].try_into().unwrap();
        assert_eq!(encrypt("fake-accessKeyId", b"fake-keyring1234", &iv), written);
    }
}
