//! The committed table of how much of a line a session fills: its goals, and a part of it measured
//! again. `cargo run --release -p sim -- grid > sim/snapshots/throughput.tsv` measures all of it.

use sim::throughput::{Cell, grid, measure_all, recorded};
use std::time::{SystemTime, UNIX_EPOCH};

/// Parts of the grid, of which each run measures one.
const PARTS: u64 = 10;
/// A cell that is worse than the table by this part is a step back.
const WORSE: f64 = 0.05;
/// Shares are written with three digits.
const ROUNDED: f64 = 0.0015;

/// Short of the goal: a line of 1 Gbit/s and 0.2 ms, whose queue is but a few of BBR's trains long.
const SHORT: (&str, f64) = ("1000M/0.2ms/0%/1/bbr", 0.95);

fn of(cell: &Cell) -> f64 {
    recorded(cell).unwrap_or_else(|| panic!("{cell} is not in the table"))
}

#[test]
fn the_table_has_every_cell_and_meets_its_goals() {
    let cells = grid();
    assert_eq!(cells.len(), 180);
    for cell in &cells {
        let (share, name) = (of(cell), cell.to_string());
        let goal = if name == SHORT.0 { SHORT.1 } else { 0.97 };
        assert!(cell.loss > 0 || share >= goal, "{name}: {share} without loss");
        match name.as_str() {
            "100M/20ms/1%/1/cubic" => assert!(share >= cell.square_root_law(), "{name}: {share}"),
            "100M/20ms/1%/1/bbr" => assert!(share >= 0.85, "{name}: {share}"),
            _ => {}
        }
    }
}

/// Another part each day; `GRID_PART` chooses one.
#[test]
fn a_tenth_of_the_grid_is_as_the_table_says() {
    let chosen = std::env::var("GRID_PART").ok().and_then(|part| part.parse().ok());
    let days = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs() / 86_400);
    let part = chosen.unwrap_or_else(days) % PARTS;
    let cells: Vec<Cell> =
        grid().into_iter().zip(0..).filter(|(_, n)| n % PARTS == part).map(|(c, _)| c).collect();
    assert_eq!(cells.len(), 18);
    for (cell, share) in cells.iter().zip(measure_all(&cells, 1)) {
        let table = of(cell);
        println!("{cell}: {share:.3}, {table} in the table");
        assert!(share > table * (1.0 - WORSE) - ROUNDED, "GRID_PART={part}, {cell}: {share}");
    }
}
