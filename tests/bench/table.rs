//! What was measured, as tables.

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use crossfade_tests::{cost::Cost, figures::median, stack::FUNCTIONS};

use crate::{
    cold::{ALARM, Cold, NOTHING, PYTHON, Taken as One, UPDATE_ALIAS, Which},
    release::{peers_calls, peers_invocations, peers_states},
    size::Packages,
    stage::Wire,
    warm::Taken,
};

/// Each function's package, and its first answer.
pub(crate) fn functions(packages: &Packages, cold: &Cold) -> Table {
    let mut table = table(&[
        "cold, first answer",
        "package",
        "time",
        "/ Python",
        "/ floor",
        "/ served",
        "CPU",
        "/ Python",
        "memory",
        "/ Python",
        "calls one after the other",
    ]);
    let rows = FUNCTIONS.into_iter().map(|name| (name, Wire::Http));
    let rest = [
        (NOTHING, Wire::Http),
        (PYTHON, Wire::Http),
        ("shift-traffic", Wire::Https),
        (ALARM, Wire::Https),
        (UPDATE_ALIAS, Wire::Https),
        (PYTHON, Wire::Https),
    ];
    for which in rows.chain(rest) {
        table.add_row(row(packages, cold, which));
    }
    table
}

fn row(packages: &Packages, cold: &Cold, (name, wire): Which) -> Vec<String> {
    let python = cold.of(PYTHON, wire);
    let taken = cold.of(name, wire);
    let vs = |of: fn(&One) -> &Vec<f64>| {
        if name == PYTHON {
            String::new()
        } else {
            format!("{:.3}", median(of(taken)) / median(of(python)))
        }
    };
    let vs_floor = |floor_ms: fn(&Cold, &'static str, Wire) -> f64| {
        if [NOTHING, PYTHON].contains(&name) {
            String::new()
        } else {
            format!("{:.2}", median(&taken.ms) / floor_ms(cold, name, wire))
        }
    };
    let package = packages.get(name).map(|size| format!("{size:.2} MB"));
    let by = match wire {
        Wire::Http => "",
        Wire::Https => ", TLS",
    };
    vec![
        format!("{name}{by}"),
        package.unwrap_or_default(),
        format!("{:.1} ms", median(&taken.ms)),
        vs(|one| &one.ms),
        vs_floor(Cold::floor_ms),
        vs_floor(Cold::served_ms),
        format!("{:.1} ms", median(&taken.cpu_ms)),
        vs(|one| &one.cpu_ms),
        format!("{:.1} MiB", median(&taken.peak_mib)),
        vs(|one| &one.peak_mib),
        format!("{:.0} in {:.0}", median(&taken.calls), median(&taken.turns)),
    ]
}

/// From an alarm's event to traffic on blue.
pub(crate) fn rollback(cold: &Cold, warm: &Taken) -> Table {
    let mut table = table(&[
        "from alarm to blue",
        "ours",
        "one bare UpdateAlias",
        "ratio",
    ]);
    let call = median(&warm.query_ms) + cold.wire_ms;
    let mut add = |what: &str, ours: f64, floor: f64| {
        table.add_row([
            what.to_owned(),
            format!("{ours:.1} ms"),
            format!("{floor:.1} ms"),
            format!("{:.2}", ours / floor),
        ]);
    };
    let (ours, floor) = (median(&warm.ours_ms), median(&warm.floor_ms));
    add("warm", ours, floor);
    add("warm, without one bare round trip", ours - call, floor);
    add(
        "warm, the floor with one bare round trip more",
        ours,
        floor + call,
    );
    for (what, wire) in [("cold", Wire::Http), ("cold, TLS", Wire::Https)] {
        let to_blue = |name| median(&cold.of(name, wire).to_blue_ms);
        add(what, to_blue(ALARM), to_blue(UPDATE_ALIAS));
    }
    add(
        "warm, to one that polls each minute (30 s on average, computed)",
        ours,
        30_000.0 + floor,
    );
    table
}

/// What whole releases cost.
pub(crate) fn releases(costs: &[(usize, Cost)]) -> Table {
    let mut table = table(&[
        "a release of",
        "states",
        "peer",
        "invocations",
        "peer",
        "AWS calls",
        "peer",
        "of them to the ledger",
        "to tell people",
        "GB-s",
        "states $",
        "functions $",
    ]);
    for (steps, cost) in costs {
        table.add_row([
            format!("{steps} steps"),
            cost.states.len().to_string(),
            peers_states(*steps).to_string(),
            cost.invocations.len().to_string(),
            peers_invocations(*steps).to_string(),
            cost.calls.len().to_string(),
            peers_calls(*steps).to_string(),
            cost.calls_to(&["dynamodb"]).to_string(),
            cost.calls_to(&["sns", "events"]).to_string(),
            format!("{:.3}", cost.gb_seconds()),
            format!("{:.6}", cost.dollars_of_states()),
            format!("{:.6}", cost.dollars_of_functions()),
        ]);
    }
    table
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(header);
    table
}
