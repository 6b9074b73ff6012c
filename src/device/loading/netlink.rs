// SPDX-License-Identifier: MIT OR Apache-2.0
//! The netlink socket on which the kernel sends uevents. Source: netlink(7), lib/kobject_uevent.c.

use core::mem::MaybeUninit;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

/// The socket's buffer, bytes: a coldplug has overrun 2 MiB. The kernel allocates it as messages arrive.
const BUFFER_LEN: usize = 128 << 20;

/// Longest message, bytes: the kernel's UEVENT_BUFFER_SIZE, 2048, and a path in front of it.
pub(crate) const MESSAGE_LEN: usize = 8192;

/// The socket.
pub(crate) struct Uevents(OwnedFd);

/// The result of a read.
pub(crate) enum Event<'buf> {
    /// A uevent, for [`crate::modules::uevent::Uevent::message`] to parse.
    Message(&'buf [u8]),
    /// The socket's buffer was full and messages are lost: /sys has to be scanned.
    Overrun,
    /// There is no message.
    Nothing,
}

impl Uevents {
    /// Opens the socket; `None` in a kernel without CONFIG_NET.
    pub(crate) fn open() -> Option<Uevents> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT)).ok()?;
        // Fails without CAP_NET_ADMIN, which leaves the default size.
        let _ = sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER_LEN);
        bind(&socket, &SocketAddrNetlink::new(0, 1)).ok()?;
        Some(Uevents(socket))
    }

    /// Returns the socket, for poll(2).
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Reads the next message.
    pub(crate) fn next<'buf>(&self, buf: &'buf mut [MaybeUninit<u8>; MESSAGE_LEN]) -> Event<'buf> {
        match rustix::io::read(&self.0, &mut buf[..]) {
            Ok((text, _)) => Event::Message(text),
            Err(rustix::io::Errno::NOBUFS) => Event::Overrun,
            Err(_) => Event::Nothing,
        }
    }
}
