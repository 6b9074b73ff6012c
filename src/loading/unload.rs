//! Takes modules out again: all removal policy, on [`Loaded`], and nothing of how the kernel is reached.
//!
//! The order is that of kmod's `rmmod_do_module`: post softdeps in reverse, holders where they are to go too, the
//! module, the dependencies that nobody uses any more, pre softdeps in reverse. kmod stops behind a module's direct
//! dependencies; here the whole unused chain goes.

use super::kernel::{Errno, Refusal};
use crate::modules::config::Side;
use crate::modules::name::{Modname, modname};
use crate::modules::resolve::{Match, Resolver};
use heapless::VecView;

/// What the kernel has of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Nothing.
    Absent,
    /// A module, live or on its way.
    Loaded,
    /// It is part of the kernel.
    Builtin,
}

/// What modules are taken from: the kernel, a recording of one, or a dry run.
pub trait Loaded {
    /// Looks up whether `modname` is in.
    fn presence(&mut self, modname: &[u8]) -> Presence;

    /// Counts the users of a module; `None` where it is not in, or built in.
    fn refcnt(&mut self, modname: &[u8]) -> Option<u32>;

    /// Appends the modules that use a module, as far as there is room.
    fn holders(&mut self, modname: &[u8], holders: &mut VecView<Modname>);

    /// Takes the module out.
    ///
    /// # Errors
    /// The kernel's answer.
    fn remove(&mut self, modname: &[u8]) -> Result<(), Errno>;

    /// Runs the shell command that modprobe.d sets in the place of removing `modname`.
    ///
    /// # Errors
    /// Why it could not be run, or what it ended with.
    fn command(&mut self, command: &[u8], modname: &[u8]) -> Result<(), Refusal>;

    /// Hears why a module stays.
    fn told(&mut self, modname: &[u8], why: Stays);
}

/// Why a module stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// It is not in, and was to be.
    NotIn,
    /// It is part of the kernel.
    Builtin,
    /// Somebody uses it.
    InUse,
    /// The kernel's answer.
    Kernel(Errno),
    /// The command in its place failed.
    Command,
    /// Its name is none, or softdeps nest too deep.
    Unfit,
}

/// What is asked for beside a module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// Leave softdeps and remove commands of the module alone.
    pub ignore_commands: bool,
    /// Take out the modules that use it, too.
    pub holders: bool,
    /// Being out already is a failure.
    pub first_time: bool,
    /// Ask the kernel also where somebody uses it: the use may end.
    pub waits: bool,
    /// Nothing changes by what is done.
    pub dry_run: bool,
}

/// Most softdeps that may lead from one to the next.
const DEPTH: usize = 16;

/// A removal in the making.
pub struct Removal<'a, 'map> {
    /// What names mean.
    pub resolver: &'a Resolver<'map>,
    /// What is asked for.
    pub policy: Policy,
    /// Where the modules are.
    pub kernel: &'a mut dyn Loaded,
    /// Modules whose removal is under way, the first asked for first.
    under_way: heapless::Vec<Modname, DEPTH>,
}

impl<'a, 'map> Removal<'a, 'map> {
    /// Begins.
    pub fn new(resolver: &'a Resolver<'map>, policy: Policy, kernel: &'a mut dyn Loaded) -> Self {
        Removal { resolver, policy, kernel, under_way: heapless::Vec::new() }
    }

    /// Takes the module out that is called `name`, or lies at that path, and what goes with it; says whether it is out.
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

    /// Takes out just this module, unless somebody uses it.
    fn one(&mut self, name: &[u8]) -> bool {
        match self.kernel.refcnt(name) {
            Some(1..) if !self.policy.waits => return self.stays(name, Stays::InUse),
            // Its last holder took it along.
            None if self.kernel.presence(name) == Presence::Absent => return true,
            _ => {}
        }
        match self.kernel.remove(name) {
            Ok(()) => true,
            Err(errno) => self.stays(name, Stays::Kernel(errno)),
        }
    }

    /// Takes out what used the module and is used by nobody itself.
    fn holders(&mut self, name: &[u8]) -> bool {
        let mut holders = heapless::Vec::<Modname, 64>::new();
        self.kernel.holders(name, &mut holders);
        holders.iter().rev().all(|holder| self.module(holder, false, false))
    }

    /// Takes out dependencies that nobody uses: first as kmod does, leaves first; then again from the top, which finds
    /// those that only the others used. None insists: failures are nobody's business.
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
            // Tells nobody: it was not asked for.
            let _ = self.kernel.remove(&name);
        }
    }

    /// Takes out the softdeps of one side, last first.
    fn softdeps(&mut self, name: &[u8], side: Side) {
        // Past the room for them softdeps stay in, which harms nobody.
        let mut names = heapless::Vec::<&'map [u8], 64>::new();
        for (on, softdep) in self.resolver.config.softdeps(name) {
            let _ = if on == side { names.push(softdep) } else { Ok(()) };
        }
        for softdep in names.iter().rev() {
            let mut matches = heapless::Vec::<Match<'map>, 16>::new();
            // What can't be looked up is not in.
            let _ = self.resolver.resolve(softdep, &mut matches);
            for found in matches.iter().rev() {
                self.module(found.dep_line(softdep).path(), false, false);
            }
        }
    }

    fn stays(&mut self, name: &[u8], why: Stays) -> bool {
        self.kernel.told(name, why);
        false
    }
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;
    use crate::modules::resolve::tests::Tree;

    /// A kernel in which each module is used by those that are named behind it.
    struct Recording {
        users: Vec<(&'static str, Vec<&'static str>)>,
        calls: Vec<String>,
        told: Vec<String>,
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    impl Recording {
        fn new(users: &[(&'static str, &[&'static str])]) -> Self {
            let users = users.iter().map(|(name, users)| (*name, users.to_vec())).collect();
            Recording { users, calls: Vec::new(), told: Vec::new() }
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

        fn told(&mut self, modname: &[u8], why: Stays) {
            self.told.push(format!("{} {why:?}", text(modname)));
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
        assert_eq!((kernel.calls, kernel.told), (vec!["a".to_owned()], vec!["b InUse".to_owned()]));
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
        assert_eq!((kernel.calls, kernel.told), (vec!["b: run me".into(), "b: fail".into()], vec!["b Command".into()]));
    }

    #[test]
    fn what_is_out_is_no_failure_unless_it_is_to_be() {
        let mut kernel = Recording::new(&[]);
        assert!(remove("", "a", Policy::default(), &mut kernel));
        assert!(!remove("", "a", Policy { first_time: true, ..Policy::default() }, &mut kernel));
        assert_eq!(kernel.told, ["a NotIn"]);
    }
}
