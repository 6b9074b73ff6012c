// SPDX-License-Identifier: MIT OR Apache-2.0
//! Removes modules: the policy, on the trait [`Loaded`], without a call of the kernel.
//!
//! The order is that of kmod's `rmmod_do_module`: post softdeps in reverse, holders if requested, the module, its unused
//! dependencies, pre softdeps in reverse. kmod stops after the direct dependencies; here the whole unused chain goes.

use super::kernel::{Errno, Refusal};
use crate::modules::config::Side;
use crate::modules::name::{Modname, modname};
use crate::modules::resolve::{Match, Resolver};
use heapless::VecView;

/// The presence of a module in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Absent.
    Absent,
    /// Present as a module, live, coming or going.
    Loaded,
    /// Built into the kernel.
    Builtin,
}

/// The kernel, as seen by a removal. Tests record the calls; a dry run makes none.
pub trait Loaded {
    /// Returns the presence of `modname`.
    fn presence(&mut self, modname: &[u8]) -> Presence;

    /// Returns the number of users of a module; `None` if it is absent or built in.
    fn refcnt(&mut self, modname: &[u8]) -> Option<u32>;

    /// Appends the modules that use a module, up to the capacity of `holders`.
    fn holders(&mut self, modname: &[u8], holders: &mut VecView<Modname>);

    /// Removes the module.
    ///
    /// # Errors
    /// The errno of delete_module(2).
    fn remove(&mut self, modname: &[u8]) -> Result<(), Errno>;

    /// Runs the `remove` command that modprobe.d has for `modname`.
    ///
    /// # Errors
    /// The reason why it could not run, or its exit status.
    fn command(&mut self, command: &[u8], modname: &[u8]) -> Result<(), Refusal>;

    /// Called with the reason why a module stays.
    fn on_stay(&mut self, modname: &[u8], why: Stays);
}

/// The reason why a module stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// It is not in the kernel.
    NotIn,
    /// Built into the kernel.
    Builtin,
    /// It is in use.
    InUse,
    /// The errno of delete_module(2).
    Kernel(Errno),
    /// Its `remove` command failed.
    Command,
    /// Its name is invalid, or softdeps nest too deep.
    Unfit,
}

/// The options of a removal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// Ignores the module's softdeps and `remove` command.
    pub ignore_commands: bool,
    /// Removes the modules that use it, too.
    pub holders: bool,
    /// Counts an absent module as a failure.
    pub first_time: bool,
    /// Calls the kernel also for a module in use: the use may end meanwhile.
    pub waits: bool,
    /// Whether it is a dry run, after which nothing has changed.
    pub dry_run: bool,
}

/// Depth at which nested softdeps are an error.
const DEPTH: usize = 16;

/// A removal, and its state.
pub struct Removal<'a, 'map> {
    /// Resolves names.
    pub resolver: &'a Resolver<'map>,
    /// Its options.
    pub policy: Policy,
    /// The kernel.
    pub kernel: &'a mut dyn Loaded,
    /// Modules whose removal has begun, outermost first.
    under_way: heapless::Vec<Modname, DEPTH>,
}

impl<'a, 'map> Removal<'a, 'map> {
    /// Begins a removal.
    pub fn new(resolver: &'a Resolver<'map>, policy: Policy, kernel: &'a mut dyn Loaded) -> Self {
        Removal { resolver, policy, kernel, under_way: heapless::Vec::new() }
    }

