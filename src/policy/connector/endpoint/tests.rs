use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, CrlDistributionPoint,
    CustomExtension, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose,
    NameConstraints, RevocationReason, RevokedCertParams, SerialNumber, date_time_ymd,
};

use super::*;
use crate::api::connector::{HttpExpectation, KeyAlgorithm, Revocation, Trust};
use crate::policy::connector::address::Range;
use crate::policy::connector::certificate::Role;

const HOST: &str = "connector.example";

/// An authority and what it signed.
type Authority = CertifiedIssuer<'static, KeyPair>;

fn now() -> Timestamp {
    "2026-06-15T12:00:00Z".parse().unwrap()
}

fn authority(name: &str, above: Option<&Authority>, change: impl FnOnce(&mut CertificateParams)) -> Authority {
    let mut params = params(name, (2020, 1, 1), (2036, 1, 1));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    match above {
        Some(above) => CertifiedIssuer::signed_by(params, key, above).unwrap(),
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
    }
}

fn params(name: &str, from: (i32, u8, u8), to: (i32, u8, u8)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(to.0, to.1, to.2);
    params.use_authority_key_identifier_extension = true;
    params
}

fn leaf_params(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = params("leaf", (2026, 1, 1), (2027, 1, 1));
    params.subject_alt_names = vec![rcgen::SanType::DnsName(HOST.try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    change(&mut params);
    params
}

fn leaf(above: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    leaf_params(change).signed_by(&key, above).unwrap().der().to_vec()
}

fn der(authority: &Authority) -> Vec<u8> {
    authority.der().to_vec()
}

/// Access to the issuer at this address, as an extension: rcgen has none of its own.
fn issuer_at(url: &str) -> CustomExtension {
    let mut name = vec![0x86, u8::try_from(url.len()).unwrap()];
    name.extend(url.bytes());
    let mut access = vec![0x06, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2];
    access.extend(name);
    let mut list = vec![0x30, u8::try_from(access.len()).unwrap()];
    list.extend(access);
    let mut all = vec![0x30, u8::try_from(list.len()).unwrap()];
    all.extend(list);
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], all)
}

/// A root, an intermediate that it signed, and a spec that trusts the root.
struct World {
    root: Authority,
    middle: Authority,
    endpoint: Endpoint,
    evidence: EndpointEvidence,
}

impl World {
    fn new() -> Self {
        let root = authority("root", None, |_| {});
        let middle = authority("middle", Some(&root), |_| {});
        let evidence = EndpointEvidence {
            bundle: vec![der(&root)],
            ..EndpointEvidence::default()
        };
        let endpoint = endpoint(|tls| tls.trust = Trust::Bundle);
        Self {
            root,
            middle,
            endpoint,
            evidence,
        }
    }

    fn tls(&mut self) -> &mut TlsExpectation {
        self.endpoint.tls.as_mut().unwrap()
    }

    fn leaf(&self, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        leaf(&self.middle, change)
    }

    /// A further address that shows this chain.
    fn shows(&mut self, chain: Vec<Vec<u8>>) {
        let number = u8::try_from(self.evidence.addresses.len() + 1).unwrap();
        let mut address = AddressEvidence::new([192, 0, 2, number].into());
        address.tls.chain = chain;
        address.tls.proof = Proof::Right;
        address.tls.version = Some(0x0304);
        self.evidence.addresses.push(address);
    }

    fn certificates(&self) -> Vec<Finding> {
        let findings = judge(&self.endpoint, &self.evidence, now());
        let mine = |finding: &Finding| finding.condition == ConditionType::CertificatesValid;
        findings.into_iter().filter(mine).collect()
    }

    fn reasons(&self) -> Vec<Reason> {
        self.certificates().iter().filter_map(Finding::reason).collect()
    }
}

fn endpoint(change: impl FnOnce(&mut TlsExpectation)) -> Endpoint {
    let mut endpoint: Endpoint =
        serde_json::from_value(serde_json::json!({ "name": "connector", "host": HOST })).unwrap();
    let mut tls = TlsExpectation::default();
    change(&mut tls);
    endpoint.tls = Some(tls);
    endpoint
}

