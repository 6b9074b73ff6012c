// SPDX-License-Identifier: MIT OR Apache-2.0
//! `initmod` loads the kernel modules a machine needs from inside its initramfs; `mkinitmod` decides on the build host
//! which modules those are, and builds the image.
//!
//! # Map
//! The **core** is `no_std` and does no I/O. It resolves a modalias and plans a load with the same code on the device
//! and on the host, where an image is built and verified. `device` and `host` use the core, never each other.
//!
//! | Folder      | Content                                                                                       |
//! |-------------|-----------------------------------------------------------------------------------------------|
//! | [`modules`] | core: indexes, modprobe.d, the command line, modinfo; the look-up from a modalias to modules  |
//! | [`loading`] | core: plan and schedule of the modules, loading and unloading through the trait `Kernel`      |
//! | [`root`]    | core: `root=` and `nfsroot=`, superblocks, partition tables                                   |
//! | [`zstd`]    | core: the zstd decoder; single files beside it: [`bytes`], [`glob`], [`getopt`], [`seen`]     |
//! | `device`    | feature `device`: the loader, without std and libc; it has `modules`, `loading`, `root` too   |
//! | `host`      | feature `host`: the generator; module trees, device trees, boards, selection, images, depmod  |
//!
//! Data flow on the host: module tree -> graph -> selection for a board -> depmod -> image. On the device: indexes ->
//! look-up -> plan -> kernel -> root. A dep line has the indirect dependencies too, so the device needs no graph.
//!
//! # Glossary
//! * **module**: a `.ko` file, maybe compressed. **modname**: its name in /sys/module, with `_` and never `-`.
//! * **modalias**: the string by which a device requests its driver. **alias**: a pattern for modaliases, in a module or
//!   in modprobe.d. **match**: a module whose alias matches.
//! * **index**: one of depmod's modules.*.bin files, a radix tree.
//! * **dep line**: a line of modules.dep: the path of a module, then those of all its dependencies.
//! * **softdep**: a configured, optional dependency, loaded before (pre) or after (post) its module.
//! * **plan**: modules in load order. **step**: one module of a plan. **edge**: one step has to wait for another.
//! * **retire**: to remove finished steps from the beginning of a plan, which keeps its memory bounded.
//! * **listed modules**: those named by modules-load.d or `modules_load=`, loaded first and in order.
//! * **coldplug**: to load the modules of devices that the kernel found before, by a scan of /sys/devices.
//! * **bind**: the kernel attaches a driver to a device. **deferred**: the driver waits for a supplier
//!   (`EPROBE_DEFER`).
//! * **supplier**: a device that provides a clock, a regulator, a bus or the like. **consumer**: a device that needs it.
//! * **MFD cell**: a sub-device that the driver of a multi-function chip creates; no device tree node needs to exist.
//! * **board**: a file that describes what an image has to support. **image**: the initramfs, or the part with modules.
//! * **module id**: index of a module in the host's list of a tree's modules (`ModuleId`).
#![cfg_attr(not(any(feature = "host", test)), no_std)]
#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects,
        clippy::unreachable,
        clippy::todo,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )
)]

#[cfg(all(feature = "host", feature = "device"))]
compile_error!(
    "features `host` and `device` can't be built together: std and the loader's panic handler exclude each other"
);

pub mod error;
pub mod bytes;
pub mod glob;
pub mod getopt;
pub mod seen;
pub mod zstd;
pub mod modules;
pub mod loading;
pub mod root;

#[cfg(feature = "device")]
pub mod device;
#[cfg(feature = "host")]
pub mod host;
