//! Which addresses a probe may be pointed at: whoever writes a spec, a name server or a certificate must not reach the cluster's
//! own services through the operator.
//! <https://www.iana.org/assignments/iana-ipv4-special-registry>, <https://www.iana.org/assignments/iana-ipv6-special-registry>

// An address as such; what connects is forbidden here.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;

/// Where an address lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// On the Internet.
    Public,
    /// This machine.
    Loopback,
    /// This link.
    LinkLocal,
    /// A private network: RFC 1918, RFC 4193, the carriers' shared range, benchmarks.
    Private,
    /// No host: unspecified, multicast, broadcast, reserved.
    NoHost,
    /// The metadata service of a cloud, which gives credentials to whoever asks.
    Metadata,
}

impl Range {
    /// Whether a probe may go there. What gives credentials is never asked.
    pub fn is_allowed(self, private_too: bool) -> bool {
        match self {
            Self::Public => true,
            Self::Loopback | Self::LinkLocal | Self::Private => private_too,
            Self::NoHost | Self::Metadata => false,
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "a public address",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Private => "a private address",
            Self::NoHost => "the address of no host",
            Self::Metadata => "the metadata service of a cloud",
        })
    }
}

/// Metadata services: of AWS, Azure, Google and most others; of tasks and pods at AWS; Azure's wire server; Alibaba's.
const METADATA_V4: [Ipv4Addr; 5] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
];
/// The same at AWS (instances, pods) and Google.
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// Where an address lies. One that carries an IPv4 address within lies where that one does.
pub fn range(address: IpAddr) -> Range {
    match address {
        IpAddr::V4(address) => range_v4(address),
        IpAddr::V6(address) => carried(address).map_or_else(|| range_v6(address), range_v4),
    }
}

fn range_v4(address: Ipv4Addr) -> Range {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        _ if METADATA_V4.contains(&address) => Range::Metadata,
        (0 | 224..=255, _, _) => Range::NoHost,
        (127, _, _) => Range::Loopback,
        (169, 254, _) => Range::LinkLocal,
        (10, _, _) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) | (198, 18..=19, _) | (192, 0, 0) => {
            Range::Private
        }
        _ => Range::Public,
    }
}

fn range_v6(address: Ipv6Addr) -> Range {
    let [first, ..] = address.segments();
    match first {
        _ if METADATA_V6.contains(&address) => Range::Metadata,
        _ if address.is_loopback() => Range::Loopback,
        _ if address.is_unspecified() || address.is_multicast() => Range::NoHost,
        0xfe80..=0xfebf => Range::LinkLocal,
        // Site-local addresses are deprecated and were private.
        0xfec0..=0xfeff | 0xfc00..=0xfdff => Range::Private,
        0x2000..=0x3fff => Range::Public,
        // Nothing else is assigned to hosts.
        _ => Range::NoHost,
    }
}

/// The IPv4 address within: mapped, compatible, of NAT64 (RFC 6052) and 6to4 (RFC 3056).
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let joined = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        _ if address.is_unspecified() || address.is_loopback() => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0 | 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => Some(joined(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_cluster_are_told_from_those_of_the_internet() {
        for (text, expected) in [
            ("8.8.8.8", Range::Public),
            ("203.0.113.9", Range::Public),
            ("2603:1030::1", Range::Public),
            ("127.0.0.1", Range::Loopback),
            ("127.255.0.3", Range::Loopback),
            ("::1", Range::Loopback),
            ("169.254.1.1", Range::LinkLocal),
            ("fe80::1", Range::LinkLocal),
            ("febf::1", Range::LinkLocal),
            ("10.96.0.1", Range::Private),
            ("172.16.0.1", Range::Private),
            ("172.31.255.255", Range::Private),
            ("172.32.0.1", Range::Public),
            ("192.168.3.4", Range::Private),
            ("100.64.0.1", Range::Private),
            ("100.128.0.1", Range::Public),
            ("198.18.0.1", Range::Private),
            ("fd12:3456::1", Range::Private),
            ("fec0::1", Range::Private),
            ("0.0.0.0", Range::NoHost),
            ("0.1.2.3", Range::NoHost),
            ("224.0.0.1", Range::NoHost),
            ("255.255.255.255", Range::NoHost),
            ("::", Range::NoHost),
            ("ff02::1", Range::NoHost),
            ("169.254.169.254", Range::Metadata),
            ("168.63.129.16", Range::Metadata),
            ("fd00:ec2::254", Range::Metadata),
            // the same in disguise
            ("::ffff:127.0.0.1", Range::Loopback),
            ("::ffff:10.0.0.1", Range::Private),
            ("::ffff:169.254.169.254", Range::Metadata),
            ("::ffff:8.8.8.8", Range::Public),
            ("::127.0.0.1", Range::Loopback),
            ("64:ff9b::a9fe:a9fe", Range::Metadata),
            ("64:ff9b:1::7f00:1", Range::Loopback),
            ("2002:7f00:1::", Range::Loopback),
            ("2002:a83f:8110::1", Range::Metadata),
        ] {
            assert_eq!(range(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn metadata_is_never_allowed() {
        for (range, without, with) in [
            (Range::Public, true, true),
            (Range::Loopback, false, true),
            (Range::LinkLocal, false, true),
            (Range::Private, false, true),
            (Range::NoHost, false, false),
            (Range::Metadata, false, false),
        ] {
            assert_eq!(
                (range.is_allowed(false), range.is_allowed(true)),
                (without, with),
                "{range}"
            );
        }
    }
}
