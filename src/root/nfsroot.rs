// SPDX-License-Identifier: MIT OR Apache-2.0
//! NFS root: parses `ip=` and `nfsroot=`, and builds and parses the DHCP packets that request an address.
//!
//! Packets may come from any host on the network, so every length in them is checked. Source: the kernel's
//! Documentation/admin-guide/nfs/nfsroot.rst; RFC 951, RFC 2131, RFC 2132.
//!
//! ```text
//! 0 u8 op    1 u8 htype    2 u8 hlen    4 u32 xid    10 u16 flags    16 yiaddr    20 siaddr    28 chaddr
//! 236 u32 magic    240 options: u8 code, u8 len, value; 0 pads, 255 ends                     all big-endian
//! ```

use crate::bytes::{decimal, has_byte, split, split_around, split_once, u8_at, u32_at, until};

/// An IPv4 address in network byte order.
pub type Ipv4 = [u8; 4];

/// Network settings from `ip=`; DHCP supplies those that are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ip<'map> {
    /// This machine's address.
    pub client: Option<Ipv4>,
    /// Address of the NFS server.
    pub server: Option<Ipv4>,
    /// Address of the router.
    pub gateway: Option<Ipv4>,
    /// Netmask of the local network.
    pub netmask: Option<Ipv4>,
    /// Name of the interface; empty for the first one with a link.
    pub device: &'map [u8],
}

/// Server, directory and mount options from `nfsroot=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NfsRoot<'map> {
    /// Address of the NFS server.
    pub server: Option<Ipv4>,
    /// The exported directory.
    pub path: &'map [u8],
    /// Mount options of nfs(5), separated by commas.
    pub options: &'map [u8],
}

/// A reply of a DHCP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'map> {
    /// Message type: [`OFFER`], [`ACK`] or another.
    pub kind: u8,
    /// Server identifier (option 54).
    pub id: Ipv4,
    /// The offered settings; `server` is the packet's `siaddr`.
    pub ip: Ip<'map>,
    /// Root path (option 17), possibly with its server in front; empty if absent.
    pub root: &'map [u8],
}

/// A server's offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The offered address.
    pub client: Ipv4,
    /// Server identifier.
    pub server: Ipv4,
}

/// DHCPDISCOVER: the client looks for servers.
pub const DISCOVER: u8 = 1;
/// DHCPOFFER: a server offers an address.
pub const OFFER: u8 = 2;
/// DHCPREQUEST: the client requests the offered address.
pub const REQUEST: u8 = 3;
/// DHCPACK: the server assigns it.
pub const ACK: u8 = 5;
/// DHCPNAK: the server refuses it.
pub const NAK: u8 = 6;

/// Wait for an answer before a request is sent again, ms.
const AGAIN_MS: u64 = 1000;

/// Unanswered requests for an offer, after which its server is taken for dead. Source: RFC 2131, 3.1.
const REQUEST_COUNT: u8 = 4;

/// Length of the packets we send, bytes: some servers drop shorter ones (RFC 951 has 300).
pub const SENT_LEN: usize = 300;

const MAGIC: u32 = 0x6382_5363;
const OPTIONS_OFF: usize = 240;

/// Parses an address: four decimal numbers separated by dots.
pub fn ipv4(text: &[u8]) -> Option<Ipv4> {
    let mut parts = split(text, b'.');
    let mut address = [0; 4];
    for byte in &mut address {
        *byte = decimal(parts.next()?)?.try_into().ok()?;
    }
    parts.next().is_none().then_some(address)
}

impl<'map> Ip<'map> {
    /// Parses the value of `ip=`: `CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:HOW`, or `HOW` alone. Any field may be
    /// empty, and trailing fields may be missing.
    ///
    /// `HOW` is ignored: without CLIENT the address comes from DHCP. Returns `None` if a field that should be an address
    /// is malformed.
    pub fn parse(text: &'map [u8]) -> Option<Self> {
        let mut ip = Ip::default();
        if !has_byte(text, b':') {
            return Some(Ip { client: if has_byte(text, b'.') { Some(ipv4(text)?) } else { None }, ..ip });
        }
        let mut fields = split(text, b':');
        for address in [&mut ip.client, &mut ip.server, &mut ip.gateway, &mut ip.netmask] {
            let field = fields.next().unwrap_or_default();
            *address = if field.is_empty() { None } else { Some(ipv4(field)?) };
        }
        ip.device = fields.nth(1).unwrap_or_default();
        Some(ip)
    }
}

