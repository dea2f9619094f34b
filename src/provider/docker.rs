//! Docker's protocol for credential helpers: the verb is an argument, a registry comes on standard input, and both the
//! answer and an error go to standard output.

use secrecy::ExposeSecret;
use serde_json::json;

use super::address;
use super::entries::HostEntries;
use super::failure::ProviderFailure;

/// The words by which Docker's clients know that a registry has no credential here. They then pull without one.
pub const NOT_FOUND: &str = "credentials not found in native keychain";

/// Bytes of a registry's address that are read at most.
pub const MAX_ADDRESS: usize = 4096;

/// Returns the registry of a request as the clients send it: a host, or a URL such as Docker's `https://host/v1/`.
///
/// # Errors
/// `BadInput`, if it is not an address.
pub fn registry(text: &str) -> Result<&str, ProviderFailure> {
    let text = text.trim();
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() || text.len() > MAX_ADDRESS || text.contains(char::is_whitespace) || host.contains('@')
    {
        let message = "standard input has no address of a registry: write one, such as img.example.com";
        return Err(ProviderFailure::BadInput(message.to_owned()));
    }
    Ok(host)
}

/// Returns the answer for a registry as JSON; `None` if there is no entry for the whole host. It contains the password.
pub fn answer(server: &str, host: &str, entries: &HostEntries) -> Option<String> {
    // The protocol has one credential for a host; an entry with a path is for a part of it.
    let whole = |entry: &&String| !entry.contains('/') && address::is_on_host(entry, host);
    let entry = entries.auths.keys().find(whole)?;
    let credential = entries.auths.get(entry)?;
    let answer = json!({
        "ServerURL": server.trim(),
        "Username": credential.username,
        "Secret": credential.token.expose_secret(),
    });
    Some(answer.to_string())
}

#[cfg(test)]
mod tests {
    use super::registry;

    #[test]
    fn a_registry_is_a_host_or_a_url() {
        for (text, host) in [
            ("img.example.com\n", "img.example.com"),
            ("https://img.example.com", "img.example.com"),
            ("https://img.example.com:5000/v1/", "img.example.com:5000"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
        ] {
            assert_eq!(registry(text).unwrap(), host, "{text}");
        }
        for text in ["", "\n", "https://", "a b", "user:secret@a.com"] {
            let failure = registry(text).unwrap_err();
            assert!(failure.exit_code() == 2 && !failure.to_string().contains("secret"), "{text}");
        }
    }
}
