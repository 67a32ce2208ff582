//! What is typed into installation scripts, checked before it does harm.
//!
//! New specs are refused by the API server on the same grounds; this is for objects that were stored before it knew them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Finding;
use crate::api::condition::{ConditionType, Reason};
use crate::api::connector::{AddressPrefix, Inputs, Severity};

/// Judges every prefix; one finding for all when they are right.
pub fn judge(inputs: &Inputs) -> Vec<Finding> {
    let condition = ConditionType::InputsValid;
    let faults: Vec<Finding> = inputs
        .address_prefixes
        .iter()
        .filter_map(|AddressPrefix(text)| {
            let (reason, message) = fault(text)?;
            Some(Finding::fail(condition, text, Severity::Warning, reason, message))
        })
        .collect();
    if faults.is_empty() {
        return vec![Finding::pass(
            condition,
            "",
            "Every address prefix is a network in CIDR notation.",
        )];
    }
    faults
}

/// What is wrong with a prefix, if anything.
fn fault(text: &str) -> Option<(Reason, String)> {
    let invalid = |why: &str| Some((Reason::PrefixInvalid, format!("The address prefix {text:?} {why}.")));
    if text.trim() != text {
        return invalid(&format!("has blanks around it: {} was meant", text.trim()));
    }
    let Some((address, length)) = text.split_once('/') else {
        return match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => invalid(&format!("has no length: {text}/32 is this address alone")),
            Ok(IpAddr::V6(_)) => invalid(&format!("has no length: {text}/128 is this address alone")),
            Err(_) => invalid("is not a network in CIDR notation"),
        };
    };
    if address.contains('%') {
        return invalid("has a zone, which is known on one machine alone: leave it out");
    }
    if has_leading_zero(address) {
        let message = format!(
            "The address prefix {text:?} has a number with a zero before it, which some programs read as octal: write it without."
        );
        return Some((Reason::AmbiguousOctet, message));
    }
    let Ok(address) = address.parse::<IpAddr>() else {
        return invalid("is not a network in CIDR notation");
    };
    if let IpAddr::V6(mapped) = address
        && let Some(inner) = mapped.to_ipv4_mapped()
    {
        return invalid(&format!("is an IPv4 address within IPv6: write {inner} and its length"));
    }
    if let Some(bits) = dotted_mask(length) {
        return invalid(&format!(
            "has a mask in place of a length: {}/{bits} was meant",
            masked(address, bits)
        ));
    }
    let Some(bits) = read_length(length, address) else {
        return invalid("has no usable length after its slash");
    };
    let network = masked(address, bits);
    (network != address).then(|| {
        let message =
            format!("The address prefix {text:?} has host bits, which Azure refuses: {network}/{bits} was meant.");
        (Reason::HostBitsSet, message)
    })
}

/// Of dotted numbers, not of hexadecimal groups: `2001:0db8::` is plain.
fn has_leading_zero(address: &str) -> bool {
    let dotted = address.rsplit(':').next().filter(|last| last.contains('.'));
    let mut numbers = dotted.into_iter().flat_map(|dotted| dotted.split('.'));
    numbers.any(|number| number.len() > 1 && number.starts_with('0') && number.bytes().all(|one| one.is_ascii_digit()))
}

/// The length that a mask such as `255.255.255.192` stands for.
fn dotted_mask(text: &str) -> Option<u8> {
    let mask = u32::from(text.parse::<Ipv4Addr>().ok()?);
    let bits = u8::try_from(mask.leading_ones()).ok()?;
    (mask == masked_word(u32::MAX, bits)).then_some(bits)
}

fn read_length(text: &str, address: IpAddr) -> Option<u8> {
    let plain = text.bytes().all(|one| one.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits: u8 = text.parse().ok()?;
    (plain && bits <= most).then_some(bits)
}

/// The first address of the network.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from(masked_word(u32::from(address), bits)).into(),
        IpAddr::V6(address) => {
            let host = 128_u32.saturating_sub(u32::from(bits));
            let mask = u128::MAX.checked_shl(host).unwrap_or(0);
            Ipv6Addr::from(u128::from(address) & mask).into()
        }
    }
}

fn masked_word(word: u32, bits: u8) -> u32 {
    let host = 32_u32.saturating_sub(u32::from(bits));
    word & u32::MAX.checked_shl(host).unwrap_or(0)
}

#[cfg(test)]
mod tests;
