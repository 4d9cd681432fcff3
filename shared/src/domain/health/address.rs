//! Which addresses are the public internet's. Everything else may be a neighbour that trusts every
//! client: Lambda's own Runtime API is on loopback, and link-local addresses hand out credentials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is reachable from the public internet, by IANA's registries of special-purpose
/// addresses (RFC 6890 and what followed).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Whether an address cannot be a health check's server, listed or not: loopback, link-local (which hands
/// out credentials), AWS's services on each machine, unspecified, or multicast.
#[must_use]
pub(super) fn is_reserved(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_nobodys_v4(address),
        IpAddr::V6(address) => {
            if let Some(inside) = embedded(address) {
                return is_nobodys_v4(inside);
            }
            let [first, second, ..] = address.segments();
            address.is_unspecified()
                || address.is_multicast()
                || address.is_unicast_link_local()
                // Metadata, time and names of EC2.
                || (first, second) == (0xfd00, 0xec2)
        }
    }
}

fn is_nobodys_v4(address: Ipv4Addr) -> bool {
    address.octets()[0] == 0
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0 // This network.
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || (a == 100 && (64..128).contains(&b)) // Shared by carriers.
        || (a, b, c) == (192, 0, 0) // Protocols.
        || (a, b, c) == (192, 88, 99) // 6to4 relays, which are no more.
        || address.is_documentation()
        || (a == 198 && (18..20).contains(&b)) // Benchmarks.
        || a >= 224; // Multicast, reserved, broadcast.
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // An IPv4 address in another form is what it is.
    if let Some(inside) = embedded(address) {
        return is_public_v4(inside);
    }
    match address.segments() {
        // Protocols (Teredo among them), and documentation twice.
        [0x2001, 0..0x200 | 0xdb8, ..] | [0x3fff, 0..0x1000, ..] => false,
        // All that is given out.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// The IPv4 address in a mapped, translated (NAT64) or 6to4 address.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = |from: usize| {
        let octets = address.octets();
        Ipv4Addr::new(
            octets[from],
            octets[from + 1],
            octets[from + 2],
            octets[from + 3],
        )
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(bits(12)),
        [0x2002, ..] => Some(bits(2)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_told_from_the_internet() {
        for public in [
            "1.1.1.1",
            "52.95.110.1",
            "100.63.255.255",
            "172.32.0.1",
            "223.255.255.255",
            "2600:1f18::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
    }
}
