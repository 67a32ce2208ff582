//! How an app proves itself to Entra.

use std::path::PathBuf;

use secrecy::SecretString;

mod certificate;

pub use certificate::CertificateCredential;

/// How an app proves itself. Debug shows no secret.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A client secret: its value, not its id.
    ClientSecret(SecretString),
    /// A certificate registered with the app.
    Certificate(Box<CertificateCredential>),
    /// A Kubernetes service account token that the app trusts (a federated credential).
    WorkloadIdentity {
        /// File with the token; read anew for every request, since kubelet rotates it.
        token_file: PathBuf,
    },
    /// The identity of the Azure machine, user-assigned when the app has a client id.
    ManagedIdentity,
}
