//! AWS Signature Version 4 for S3, in headers, over a payload whose hash is signed. Pure.

use aws_lc_rs::{digest, hmac};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use portcullis_domain::Timestamp;

use super::Credentials;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "s3";

/// What is signed of a request besides its headers and body.
#[derive(Debug, Clone, Copy)]
pub struct Signing<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// The `Host` header.
    pub host: &'a str,
    /// Path, encoded.
    pub path: &'a str,
    /// Query, not encoded.
    pub query: &'a [(&'a str, &'a str)],
    /// Region.
    pub region: &'a str,
    /// When; the service refuses what is more than 15 minutes off.
    pub now: Timestamp,
}

impl Signing<'_> {
    /// Adds what a signed request needs to its headers. All headers there are get signed.
    pub fn sign(&self, credentials: &Credentials, headers: &mut HeaderMap, body: &[u8]) {
        let at = self.stamp();
        let payload = sha256_hex(body);
        put(headers, "x-amz-date", at.as_bytes());
        put(headers, "x-amz-content-sha256", payload.as_bytes());
        if let Some(token) = &credentials.session_token {
            put(headers, "x-amz-security-token", token.expose());
        }
        let mut lines: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), trimmed(value)))
            .chain([("host".to_owned(), self.host.to_owned())])
            .collect();
        lines.sort();
        let signed: Vec<&str> = lines.iter().map(|(name, _)| name.as_str()).collect();
        let signed = signed.join(";");
        let mut request =
            format!("{}\n{}\n{}\n", self.method, self.path, canonical_query(self.query));
        for (name, value) in &lines {
            request.push_str(&format!("{name}:{value}\n"));
        }
        request.push_str(&format!("\n{signed}\n{payload}"));
        let day = at.get(..8).unwrap_or_default();
        let scope = format!("{day}/{}/{SERVICE}/aws4_request", self.region);
        let text = format!("{ALGORITHM}\n{at}\n{scope}\n{}", sha256_hex(request.as_bytes()));
        let signature = hex::encode(hmac(&self.key(credentials, day), text.as_bytes()));
        let id = &credentials.access_key_id;
        let authorization = format!(
            "{ALGORITHM} Credential={id}/{scope},SignedHeaders={signed},Signature={signature}"
        );
        put(headers, AUTHORIZATION.as_str(), authorization.as_bytes());
    }

    fn stamp(&self) -> String {
        let at = jiff::Timestamp::from_second(self.now.as_seconds()).unwrap_or_default();
        at.strftime("%Y%m%dT%H%M%SZ").to_string()
    }

    fn key(&self, credentials: &Credentials, day: &str) -> Vec<u8> {
        let mut key = b"AWS4".to_vec();
        key.extend_from_slice(credentials.secret_access_key.expose());
        for part in [day, self.region, SERVICE, "aws4_request"] {
            key = hmac(&key, part.as_bytes());
        }
        key
    }
}

fn put(headers: &mut HeaderMap, name: &str, value: &[u8]) {
    if let (Ok(name), Ok(mut value)) =
        (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
    {
        value.set_sensitive(name == AUTHORIZATION || name == "x-amz-security-token");
        headers.insert(name, value);
    }
}

/// A header's value without white space around it, and one blank for several inside.
fn trimmed(value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
}

fn sha256_hex(data: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, data))
}

/// A path with everything encoded but unreserved characters (RFC 3986) and slashes.
#[must_use]
pub fn encode_path(path: &str) -> String {
    path.split('/').map(encoded).collect::<Vec<_>>().join("/")
}

/// A query as it is signed, and sent: sorted, both sides encoded.
#[must_use]
pub fn canonical_query(query: &[(&str, &str)]) -> String {
    let mut pairs: Vec<_> =
        query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.sort();
    pairs.join("&")
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_domain::Secret;

    /// The four examples of the "Signature Calculations" chapter of the S3 API reference.
    #[test]
    fn the_published_signatures_come_out() {
        let check = |method,
                     path: &str,
                     query: &[(&str, &str)],
                     more: &[(&'static str, &str)],
                     body: &[u8],
                     expected: &str| {
            let credentials = Credentials {
                access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
                secret_access_key: Secret::new(
                    b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_vec(),
                ),
                session_token: None,
            };
            let path = encode_path(path);
            let signing = Signing {
                method,
                host: "examplebucket.s3.amazonaws.com",
                path: &path,
                query,
                region: "us-east-1",
                now: "2013-05-24T00:00:00Z".parse().unwrap(),
            };
            let mut headers = HeaderMap::new();
            for (name, value) in more {
                headers.insert(*name, HeaderValue::from_str(value).unwrap());
            }
            signing.sign(&credentials, &mut headers, body);
            let authorization = headers[AUTHORIZATION].to_str().unwrap();
            let (_, signature) = authorization.split_once("Signature=").unwrap();
            assert_eq!(signature, expected, "{authorization}");
        };
        check(
            "GET",
            "/test.txt",
            &[],
            &[("range", "bytes=0-9")],
            b"",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        );
        check(
            "PUT",
            "/test$file.text",
            &[],
            &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ],
            b"Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        );
        check(
            "GET",
            "/",
            &[("lifecycle", "")],
            &[],
            b"",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        );
        check(
            "GET",
            "/",
            &[("prefix", "J"), ("max-keys", "2")],
            &[],
            b"",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        );
    }
}