    /// Removes the module `name` (or a path), with its unused dependencies and softdeps. Returns whether it is out.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        self.module(name, self.policy.holders, true)
    }

    fn module(&mut self, path: &[u8], holders: bool, asked_for: bool) -> bool {
        let Ok(name) = modname(path) else { return self.stays(path, Stays::Unfit) };
        if self.under_way.contains(&name) {
            return true;
        }
        if self.under_way.push(name.clone()).is_err() {
            return self.stays(&name, Stays::Unfit);
        }
        let done = self.steps(&name, holders, asked_for);
        self.under_way.pop();
        done
    }

    fn steps(&mut self, name: &Modname, holders: bool, asked_for: bool) -> bool {
        let heeds = !self.policy.ignore_commands;
        let command = self.resolver.config.remove(name).filter(|_| heeds);
        if command.is_none() {
            match self.kernel.presence(name) {
                Presence::Absent if self.policy.first_time => return self.stays(name, Stays::NotIn),
                Presence::Absent => return true,
                Presence::Builtin if asked_for => return self.stays(name, Stays::Builtin),
                Presence::Builtin => return true,
                Presence::Loaded => {}
            }
        }
        if heeds {
            self.softdeps(name, Side::Post);
        }
        if holders && !self.holders(name) {
            return false;
        }
        let out = match command {
            Some(command) => match self.kernel.command(command, name) {
                Ok(()) => true,
                Err(_) => self.stays(name, Stays::Command),
            },
            None => self.one(name),
        };
        if !out {
            return false;
        }
        if command.is_none() {
            self.unused_deps(name);
        }
        if heeds {
            self.softdeps(name, Side::Pre);
        }
        true
    }

    /// Removes this module alone, unless it is in use.
    fn one(&mut self, name: &[u8]) -> bool {
        match self.kernel.refcnt(name) {
            Some(1..) if !self.policy.waits => return self.stays(name, Stays::InUse),
            // It went with its last holder.
            None if self.kernel.presence(name) == Presence::Absent => return true,
            _ => {}
        }
        match self.kernel.remove(name) {
            Ok(()) => true,
            Err(errno) => self.stays(name, Stays::Kernel(errno)),
        }
    }

    /// Removes the module's holders that are not in use themselves.
    fn holders(&mut self, name: &[u8]) -> bool {
        let mut holders = heapless::Vec::<Modname, 64>::new();
        self.kernel.holders(name, &mut holders);
        holders.iter().rev().all(|holder| self.module(holder, false, false))
    }

    /// Removes unused dependencies: leaves first, as kmod does; then again from the top, which finds those that only the
    /// others used. A failure is not reported.
    fn unused_deps(&mut self, name: &[u8]) {
        let Ok(Some(line)) = self.resolver.indexes.dep(name) else { return };
        for dep in line.deps().rev() {
            self.unused(dep);
        }
        if !self.policy.dry_run {
            line.deps().for_each(|dep| self.unused(dep));
        }
    }

    fn unused(&mut self, path: &[u8]) {
        if let Ok(name) = modname(path)
            && self.kernel.refcnt(&name) == Some(0)
        {
            // Not reported: its removal was not requested.
            let _ = self.kernel.remove(&name);
        }
    }

    /// Removes the softdeps of one side, last first.
    fn softdeps(&mut self, name: &[u8], side: Side) {
        // Softdeps beyond the buffer's capacity stay loaded, which does no harm.
        let mut names = heapless::Vec::<&'map [u8], 64>::new();
        for (on, softdep) in self.resolver.config.softdeps(name) {
            let _ = if on == side { names.push(softdep) } else { Ok(()) };
        }
        for softdep in names.iter().rev() {
            let mut matches = heapless::Vec::<Match<'map>, 16>::new();
            // A name that does not resolve is not loaded.
            let _ = self.resolver.resolve(softdep, &mut matches);
            for found in matches.iter().rev() {
                self.module(found.dep_line(softdep).path(), false, false);
            }
        }
    }

    fn stays(&mut self, name: &[u8], why: Stays) -> bool {
        self.kernel.on_stay(name, why);
        false
    }
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;
    use crate::modules::resolve::tests::Tree;

    /// A kernel: each module with the names of its users.
    struct Recording {
        users: Vec<(&'static str, Vec<&'static str>)>,
        calls: Vec<String>,
        stays: Vec<String>,
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    impl Recording {
        fn new(users: &[(&'static str, &[&'static str])]) -> Self {
            let users = users.iter().map(|(name, users)| (*name, users.to_vec())).collect();
            Recording { users, calls: Vec::new(), stays: Vec::new() }
        }

        fn users(&self, modname: &[u8]) -> Option<&Vec<&'static str>> {
            self.users.iter().find(|(name, _)| name.as_bytes() == modname).map(|(_, users)| users)
        }
    }

    impl Loaded for Recording {
        fn presence(&mut self, modname: &[u8]) -> Presence {
            if self.users(modname).is_some() { Presence::Loaded } else { Presence::Absent }
        }

        fn refcnt(&mut self, modname: &[u8]) -> Option<u32> {
            self.users(modname).map(|users| users.len() as u32)
        }

        fn holders(&mut self, name: &[u8], holders: &mut VecView<Modname>) {
            for user in self.users(name).into_iter().flatten() {
                holders.push(modname(user.as_bytes()).unwrap()).unwrap();
            }
        }

        fn remove(&mut self, modname: &[u8]) -> Result<(), Errno> {
            self.calls.push(text(modname));
            self.users.retain(|(name, _)| name.as_bytes() != modname);
            self.users.iter_mut().for_each(|(_, users)| users.retain(|user| user.as_bytes() != modname));
            Ok(())
        }

        fn command(&mut self, command: &[u8], modname: &[u8]) -> Result<(), Refusal> {
            self.calls.push(format!("{}: {}", text(modname), text(command)));
            if command == b"fail" { Err(Refusal::Command(1)) } else { Ok(()) }
        }

        fn on_stay(&mut self, modname: &[u8], why: Stays) {
            self.stays.push(format!("{} {why:?}", text(modname)));
        }
    }

    const CHAIN: [&str; 3] = ["k/a.ko: k/b.ko k/c.ko", "k/b.ko: k/c.ko", "k/c.ko:"];

    fn remove(config: &str, name: &str, policy: Policy, kernel: &mut Recording) -> bool {
        let tree = Tree::new(&CHAIN).config(config);
        Removal::new(&tree.resolver(), policy, kernel).remove(name.as_bytes())
    }

    #[test]
    fn the_whole_unused_chain_goes() {
        let mut kernel = Recording::new(&[("a", &[]), ("b", &["a"]), ("c", &["b", "a"])]);
        assert!(remove("", "a", Policy::default(), &mut kernel));
        assert_eq!(kernel.calls, ["a", "b", "c"]);
    }

    #[test]
    fn what_is_used_stays() {
        let mut kernel = Recording::new(&[("a", &[]), ("b", &["a", "x"]), ("c", &["b", "a"])]);
        assert!(!remove("", "b", Policy::default(), &mut kernel));
        assert!(remove("", "a", Policy::default(), &mut kernel), "and keeps what it needs");
        assert_eq!((kernel.calls, kernel.stays), (vec!["a".to_owned()], vec!["b InUse".to_owned()]));
    }

    #[test]
    fn holders_go_where_they_are_to() {
        let mut kernel = Recording::new(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]);
        assert!(remove("", "b", Policy { holders: true, ..Policy::default() }, &mut kernel));
        assert_eq!(kernel.calls, ["a", "b", "c"], "b went with a, its last user");
    }

    #[test]
    fn softdeps_go_around_their_module_and_rings_of_them_end() {
        let config = "softdep a post: b c\nsoftdep b pre: a\n";
        let mut kernel = Recording::new(&[("a", &[]), ("b", &[]), ("c", &[])]);
        assert!(remove(config, "a", Policy::default(), &mut kernel));
        assert_eq!(kernel.calls, ["c", "b", "a"]);
        let mut kernel = Recording::new(&[("a", &[]), ("b", &[]), ("c", &[])]);
        assert!(remove(config, "a", Policy { ignore_commands: true, ..Policy::default() }, &mut kernel));
        assert_eq!(kernel.calls, ["a", "c", "b"], "as dependencies");
    }

    #[test]
    fn a_remove_command_stands_in_for_its_module() {
        let mut kernel = Recording::new(&[("b", &["x"])]);
        assert!(remove("remove b* run me\n", "b", Policy::default(), &mut kernel));
        assert!(!remove("remove b fail\n", "b", Policy::default(), &mut kernel));
        assert_eq!(
            (kernel.calls, kernel.stays),
            (vec!["b: run me".into(), "b: fail".into()], vec!["b Command".into()])
        );
    }

    #[test]
    fn what_is_out_is_no_failure_unless_it_is_to_be() {
        let mut kernel = Recording::new(&[]);
        assert!(remove("", "a", Policy::default(), &mut kernel));
        assert!(!remove("", "a", Policy { first_time: true, ..Policy::default() }, &mut kernel));
        assert_eq!(kernel.stays, ["a NotIn"]);
    }
}
