//! The HTTP client of probes that are given credentials or lead to where a spec says: it goes to no address that no server of
//! the kind can have.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, ClientBuilder, Url};
use url::Host;

use crate::graph::http_client_builder;
use crate::policy::connector::address::{Range, range};

/// Longest bundle of certificates that is read, in bytes.
const LONGEST_BUNDLE: usize = 1024 * 1024;

/// Why there is no client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The bundle is no PEM, holds no certificate, or is too long.
    #[error("the bundle of trusted certificates cannot be read")]
    Bundle,
    /// The TLS library cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client,
}

/// A client that trusts these certificates (PEM) besides the public ones, and follows no redirects.
pub fn client(bundle: Option<&[u8]>) -> Result<Client, Unusable> {
    builder(bundle)?.build().map_err(|_| Unusable::Client)
}

/// The same before it is made, for a probe that wants more of it.
pub(super) fn builder(bundle: Option<&[u8]>) -> Result<ClientBuilder, Unusable> {
    let roots = match bundle {
        Some(pem) if pem.len() > LONGEST_BUNDLE => return Err(Unusable::Bundle),
        Some(pem) => Certificate::from_pem_bundle(pem).map_err(|_| Unusable::Bundle)?,
        None => Vec::new(),
    };
    if bundle.is_some() && roots.is_empty() {
        return Err(Unusable::Bundle);
    }
    Ok(http_client_builder().tls_certs_merge(roots).dns_resolver(Guarded))
}

/// Whether a URL leads where no server of the kind can be. A name is judged by its addresses, when they are known.
pub(super) fn is_forbidden(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => !may_be_server(address.into(), true),
        Some(Host::Ipv6(address)) => !may_be_server(address.into(), true),
        Some(Host::Domain(_)) | None => false,
    }
}

/// Private addresses may be: XSPs and managers stand in private networks. This machine only where the spec says so in words.
fn may_be_server(address: IpAddr, this_machine: bool) -> bool {
    match range(address) {
        Range::Public | Range::Private => true,
        Range::Loopback => this_machine,
        Range::LinkLocal | Range::NoHost | Range::Metadata => false,
    }
}

/// Names, without the addresses that are forbidden: what is checked is what is connected to.
struct Guarded;

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(addresses(name))
    }
}

async fn addresses(name: Name) -> Result<Addrs, Box<dyn Error + Send + Sync>> {
    let this_machine = name.as_str().eq_ignore_ascii_case("localhost");
    let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
    Ok(Box::new(allowed(found, this_machine)?.into_iter()))
}

/// The addresses of a name that may be asked; an error if there is none.
fn allowed(found: impl Iterator<Item = SocketAddr>, this_machine: bool) -> io::Result<Vec<SocketAddr>> {
    let allowed: Vec<SocketAddr> = found.filter(|one| may_be_server(one.ip(), this_machine)).collect();
    if allowed.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "no address of it may be asked",
        ));
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hard input 20: neither a spec nor a name server leads a probe to what gives credentials.
    #[test]
    fn no_url_leads_to_metadata_services() {
        for (url, expected) in [
            ("http://169.254.169.254/latest", true),
            ("http://[fd00:ec2::254]/latest", true),
            ("http://[::ffff:169.254.169.254]/", true),
            ("http://2852039166/", true), // the same as one number
            ("http://168.63.129.16/", true),
            ("http://0.0.0.0/", true),
            ("http://[fe80::1]/", true),
            ("http://127.0.0.1:8080/", false),
            ("https://192.0.2.1/", false),
            ("https://10.0.0.1/", false),
            ("https://xsp.example.com/", false),
        ] {
            assert_eq!(is_forbidden(&url.parse().unwrap()), expected, "{url}");
        }
    }

    #[tokio::test]
    async fn only_a_name_for_this_machine_leads_to_it() {
        let resolve = async |name: &str| Guarded.resolve(name.parse().unwrap()).await.map(Iterator::count);
        assert!(resolve("localhost").await.is_ok());
        assert!(!may_be_server("127.0.0.1".parse().unwrap(), false));
        assert!(!may_be_server("169.254.169.254".parse().unwrap(), true));
    }

    /// Hard input 20: what a name server answers is connected to only as far as it may be.
    #[test]
    fn of_the_addresses_of_a_name_only_those_of_servers_are_asked() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            let parsed = texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 443));
            parsed.collect()
        };
        let mixed = addresses(&[
            "169.254.169.254",
            "10.0.0.7",
            "fe80::1",
            "127.0.0.1",
            "192.0.2.1",
            "fd00:ec2::254",
        ]);
        let without = allowed(mixed.clone().into_iter(), false).unwrap();
        assert_eq!(without, addresses(&["10.0.0.7", "192.0.2.1"]));
        let with = allowed(mixed.into_iter(), true).unwrap();
        assert_eq!(with, addresses(&["10.0.0.7", "127.0.0.1", "192.0.2.1"]));
        for none in [
            &["169.254.169.254", "::ffff:169.254.169.254", "0.0.0.0", "127.0.0.1"][..],
            &[],
        ] {
            let error = allowed(addresses(none).into_iter(), false).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{none:?}");
        }
    }

    #[test]
    fn a_bundle_must_hold_certificates() {
        assert!(client(None).is_ok());
        for odd in [&b""[..], b"x", b"-----BEGIN CERTIFICATE-----\n"] {
            assert_eq!(client(Some(odd)).err(), Some(Unusable::Bundle));
        }
        let pem = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap().cert.pem();
        assert!(client(Some(pem.as_bytes())).is_ok());
    }
}