impl<'map> NfsRoot<'map> {
    /// Parses the value of `nfsroot=` or of DHCP option 17: `[SERVER:]PATH[,OPTIONS]`.
    pub fn parse(text: &'map [u8]) -> Self {
        let (place, options) = split_once(text, b',').unwrap_or((text, &[]));
        match split_once(place, b':') {
            Some((server, path)) if ipv4(server).is_some() => NfsRoot { server: ipv4(server), path, options },
            _ => NfsRoot { server: None, path: place, options },
        }
    }
}

/// Splits a root path at its first `%s`, which stands for this machine's address.
pub fn around_client(path: &[u8]) -> Option<(&[u8], &[u8])> {
    split_around(path, b"%s")
}

/// Returns the packet that the interface with address `mac` sends in the exchange `xid`. It is a [`DISCOVER`], or, with
/// the accepted offer in `taken`, a [`REQUEST`] for it. The packet asks for a broadcast reply, as the interface has no
/// address yet.
pub fn emit(mac: [u8; 6], xid: u32, taken: Option<Offer>) -> [u8; SENT_LEN] {
    let mut packet = [0; SENT_LEN];
    let mut put = |off: usize, bytes: &[u8]| {
        if let Some(slot) = packet.get_mut(off..).and_then(|rest| rest.get_mut(..bytes.len())) {
            slot.copy_from_slice(bytes);
        }
    };
    put(0, &[1, 1, 6]);
    put(4, &xid.to_be_bytes());
    put(10, &[0x80]);
    put(28, &mac);
    put(236, &MAGIC.to_be_bytes());
    let kind = if taken.is_some() { REQUEST } else { DISCOVER };
    // Option 53, the message type; option 55 requests netmask (1), router (3) and root path (17).
    put(OPTIONS_OFF, &[53, 1, kind, 55, 3, 1, 3, 17, 255]);
    if let Some(taken) = taken {
        put(248, &[50, 4]);
        put(250, &taken.client);
        put(254, &[54, 4]);
        put(256, &taken.server);
        put(260, &[255]);
    }
    packet
}

/// The client's side of an exchange: discovers servers, requests the first offer, and begins anew where that is refused or
/// its server does not answer. Source: RFC 2131, 3.1.
///
/// ```text
/// DISCOVER -> OFFER -> REQUEST -> ACK
///    ^----- NAK, or no answer ---|
/// ```
#[derive(Debug)]
pub struct Exchange {
    mac: [u8; 6],
    xid: u32,
    /// When the next packet is due.
    due_ms: u64,
    /// The number of requests for the offer.
    request_count: u8,
    /// The first offer.
    offer: Option<Offer>,
    /// Whether any server has answered.
    pub is_answered: bool,
}

impl Exchange {
    /// Begins an exchange of the interface with address `mac`, whose first packet is due at once.
    pub fn new(mac: [u8; 6], xid: u32) -> Self {
        Exchange { mac, xid, due_ms: 0, request_count: 0, offer: None, is_answered: false }
    }

    /// Takes a packet. Returns the acknowledgement of the server whose offer was requested.
    pub fn take<'buf>(&mut self, packet: &'buf [u8], now_ms: u64) -> Option<Reply<'buf>> {
        let reply = Reply::parse(packet, self.xid, self.mac)?;
        self.is_answered = true;
        let is_of_server = self.offer.is_some_and(|offer| offer.server == reply.id);
        match (reply.kind, reply.ip.client) {
            (OFFER, Some(client)) if self.offer.is_none() => {
                self.offer = Some(Offer { client, server: reply.id });
                self.due_ms = now_ms;
            }
            (ACK, Some(_)) if is_of_server => return Some(reply),
            (NAK, _) if is_of_server => self.begin_anew(),
            _ => {}
        }
        None
    }

    /// Returns the packet to send, if one is due.
    pub fn packet(&mut self, now_ms: u64) -> Option<[u8; SENT_LEN]> {
        if now_ms < self.due_ms {
            return None;
        }
        self.due_ms = now_ms.saturating_add(AGAIN_MS);
        if self.request_count >= REQUEST_COUNT {
            self.begin_anew();
        }
        self.request_count = self.request_count.saturating_add(self.offer.is_some().into());
        Some(emit(self.mac, self.xid, self.offer))
    }

    /// Forgets the offer; answers that are still on their way are of another exchange.
    fn begin_anew(&mut self) {
        self.offer = None;
        self.request_count = 0;
        self.xid = self.xid.wrapping_add(1);
    }
}

