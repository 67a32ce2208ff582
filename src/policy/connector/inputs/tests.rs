use proptest::prelude::*;

use super::*;
use crate::policy::connector::Outcome;

fn inputs(prefixes: &[&str]) -> Inputs {
    Inputs {
        address_prefixes: prefixes.iter().map(|&text| AddressPrefix(text.to_owned())).collect(),
    }
}

/// Hard input 12, and the prefix of the seed.
#[test]
fn each_fault_has_its_reason_and_its_correction() {
    use Reason::{AmbiguousOctet, HostBitsSet, PrefixInvalid};
    let cases = [
        ("91.90.42.96/26", HostBitsSet, "91.90.42.64/26 was meant"),
        ("10.0.0.1/0", HostBitsSet, "0.0.0.0/0 was meant"),
        ("2001:db8::1/32", HostBitsSet, "2001:db8::/32 was meant"),
        ("010.0.0.0/8", AmbiguousOctet, "octal"),
        ("10.0.00.0/8", AmbiguousOctet, "octal"),
        ("10.0.0.0/255.0.0.0", PrefixInvalid, "10.0.0.0/8 was meant"),
        ("91.90.42.96/255.255.255.192", PrefixInvalid, "91.90.42.64/26 was meant"),
        ("10.0.0.0/255.0.255.0", PrefixInvalid, "no usable length"),
        ("::ffff:10.0.0.0/104", PrefixInvalid, "write 10.0.0.0"),
        ("fe80::1%eth0/64", PrefixInvalid, "zone"),
        ("10.0.0.0/8 ", PrefixInvalid, "10.0.0.0/8 was meant"),
        (" 10.0.0.0/8", PrefixInvalid, "10.0.0.0/8 was meant"),
        ("10.0.0.0 /8", PrefixInvalid, "not a network"),
        ("10.0.0.0/ 8", PrefixInvalid, "no usable length"),
        ("10.0.0.1", PrefixInvalid, "10.0.0.1/32"),
        ("2001:db8::1", PrefixInvalid, "2001:db8::1/128"),
        ("10.0.0.0/33", PrefixInvalid, "no usable length"),
        ("10.0.0.0/08", PrefixInvalid, "no usable length"),
        ("10.0.0.0/-1", PrefixInvalid, "no usable length"),
        ("10.0.0.0/+8", PrefixInvalid, "no usable length"),
        ("10.0.0.0/", PrefixInvalid, "no usable length"),
        ("2001:db8::/129", PrefixInvalid, "no usable length"),
        ("10.0.0/8", PrefixInvalid, "not a network"),
        ("0x0a.0.0.0/8", PrefixInvalid, "not a network"),
        ("example.com/8", PrefixInvalid, "not a network"),
        ("", PrefixInvalid, "not a network"),
        ("\u{661}0.0.0.0/8", PrefixInvalid, "not a network"),
    ];
    for (text, reason, part) in cases {
        let findings = judge(&inputs(&["192.0.2.0/24", text]));
        assert_eq!(findings.len(), 1, "{text}");
        assert_eq!(findings[0].subject, text);
        assert_eq!(findings[0].outcome, Outcome::Fail(Severity::Warning, reason), "{text}");
        assert!(findings[0].message.contains(part), "{text}: {}", findings[0].message);
    }
}

#[test]
fn networks_are_right() {
    let right = [
        "91.90.42.64/26",
        "0.0.0.0/0",
        "10.1.2.3/32",
        "2001:0db8::/32",
        "::/0",
        "::1/128",
    ];
    let findings = judge(&inputs(&right));
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].outcome, Outcome::Pass);
}

proptest! {
    /// What is proposed is right, and is reached in one step.
    #[test]
    fn a_correction_is_itself_right(word: u32, bits in 0_u8..=32) {
        let network = masked(Ipv4Addr::from(word).into(), bits);
        let text = format!("{network}/{bits}");
        prop_assert_eq!(fault(&text), None);
    }

    #[test]
    fn nothing_that_is_typed_does_harm(text in ".{0,64}") {
        prop_assert_eq!(judge(&inputs(&[&text])).len(), 1);
    }
}
