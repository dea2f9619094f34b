//! Bytes that are not text, by their first ones.

use super::named::shell_name;

/// Says why some bytes are not text, and what to do.
pub fn not_text(name: &str, bytes: &[u8]) -> String {
    let file = shell_name(name);
    let unpacked = |by: &str, command: &str| {
        format!(
            "is packed by {by}: unpack it, and check what comes out: {command} {file} | kubectl acr lint -"
        )
    };
    let decrypted = |by: &str, command: &str| {
        format!(
            "is encrypted by {by}: decrypt it, and check what comes out: {command} {file} | kubectl acr lint -"
        )
    };
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            "is UTF-16, as PowerShell's > writes it, and kubectl reads UTF-8 only: save it as UTF-8"
                .to_owned()
        }
        bytes if bytes.starts_with(b"\0GITCRYPT") => {
            "is encrypted by git-crypt: unlock the repository, and check again: git-crypt unlock".to_owned()
        }
        bytes if bytes.starts_with(b"age-encryption.org/") => decrypted("age", "age -d -i KEY"),
        bytes if bytes.starts_with(b"Salted__") => decrypted("OpenSSL", "openssl enc -d -CIPHER -in"),
        _ if name.ends_with(".gpg") || name.ends_with(".pgp") => decrypted("PGP", "gpg -d"),
        [0x1f, 0x8b, ..] => unpacked("gzip", "gunzip -c"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => unpacked("zstd", "zstd -dc"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => unpacked("xz", "xz -dc"),
        [b'B', b'Z', b'h', ..] => unpacked("bzip2", "bunzip2 -c"),
        [b'P', b'K', 3, 4, ..] => format!(
            "is an archive, as terraform plan -out writes it: check what it holds: terraform show -json {file} | kubectl acr lint -, or else unzip -p {file} | kubectl acr lint -"
        ),
        _ => "is not UTF-8 text: save it as UTF-8, or name the right file".to_owned(),
    }
}
