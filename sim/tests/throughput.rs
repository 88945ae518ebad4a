//! How much of a line a session fills: goals, and a part of the grid measured and compared with the
//! committed table. `cargo run --release -p sim -- grid > sim/snapshots/throughput.tsv` measures
//! all of it.

use sim::throughput::{Cell, grid, measure_all, recorded};
use sim::{pick, seed};

/// Of the cells, one in so many is measured by a run.
const PARTS: usize = 10;
/// The least share of a line that loses nothing.
const WITHOUT_LOSS: f64 = 0.97;
/// A cell that is worse than the table by this part is a step back.
const WORSE: f64 = 0.05;
/// Shares are written with five digits.
const ROUNDED: f64 = 0.000_01;
/// Seeds of which the middle one must meet a goal that chance has a part in.
const SEEDS: u64 = 5;

/// The middle one of the shares with [`SEEDS`] seeds.
fn middle(cell: &Cell) -> f64 {
    let mut shares: Vec<f64> = (1..=SEEDS).flat_map(|seed| measure_all(&[*cell], seed)).collect();
    shares.sort_by(f64::total_cmp);
    shares[shares.len() / 2]
}

fn of(cell: &Cell) -> f64 {
    recorded(cell).unwrap_or_else(|| panic!("{cell} is not in the table"))
}

/// What is measured below, a part at a time, is compared with a table that meets the goals itself.
#[test]
fn the_table_has_every_cell_and_meets_its_goals() {
    let cells = grid();
    assert_eq!(cells.len(), 180);
    for cell in cells.iter().filter(|cell| cell.loss == 0) {
        let share = of(cell);
        assert!(share >= WITHOUT_LOSS, "{cell}: {share} without loss");
    }
}

/// Of each class of cells, its loss, number of receivers and algorithm: the geometric mean over all rates and
/// round trips in an earlier table, that of datagrams not yet sealed; and the deviation of a cell's share from
/// that table to a later one of code that is as good, where other dice fall. It stays as it is: the table is
/// measured anew with each change of the sending side, and many small steps back would be seen by nobody.
const REFERENCE: &str = include_str!("../snapshots/reference.tsv");
/// What of a class's mean may be lost,
const LOST: f64 = 0.02;
/// or so many deviations of the mean: by chance one class in 30,000 loses more.
const DEVIATIONS: f64 = 4.0;

#[test]
fn no_class_of_cells_falls_behind_the_reference() {
    let cells = grid();
    let mut seen = 0;
    for line in REFERENCE.lines() {
        let [class, reference, deviation] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let [reference, deviation] = [reference, deviation].map(|n| n.parse::<f64>().unwrap());
        let of_class = cells.iter().filter(|c| c.to_string().ends_with(&format!("ms/{class}")));
        let shares: Vec<f64> = of_class.map(of).collect();
        let count = shares.len() as f64;
        let mean = shares.iter().product::<f64>().powf(1.0 / count);
        let least = reference * (1.0 - LOST.max(DEVIATIONS * deviation / count.sqrt()));
        println!("{class}: {mean:.5}, reference {reference:.5}, at least {least:.5}");
        assert!(mean >= least, "{class}: {mean:.5}, at least {least:.5}");
        seen += shares.len();
    }
    assert_eq!(seen, cells.len(), "a class has no reference");
}

/// Of a cell whose goal is near: so many seeds.
const MANY: u64 = 41;

/// The mean of many seeds of a cell.
fn mean(cell: &Cell) -> f64 {
    let shares = (1..=MANY).flat_map(|seed| measure_all(&[*cell], seed));
    shares.sum::<f64>() / MANY as f64
}

/// The seeds are fixed. Should the code draw otherwise: by BBR, with eight seeds, the cells had means and
/// deviations of 0.9860, 0.0029 and 0.9201, 0.0042; the middle of five deviates by 1.25 / √5 of that. The
/// goals lie 80 and 30 deviations below. By CUBIC they were 0.0781, 0.0029 with 61 seeds, and the mean of 41
/// deviates by 1 / √41 of that: the goal lies 6.7 deviations below. Chance makes up for none of them with
/// more than 10⁻¹⁰.
#[test]
fn losses_leave_what_the_goals_say() {
    type Goal = fn(&Cell) -> f64;
    type Measure = fn(&Cell) -> f64;
    let goals: [(&str, Goal, Measure); 3] = [
        ("100M/20ms/1%/1/cubic", Cell::square_root_law, mean),
        ("100M/20ms/1%/1/bbr", |_| 0.85, middle),
        ("100M/20ms/1%/8/bbr", |_| 0.85, middle),
    ];
    let cells = grid();
    for (name, goal, measure) in goals {
        let cell = cells.iter().find(|cell| cell.to_string() == name).expect("it is in the grid");
        let share = measure(cell);
        println!("{name}: {share:.5}, at least {:.5}", goal(cell));
        assert!(share >= goal(cell), "{name}: {share:.4}, at least {:.4}", goal(cell));
    }
}

/// Other cells with each commit; `TEST_SEED` chooses those of another. All cells are measured with the
/// seed of the table, so chance has no part in the comparison: the same code gives the same share.
#[test]
fn a_tenth_of_the_grid_is_as_the_table_says() {
    let chosen = seed::asked().unwrap_or_else(pick::by_commit);
    let again = format!("{}={chosen} cargo test -p sim --test throughput tenth", seed::VARIABLE);
    println!("to measure the same cells again: {again}");
    let mut cells = grid();
    cells.sort_by_cached_key(|cell| pick::number(format!("{chosen} {cell}").as_bytes()));
    cells.truncate(cells.len() / PARTS);
    let mut wrong = Vec::new();
    for (cell, share) in cells.iter().zip(measure_all(&cells, 1)) {
        let table = of(cell);
        let least = if cell.loss == 0 { WITHOUT_LOSS } else { 0.0 };
        println!("{cell}: {share:.5}, {table} in the table");
        if share < least.max(table * (1.0 - WORSE) - ROUNDED) {
            wrong.push(format!("{cell}: {share:.5}, {table} in the table, at least {least}"));
        }
    }
    assert!(wrong.is_empty(), "{}\n{again}", wrong.join("\n"));
}
