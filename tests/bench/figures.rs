//! What is promised, as one number each.

use std::collections::BTreeMap;

use crossfade_tests::{
    cost::Cost,
    figures::{count, median, quantile, write},
    paths,
    stack::FUNCTIONS,
};

use crate::{
    cold::{ALARM, Cold, NOTHING, PYTHON, UPDATE_ALIAS},
    release::{peers_calls, peers_states},
    size::Packages,
    stage::Wire,
    warm::Taken,
};

/// The figures, and what is wanted of them.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    all: BTreeMap<String, f64>,
    wanted: Vec<Wanted>,
}

/// One promise.
#[derive(Debug)]
struct Wanted {
    key: &'static str,
    what: &'static str,
    at_most: f64,
    /// What the figure is made of.
    because: String,
}

impl Figures {
    /// From everything that was measured.
    pub(crate) fn of(
        packages: &Packages,
        cold: &Cold,
        warm: &Taken,
        costs: &[(usize, Cost)],
    ) -> Self {
        let mut figures = Self::default();
        figures.cold(cold);
        figures.https(cold);
        let sizes = FUNCTIONS.iter().map(|name| (*name, packages[*name]));
        let (largest, size) = worst(sizes);
        figures.want(
            "package_mb_max",
            "the largest package, MB",
            size,
            4.0,
            largest.to_owned(),
        );
        figures.rollback(cold, warm);
        figures.releases(costs);
        figures
    }

    fn cold(&mut self, cold: &Cold) {
        let http = |name| cold.of(name, Wire::Http);
        let python = http(PYTHON);
        for name in FUNCTIONS {
            let word = name.replace('-', "_");
            let taken = http(name);
            self.tell_of(&format!("cold_ms_{word}"), median(&taken.ms));
            self.tell_of(&format!("cold_cpu_ms_{word}"), median(&taken.cpu_ms));
            self.tell_of(&format!("memory_mib_{word}"), median(&taken.peak_mib));
        }
        self.tell_of("cold_ms_python", median(&python.ms));
        self.tell_of("cold_ms_nothing", median(&http(NOTHING).ms));
        let vs_python = |name| median(&http(name).ms) / median(&python.ms);
        let (name, ratio) = worst(FUNCTIONS.into_iter().map(|name| (name, vs_python(name))));
        let because = format!(
            "{name}: {:.0} ms, Python {:.0} ms",
            median(&http(name).ms),
            median(&python.ms)
        );
        self.want(
            "cold_vs_python",
            "cold start and first answer to Python's",
            ratio,
            0.1,
            because,
        );
        let vs_cpu = |name| median(&http(name).cpu_ms) / median(&python.cpu_ms);
        let (_, ratio) = worst(FUNCTIONS.into_iter().map(|name| (name, vs_cpu(name))));
        self.tell_of("cold_cpu_vs_python", ratio);
        let vs_memory = |name| median(&http(name).peak_mib) / median(&python.peak_mib);
        let (name, ratio) = worst(FUNCTIONS.into_iter().map(|name| (name, vs_memory(name))));
        let because = format!(
            "{name}: {:.1} MiB, Python {:.1} MiB",
            median(&http(name).peak_mib),
            median(&python.peak_mib)
        );
        self.want(
            "memory_vs_python",
            "peak memory to Python's",
            ratio,
            0.2,
            because,
        );
        let vs_floor = |name| median(&http(name).ms) / cold.floor_ms(name, Wire::Http);
        let (name, ratio) = worst(FUNCTIONS.into_iter().map(|name| (name, vs_floor(name))));
        let because = format!(
            "{name}: {:.1} ms; nothing at all {:.1} ms, its calls are served for {:.1} ms, and {:.0} \
                times one after the other on their way for {:.2} ms",
            median(&http(name).ms),
            median(&http(NOTHING).ms),
            median(&http(name).calls_ms),
            median(&http(name).turns),
            cold.wire_ms
        );
        self.want(
            "cold_vs_floor",
            "cold start and first answer to the floor's",
            ratio,
            1.5,
            because,
        );
        let vs_served = |name| median(&http(name).ms) / cold.served_ms(name, Wire::Http);
        let (_, ratio) = worst(FUNCTIONS.into_iter().map(|name| (name, vs_served(name))));
        self.tell_of("cold_vs_served", ratio);
    }

    /// The same by TLS, of the two that move traffic while users wait.
    fn https(&mut self, cold: &Cold) {
        let python = median(&cold.of(PYTHON, Wire::Https).ms);
        let both = ["shift-traffic", ALARM];
        let ms = |name| median(&cold.of(name, Wire::Https).ms);
        let (name, ratio) = worst(both.into_iter().map(|name| (name, ms(name) / python)));
        let because = format!("{name}: {:.0} ms, Python {python:.0} ms", ms(name));
        let what = "the same by TLS to Python's";
        self.want("cold_https_vs_python", what, ratio, 0.1, because);
        let vs_floor = |name| ms(name) / cold.floor_ms(name, Wire::Https);
        let (name, ratio) = worst(both.into_iter().map(|name| (name, vs_floor(name))));
        let because = format!(
            "{name}: {:.1} ms; the floor has the calls and one handshake of {:.1} ms",
            ms(name),
            median(&cold.handshake_ms)
        );
        let what = "the same by TLS to the floor's";
        self.want("cold_https_vs_floor", what, ratio, 1.5, because);
    }

