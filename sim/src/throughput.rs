//! How much of a line a session fills: a grid of rates, round trips, losses, numbers of receivers
//! and algorithms.
//!
//! Each cell is the payload rate of the slowest receiver between 40 % and 90 % of the stream,
//! divided by what full segments back to back would carry: 1 is a line that is never idle and
//! never carries anything twice.

use crate::link::{Link, frame_len};
use crate::loss::Loss;
use crate::outcome::ReceiverOutcome;
use crate::parallel;
use crate::scenario::Scenario;
use core::fmt;
use core::time::Duration;
use tcpxm::config::Algorithm;

/// Link rates in bits per second.
const RATES: [u64; 3] = [10_000_000, 100_000_000, 1_000_000_000];
/// Round trips in microseconds.
const RTTS: [u64; 3] = [200, 20_000, 100_000];
/// Random losses on the way to each receiver, in hundredths of a percent.
const LOSSES: [u32; 5] = [0, 1, 10, 100, 500];
/// Numbers of receivers.
const RECEIVERS: [usize; 2] = [1, 8];
/// Algorithms, with the names they have in the table.
const ALGORITHMS: [(Algorithm, &str); 2] = [(Algorithm::Cubic, "cubic"), (Algorithm::Bbr, "bbr")];

/// A cell lasts about so long at the rate that is to be expected.
const LASTS: Duration = Duration::from_secs(8);
/// Or so many round trips, if that is longer.
const ROUND_TRIPS: u32 = 200;
/// Or, where losses are what limits, until so many packets have been lost, lest slow start and
/// chance be what is measured.
const LOST: f64 = 500.0;
/// Streams are not shorter, so that there is a middle; nor longer, so that a cell ends.
const BYTES: (f64, f64) = (2e6, 768e6);
/// The queue before each line has room for one product of rate and round trip, at least for so
/// many bytes: a hundred full frames.
const QUEUE_LEAST: u64 = 153_800;
/// Encapsulation, TCP header and tag, and stream bytes of a full segment.
const FULL: (usize, usize) = (52, 1420);
/// The square-root law's constant (Mathis and others 1997).
const MATHIS: f64 = 1.22;

/// One cell of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Bits per second of every line.
    pub rate: u64,
    /// Round trip without queues.
    pub rtt: Duration,
    /// Random loss on each receiver's downlink, in hundredths of a percent.
    pub loss: u32,
    /// How many.
    pub receivers: usize,
    /// Congestion control.
    pub algorithm: Algorithm,
    name: &'static str,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}M/{}ms/{}%/{}/{}",
            self.rate / 1_000_000,
            self.rtt.as_secs_f64() * 1e3,
            f64::from(self.loss) / 100.0,
            self.receivers,
            self.name
        )
    }
}

/// All cells, in the table's order.
pub fn grid() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (algorithm, name) in ALGORITHMS {
        for receivers in RECEIVERS {
            for rate in RATES {
                for rtt in RTTS.map(Duration::from_micros) {
                    cells.extend(LOSSES.map(|loss| Cell {
                        rate,
                        rtt,
                        loss,
                        receivers,
                        algorithm,
                        name,
                    }));
                }
            }
        }
    }
    cells
}

impl Cell {
    /// Probability that a packet is lost.
    pub(crate) fn p(&self) -> f64 {
        f64::from(self.loss) / 10_000.0
    }

    /// Every line's properties.
    pub(crate) fn line(&self) -> Link {
        let product = self.rate / 8 * self.rtt.as_micros() as u64 / 1_000_000;
        let queue = product.max(QUEUE_LEAST) as usize;
        Link::lan().rate(self.rate).delay(self.rtt / 4).queue(queue)
    }

    /// Bytes of stream per second that a full line carries.
    pub fn capacity(&self) -> f64 {
        self.line().goodput(FULL.1, frame_len(FULL.0, false))
    }

    /// The square-root law's share of the line, for one receiver: what Reno can reach.
    pub fn square_root_law(&self) -> f64 {
        if self.loss == 0 {
            return 1.0;
        }
        let rate = MATHIS * FULL.1 as f64 / (self.rtt.as_secs_f64() * self.p().sqrt());
        (rate / self.capacity()).min(1.0)
    }

    /// What losses leave of the line, about: BBR goes by the rate, but 5 % are congestion to it.
    fn limit(&self) -> f64 {
        match self.algorithm {
            Algorithm::Bbr if self.p() > 0.02 => 0.1,
            Algorithm::Bbr => 1.0,
            Algorithm::Cubic | Algorithm::Reno => self.square_root_law(),
        }
    }

    /// The scenario that measures it.
    pub fn scenario(&self, seed: u64) -> Scenario {
        let limit = self.limit();
        let expected = self.capacity() * limit;
        let lasts = LASTS.max(self.rtt * ROUND_TRIPS).as_secs_f64();
        let enough = if limit < 1.0 { LOST / self.p() * FULL.1 as f64 } else { 0.0 };
        #[expect(clippy::cast_sign_loss, reason = "it lies between positive bounds")]
        let bytes = (expected * lasts).max(enough).clamp(BYTES.0, BYTES.1) as u64;
        let loss = if self.loss == 0 { Loss::None } else { Loss::Random(self.p()) };
        let algorithm = self.algorithm;
        Scenario::new(seed)
            .receivers(self.receivers)
            .bytes(bytes)
            .link(self.line())
            .downlink_loss(loss)
            .session(|session| session.algorithm = algorithm)
            .horizon(Duration::from_secs(7200))
    }

    /// Runs it; gives the share of the line, 0 to 1.
    ///
    /// # Panics
    ///
    /// If a receiver did not get all of it, right: then there is no rate.
    pub fn measure(&self, seed: u64) -> f64 {
        let scenario = self.scenario(seed);
        let outcome = scenario.run();
        let whole = |r: &ReceiverOutcome| r.intact && r.closed == Some(Ok(()));
        assert!(outcome.receivers.iter().all(whole), "{self}, seed {seed}:\n{outcome}");
        let rates = outcome.receivers.iter().map(|r| r.steady_rate(scenario.bytes));
        rates.fold(f64::INFINITY, f64::min) / self.capacity()
    }
}

/// A grid that was measured before: the name of each cell and its share, as a table.
const SNAPSHOT: &str = include_str!("../snapshots/throughput.tsv");

/// What the committed table says of a cell.
pub fn recorded(cell: &Cell) -> Option<f64> {
    let name = cell.to_string();
    let mut rows = SNAPSHOT.lines().filter_map(|line| line.split_once('\t'));
    rows.find(|(cell, _)| *cell == name)?.1.parse().ok()
}

/// Measures many cells on all processors; gives their shares in the same order.
pub fn measure_all(cells: &[Cell], seed: u64) -> Vec<f64> {
    parallel::map(cells, |cell| cell.measure(seed))
}
