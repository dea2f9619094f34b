//! The old RPC signature (HMAC-SHA1 over sorted parameters), which STS still takes and older SDKs still send.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::InvalidLength;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::request::{canonical_query, encode};

/// The value of `SignatureMethod`.
pub(super) const METHOD: &str = "HMAC-SHA1";

/// Signs every parameter but `Signature` itself, those of query and form together; the key is the secret
/// followed by an ampersand.
pub(super) fn signature<'a>(
    method: &str,
    parameters: impl IntoIterator<Item = &'a (String, String)>,
    secret: &str,
) -> Result<String, InvalidLength> {
    let signed = parameters.into_iter().filter(|(name, _)| name != "Signature");
    let text = format!("{method}&%2F&{}", encode(&canonical_query(signed)));
    let mut mac = Hmac::<Sha1>::new_from_slice(format!("{secret}&").as_bytes())?;
    mac.update(text.as_bytes());
    Ok(STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::signature;
    use crate::cloud::request::parse_pairs;

    #[test]
    fn vector_c_the_old_rpc_example() {
        let parameters = parse_pairs(
            "AccessKeyId=testid&Action=DescribeDedicatedHosts&Format=JSON&RegionId=cn-beijing\
             &Signature=is-not-signed&SignatureMethod=HMAC-SHA1\
             &SignatureNonce=edb2b34af0af9a6d14deaf7c1a5315eb&SignatureVersion=1.0\
             &Timestamp=2023-03-13T08%3A34%3A30Z&Version=2014-05-26",
        );
        assert_eq!(signature("GET", &parameters, "testsecret").unwrap(), "9NaGiOspFP5UPcwX8Iwt2YJXXuk=");
    }
}
