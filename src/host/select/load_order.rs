//! What is loaded first, and what of it waits for what. A driver that comes before those that provide for its devices is
//! put off by the kernel, which tries again in an order of its own: /dev/mmcblk0 may then be another slot. So drivers wait
//! for their devices' providers as for softdeps: in order, side by side where nothing is waited for, and on in any case.

use crate::host::modules::graph::Graph;
use crate::host::modules::module::{Module, ModuleId};
use crate::modules::name::same;
use std::collections::{BTreeMap, BTreeSet};

/// What is loaded first, as it was found.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    /// Names as modules-load.d takes them.
    load: Vec<String>,
    /// Pairs of modules by their places: whose devices are provided for, and who provides.
    provided: BTreeSet<(usize, usize)>,
}

/// What is loaded first, in order.
#[derive(Debug, Default)]
pub struct Order {
    /// Names as modules-load.d takes them, providers before what they provide for.
    pub load: Vec<String>,
    /// Modules, each with those that provide for its devices: softdeps, without circles.
    pub softdeps: Vec<(String, Vec<String>)>,
}

impl Lane {
    /// Adds a name, if it is not there yet.
    pub fn load(&mut self, name: &str) {
        if !has(&self.load, name) {
            self.load.push(name.into());
        }
    }

    /// Adds pairs of modules: whose devices are provided for, and who provides.
    pub fn provide(&mut self, pairs: impl IntoIterator<Item = (usize, usize)>) {
        self.provided.extend(pairs);
    }

    /// Adds another board's.
    pub fn add(&mut self, more: &Lane) {
        more.load.iter().for_each(|name| self.load(name));
        self.provide(more.provided.iter().copied());
    }

    /// Puts all in order. Device trees have circles: of these the order in which the names were found decides.
    pub fn order(&self, modules: &[Module], graph: &Graph) -> Order {
        let rank = |at: usize| self.load.iter().position(|name| same(name.as_bytes(), modules[at].modname.as_bytes()));
        let mut pairs: Vec<(usize, usize)> = self.provided.iter().copied().collect();
        pairs.sort_by_key(|&(user, provider)| (rank(user) < rank(provider), rank(user), rank(provider)));
        let mut providers = BTreeMap::<usize, Vec<usize>>::new();
        for (user, provider) in pairs {
            if !reaches(provider, user, &providers, graph)
                && !graph.closure(ModuleId::new(user)).contains(&ModuleId::new(provider))
            {
                providers.entry(user).or_default().push(provider);
            }
        }
        let name = |at: &usize| modules[*at].modname.clone();
        let mut softdeps: Vec<_> = providers.iter().collect();
        softdeps.sort_by_key(|(user, _)| rank(**user));
        let softdeps: Vec<_> =
            softdeps.into_iter().map(|(user, providers)| (name(user), providers.iter().map(name).collect())).collect();
        let mut order = Order { load: Vec::new(), softdeps };
        for name in &self.load {
            order.push(name);
        }
        order
    }
}

impl Order {
    /// Says for modules-load.d what is loaded.
    pub fn modules_load_conf(&self) -> Vec<u8> {
        self.load.iter().flat_map(|name| format!("{name}\n").into_bytes()).collect()
    }

    /// Says for modprobe.d what waits for what.
    pub fn modprobe_conf(&self) -> Vec<u8> {
        let line = |(user, providers): &(String, Vec<String>)| format!("softdep {user} pre: {}\n", providers.join(" "));
        self.softdeps.iter().flat_map(|softdep| line(softdep).into_bytes()).collect()
    }

    /// Adds a name behind those that provide for it.
    fn push(&mut self, name: &str) {
        if has(&self.load, name) {
            return;
        }
        let softdep = self.softdeps.iter().find(|(user, _)| same(user.as_bytes(), name.as_bytes()));
        for provider in softdep.map(|(_, providers)| providers.clone()).unwrap_or_default() {
            self.push(&provider);
        }
        self.load.push(name.into());
    }
}

fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|known| same(known.as_bytes(), name.as_bytes()))
}

/// Says whether `from` waits for `to`, be it by way of others.
fn reaches(from: usize, to: usize, providers: &BTreeMap<usize, Vec<usize>>, graph: &Graph) -> bool {
    let (mut open, mut seen) = (vec![from], BTreeSet::new());
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        if seen.insert(at) {
            open.extend(graph.direct(ModuleId::new(at)).iter().map(|id| id.index()));
            open.extend(providers.get(&at).into_iter().flatten());
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Orders a lane of `load`, all of them modules, in which `pairs` are provided for.
    fn order(load: &[&str], pairs: &[(&str, &str)]) -> Order {
        let modules: Vec<Module> =
            load.iter().map(|name| Module { modname: name.replace('-', "_"), ..Module::default() }).collect();
        let at = |wanted: &str| load.iter().position(|name| *name == wanted).unwrap();
        let mut lane = Lane::default();
        load.iter().for_each(|name| lane.load(name));
        lane.provide(pairs.iter().map(|(user, provider)| (at(user), at(provider))));
        lane.order(&modules, &Graph::new(&modules).unwrap())
    }

    #[test]
    fn providers_come_first_and_the_rest_stays() {
        let order = order(&["a-host", "x", "gpio", "power", "y"], &[("a-host", "power"), ("power", "gpio")]);
        assert_eq!(order.load, ["gpio", "power", "a-host", "x", "y"]);
        assert_eq!(order.modprobe_conf(), b"softdep a_host pre: power\nsoftdep power pre: gpio\n");
        assert_eq!(order.modules_load_conf(), b"gpio\npower\na-host\nx\ny\n");
    }

    #[test]
    fn a_circle_is_cut_where_the_order_found_says() {
        let order = order(&["clock", "pmic", "mmc"], &[("clock", "pmic"), ("pmic", "clock"), ("mmc", "clock")]);
        assert_eq!(order.load, ["clock", "pmic", "mmc"]);
        assert_eq!(order.modprobe_conf(), b"softdep pmic pre: clock\nsoftdep mmc pre: clock\n");
        assert!(self::order(&["a"], &[]).softdeps.is_empty());
    }
}
