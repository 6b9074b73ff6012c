// SPDX-License-Identifier: MIT OR Apache-2.0
//! The network for a root on NFS: an interface with a link, its address from `ip=` or a DHCP server, and the options of
//! mount(2). A kernel with CONFIG_IP_PNP and CONFIG_ROOT_NFS does this itself.
//!
//! Source: the kernel's net/ipv4/ipconfig.c and fs/nfs/nfsroot.c; netdevice(7), packet formats in [`crate::root::nfsroot`].

use crate::bytes::{hexadecimal, split_once};
use crate::device::io::file::{each_entry, read_joined};
use crate::device::io::log::{Decimal, Level, line};
use crate::device::io::path::{Name, Path, errno, path};
use crate::device::rt::net::{Setting, add_route, configure};
use crate::device::rt::{bind_to_device, clock};
use crate::loading::kernel::Errno;
use crate::loading::options::BootOptions;
use crate::root::nfsroot::{Exchange, Ip, Ipv4, NfsRoot, Reply, around_client};
use core::net::{Ipv4Addr, SocketAddrV4};
use heapless::Vec;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::CWD;
use rustix::io::Errno as Error;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, bind, sendto, socket_with, sockopt};

/// The network, as it is brought up.
pub(crate) struct Net {
    ip: Ip<'static>,
    nfs: NfsRoot<'static>,
    state: State,
    /// The interface.
    device: Name,
    /// The DHCP server's root path: `SERVER:PATH`.
    dhcp_root: Vec<u8, 256>,
}

#[allow(clippy::large_enum_variant, reason = "there is one, and no heap")]
enum State {
    /// No interface has a link.
    NoLink,
    /// A DHCP request is sent.
    Requesting(Dhcp),
    /// The interface has an address.
    Ready,
    /// The interface cannot be configured.
    Failed,
}

struct Dhcp {
    socket: OwnedFd,
    exchange: Exchange,
}