    fn rollback(&mut self, cold: &Cold, warm: &Taken) {
        let (ours, floor) = (median(&warm.ours_ms), median(&warm.floor_ms));
        let served = median(&warm.query_ms);
        let call = served + cold.wire_ms;
        self.tell_of("rollback_vs_served", (ours - served) / floor);
        self.tell_of("rollback_ms", ours);
        self.tell_of("rollback_floor_ms", floor);
        self.tell_of("rollback_call_ms", call);
        self.tell_of("rollback_vs_floor_and_call", ours / (floor + call));
        self.want(
            "rollback_vs_floor",
            "alarm to blue, without one call, to one bare UpdateAlias",
            (ours - call) / floor,
            1.5,
            format!("{ours:.1} ms with one bare round trip of {call:.1} ms; one UpdateAlias by the bare SDK {floor:.1} ms"),
        );
        for (key, wire) in [
            ("rollback_cold", Wire::Http),
            ("rollback_cold_https", Wire::Https),
        ] {
            let to_blue = |name| median(&cold.of(name, wire).to_blue_ms);
            self.tell_of(&format!("{key}_ms"), to_blue(ALARM));
            let vs = (to_blue(ALARM) - call) / to_blue(UPDATE_ALIAS);
            self.tell_of(&format!("{key}_vs_floor"), vs);
        }
        // What polls once a minute sees an alarm half a minute late on average.
        self.tell_of("rollback_vs_polling", ours / (30_000.0 + floor));
        self.tell_of(
            "rollback_aws_calls_in_all",
            quantile(&warm.calls_in_all, 1.0),
        );
        let calls = quantile(&warm.calls, 1.0);
        let because = format!(
            "one after the other, in every round; {} in all",
            quantile(&warm.calls_in_all, 1.0)
        );
        self.want(
            "rollback_aws_calls",
            "calls until blue",
            calls,
            2.0,
            because,
        );
    }

    fn releases(&mut self, costs: &[(usize, Cost)]) {
        for (steps, cost) in costs {
            let (states, calls) = (count(cost.states.len()), count(cost.calls.len()));
            self.tell_of(&format!("states_n{steps}"), states);
            self.tell_of(&format!("aws_calls_n{steps}"), calls);
            self.tell_of(
                &format!("states_n{steps}_vs_peer"),
                states / count(peers_states(*steps)),
            );
            self.tell_of(
                &format!("aws_calls_n{steps}_vs_peer"),
                calls / count(peers_calls(*steps)),
            );
            self.tell_of(&format!("gb_seconds_n{steps}"), cost.gb_seconds());
            let dollars = cost.dollars_of_states() + cost.dollars_of_functions();
            self.tell_of(&format!("dollars_n{steps}"), dollars);
        }
    }

    fn tell_of(&mut self, key: &str, value: f64) {
        self.all.insert(key.to_owned(), value);
    }

    fn want(
        &mut self,
        key: &'static str,
        what: &'static str,
        value: f64,
        at_most: f64,
        because: String,
    ) {
        self.tell_of(key, value);
        self.wanted.push(Wanted {
            key,
            what,
            at_most,
            because,
        });
    }

    /// Puts them into `target/bench.json`, beside what `make load` has put there.
    pub(crate) fn write(&self) {
        write(&self.all);
    }

    /// One line for each promise.
    pub(crate) fn tell(&self) {
        for wanted in &self.wanted {
            let value = self.all[wanted.key];
            let said = if self.reached(wanted) {
                "reached"
            } else {
                "NOT REACHED"
            };
            println!(
                "{said}: {} = {value:.2}, wanted at most {}: {} ({})",
                wanted.key, wanted.at_most, wanted.what, wanted.because
            );
        }
        let missed = self
            .wanted
            .iter()
            .filter(|wanted| !self.reached(wanted))
            .count();
        let file = paths::target().join("bench.json");
        println!(
            "bench: {} of {} reached; {}",
            self.wanted.len() - missed,
            self.wanted.len(),
            file.display()
        );
    }

    fn reached(&self, wanted: &Wanted) -> bool {
        self.all[wanted.key] <= wanted.at_most
    }

    /// Whether nothing is left to be done.
    pub(crate) fn all_reached(&self) -> bool {
        self.wanted.iter().all(|wanted| self.reached(wanted))
    }
}

/// The one with the largest value.
fn worst(of: impl Iterator<Item = (&'static str, f64)>) -> (&'static str, f64) {
    of.max_by(|(_, a), (_, b)| a.total_cmp(b))
        .expect("there are some")
}
