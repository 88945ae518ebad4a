//! How fast a tree is walked: `cargo run --release -p transfer --example walk -- /usr/share`.
//!
//! Walks it three times and prints each time what came and how many entries that is a second. The first time
//! fills the system's caches.

use std::path::Path;
use std::time::Instant;
use transfer::tree::scan::{Found, Options, Walk};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let paths: Vec<_> = std::env::args_os().skip(1).collect();
    let paths: Vec<_> = paths.iter().map(Path::new).collect();
    for _ in 0..3 {
        let begin = Instant::now();
        let walk =
            Walk::new(&paths, Options { links: true, hard_links: true, ..Options::default() })?;
        let (mut folders, mut items, mut failed, mut skipped) = (0_u64, 0_u64, 0_u64, 0_u64);
        for found in walk {
            match found {
                Found::Enter(..) => folders += 1,
                Found::Item(..) => items += 1,
                Found::Failed { .. } => failed += 1,
                Found::Skipped { .. } => skipped += 1,
                Found::Root(..) | Found::Leave | Found::Whole | Found::Doubt(_) => {}
            }
        }
        let seconds = begin.elapsed().as_secs_f64();
        println!(
            "{folders} folders, {items} items, {failed} failed, {skipped} skipped in {seconds:.3} s: {:.0} entries/s",
            (folders + items + failed + skipped) as f64 / seconds
        );
    }
    Ok(())
}
