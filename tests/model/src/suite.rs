//! What is checked, and the line that says so.

use std::process::ExitCode;

use crate::{
    Found, Model, Settings,
    state::{Left, MOST},
};

/// Nothing comes from outside and nothing goes wrong.
pub const CALM: Left = Left {
    faults: 0,
    alarms: 0,
    operators: 0,
    strangers: 0,
};

/// Two releases of one function, in two steps.
pub const TWO: Settings = Settings {
    functions: 1,
    weights: &[50, 100],
    asks: false,
    leaves: false,
    first: false,
    late: true,
    both: true,
    left: CALM,
    without: None,
};

/// All that is checked, by name.
pub const ALL: &[(&str, Settings)] = &[
    ("calm", TWO),
    (
        "a fault",
        Settings {
            weights: &[100],
            left: Left { faults: 1, ..CALM },
            ..TWO
        },
    ),
    (
        "an alarm",
        Settings {
            weights: &[100],
            left: Left { alarms: 1, ..CALM },
            ..TWO
        },
    ),
    (
        "an alarm and a fault",
        Settings {
            weights: &[100],
            both: false,
            left: Left {
                faults: 1,
                alarms: 1,
                ..CALM
            },
            ..TWO
        },
    ),
    (
        "an operator and a fault",
        Settings {
            weights: &[100],
            both: false,
            left: Left {
                faults: 1,
                operators: 1,
                ..CALM
            },
            ..TWO
        },
    ),
    (
        "a stranger and a fault",
        Settings {
            weights: &[100],
            both: false,
            left: Left {
                faults: 1,
                strangers: 1,
                ..CALM
            },
            ..TWO
        },
    ),
    (
        "a hold and an alarm",
        Settings {
            asks: true,
            leaves: true,
            both: false,
            left: Left { alarms: 1, ..CALM },
            ..TWO
        },
    ),
    (
        "two functions",
        Settings {
            functions: MOST,
            weights: &[100],
            both: false,
            ..TWO
        },
    ),
    ("a first release, an alarm and a fault", FIRST),
];

/// The first release of a function. AWS has no condition for making or deleting an alias, as it has for
/// writing one: nobody else may release it meanwhile, and nothing may be late.
pub const FIRST: Settings = Settings {
    weights: &[100],
    first: true,
    late: false,
    both: false,
    left: Left {
        faults: 1,
        alarms: 1,
        ..CALM
    },
    ..TWO
};

/// What takes minutes, by name.
pub const DEEP: &[(&str, Settings)] = &[
    (
        "two functions and an operator",
        Settings {
            functions: MOST,
            weights: &[100],
            both: false,
            left: Left {
                operators: 1,
                ..CALM
            },
            ..TWO
        },
    ),
    (
        "two faults",
        Settings {
            weights: &[100],
            left: Left { faults: 2, ..CALM },
            ..TWO
        },
    ),
    (
        "an alarm and a fault",
        Settings {
            weights: &[100],
            left: Left {
                faults: 1,
                alarms: 1,
                ..CALM
            },
            ..TWO
        },
    ),
    (
        "an operator and a fault",
        Settings {
            weights: &[100],
            left: Left {
                faults: 1,
                operators: 1,
                ..CALM
            },
            ..TWO
        },
    ),
    (
        "a stranger and a fault",
        Settings {
            weights: &[100],
            left: Left {
                faults: 1,
                strangers: 1,
                ..CALM
            },
            ..TWO
        },
    ),
    (
        "a hold, an alarm and a fault",
        Settings {
            asks: true,
            leaves: true,
            both: false,
            left: Left {
                faults: 1,
                alarms: 1,
                operators: 1,
                ..CALM
            },
            ..TWO
        },
    ),
    (
        "two functions and a fault",
        Settings {
            functions: MOST,
            weights: &[100],
            left: Left { faults: 1, ..CALM },
            ..TWO
        },
    ),
    (
        "two functions, an alarm and a fault",
        Settings {
            functions: MOST,
            weights: &[100],
            both: false,
            left: Left {
                faults: 1,
                alarms: 1,
                ..CALM
            },
            ..TWO
        },
    ),
];

/// Checks all, and prints the line.
#[must_use]
pub fn run(what: &[(&str, Settings)]) -> ExitCode {
    let (mut states, mut depth, mut violations) = (0, 0, 0);
    for (name, settings) in what {
        let begun = std::time::Instant::now();
        let found = Model::new(*settings).check();
        println!(
            "  {name}: {} states, {} deep, {:.1} s",
            found.states,
            found.depth,
            begun.elapsed().as_secs_f64()
        );
        states += found.states;
        depth = depth.max(found.depth);
        violations += found.violations.len();
        tell(&found);
    }
    println!("model: {states} states, {depth} deep, {violations} violations");
    if violations == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints what was found to be wrong, with the way to it.
pub fn tell(found: &Found) {
    for (promise, way) in &found.violations {
        println!("  broken: {promise}, by");
        for action in way {
            println!("    {action}");
        }
    }
    for never in &found.never {
        println!("  never: {never}");
    }
}