/// What is shown, and the reasons that follow from it.
#[test]
#[allow(clippy::too_many_lines)] // a table
fn every_fault_of_a_certificate_has_its_reason() {
    type Show = fn(&World) -> Vec<Vec<u8>>;
    let cases: &[(&str, Show, &[Reason])] = &[
        ("right", |w| vec![w.leaf(|_| {}), der(&w.middle)], &[]),
        (
            "with its root",
            |w| vec![w.leaf(|_| {}), der(&w.middle), der(&w.root)],
            &[],
        ),
        (
            "with junk",
            |w| vec![w.leaf(|_| {}), der(&w.middle), b"junk".to_vec()],
            &[],
        ),
        (
            "out of order",
            |w| vec![w.leaf(|_| {}), der(&w.root), der(&w.middle)],
            &[],
        ),
        (
            "expired",
            |w| vec![w.leaf(|p| p.not_after = date_time_ymd(2026, 6, 15)), der(&w.middle)],
            &[Reason::Expired],
        ),
        (
            "not valid yet",
            |w| vec![w.leaf(|p| p.not_before = date_time_ymd(2026, 6, 16)), der(&w.middle)],
            &[Reason::NotYetValid],
        ),
        (
            "expired, and of nobody",
            |_| {
                vec![leaf(&authority("other", None, |_| {}), |p| {
                    p.not_after = date_time_ymd(2026, 6, 1);
                })]
            },
            &[Reason::Expired, Reason::UntrustedIssuer],
        ),
        (
            "ends before it begins",
            |w| {
                let odd = |p: &mut CertificateParams| {
                    p.not_before = date_time_ymd(2026, 7, 1);
                    p.not_after = date_time_ymd(2026, 5, 1);
                };
                vec![w.leaf(odd), der(&w.middle)]
            },
            &[Reason::CertificateMalformed],
        ),
        (
            "lasts until the year 9999",
            |w| vec![w.leaf(|p| p.not_after = date_time_ymd(9999, 12, 31)), der(&w.middle)],
            &[],
        ),
        (
            "expired intermediate",
            |w| {
                let old = authority("old", Some(&w.root), |p| p.not_after = date_time_ymd(2026, 6, 1));
                vec![leaf(&old, |_| {}), der(&old)]
            },
            &[Reason::Expired],
        ),
        (
            "intermediate that is not valid yet",
            |w| {
                let young = authority("young", Some(&w.root), |p| p.not_before = date_time_ymd(2026, 7, 1));
                vec![leaf(&young, |_| {}), der(&young)]
            },
            &[Reason::NotYetValid],
        ),
        (
            "expired cross-signature that is not needed",
            |w| {
                let other = authority("other", None, |p| p.not_after = date_time_ymd(2026, 1, 2));
                let cross = authority("root", Some(&other), |p| p.not_after = date_time_ymd(2026, 1, 2));
                vec![w.leaf(|_| {}), der(&w.middle), der(&cross)]
            },
            &[],
        ),
        (
            "missing intermediate",
            |w| vec![w.leaf(|_| {})],
            &[Reason::UntrustedIssuer],
        ),
        (
            "missing intermediate, and where it is to be had",
            |w| vec![w.leaf(|p| p.custom_extensions.push(issuer_at("http://ca.example/middle.der")))],
            &[Reason::IncompleteChain],
        ),
        (
            "of a root that is not trusted",
            |_| {
                let other = authority("other", None, |_| {});
                vec![leaf(&other, |_| {}), der(&other)]
            },
            &[Reason::UntrustedIssuer],
        ),
        (
            "of another authority with the same name",
            |w| {
                let same = authority("root", None, |_| {});
                let _ = w;
                vec![leaf(&same, |_| {})]
            },
            &[Reason::UntrustedIssuer],
        ),
        (
            "signed by itself",
            |_| {
                let key = KeyPair::generate().unwrap();
                vec![leaf_params(|_| {}).self_signed(&key).unwrap().der().to_vec()]
            },
            &[Reason::SelfSigned],
        ),
        (
            "signed by itself, as an authority",
            |_| {
                let key = KeyPair::generate().unwrap();
                let params = leaf_params(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
                vec![params.self_signed(&key).unwrap().der().to_vec()]
            },
            &[Reason::SelfSigned],
        ),
        (
            "for another name",
            |w| {
                let other = |p: &mut CertificateParams| {
                    p.subject_alt_names = vec![rcgen::SanType::DnsName("other.example".try_into().unwrap())];
                };
                vec![w.leaf(other), der(&w.middle)]
            },
            &[Reason::NameMismatch],
        ),
        (
            "in capitals",
            |w| {
                let capitals = |p: &mut CertificateParams| {
                    p.subject_alt_names = vec![rcgen::SanType::DnsName("CONNECTOR.Example".try_into().unwrap())];
                };
                vec![w.leaf(capitals), der(&w.middle)]
            },
            &[],
        ),
        (
            "of 200 names",
            |w| {
                let many = |p: &mut CertificateParams| {
                    p.subject_alt_names = (0..200)
                        .map(|n| rcgen::SanType::DnsName(format!("a{n}.example").try_into().unwrap()))
                        .collect();
                };
                vec![w.leaf(many), der(&w.middle)]
            },
            &[Reason::NameMismatch],
        ),
        (
            "without names",
            |w| vec![w.leaf(|p| p.subject_alt_names.clear()), der(&w.middle)],
            &[Reason::NoSubjectAltName],
        ),
        (
            "for clients",
            |w| {
                vec![
                    w.leaf(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
                    der(&w.middle),
                ]
            },
            &[Reason::WrongExtendedKeyUsage],
        ),
        (
            "of an authority for mail",
            |w| {
                let mail = authority("mail", Some(&w.root), |p| {
                    p.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
                });
                vec![leaf(&mail, |_| {}), der(&mail)]
            },
            &[Reason::WrongExtendedKeyUsage],
        ),
        (
            "of an authority for other names",
            |w| {
                let only = NameConstraints {
                    permitted_subtrees: vec![GeneralSubtree::DnsName("other.example".to_owned())],
                    excluded_subtrees: Vec::new(),
                };
                let bound = authority("bound", Some(&w.root), |p| p.name_constraints = Some(only));
                vec![leaf(&bound, |_| {}), der(&bound)]
            },
            &[Reason::NameConstraintViolated],
        ),
        (
            "signed by a server",
            |w| {
                let server = authority("server", Some(&w.root), |p| {
                    p.is_ca = IsCa::ExplicitNoCa;
                    p.key_usages.clear();
                });
                vec![leaf(&server, |_| {}), der(&server)]
            },
            &[Reason::IssuerNotAuthority],
        ),
        (
            "with a critical extension that nobody knows",
            |w| {
                let odd = |p: &mut CertificateParams| {
                    let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
                    extension.set_criticality(true);
                    p.custom_extensions.push(extension);
                };
                vec![w.leaf(odd), der(&w.middle)]
            },
            &[Reason::CertificateMalformed],
        ),
        (
            "no certificate",
            |_| vec![b"nonsense".to_vec()],
            &[Reason::CertificateMalformed],
        ),
        (
            "short-lived and fresh",
            |w| {
                vec![
                    w.leaf(|p| (p.not_before, p.not_after) = (date_time_ymd(2026, 6, 13), date_time_ymd(2026, 6, 20))),
                    der(&w.middle),
                ]
            },
            &[],
        ),
        (
            "ending soon",
            |w| vec![w.leaf(|p| p.not_after = date_time_ymd(2026, 7, 1)), der(&w.middle)],
            &[Reason::ExpiringSoon],
        ),
        (
            "of an authority that ends soon",
            |w| {
                let old = authority("old", Some(&w.root), |p| p.not_after = date_time_ymd(2026, 7, 1));
                vec![leaf(&old, |_| {}), der(&old)]
            },
            &[Reason::ExpiringSoon],
        ),
    ];
    for (name, show, expected) in cases {
        let mut world = World::new();
        let chain = show(&world);
        world.shows(chain);
        let findings = world.certificates();
        assert_eq!(world.reasons(), *expected, "{name}: {findings:#?}");
        assert_eq!(expected.is_empty(), findings[0].outcome == Outcome::Pass, "{name}");
        for finding in findings {
            assert!(
                finding.message.starts_with("connector") && finding.message.ends_with('.'),
                "{}",
                finding.message
            );
        }
    }
}

#[test]
fn expectations_of_keys_are_kept() {
    for (allowed, expected) in [
        (vec![KeyAlgorithm::RSA], vec![Reason::KeyAlgorithmNotAllowed]),
        (vec![KeyAlgorithm::RSA, KeyAlgorithm::ECDSA], vec![]),
    ] {
        let mut world = World::new();
        world.tls().key_algorithms = allowed;
        let chain = vec![world.leaf(|_| {}), der(&world.middle)];
        world.shows(chain);
        assert_eq!(world.reasons(), expected);
    }
    let mut world = World::new();
    world.tls().min_rsa_bits = 4096;
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let leaf = leaf_params(|_| {}).signed_by(&key, &world.middle).unwrap();
    let chain = vec![leaf.der().to_vec(), der(&world.middle)];
    world.shows(chain);
    assert_eq!(world.reasons(), [Reason::KeyTooSmall]);
    assert!(world.certificates()[0].message.contains("RSA 2048"));
}

#[test]
fn private_roots_are_not_trusted_where_public_ones_are_demanded() {
    for (trust, expected) in [
        (Trust::Public, vec![Reason::UntrustedIssuer]),
        (Trust::PublicOrBundle, vec![]),
        (Trust::Bundle, vec![]),
    ] {
        let mut world = World::new();
        world.tls().trust = trust;
        if trust == Trust::Public {
            world.evidence.bundle.clear();
        }
        let chain = vec![world.leaf(|_| {}), der(&world.middle)];
        world.shows(chain);
        assert_eq!(world.reasons(), expected, "{trust:?}");
    }
}

#[test]
fn a_certificate_of_the_bundle_is_trusted_itself() {
    let key = KeyPair::generate().unwrap();
    let own = leaf_params(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))
        .self_signed(&key)
        .unwrap();
    let mut world = World::new();
    world.evidence.bundle = vec![own.der().to_vec()];
    world.shows(vec![own.der().to_vec()]);
    assert_eq!(world.reasons(), []);
}

#[test]
fn an_expired_root_of_the_bundle_is_named() {
    let mut world = World::new();
    let root = authority("old root", None, |p| p.not_after = date_time_ymd(2026, 6, 1));
    world.evidence.bundle = vec![der(&root)];
    world.shows(vec![leaf(&root, |_| {})]);
    assert_eq!(world.reasons(), [Reason::Expired]);
    assert!(world.certificates()[0].message.contains("old root"));
}

#[test]
fn lifetimes_decide_when_an_end_is_soon() {
    let soon = |from: (i32, u8, u8), to: (i32, u8, u8)| {
        let world = World::new();
        let leaf = world.leaf(|p| {
            (p.not_before, p.not_after) = (date_time_ymd(from.0, from.1, from.2), date_time_ymd(to.0, to.1, to.2));
        });
        let leaf = crate::policy::connector::certificate::Certificate::read(&leaf).unwrap();
        certificates::soon(&TlsExpectation::default().expiry, &leaf, now())
    };
    // A year: 21 and 7 days.
    assert_eq!(soon((2025, 7, 8), (2026, 7, 8)), None);
    assert_eq!(soon((2025, 7, 6), (2026, 7, 6)), Some(Severity::Warning));
    assert_eq!(soon((2025, 6, 21), (2026, 6, 21)), Some(Severity::Critical));
    // 47 days: a third, 15.5 days, and a third of that.
    assert_eq!(soon((2026, 5, 16), (2026, 7, 2)), None);
    assert_eq!(soon((2026, 5, 14), (2026, 6, 30)), Some(Severity::Warning));
    assert_eq!(soon((2026, 5, 4), (2026, 6, 20)), Some(Severity::Critical));
    // Six days: two, and two thirds of one.
    assert_eq!(soon((2026, 6, 12), (2026, 6, 18)), None);
    assert_eq!(soon((2026, 6, 11), (2026, 6, 17)), Some(Severity::Warning));
}

#[test]
fn what_one_backend_shows_is_told_with_its_address() {
    let mut world = World::new();
    let good = vec![world.leaf(|_| {}), der(&world.middle)];
    let old = vec![
        world.leaf(|p| p.not_after = date_time_ymd(2026, 6, 1)),
        der(&world.middle),
    ];
    world.shows(good.clone());
    world.shows(old);
    world.shows(good);
    let findings = world.certificates();
    assert_eq!(
        findings
            .iter()
            .map(|finding| finding.message.as_str())
            .collect::<Vec<_>>(),
        ["connector at 192.0.2.2 (not at 192.0.2.1, 192.0.2.3): the certificate expired on 2026-06-01: renew it."]
    );
    assert_eq!(
        leaf_not_after(&world.evidence),
        Some("2026-06-01T00:00:00Z".parse().unwrap())
    );
    let health = health(&world.endpoint, &world.evidence);
    assert_eq!(health.addresses, ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    assert_eq!(
        health.certificates[0].not_after.0,
        "2026-06-01T00:00:00Z".parse().unwrap()
    );
    assert_eq!(health.tls_version.as_deref(), Some("1.3"));
    assert!(health.reachable);
}

#[test]
fn dates_for_metrics_are_real_or_absent() {
    let mut world = World::new();
    assert_eq!(validities(&world.evidence), []);
    assert_eq!(chain_not_after(&world.endpoint, &world.evidence, now()), None);
    let chain = vec![world.leaf(|_| {}), der(&world.middle), der(&world.root)];
    world.shows(chain);
    let roles: Vec<Role> = validities(&world.evidence)
        .iter()
        .map(|validity| validity.role)
        .collect();
    assert_eq!(roles, [Role::Leaf, Role::Intermediate, Role::Root]);
    assert_eq!(
        chain_not_after(&world.endpoint, &world.evidence, now()),
        Some("2027-01-01T00:00:00Z".parse().unwrap())
    );
    // An unneeded certificate that expired moves no date of the way; without a way there is none.
    let old = authority("root", Some(&authority("x", None, |_| {})), |p| {
        p.not_after = date_time_ymd(2026, 1, 2);
    });
    world.evidence.addresses[0].tls.chain.push(der(&old));
    assert_eq!(
        chain_not_after(&world.endpoint, &world.evidence, now()),
        Some("2027-01-01T00:00:00Z".parse().unwrap())
    );
    world.evidence.bundle.clear();
    assert_eq!(chain_not_after(&world.endpoint, &world.evidence, now()), None);
    assert_eq!(
        leaf_not_after(&world.evidence),
        Some("2027-01-01T00:00:00Z".parse().unwrap())
    );
}

fn list(authority: &Authority, revoked: &[u8], until: (i32, u8, u8)) -> Vec<u8> {
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 6, 1),
        next_update: date_time_ymd(until.0, until.1, until.2),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked
            .iter()
            .map(|serial| RevokedCertParams {
                serial_number: SerialNumber::from(u64::from(*serial)),
                revocation_time: date_time_ymd(2026, 6, 2),
                reason_code: Some(RevocationReason::KeyCompromise),
                invalidity_date: None,
            })
            .collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(authority).unwrap().der().to_vec()
}

#[test]
fn only_a_list_that_speaks_of_a_certificate_revokes_it() {
    let document = |answer| Document {
        url: "http://ca.example/list.crl".to_owned(),
        answer,
    };
    let mut world = World::new();
    world.tls().revocation = Revocation::Crl;
    let listed = |p: &mut CertificateParams| {
        p.serial_number = Some(SerialNumber::from(7));
        p.crl_distribution_points = vec![CrlDistributionPoint {
            uris: vec!["http://ca.example/list.crl".to_owned()],
        }];
    };
    let chain = vec![world.leaf(listed), der(&world.middle)];
    world.shows(chain);
    let of_root = list(&world.root, &[], (2026, 7, 1));
    let other = authority("other", None, |_| {});
    let cases = [
        (vec![Answer::Body(list(&world.middle, &[], (2026, 7, 1)))], None),
        (
            vec![Answer::Body(list(&world.middle, &[7], (2026, 7, 1)))],
            Some(Reason::Revoked),
        ),
        (vec![Answer::Body(list(&world.middle, &[8], (2026, 7, 1)))], None),
        (
            vec![Answer::Body(list(&world.middle, &[], (2026, 6, 2)))],
            Some(Reason::RevocationUnknown),
        ),
        (
            vec![Answer::Body(list(&other, &[7], (2026, 7, 1)))],
            Some(Reason::RevocationUnknown),
        ),
        (vec![Answer::Body(b"<html>".to_vec())], Some(Reason::RevocationUnknown)),
        (vec![Answer::Status(404)], Some(Reason::RevocationUnknown)),
        (vec![Answer::None], Some(Reason::RevocationUnknown)),
        (vec![], Some(Reason::RevocationUnknown)),
    ];
    for (answers, expected) in cases {
        world.evidence.documents.crls = answers.iter().cloned().map(document).collect();
        world
            .evidence
            .documents
            .crls
            .push(document(Answer::Body(of_root.clone())));
        assert_eq!(world.reasons(), expected.into_iter().collect::<Vec<_>>(), "{answers:?}");
        let told: Vec<Outcome> = world.certificates().iter().map(|finding| finding.outcome).collect();
        assert!(expected != Some(Reason::RevocationUnknown) || told == [Outcome::Unknown(Reason::RevocationUnknown)]);
    }
}

#[test]
fn addresses_of_issuers_that_lead_to_https_are_told() {
    let url = "http://ca.example/middle.der";
    let mut world = World::new();
    world.tls().aia_redirect_check = true;
    let chain = vec![
        world.leaf(|p| p.custom_extensions.push(issuer_at(url))),
        der(&world.middle),
    ];
    world.shows(chain);
    for (answer, expected) in [
        (Answer::Body(der(&world.middle)), None),
        (
            Answer::Redirect("https://ca.example/middle.der".to_owned()),
            Some(Reason::AiaRedirectsToHttps),
        ),
        (
            Answer::Redirect("HTTPS://ca.example/".to_owned()),
            Some(Reason::AiaRedirectsToHttps),
        ),
        (Answer::Redirect("http://ca.example/again".to_owned()), None),
        (Answer::Redirect("/é".to_owned()), None),
        (Answer::Status(500), Some(Reason::AiaUnreachable)),
        (Answer::NotAllowed, Some(Reason::AiaUnreachable)),
        (Answer::TooLong, Some(Reason::AiaUnreachable)),
        (Answer::None, Some(Reason::AiaUnreachable)),
    ] {
        world.evidence.documents.issuers = vec![Document {
            url: url.to_owned(),
            answer: answer.clone(),
        }];
        assert_eq!(world.reasons(), expected.into_iter().collect::<Vec<_>>(), "{answer:?}");
    }
}

#[test]
fn an_issuer_that_was_found_tells_a_missing_intermediate_from_a_stranger() {
    let url = "http://ca.example/issuer.der";
    let mut world = World::new();
    let chain = vec![world.leaf(|p| p.custom_extensions.push(issuer_at(url)))];
    world.shows(chain);
    let found = |body: Vec<u8>| {
        vec![Document {
            url: url.to_owned(),
            answer: Answer::Body(body),
        }]
    };
    world.evidence.documents.issuers = found(der(&world.middle));
    assert_eq!(world.reasons(), [Reason::IncompleteChain]);
    let stranger = authority("stranger", None, |_| {});
    world.evidence.addresses.clear();
    world.shows(vec![leaf(&stranger, |p| p.custom_extensions.push(issuer_at(url)))]);
    world.evidence.documents.issuers = found(der(&stranger));
    assert_eq!(world.reasons(), [Reason::UntrustedIssuer]);
}

#[test]
fn a_key_that_was_not_proved_is_a_fault_of_its_own() {
    let mut world = World::new();
    let chain = vec![world.leaf(|_| {}), der(&world.middle)];
    world.shows(chain);
    world.evidence.addresses[0].tls.proof = Proof::Wrong;
    assert_eq!(world.reasons(), [Reason::HandshakeSignatureInvalid]);
    world.evidence.addresses[0].tls.proof = Proof::None;
    assert_eq!(world.reasons(), []);
}

fn at(number: u8, obstacle: impl Into<Option<Obstacle>>) -> AddressEvidence {
    AddressEvidence {
        obstacle: obstacle.into(),
        ..AddressEvidence::new([192, 0, 2, number].into())
    }
}

fn reachable_at(endpoint: &Endpoint, addresses: Vec<AddressEvidence>) -> Vec<Finding> {
    let evidence = EndpointEvidence {
        addresses,
        ..EndpointEvidence::default()
    };
    reachable(endpoint, &evidence)
}

fn reason_at(endpoint: &Endpoint, found: AddressEvidence) -> Option<Reason> {
    let findings = reachable_at(endpoint, vec![found]);
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings[0].reason()
}

#[test]
fn classes_of_reachability_are_told_apart() {
    let asked = |shown| TlsEvidence {
        asked: Some(CertificateRequest { authorities: 1, shown }),
        ..TlsEvidence::default()
    };
    let chose = |version, cipher| TlsEvidence {
        fallback: Some(Fallback::Chose { version, cipher }),
        ..TlsEvidence::default()
    };
    let plain = TlsEvidence::default;
    for (obstacle, tls, expected) in [
        (Obstacle::NotAllowed(Range::Private), plain(), Reason::AddressNotAllowed),
        (
            Obstacle::NotAllowed(Range::Metadata),
            plain(),
            Reason::AddressNotAllowed,
        ),
        (Obstacle::ConnectTimeout, plain(), Reason::ConnectTimeout),
        (Obstacle::Refused, plain(), Reason::ConnectionRefused),
        (Obstacle::HostUnreachable, plain(), Reason::NetworkUnreachable),
        (Obstacle::NoRoute, plain(), Reason::NetworkUnreachable),
        (Obstacle::Closed, plain(), Reason::ConnectionReset),
        (Obstacle::HandshakeTimeout, plain(), Reason::HandshakeTimeout),
        (Obstacle::NotTls, plain(), Reason::NotTls),
        (Obstacle::UnusableName, plain(), Reason::InvalidSpec),
        (Obstacle::HttpTimeout, plain(), Reason::HttpTimeout),
        (Obstacle::NotHttp, plain(), Reason::NotHttp),
        (Obstacle::Other("odd".to_owned()), plain(), Reason::InsufficientEvidence),
        (Obstacle::Incompatible("odd".to_owned()), plain(), Reason::TlsAlert),
        // unrecognized_name, internal_error
        (Obstacle::Alert(112), plain(), Reason::TlsAlert),
        (Obstacle::Alert(80), plain(), Reason::TlsAlert),
        // protocol_version, handshake_failure, insufficient_security
        (Obstacle::Alert(70), plain(), Reason::TlsProtocolTooOld),
        (Obstacle::Alert(40), plain(), Reason::TlsNoCommonCipher),
        (Obstacle::Alert(71), plain(), Reason::TlsNoCommonCipher),
        (Obstacle::Alert(70), chose(0x0301, 0x002f), Reason::TlsProtocolTooOld),
        (Obstacle::Closed, chose(0x0302, 0xc02f), Reason::TlsProtocolTooOld),
        (Obstacle::Alert(40), chose(0x0303, 0x002f), Reason::TlsNoCommonCipher),
        (Obstacle::Alert(40), chose(0x0303, 0xc02f), Reason::VerifierUnsupported),
        (Obstacle::ChainTooLong, plain(), Reason::CertificateMalformed),
        // The same alert speaks of the client's certificate where one was asked for.
        (Obstacle::Alert(40), asked(false), Reason::ClientCertificateRequired),
        (Obstacle::Alert(116), plain(), Reason::ClientCertificateRequired),
        (Obstacle::Alert(116), asked(false), Reason::ClientCertificateRequired),
        (Obstacle::Closed, asked(false), Reason::ClientCertificateRequired),
        (Obstacle::Alert(48), asked(true), Reason::ClientCertificateRejected),
        (Obstacle::Alert(42), asked(true), Reason::ClientCertificateRejected),
    ] {
        let found = AddressEvidence { tls, ..at(1, obstacle) };
        assert_eq!(reason_at(&endpoint(|_| {}), found.clone()), Some(expected), "{found:?}");
    }
    assert_eq!(reason_at(&endpoint(|_| {}), at(1, None)), None);
}

#[test]
fn what_a_firewall_may_hide_is_no_fault_where_only_nodes_are_admitted() {
    let mut endpoint = endpoint(|_| {});
    endpoint.expect_from = Vantage::NodesOnly;
    for (obstacle, expected) in [
        (Obstacle::ConnectTimeout, Reason::NotReachableFromCluster),
        (Obstacle::Refused, Reason::NotReachableFromCluster),
        (Obstacle::Closed, Reason::NotReachableFromCluster),
        (Obstacle::NotTls, Reason::NotTls),
        (Obstacle::NotAllowed(Range::Loopback), Reason::AddressNotAllowed),
    ] {
        let findings = judge(
            &endpoint,
            &EndpointEvidence {
                addresses: vec![at(1, obstacle)],
                ..EndpointEvidence::default()
            },
            now(),
        );
        assert_eq!(findings[0].reason(), Some(expected));
        let certificates = if expected == Reason::NotReachableFromCluster {
            expected
        } else {
            Reason::InsufficientEvidence
        };
        assert_eq!(findings[1].outcome, Outcome::Unknown(certificates));
    }
}

#[test]
fn a_family_of_addresses_without_a_route_says_nothing_about_the_endpoint() {
    let v6 = |obstacle: Option<Obstacle>| AddressEvidence {
        obstacle,
        ..AddressEvidence::new("2001:db8::1".parse().unwrap())
    };
    let judge = |addresses| reachable_at(&endpoint(|_| {}), addresses);
    assert_eq!(
        judge(vec![at(1, None), v6(Some(Obstacle::NoRoute))])[0].outcome,
        Outcome::Pass
    );
    assert_eq!(
        judge(vec![v6(Some(Obstacle::NoRoute))])[0].reason(),
        Some(Reason::NetworkUnreachable)
    );
    // One that swallows packets is a fault, also where the other answers.
    let findings = judge(vec![at(1, None), v6(Some(Obstacle::ConnectTimeout))]);
    assert_eq!(findings[0].reason(), Some(Reason::ConnectTimeout));
    assert!(
        findings[0]
            .message
            .starts_with("connector at 2001:db8::1 (not at 192.0.2.1): "),
        "{}",
        findings[0].message
    );
}

#[test]
fn names_that_lead_nowhere_or_elsewhere_are_told() {
    let with = |resolution| EndpointEvidence {
        resolution,
        ..EndpointEvidence::default()
    };
    let plain = endpoint(|_| {});
    let first = |resolution| reachable(&plain, &with(resolution)).remove(0);
    assert_eq!(first(Resolution::NotFound).reason(), Some(Reason::DnsNotFound));
    assert_eq!(
        first(Resolution::Unavailable).outcome,
        Outcome::Unknown(Reason::DnsUnavailable)
    );
    let mut pinned = endpoint(|_| {});
    pinned.expected_addresses = vec!["192.0.2.1".to_owned(), "2001:DB8:0::1".to_owned()];
    let reasons = |addresses| {
        reachable_at(&pinned, addresses)
            .iter()
            .map(Finding::reason)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        reasons(vec![at(1, None), AddressEvidence::new("2001:db8::1".parse().unwrap())]),
        [None]
    );
    assert_eq!(reasons(vec![at(2, None)]), [Some(Reason::DnsAddressMismatch)]);
}

#[test]
fn answers_are_held_against_what_is_expected() {
    let mut endpoint = endpoint(|_| {});
    let mut expected: HttpExpectation = serde_json::from_str("{}").unwrap();
    expected.non_empty_body = true;
    endpoint.http = Some(expected);
    let answer = |status, blank| AddressEvidence {
        http: Some(HttpEvidence { status, blank }),
        ..at(1, None)
    };
    assert_eq!(reason_at(&endpoint, answer(404, false)), None);
    assert_eq!(reason_at(&endpoint, answer(200, true)), Some(Reason::EmptyBody));
    assert_eq!(
        reason_at(&endpoint, answer(503, false)),
        Some(Reason::UnexpectedHttpStatus)
    );
    assert_eq!(
        reason_at(&endpoint, answer(400, false)),
        Some(Reason::UnexpectedHttpStatus)
    );
    // A path that a proxy put into small letters.
    for (path, told) in [("/Pbx", true), ("/pbx", false)] {
        let mut endpoint = endpoint.clone();
        let http = endpoint.http.as_mut().unwrap();
        (http.path, http.statuses) = (path.to_owned(), vec![200]);
        let finding = reachable_at(&endpoint, vec![answer(404, false)]).remove(0);
        assert_eq!(finding.message.contains("capitals"), told, "{}", finding.message);
    }
    // nginx asks for a certificate in TLS and misses it in HTTP.
    for (shown, expected) in [
        (false, Reason::ClientCertificateRequired),
        (true, Reason::ClientCertificateRejected),
    ] {
        let mut found = answer(400, false);
        found.tls.asked = Some(CertificateRequest { authorities: 1, shown });
        assert_eq!(reason_at(&endpoint, found), Some(expected));
    }
}
