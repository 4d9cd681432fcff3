//! What `make sim` shows, in a small form that `make test` has the time for.

use super::cell::{Cell, DRAWN, Green, Kind, drawn};
use super::play::Ours;
use super::table::Table;
use super::{PROD, try_all};

const SEED: u64 = 20_261_130;
/// `make sim` has six rates; these are of each kind of them.
const RATES: [f64; 3] = [30.0, 300.0, 10_000.0];

/// A cell fails when its rate is over one in a hundred by more than so many standard errors: one in a thousand cells
/// at exactly one in a hundred would.
const ERRORS: f64 = 3.09;

fn no_healthy_release_is_rolled_back_too_often(ours: Ours) {
    let mut cells = drawn(&DRAWN, &RATES);
    cells.retain(Cell::healthy);
    let tried = try_all(&cells, 150, SEED, ours);
    let table = Table::new(&cells, &tried);
    for row in &table.rows {
        let (rate, low, _) = row.own.interval(ERRORS);
        assert!(
            low <= 1.0,
            "{:?}: {rate:.1} % of healthy releases",
            row.cell
        );
    }
    // All together, whose error is small.
    let (stopped, runs) = tried.iter().fold((0.0, 0.0), |sum, own| {
        (sum.0 + own.rolled_back[0], sum.1 + own.runs)
    });
    assert!(stopped <= 0.01 * runs, "{stopped} of {runs}");
}

#[test]
fn healthy_releases_are_kept_in_any_weather() {
    no_healthy_release_is_rolled_back_too_often(PROD);
}

#[test]
fn healthy_releases_are_kept_without_a_control_group() {
    no_healthy_release_is_rolled_back_too_often(Ours { control: 0.0 });
}

#[test]
fn neither_incident_nor_rhythm_in_the_past_lets_more_through() {
    let cells = drawn(&[Kind::Incident, Kind::Rhythm, Kind::Weekend], &RATES);
    let tried = try_all(&cells, 150, SEED, PROD);
    let (ratio, cell) = Table::new(&cells, &tried).by_the_past().expect("bad cells");
    assert!(ratio <= 1.3, "x{ratio:.2} in {cell}");
}

#[test]
fn no_safe_peer_lets_less_through_in_steady_worlds() {
    let mut cells = Vec::new();
    for base in [0.001, 0.01] {
        for rate in [100.0, 1000.0, 10_000.0] {
            let greens = [
                Green::Healthy,
                Green::Rate(0.05),
                Green::Rate(0.2),
                Green::Rate(1.0),
            ];
            cells.extend(greens.map(|green| Cell {
                kind: Kind::Steady,
                rate,
                base: Some(base),
                green,
            }));
        }
    }
    let tried = try_all(&cells, 200, SEED, PROD);
    for row in Table::new(&cells, &tried).bad() {
        assert_eq!(row.beaten_by(), [0; 0], "{:?}", row.cell);
    }
}
