//! The seed of a random test: its own, or the one that is asked for.

/// The variable that gives every random test of the workspace the seed it is to use.
pub const VARIABLE: &str = "TEST_SEED";

/// The seed that was asked for, if any.
///
/// # Panics
///
/// If it is no number: a test that ran with another seed would be mistaken for the one wanted.
pub fn asked() -> Option<u64> {
    let text = std::env::var(VARIABLE).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{VARIABLE}={text} is not a number")))
}

/// Prints the seed of the test under way if it fails, and the command that runs it again.
#[derive(Debug)]
pub struct Printed {
    seed: u64,
    command: String,
}

impl Printed {
    /// Of a test that is run by this command.
    pub fn new(seed: u64, command: impl Into<String>) -> Self {
        Self { seed, command: command.into() }
    }
}

impl Drop for Printed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, command } = self;
            eprintln!("seed {seed}; to see it again:\n    {VARIABLE}={seed} {command}");
        }
    }
}