impl Net {
    /// Reads `ip=` and `nfsroot=` if `root=` is /dev/nfs.
    ///
    /// # Errors
    /// The message for an `ip=` that is not understood.
    pub(crate) fn of(options: &BootOptions<'static>) -> Result<Option<Net>, &'static [u8]> {
        if options.root != Some(b"/dev/nfs") {
            return Ok(None);
        }
        let ip = Ip::parse(options.ip);
        Ok(Some(Net {
            ip: ip.ok_or(&b"ip= is not understood: CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE, or dhcp"[..])?,
            nfs: NfsRoot::parse(options.nfsroot),
            state: State::NoLink,
            device: Name::new(),
            dhcp_root: Vec::new(),
        }))
    }

    /// Does the next step towards an address. Returns whether the interface has one.
    #[inline(never)]
    pub(crate) fn turn(&mut self) -> bool {
        let now_ms = clock::now_ms();
        match &mut self.state {
            State::Ready => return true,
            State::Failed => {}
            State::NoLink => {
                if self.find_link() {
                    self.state = if self.ip.client.is_some() { self.configure() } else { self.request() };
                }
            }
            State::Requesting(dhcp) => {
                let mut packet = [0; 1500];
                if let Some(given) = dhcp.turn(now_ms, &mut packet) {
                    // The command line overrides the server.
                    let (own, given_ip) = (self.ip, given.ip);
                    self.ip.client = given_ip.client;
                    self.ip.server = own.server.or(given_ip.server).or(Some(given.id));
                    self.ip.gateway = own.gateway.or(given_ip.gateway);
                    self.ip.netmask = own.netmask.or(given_ip.netmask);
                    // If it is too long, the server has none.
                    let _ = self.dhcp_root.extend_from_slice(given.root);
                    self.state = self.configure();
                }
            }
        }
        matches!(self.state, State::Ready)
    }

    /// Brings interfaces up until one has a link. Returns whether one has.
    fn find_link(&mut self) -> bool {
        let Ok(socket) = socket() else { return false };
        let (wanted, found) = (self.ip.device, &mut self.device);
        each_entry(CWD, b"/sys/class/net", &mut |name, _| {
            let (mut carrier, mut kind) = ([0; 4], [0; 8]);
            let is_ethernet = read_joined(CWD, "/sys/class/net/%/type", &[name], &mut kind) == Some(b"1\n");
            if !found.is_empty() || !is_ethernet || !(wanted.is_empty() || wanted == name) {
                return;
            }
            // If this fails, it has no link.
            let _ = configure(&socket, Setting::Up, name);
            if read_joined(CWD, "/sys/class/net/%/carrier", &[name], &mut carrier) == Some(b"1\n") {
                let _ = found.extend_from_slice(name);
            }
        });
        !self.device.is_empty()
    }

    /// Opens the socket for DHCP requests.
    fn request(&self) -> State {
        let begun = || {
            let mut text = [0; 32];
            let address = read_joined(CWD, "/sys/class/net/%/address", &[&self.device], &mut text);
            let mac = address.and_then(mac).ok_or(Errno::EINVAL)?;
            let socket = socket().map_err(errno)?;
            sockopt::set_socket_broadcast(&socket, true).map_err(errno)?;
            bind_to_device(socket.as_raw_fd(), &self.device).map_err(Errno)?;
            bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68)).map_err(errno)?;
            let [_, _, a, b, c, d] = mac;
            let xid = u32::from_be_bytes([a, b, c, d]) ^ clock::stamp_us();
            Ok(Dhcp { socket, exchange: Exchange::new(mac, xid) })
        };
        match begun() {
            Ok(dhcp) => State::Requesting(dhcp),
            Err(error) => self.failed(error),
        }
    }

    /// Gives the interface its address.
    fn configure(&self) -> State {
        let client = self.ip.client.unwrap_or_default();
        let done = || {
            let socket = socket()?;
            configure(&socket, Setting::Address(client), &self.device)?;
            if let Some(netmask) = self.ip.netmask {
                configure(&socket, Setting::Netmask(netmask), &self.device)?;
            }
            if let Some(gateway) = self.ip.gateway {
                // Fails if the route exists, or the gateway is on another network; the local network works without it.
                let _ = add_route(&socket, gateway);
            }
            Ok(())
        };
        if let Err(error) = done() {
            return self.failed(errno(error));
        }
        line(Level::Notice, "% is %", &[&self.device, &dotted(client)]);
        State::Ready
    }

    fn failed(&self, error: Errno) -> State {
        line(
            Level::Error,
            "%: cannot configure the interface: %",
            &[&self.device, crate::device::io::log::errno_prose(error)],
        );
        State::Failed
    }

    /// Reports what the network lacks.
    pub(crate) fn report(&self) {
        let (device, what): (&[u8], &[u8]) = match self.state {
            State::NoLink if self.ip.device.is_empty() => (b"no network interface has a link", b""),
            State::NoLink => (self.ip.device, b": no such network interface, or it has no link"),
            State::Requesting(Dhcp { exchange: Exchange { is_answered: true, .. }, .. }) => {
                (&self.device, b": no DHCP server acknowledges its offer")
            }
            State::Requesting(_) => (&self.device, b": no DHCP server answers"),
            State::Ready if self.place().is_none() => {
                (b"no path for the NFS root: set nfsroot= or DHCP option 17", b"")
            }
            State::Ready | State::Failed => return,
        };
        line(Level::Error, "%%", &[device, what]);
    }

    /// Returns the source to mount, `SERVER:PATH`; `None` without a path.
    pub(crate) fn source(&self) -> Option<Path> {
        let (server, place) = self.place()?;
        let client = dotted(self.ip.client.unwrap_or_default());
        let parts = around_client(place).map(|(before, behind)| [before, &client, behind]);
        let [before, client, behind] = parts.unwrap_or([place, b"", b""]);
        path("%:%%%", &[&dotted(server), before, client, behind]).ok()
    }

    /// Writes the options of mount(2) and then `flags`, as far as they fit.
    pub(crate) fn options(&self, flags: &[u8], out: &mut Vec<u8, 1024>) {
        let server = self.place().map(|(server, _)| dotted(server)).unwrap_or_default();
        for part in [b"nolock,vers=3,proto=tcp,mountproto=tcp,addr=", &server[..], b",", self.nfs.options, b",", flags]
        {
            let _ = out.extend_from_slice(part);
        }
    }

    fn place(&self) -> Option<(Ipv4, &[u8])> {
        let given = NfsRoot::parse(&self.dhcp_root);
        let server = self.nfs.server.or(given.server).or(self.ip.server)?;
        let place = if self.nfs.path.is_empty() { given.path } else { self.nfs.path };
        (!place.is_empty()).then_some((server, place))
    }
}

impl Dhcp {
    /// Reads an answer, and sends the request again when it is due. Returns the server's acknowledgement.
    fn turn<'buf>(&mut self, now_ms: u64, packet: &'buf mut [u8]) -> Option<Reply<'buf>> {
        let len = rustix::io::read(&self.socket, &mut *packet).unwrap_or(0);
        let given = self.exchange.take(packet.get(..len).unwrap_or_default(), now_ms);
        if given.is_none()
            && let Some(request) = self.exchange.packet(now_ms)
        {
            // If this fails, it is sent again.
            let _ = sendto(&self.socket, &request, SendFlags::empty(), &SocketAddrV4::new(Ipv4Addr::BROADCAST, 67));
        }
        given
    }
}

fn socket() -> Result<OwnedFd, Error> {
    socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

/// Parses `52:54:00:12:34:56`.
fn mac(text: &[u8]) -> Option<[u8; 6]> {
    let (mut mac, mut rest) = ([0; 6], text.trim_ascii());
    for byte in &mut mac {
        let (digits, behind) = split_once(rest, b':').unwrap_or((rest, &[]));
        *byte = hexadecimal(digits)?.try_into().ok()?;
        rest = behind;
    }
    Some(mac)
}

/// Formats an address in dotted decimal.
fn dotted(address: Ipv4) -> Vec<u8, 16> {
    let mut text = Vec::new();
    for (at, byte) in address.into_iter().enumerate() {
        if at > 0 {
            let _ = text.push(b'.');
        }
        let _ = text.extend_from_slice(Decimal::new(byte.into()).text());
    }
    text
}