impl<'map> Reply<'map> {
    /// Parses a packet; `None` if it is not a well-formed reply in the exchange `xid` to the interface with address `mac`.
    pub fn parse(packet: &'map [u8], xid: u32, mac: [u8; 6]) -> Option<Self> {
        if u8_at(packet, 0)? != 2 || u32_at(packet, 4)? != xid || u32_at(packet, 236)? != MAGIC {
            return None;
        }
        if !packet.get(28..)?.starts_with(&mac) {
            return None;
        }
        let at = |off: usize| packet.get(off..).and_then(|rest| rest.first_chunk()).copied();
        let given = |address: Option<Ipv4>| address.filter(|address| *address != [0; 4]);
        let ip = Ip { client: given(at(16)), server: given(at(20)), ..Ip::default() };
        let mut reply = Reply { kind: 0, id: [0; 4], ip, root: &[] };
        let mut options = packet.get(OPTIONS_OFF..)?;
        while let Some((&code, rest)) = options.split_first() {
            options = rest;
            if code == 0 {
                continue;
            }
            let Some((&len, rest)) = rest.split_first().filter(|_| code != 255) else { break };
            let (value, rest) = rest.split_at_checked(len.into())?;
            options = rest;
            let address = value.first_chunk().copied();
            match code {
                1 => reply.ip.netmask = address,
                3 => reply.ip.gateway = address,
                17 => reply.root = until(value, 0),
                53 => reply.kind = *value.first()?,
                54 => reply.id = address?,
                _ => {}
            }
        }
        Some(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [1, 2, 3, 4, 5, 6];

    #[test]
    fn our_address_stands_in_a_path_where_it_is_asked_for() {
        assert_eq!(around_client(b"/boards/%s/root"), Some((&b"/boards/"[..], &b"/root"[..])));
        assert_eq!(around_client(b"%s%s"), Some((&b""[..], &b"%s"[..])));
        assert_eq!(around_client(b"/100%"), None);
    }

    /// Returns a reply with these options, from 10.0.2.2 to 10.0.2.15.
    fn answer(options: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; OPTIONS_OFF];
        packet[..3].copy_from_slice(&[2, 1, 6]);
        packet[4..8].copy_from_slice(&7u32.to_be_bytes());
        packet[16..24].copy_from_slice(&[10, 0, 2, 15, 10, 0, 2, 2]);
        packet[28..34].copy_from_slice(&MAC);
        packet[236..].copy_from_slice(&MAGIC.to_be_bytes());
        packet.extend(options);
        packet
    }

    #[test]
    fn ip_is_read_as_the_kernel_reads_it() {
        for text in ["dhcp", "on", "any", "", ":::::eth0:dhcp"] {
            let ip = Ip::parse(text.as_bytes()).unwrap();
            assert_eq!((ip.client, ip.server), (None, None), "{text}");
        }
        let ip = Ip::parse(b"10.0.2.15:10.0.2.2::255.255.255.0:host:eth1:off").unwrap();
        assert_eq!((ip.client, ip.server, ip.gateway), (Some([10, 0, 2, 15]), Some([10, 0, 2, 2]), None));
        assert_eq!((ip.netmask, ip.device), (Some([255, 255, 255, 0]), &b"eth1"[..]));
        for text in ["1.2.3", "1.2.3.4.5", "1.2.3.256:", "x:", "1.2.3.4:y:"] {
            assert_eq!(Ip::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn nfsroot_has_a_server_a_path_and_options() {
        let parsed = NfsRoot::parse(b"10.0.2.2:/srv/root,vers=4,port=2049");
        assert_eq!(parsed, NfsRoot { server: Some([10, 0, 2, 2]), path: b"/srv/root", options: b"vers=4,port=2049" });
        assert_eq!(NfsRoot::parse(b"/srv:x"), NfsRoot { server: None, path: b"/srv:x", options: b"" });
    }

    #[test]
    fn an_offer_is_taken_and_given() {
        let options =
            [53, 1, OFFER, 0, 54, 4, 10, 0, 2, 2, 1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 2, 3, 17, 2, b'/', b'r', 255, 9];
        let packet = answer(&options);
        let offer = Reply::parse(&packet, 7, MAC).unwrap();
        assert_eq!((offer.kind, offer.id, offer.root), (OFFER, [10, 0, 2, 2], &b"/r"[..]));
        assert_eq!((offer.ip.client, offer.ip.server), (Some([10, 0, 2, 15]), Some([10, 0, 2, 2])));
        assert_eq!((offer.ip.netmask, offer.ip.gateway), (Some([255, 255, 255, 0]), Some([10, 0, 2, 3])));
        let sent = emit(MAC, 7, Some(Offer { client: [10, 0, 2, 15], server: offer.id }));
        assert_eq!(sent[OPTIONS_OFF..OPTIONS_OFF + 3], [53, 1, REQUEST]);
        assert_eq!(sent[248..261], [50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2, 255]);
        assert_eq!((&sent[28..34], emit(MAC, 7, None)[242], emit(MAC, 7, None)[248]), (&MAC[..], DISCOVER, 255));
    }

    #[test]
    fn what_is_not_ours_or_cut_short_is_nothing() {
        let packet = answer(&[53, 1, ACK, 54, 4, 1, 2, 3, 4, 255]);
        assert_eq!(Reply::parse(&packet, 8, MAC), None, "another exchange");
        for len in 0..packet.len() {
            assert!(Reply::parse(&packet[..len], 7, MAC).is_none_or(|reply| reply.ip.client.is_some()));
        }
        assert_eq!(Reply::parse(&answer(&[53, 200, 1]), 7, MAC), None, "an option runs past the end");
        assert_eq!(Reply::parse(&emit(MAC, 7, None), 7, MAC), None, "a question");
    }

    /// Returns the kind of the packet that an exchange sends at a time.
    fn sent(exchange: &mut Exchange, now_ms: u64) -> Option<u8> {
        let packet = exchange.packet(now_ms)?;
        assert_eq!(packet[4..8], exchange.xid.to_be_bytes());
        Some(packet[OPTIONS_OFF + 2])
    }

    /// Returns an answer of a server, 10.0.2.`server`, in the exchange's current turn.
    fn from(exchange: &Exchange, kind: u8, server: u8) -> Vec<u8> {
        let mut packet = answer(&[53, 1, kind, 54, 4, 10, 0, 2, server, 255]);
        packet[4..8].copy_from_slice(&exchange.xid.to_be_bytes());
        packet
    }

    #[test]
    fn an_offer_is_requested_and_acknowledged_by_its_server() {
        let mut exchange = Exchange::new(MAC, 7);
        assert_eq!((sent(&mut exchange, 0), sent(&mut exchange, 999)), (Some(DISCOVER), None));
        let ack = from(&exchange, ACK, 2);
        assert_eq!(exchange.take(&ack, 1), None, "nothing was requested");
        let offer = from(&exchange, OFFER, 2);
        assert_eq!(exchange.take(&offer, 10), None);
        assert_eq!(sent(&mut exchange, 10), Some(REQUEST), "at once");
        assert_eq!(exchange.take(&from(&exchange, ACK, 3), 20), None, "of another server");
        assert_eq!(exchange.take(&ack, 20).map(|reply| reply.id), Some([10, 0, 2, 2]));
    }

    #[test]
    fn a_refusal_or_a_dead_server_leads_back_to_discover() {
        let mut exchange = Exchange::new(MAC, 7);
        sent(&mut exchange, 0);
        let offer = from(&exchange, OFFER, 2);
        exchange.take(&offer, 10);
        assert_eq!(sent(&mut exchange, 10), Some(REQUEST));
        let refused = from(&exchange, NAK, 3);
        exchange.take(&refused, 20);
        assert_eq!(sent(&mut exchange, 1010), Some(REQUEST), "another server's refusal does not count");
        let refused = from(&exchange, NAK, 2);
        exchange.take(&refused, 1020);
        assert_eq!(sent(&mut exchange, 2010), Some(DISCOVER));
        assert_eq!(exchange.take(&offer, 2020), None);
        assert_eq!(sent(&mut exchange, 3010), Some(DISCOVER), "an offer of the exchange before does not count");

        let offer = from(&exchange, OFFER, 2);
        exchange.take(&offer, 4000);
        let kinds: Vec<_> = (4..10).map(|second| sent(&mut exchange, 1000 * second).unwrap()).collect();
        assert_eq!(kinds, [REQUEST, REQUEST, REQUEST, REQUEST, DISCOVER, DISCOVER]);
    }

    #[test]
    fn packets_for_another_hardware_address_are_not_taken() {
        let mut exchange = Exchange::new(MAC, 7);
        sent(&mut exchange, 0);
        let mut offer = from(&exchange, OFFER, 2);
        offer[33] ^= 1;
        assert_eq!((exchange.take(&offer, 10), exchange.is_answered), (None, false));
        assert_eq!(sent(&mut exchange, 1000), Some(DISCOVER));
        offer[33] ^= 1;
        exchange.take(&offer, 1010);
        assert!(exchange.is_answered);
        let mut ack = from(&exchange, ACK, 2);
        ack[28] ^= 1;
        assert_eq!(exchange.take(&ack, 1020), None);
    }
}
