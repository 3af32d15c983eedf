//! Certificates for a test: an authority, a server at 127.0.0.1, a client.

use std::fs;
use std::path::{Path, PathBuf};

use portcullis_connectors::tls::Trust;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};

/// PEM files in a directory.
pub(crate) struct Authority {
    pub(crate) ca: PathBuf,
    pub(crate) server: (PathBuf, PathBuf),
    pub(crate) client: (PathBuf, PathBuf),
}

impl Authority {
    pub(crate) fn make(directory: &Path) -> Self {
        fs::create_dir_all(directory).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let ca = directory.join("ca.pem");
        fs::write(&ca, issuer.pem()).unwrap();
        let signed = |name: &str, host: &str, usage: ExtendedKeyUsagePurpose| {
            let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, host);
            params.extended_key_usages = vec![usage];
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &issuer).unwrap();
            let paths =
                (directory.join(format!("{name}.pem")), directory.join(format!("{name}.key")));
            fs::write(&paths.0, certificate.pem()).unwrap();
            fs::write(&paths.1, key.serialize_pem()).unwrap();
            paths
        };
        let server = signed("server", "127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth);
        let client = signed("client", "gate.example", ExtendedKeyUsagePurpose::ClientAuth);
        Self { ca, server, client }
    }

    /// Trusts this authority, and shows the client certificate where wanted.
    pub(crate) fn trust(&self, client: bool) -> Trust {
        Trust { ca: Some(self.ca.clone()), client: client.then(|| self.client.clone()) }
    }
}
