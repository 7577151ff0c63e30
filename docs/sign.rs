use data_encoding::BASE64URL_NOPAD;
use ring::hmac;

pub fn sign(path: &str, expires: u64, kid: &str, key: &[u8], download: &str) -> String {
    let message = format!("clipkeep-v1\n{path}\n{expires}\n{kid}\n{download}");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes());
    let mut query = url::form_urlencoded::Serializer::new(format!("expires={expires}&kid={kid}"));
    if !download.is_empty() {
        query.append_pair("download", download);
    }
    query.append_pair("signature", &BASE64URL_NOPAD.encode(tag.as_ref())).finish()
}
