// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ioctls that configure a network interface and its default route.
//!
//! Source: netdevice(7); include/uapi/linux/sockios.h, if.h, route.h.

use super::ioctl::call;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::ioctl::Opcode;

const SIOCADDRT: Opcode = 0x890b;
const SIOCSIFFLAGS: Opcode = 0x8914;
const SIOCSIFADDR: Opcode = 0x8916;
const SIOCSIFNETMASK: Opcode = 0x891c;
/// IFF_UP and IFF_MULTICAST, as `ifr_flags`.
const FLAGS: [u8; 16] = {
    let [low, high] = 0x1001_u16.to_ne_bytes();
    [low, high, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
};
const RTF_UP_GATEWAY: u16 = 3;

/// An IPv4 address, in network byte order.
type Ipv4 = [u8; 4];

/// A property of an interface.
#[derive(Clone, Copy)]
pub(crate) enum Setting {
    /// Up, with multicast.
    Up,
    Address(Ipv4),
    Netmask(Ipv4),
}

/// `struct ifreq`. The kernel reads 40 bytes of it, 32 on 32-bit targets.
#[repr(C)]
struct Ifreq {
    name: [u8; 16],
    value: [u8; 16],
    rest: [u8; 8],
}

/// `struct rtentry`.
#[repr(C)]
struct Route {
    pad1: usize,
    dst: [u8; 16],
    gateway: [u8; 16],
    netmask: [u8; 16],
    flags: u16,
    pad2: u16,
    pad3: usize,
    pad4: usize,
    metric: u16,
    dev: usize,
    mtu: usize,
    window: usize,
    irtt: u16,
}

/// Changes one property of the interface `name`.
///
/// # Errors
/// The kernel's errno; `EINVAL` for a name of more than 15 bytes.
pub(crate) fn configure(socket: &OwnedFd, setting: Setting, name: &[u8]) -> Result<(), Errno> {
    let mut request = Ifreq { name: [0; 16], value: [0; 16], rest: [0; 8] };
    let opcode;
    // The name ends in NUL. Source: IFNAMSIZ.
    let slot = request.name.get_mut(..name.len()).filter(|slot| slot.len() < 16).ok_or(Errno::INVAL)?;
    slot.copy_from_slice(name);
    (request.value, opcode) = match setting {
        Setting::Up => (FLAGS, SIOCSIFFLAGS),
        Setting::Address(address) => (inet(address), SIOCSIFADDR),
        Setting::Netmask(netmask) => (inet(netmask), SIOCSIFNETMASK),
    };
    call(socket, opcode, &mut request)
}

/// Adds the default route, by `gateway`.
///
/// # Errors
/// The kernel's errno.
pub(crate) fn add_route(socket: &OwnedFd, gateway: Ipv4) -> Result<(), Errno> {
    let any = inet([0; 4]);
    let mut route = Route {
        pad1: 0,
        dst: any,
        gateway: inet(gateway),
        netmask: any,
        flags: RTF_UP_GATEWAY,
        pad2: 0,
        pad3: 0,
        pad4: 0,
        metric: 0,
        dev: 0,
        mtu: 0,
        window: 0,
        irtt: 0,
    };
    call(socket, SIOCADDRT, &mut route)
}

/// Lays out a `struct sockaddr_in` without a port.
fn inet(address: Ipv4) -> [u8; 16] {
    let [a, b, c, d] = address;
    let [low, high] = 2_u16.to_ne_bytes(); // AF_INET
    [low, high, 0, 0, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0]
}
