//! The committed table of how much of a line a session fills: its goals, and a part of it measured
//! again. `cargo run --release -p sim -- grid > sim/snapshots/throughput.tsv` measures all of it.

use sim::throughput::{Cell, grid, measure_all, recorded};
use std::time::{SystemTime, UNIX_EPOCH};

/// Parts of the grid, of which each run measures one.
const PARTS: u64 = 10;
/// A cell that is worse than the table by this part is a step back.
const WORSE: f64 = 0.05;
/// Shares are written with five digits.
const ROUNDED: f64 = 0.000_01;
/// Seeds of which the middle one must meet a goal that chance has a part in.
const SEEDS: u64 = 5;

fn of(cell: &Cell) -> f64 {
    recorded(cell).unwrap_or_else(|| panic!("{cell} is not in the table"))
}

#[test]
fn the_table_has_every_cell_and_meets_its_goals() {
    let cells = grid();
    assert_eq!(cells.len(), 180);
    for cell in cells.iter().filter(|cell| cell.loss == 0) {
        let share = of(cell);
        assert!(share >= 0.97, "{cell}: {share} without loss");
    }
}

#[test]
fn losses_leave_what_the_goals_say() {
    type Goal = fn(&Cell) -> f64;
    let goals: [(&str, Goal); 3] = [
        ("100M/20ms/1%/1/cubic", Cell::square_root_law),
        ("100M/20ms/1%/1/bbr", |_| 0.85),
        ("100M/20ms/1%/8/bbr", |_| 0.85),
    ];
    let cells = grid();
    for (name, goal) in goals {
        let cell = cells.iter().find(|cell| cell.to_string() == name).expect("it is in the grid");
        let mut shares: Vec<f64> =
            (1..=SEEDS).flat_map(|seed| measure_all(&[*cell], seed)).collect();
        shares.sort_by(f64::total_cmp);
        let middle = shares[shares.len() / 2];
        assert!(middle >= goal(cell), "{name}: {shares:.4?}, at least {:.4}", goal(cell));
    }
}

/// Another part each day; `GRID_PART` chooses one.
#[test]
fn a_tenth_of_the_grid_is_as_the_table_says() {
    let chosen = std::env::var("GRID_PART").ok();
    let chosen = chosen.map(|part| part.parse::<u64>().expect("GRID_PART is a number"));
    let days = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs() / 86_400);
    let part = chosen.unwrap_or_else(days) % PARTS;
    let cells: Vec<Cell> =
        grid().into_iter().zip(0..).filter(|(_, n)| n % PARTS == part).map(|(c, _)| c).collect();
    assert_eq!(cells.len(), 18);
    for (cell, share) in cells.iter().zip(measure_all(&cells, 1)) {
        let table = of(cell);
        println!("{cell}: {share:.5}, {table} in the table");
        assert!(share > table * (1.0 - WORSE) - ROUNDED, "GRID_PART={part}, {cell}: {share}");
    }
}
