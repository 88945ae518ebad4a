//! What the daemon has of mirror jobs: which installation it is.

use crate::args::Cli;
use mcp_keys::Drawn;
use mcp_keys::places::{self, Environment};
use mtm::instance;
use transfer::destination::Root;

/// What all sessions share of mirror jobs.
#[derive(Debug, Default)]
pub(crate) struct Mirrors {
    installation: Option<Drawn>,
}

impl Mirrors {
    /// Of this daemon; where its id cannot be kept also what is to be said. One that ends with its session (`lasts` is
    /// false) is no receiver of a mirror job.
    pub(crate) fn of(cli: &Cli, lasts: bool) -> (Self, Option<String>) {
        if !lasts {
            return (Self::default(), None);
        }
        let environment = Environment::of_process();
        let state = environment.state_dir(cli.common.state_dir.as_deref());
        let kept = state.map_err(|error| error.to_string()).and_then(|state| {
            Drawn::read_or_create(&places::instance(&state)).map_err(|error| error.to_string())
        });
        match kept {
            Ok(kept) => (Self { installation: Some(kept) }, None),
            Err(why) => {
                let note = format!("to mirror jobs this daemon is a new one at each start: {why}");
                (Self { installation: Drawn::random().ok() }, Some(note))
            }
        }
    }

    /// Which installation this is to those that send below that folder.
    pub(crate) fn instance(&self, root: &Root) -> Option<[u8; 16]> {
        self.installation.as_ref().map(|kept| instance::id(kept.as_bytes(), root.path()))
    }
}
