use crate::api::condition::ConditionType::{CertificatesValid, RoutingValid};
use crate::policy::connector::pexip::testing::{World, ago, world};
use crate::policy::connector::pexip::*;

const DAY: i64 = 86_400;

fn certificate(world: &mut World) -> &mut NodeCertificate {
    &mut world.configuration.certificates.as_mut().unwrap()[0]
}

#[test]
fn nodes_must_be_in_the_connectors_list() {
    let with = |admitted: &[&str], names: &[&str], is_proxy: bool| {
        let mut world = world();
        world.spec.node_fqdns = admitted.iter().map(|name| (*name).to_owned()).collect();
        certificate(&mut world).names = names.iter().map(|name| (*name).to_owned()).collect();
        world.configuration.nodes.as_mut().unwrap()[0].is_proxy = is_proxy;
        world.told(RoutingValid)
    };
    let refused = ["Critical NodeNotInConnectorAllowList edge01"];
    assert_eq!(
        with(&["edge01.example.com"], &["edge01.example.com"], false),
        Vec::<String>::new()
    );
    assert_eq!(
        with(&["EDGE01.example.com."], &["edge01.example.com"], false),
        Vec::<String>::new()
    );
    assert_eq!(
        with(
            &["pool.example.com"],
            &["edge01.example.com", "pool.example.com"],
            false
        ),
        Vec::<String>::new()
    );
    assert_eq!(
        with(&["edge01.example.com"], &["*.example.com"], false),
        Vec::<String>::new()
    );
    assert_eq!(with(&["edge01.example.com"], &[], false), Vec::<String>::new());
    assert_eq!(with(&["edge02.example.com"], &["edge01.example.com"], false), refused);
    assert_eq!(with(&["a.edge01.example.com"], &["*.example.com"], false), refused);
    assert_eq!(
        with(&["edge02.example.com"], &["edge01.example.com"], true),
        Vec::<String>::new()
    );
    assert_eq!(
        with(&[], &["edge01.example.com"], false),
        Vec::<String>::new(),
        "not asked for"
    );
}

#[test]
fn certificates_of_nodes_end() {
    for (starts, ends, expected) in [
        (-DAY, 100 * DAY, vec![]),
        (-DAY, -1, vec!["Critical Expired node edge01.example.com"]),
        (DAY, 100 * DAY, vec!["Critical NotYetValid node edge01.example.com"]),
        (-300 * DAY, 22 * DAY, vec![]),
        (
            -300 * DAY,
            20 * DAY,
            vec!["Warning ExpiringSoon node edge01.example.com"],
        ),
        (
            -300 * DAY,
            6 * DAY,
            vec!["Critical ExpiringSoon node edge01.example.com"],
        ),
        // One of six days is not told all its life.
        (-DAY, 5 * DAY, vec![]),
        (-5 * DAY, DAY, vec!["Warning ExpiringSoon node edge01.example.com"]),
        // One of 47 days is told at a third of its life.
        (-30 * DAY, 17 * DAY, vec![]),
        (
            -33 * DAY,
            14 * DAY,
            vec!["Warning ExpiringSoon node edge01.example.com"],
        ),
    ] {
        let mut world = world();
        let one = certificate(&mut world);
        (one.starts, one.ends) = (Some(ago(-starts)), Some(ago(-ends)));
        assert_eq!(world.told(CertificatesValid), expected, "{starts} {ends}");
    }
}

#[test]
fn what_certificates_of_nodes_are_for() {
    for (server, client, expected) in [
        (Some(true), Some(true), vec![]),
        (None, None, vec![]),
        (
            Some(true),
            Some(false),
            vec!["Info NodeCertificateWithoutClientAuth node edge01.example.com"],
        ),
        (
            Some(false),
            Some(true),
            vec!["Warning WrongExtendedKeyUsage node edge01.example.com"],
        ),
    ] {
        let mut world = world();
        let one = certificate(&mut world);
        (one.server_auth, one.client_auth) = (server, client);
        assert_eq!(world.told(CertificatesValid), expected, "{server:?} {client:?}");
    }
}

#[test]
fn certificates_that_nobody_shows_to_the_connector_do_not_matter() {
    let mut world = world();
    let one = certificate(&mut world);
    one.ends = Some(ago(1));
    one.uri = "/certificate/9/".into();
    one.nodes = vec!["far.example.com".into()];
    assert_eq!(world.told(CertificatesValid), Vec::<String>::new());
}

#[test]
fn an_expired_intermediate_is_told_and_an_expired_root_is_not() {
    for (is_intermediate, ends, expected) in [
        (true, 1, vec!["Warning Expired authority R3"]),
        (true, -DAY, vec![]),
        (false, 1, vec![]),
    ] {
        let mut world = world();
        world.configuration.authorities = Ok(vec![Authority {
            subject: "R3".into(),
            pem: String::new(),
            is_intermediate,
            ends: Some(ago(ends)),
        }]);
        assert_eq!(world.told(CertificatesValid), expected, "{is_intermediate} {ends}");
    }
}
