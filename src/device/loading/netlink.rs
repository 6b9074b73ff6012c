//! What the kernel tells of devices as they come: its netlink socket. Source: netlink(7), lib/kobject_uevent.c.

use core::mem::MaybeUninit;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

/// Room for what is not read yet, bytes: a coldplug has overrun 2 MiB. Nothing is set aside for it before it is needed.
const BUFFER_LEN: usize = 128 << 20;

/// Longest message, bytes. Source: the kernel's UEVENT_BUFFER_SIZE, 2048, and the path in front of it.
pub(crate) const MESSAGE_LEN: usize = 8192;

/// The socket.
pub(crate) struct Uevents(OwnedFd);

/// What was heard.
pub(crate) enum Heard<'buf> {
    /// A device's event, as [`crate::modules::uevent::Uevent::message`] reads it.
    Message(&'buf [u8]),
    /// More was said than the socket could hold: who wants to know all has to look for himself.
    Overrun,
    /// Nothing more for now.
    Nothing,
}

impl Uevents {
    /// Begins to listen; `None` in a kernel without network sockets.
    pub(crate) fn open() -> Option<Uevents> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT)).ok()?;
        // Not root: the usual buffer has to do.
        let _ = sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER_LEN);
        bind(&socket, &SocketAddrNetlink::new(0, 1)).ok()?;
        Some(Uevents(socket))
    }

    /// What to wait on.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Takes the next message.
    pub(crate) fn next<'buf>(&self, buf: &'buf mut [MaybeUninit<u8>; MESSAGE_LEN]) -> Heard<'buf> {
        match rustix::io::read(&self.0, &mut buf[..]) {
            Ok((text, _)) => Heard::Message(text),
            Err(rustix::io::Errno::NOBUFS) => Heard::Overrun,
            Err(_) => Heard::Nothing,
        }
    }
}
