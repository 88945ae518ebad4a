//! A copy as a mirror job makes it: the options, hosts and trust are those of `mcp`, but each try goes to some of the
//! hosts, with some of the tree, and nothing is said but who was met for the first time.

mod apart;
mod pinned;
mod rounds;
mod tell;

pub use apart::ApartError;
pub use pinned::Pinned;
pub use rounds::host_of;
pub use tell::{Answer, Word};

use crate::args;
use crate::copy::{self, Refused};
use crate::hosts::{self, Target};
use crate::payload::{self, Copied, Payload};
use crate::plan::{Plan, PlanError, plan};
use crate::resolve::resolve;
use crate::seats::Seats;
use crate::trust::{self, Ground, TrustError};
use apart::Apart;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use mcp_cli::Common;
use std::collections::HashSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tcpxm::api::Sender;
use tcpxm::net::interface::index_of;
use tcpxm::stats::{MemberReport, Sent};
use tcpxm::trust::ListenTrust;
use thiserror::Error;
use transfer::filter::Filter;
use transfer::jobs::Shows;
use transfer::message::{Check, OfJob};
use transfer::send::{Delivered, in_own_words};
use transfer::talk;
use transfer::tree::moved::Pair;
use transfer::tree::scan::{self, FilesFrom, SourcesError, Walk};
use transfer::tree::source::TreeSource;

/// Options of a copy that have no use for a mirror job, by their names on the command line and in the program.
const REFUSED: [(&str, &str); 15] = [
    ("--source", "source"),
    ("--files-from", "files_from"),
    ("--retry", "retry"),
    ("--retry-file", "retry_file"),
    ("--ssh", "ssh"),
    ("--ssh-install", "ssh_install"),
    ("--ssh-option", "ssh_option"),
    ("--ssh-parallel", "ssh_parallel"),
    ("--stats", "stats"),
    ("--dry-run", "dry_run"),
    ("--itemize-changes", "itemize_changes"),
    ("--no-resume", "no_resume"),
    ("--update", "update"),
    ("--late-join", "late_join"),
    ("--min-hosts", "min_hosts"),
];

/// The options of a copy, for a command of its own. All of `-aAX` is kept.
#[derive(Debug)]
pub struct Options {
    copy: args::Copy,
    /// What is wrong with them, such as one that has no use here and was typed.
    fault: Option<String>,
}

impl Args for Options {
    fn augment_args(command: Command) -> Command {
        let command = args::Copy::augment_args(command);
        let command = command.mut_arg("words", |arg| {
            arg.value_name("DIR HOST[:PATH]").help("The folder to send, then the hosts that get it")
        });
        REFUSED.iter().fold(command, |command, (_, id)| command.mut_arg(id, |arg| arg.hide(true)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let refused = REFUSED.iter().find(|(_, id)| typed(id));
        let refused = refused.map(|(name, _)| format!("{name} has no use with a mirror job"));
        let copy = args::Copy::from_arg_matches(matches)?;
        let slow = || copy.slow_hosts.fault(typed("slow_limit")).map(str::to_owned);
        let fault = refused.or_else(slow);
        Ok(Self { copy, fault })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Options {
    /// Names of the options whose values add up: [`Self::add`] takes what stands for them in variables and in the
    /// configuration file.
    pub const ADDING_UP: [&str; 5] = crate::rules::Rules::OPTIONS;

    /// Adds those values.
    pub fn add(&mut self, values: Vec<(&str, OsString)>) {
        self.copy.rules.add_untyped(values);
    }

    /// What all tools have.
    pub fn common(&self) -> &Common {
        &self.copy.common
    }

    /// Whether what the tree does not have is deleted.
    pub fn deletes(&self) -> bool {
        self.copy.kept.delete
    }

    /// The file of the groups of hosts.
    pub fn host_groups(&self) -> Option<&Path> {
        self.copy.host_groups.as_deref()
    }

    /// For words alone: nothing is copied, and no rule of what is copied is read.
    pub fn without_rules(&mut self) {
        self.copy.rules = crate::rules::Rules::default();
    }

    /// The source and the hosts are these, whatever was typed.
    pub fn instead(&mut self, source: &Path, hosts: impl IntoIterator<Item = String>) {
        self.copy.words =
            std::iter::once(source.into()).chain(hosts.into_iter().map(Into::into)).collect();
        (self.copy.hosts, self.copy.host_groups) = (None, None);
        self.copy.exclude_host.clear();
    }
}

/// Why there is no copy to be made.
#[derive(Debug, Error)]
pub enum Fault {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// It does, but cannot be done here.
    #[error("{0}")]
    Here(String),
}

impl From<PlanError> for Fault {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Usage(why) => Self::Usage(why),
            PlanError::Here(why) => Self::Here(why),
        }
    }
}

impl From<TrustError> for Fault {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::Usage(why) => Self::Usage(why.to_owned()),
            TrustError::Here(why) => Self::Here(why),
        }
    }
}

/// What people have said of a job since it was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Meant {
    /// The source may have nothing that is sent: with `--delete` receivers are to have nothing either.
    pub empty: bool,
    /// So many entries may be deleted in a session, instead of what the options say.
    pub max_delete: Option<u64>,
}

/// A tree that is copied again and again.
#[derive(Debug)]
pub struct Copying {
    options: args::Copy,
    source: PathBuf,
    filter: Filter,
    /// Folders that are never sent.
    apart: Vec<Apart>,
    interface: Option<u32>,
    meant: Mutex<Meant>,
}

/// What is tried.
pub struct Try {
    /// To whom, as they were typed, and what each is told of the job.
    pub hosts: Vec<(String, OfJob)>,
    /// Makes what shows each of them who sends.
    pub shows: Arc<Shows<'static>>,
    /// Told once the session is open, with the group that it tries, if it does.
    pub opened: Box<dyn Fn(Option<SocketAddr>) + Send + Sync>,
    /// What of the tree alone; `None`: all of it, and with `--delete` what it does not have is deleted.
    pub only: Option<FilesFrom>,
    /// What stood under another name before: receivers copy it from there.
    pub moved: Vec<Pair>,
    /// Files that stand there are read.
    pub verify: bool,
    /// What the source must be, or nothing is deleted.
    pub ground: Pinned,
}

/// What came of it.
pub struct Tried {
    /// Of each host its place among the members, or why it has none.
    pub of: Vec<Result<usize, String>>,
    /// What became of each member.
    pub members: Vec<Member>,
    /// What was sent.
    pub sent: Sent,
    /// Why the source could not be sent to its end, if so.
    pub failure: Option<String>,
    /// Paths from the root of the transfer that were listed.
    pub listed: HashSet<Vec<u8>>,
    /// Why that may not be the tree, if so.
    pub doubt: Option<String>,
}

/// A receiver of a try.
pub struct Member {
    /// What it said, and what arrived.
    pub delivered: Delivered,
    /// Why the session with it failed, in the words for people; what failed of single entries is told by them.
    pub broken: Option<String>,
    /// All that was listed has left and come there, as far as it was lacking, and the session ended without its verdict. Of
    /// a part it is not known which entries that was.
    pub is_unjudged: bool,
}

/// Ends a try from outside.
#[derive(Debug, Default)]
pub struct Stop {
    stopped: AtomicBool,
    sender: Mutex<Weak<Sender>>,
}

impl Stop {
    /// Ends it now; receivers are told that.
    pub fn now(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(sender) = sender {
            sender.abort("interrupted");
        }
    }

    /// Whether it was ended.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn watch(&self, sender: &Arc<Sender>) {
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(sender);
        if self.is_stopped() {
            sender.abort("interrupted");
        }
    }
}

/// The hosts that these words name, ranges and groups resolved; groups stand in `groups`, or where they do without
/// `--host-groups`.
///
/// # Errors
///
/// One of them names none.
pub fn named(words: &[String], groups: Option<&Path>) -> Result<Vec<String>, Fault> {
    let hosts = words.iter().map(|word| (None, word.as_str()));
    let given = hosts::collect(hosts, [], &hosts::Groups::new(groups));
    let given = given.map_err(|misplaced| Fault::Usage(misplaced.error.to_string()))?;
    Ok(given.targets.into_iter().map(|target| target.text).collect())
}

/// Names of hosts as ranges, to be read by people.
pub fn fold(names: &[String]) -> String {
    crate::fold::fold(names)
}

impl Copying {
    /// What the options ask for, and the hosts that they name. `tool` is what the program is called.
    ///
    /// # Errors
    ///
    /// They make no sense, or it cannot be done here.
    pub fn new(options: Options, tool: &'static str) -> Result<(Self, Vec<String>), Fault> {
        crate::say::speak_as(tool);
        let Options { copy: mut options, fault } = options;
        if let Some(why) = fault {
            return Err(Fault::Usage(why));
        }
        options.settle_for_a_job();
        let ground = trust::ground(&options)?;
        let Plan { sources, targets, filter, stream, .. } = plan(&options)?;
        let [source] = &sources[..] else {
            return Err(Fault::Usage("a mirror job has one source".to_owned()));
        };
        if stream.is_some() {
            return Err(Fault::Usage("a mirror job is of a folder, not of a stream".to_owned()));
        }
        let name = options.common.interface.as_deref();
        let interface = name.map(|name| {
            index_of(name)
                .map_err(|error| Fault::Here(format!("there is no interface {name}: {error}")))
        });
        let interface = interface.transpose()?;
        ground.warn(&options);
        let source = source.clone();
        let hosts = targets.into_iter().map(|target| target.text).collect();
        let (apart, meant) = (Vec::new(), Mutex::default());
        Ok((Self { options, source, filter, apart, interface, meant }, hosts))
    }

    /// The folder, as it was given.
    pub fn source(&self) -> &Path {
        &self.source
    }

    /// What is meant from now on.
    pub fn mean(&self, meant: Meant) {
        *self.meant.lock().unwrap_or_else(PoisonError::into_inner) = meant;
    }

    fn meant(&self) -> Meant {
        *self.meant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What all tools have.
    pub fn common(&self) -> &Common {
        &self.options.common
    }

    /// The group that sessions are to use; `None`: each draws one of its own, or goes by unicast.
    pub fn group(&self) -> Option<SocketAddr> {
        self.options.common.group.filter(|_| !self.options.unicast)
    }

    /// Whether what the tree does not have is deleted.
    pub fn deletes(&self) -> bool {
        self.options.kept.delete
    }

    /// The name below a host's path under which the folder stands there; nothing where what it holds goes into the path.
    pub fn below(&self) -> &[u8] {
        let name = last(&self.source);
        if is_contents(name) { b"" } else { name }
    }

    /// Leaves these folders out from now on, under whatever names they stand in the source, as far as they are there.
    /// Receivers delete nothing that stands under these names.
    ///
    /// # Errors
    ///
    /// It cannot be told which folders these are.
    pub fn leave_out(&mut self, folders: &[&Path]) -> Result<(), ApartError> {
        self.apart = apart::find(folders)?;
        Ok(())
    }

    /// The source is in none of the folders that are left out, if it is there.
    ///
    /// # Errors
    ///
    /// It is, or that cannot be told.
    pub fn check_source(&self) -> Result<(), ApartError> {
        apart::check(&self.source, &self.apart)
    }

    fn looked_for(&self) -> scan::Options {
        let apart = self.apart.iter().map(|(_, id)| *id).collect();
        let empty = self.meant().empty;
        scan::Options { apart, empty, ..payload::looked_for(&self.options, &self.filter) }
    }

    /// A walk over all that is copied.
    ///
    /// # Errors
    ///
    /// The source cannot be walked.
    pub fn walk(&self) -> Result<Walk, SourcesError> {
        Walk::new(&[&self.source], self.looked_for())
    }

    /// One session with some hosts. It blocks until each has an outcome.
    ///
    /// # Errors
    ///
    /// There was no session: the fault of this side.
    pub fn attempt(&self, what: &Try, stop: &Stop) -> Result<Tried, String> {
        self.session(what, stop).map_err(|error| format!("{error:#}"))
    }

    /// Where these hosts are, with what is known of whom to trust.
    fn seated(&self, texts: &[&str], stop: &Stop) -> anyhow::Result<(Arc<Ground>, Plan, Seats)> {
        let common = &self.options.common;
        // Anew: a host whose key was kept a moment ago is known now, and a secret may be another one.
        let ground = Arc::new(trust::ground(&self.options)?);
        let targets =
            texts.iter().map(|text| hosts::parse(text)).collect::<Result<Vec<_>, _>>()?.concat();
        anyhow::ensure!(targets.len() == texts.len(), "a host of the job is a range");
        let found = resolve(&targets, common.port, common.patience(), &|| stop.is_stopped());
        let seats = Seats::new(&targets, found, (common, &ground));
        let plan = Plan {
            sources: vec![self.source.clone()],
            targets,
            listed: None,
            filter: Filter::default(),
            stream: None,
            stdin_used: false,
        };
        Ok((ground, plan, seats))
    }

    fn session(&self, what: &Try, stop: &Stop) -> anyhow::Result<Tried> {
        let common = &self.options.common;
        let payload = self.payload(what)?;
        let texts: Vec<&str> = what.hosts.iter().map(|(text, _)| text.as_str()).collect();
        let (ground, plan, seats) = self.seated(&texts, stop)?;
        if seats.members.is_empty() || stop.is_stopped() {
            let of =
                seats.of.into_iter().map(|seat| seat.and_then(|_| Err("interrupted".to_owned())));
            let (members, sent, failure) = (Vec::new(), Sent::default(), None);
            let (listed, doubt) = (HashSet::new(), None);
            return Ok(Tried { of: of.collect(), members, sent, failure, listed, doubt });
        }
        let trust = ground.trust(seats.named(&plan), common.port);
        let of = (&self.options, &payload);
        let (sender, _refused): (Sender, Option<Refused>) =
            copy::connect(of, &trust, self.interface, &seats.addrs())?;
        let sender = Arc::new(sender);
        stop.watch(&sender);
        (what.opened)(sender.group().map(|group| group.addr));
        let to: Vec<_> = (0..seats.members.len())
            .map(|member| {
                let at = seats.members[member].targets.first().copied();
                let path =
                    seats.target(&plan, member).map_or_else(Vec::new, |t| t.path.clone().into());
                (path, at.and_then(|at| what.hosts.get(at)).map(|(_, job)| job.clone()))
            })
            .collect();
        let Copied { members, sent, failure, come, .. } = payload.send(&sender, &to, &|_| {});
        let met = members.iter().zip(&seats.members);
        let met = met.map(|(member, seat)| (&member.report, seat.names(&plan.targets)));
        ground.remember(met, (common.port, common.quiet));
        let members = members.into_iter().zip(&seats.members);
        let member = |(delivered, seat): (Delivered, &crate::seats::Seat)| {
            let broken =
                Self::broken(&ground, (&delivered, common.port), &seat.names(&plan.targets));
            let MemberReport { acked, undeclared, .. } = delivered.report;
            let has_come = come.ended && acked >= come.span && undeclared == 0;
            let is_unjudged = has_come && broken.is_some() && delivered.said.refused.is_none();
            Member { delivered, broken, is_unjudged }
        };
        let members = members.map(member).collect();
        // All have their verdicts: the next session does not wait for the end of this one.
        talk::linger(sender);
        let (listed, doubt) = payload.listed()?;
        Ok(Tried { of: seats.of, members, sent, failure, listed, doubt })
    }

    /// Why the session with a member failed, if it did.
    fn broken(
        ground: &Ground,
        (member, port): (&Delivered, u16),
        names: &[&Target],
    ) -> Option<String> {
        let report = &member.report;
        if let Some(refused) = &member.said.refused {
            return Some(refused.clone());
        }
        match &report.outcome {
            Some(Ok(())) if member.said.report.is_some() => None,
            Some(Ok(())) => Some("it has not said what became of the entries".to_owned()),
            Some(Err(reason)) => {
                let first = names.first();
                let own =
                    first.and_then(|first| ground.why(first, names, (report.addr, port), reason));
                Some(own.unwrap_or_else(|| in_own_words(reason)))
            }
            None => Some("it has no outcome".to_owned()),
        }
    }

    /// Who may say hello here: these hosts, as they are known by now.
    ///
    /// # Errors
    ///
    /// A file cannot be read that says whom to trust.
    pub fn listen_trust(&self, hosts: &[String]) -> Result<ListenTrust, Fault> {
        let targets: Vec<Target> =
            hosts.iter().filter_map(|text| hosts::parse(text).ok()).flatten().collect();
        Ok(trust::ground(&self.options)?.listen(&targets, self.options.common.port))
    }

    fn payload(&self, what: &Try) -> anyhow::Result<Payload> {
        let aside = std::env::temp_dir();
        let mut looked_for = self.looked_for();
        looked_for.digests |= what.verify;
        let below = what.only.as_ref().and_then(|only| Some((only, above(&self.source)?)));
        let source = match below {
            None => TreeSource::open(&[&self.source], looked_for, &aside)?,
            Some((only, folder)) => {
                looked_for.deletes = false;
                TreeSource::listed(folder, only.clone(), looked_for, &aside)?
            }
        };
        let (pinned, root) = (what.ground.clone(), self.source.clone());
        let top = top(&root).to_owned();
        let source = source.guarded(Box::new(move || pinned.doubt(&root, &top)));
        let source = source.moved(what.moved.iter().cloned());
        let mut offer = payload::offer(&self.options, None);
        match &mut offer.delete {
            Some(_) if below.is_some() => offer.delete = None,
            Some(delete) => delete.max = self.meant().max_delete.or(delete.max),
            None => {}
        }
        if what.verify {
            offer.check = Check::Digest;
        }
        Ok(Payload::of_tree(source, offer, true).showing(Arc::clone(&what.shows)))
    }
}

/// What stands behind the last slash of a path.
fn last(source: &Path) -> &[u8] {
    source.as_os_str().as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// Whether a source that ends so means what it holds.
fn is_contents(last: &[u8]) -> bool {
    matches!(last, b"" | b"." | b"..")
}

/// The folder that paths of the transfer are below, also through a link.
fn top(source: &Path) -> &Path {
    if is_contents(last(source)) {
        return source;
    }
    let folder = source.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// The folder that paths of the transfer are below: the source itself where what it holds is sent, else the one that it
/// stands in. `None` where a link is followed only if the source is given.
fn above(source: &Path) -> Option<&Path> {
    (is_contents(last(source)) || !source.is_symlink()).then(|| top(source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tcpxm::config::Slow;

    fn options(line: &str) -> Options {
        let command = Options::augment_args(Command::new("mtm")).no_binary_name(true);
        let matches = command.try_get_matches_from(line.split_whitespace()).unwrap();
        Options::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn what_is_said_of_slow_and_lost_hosts_is_one_of_each_session() {
        let line =
            "--slow drop --slow-limit 20M --least-group 2 --unicast-share 9 --wait-lost 8s d h";
        let Options { mut copy, fault } = options(line);
        copy.settle_for_a_job();
        let session = copy::session(&copy, 1);
        assert_eq!(fault, None);
        assert_eq!(session.slow, Slow::Drop { below: 20_000_000 });
        assert_eq!((session.least_group, session.unicast_share), (2, 9));
        assert_eq!(session.wait_lost, Duration::from_secs(8));
    }

    #[test]
    fn what_a_job_has_no_use_for_is_refused_where_it_is_typed() {
        for line in ["--late-join d h", "--min-hosts 1 d h", "--slow drop d h"] {
            assert!(options(line).fault.is_some(), "{line}");
        }
        assert_eq!(options("d h").fault, None);
    }

    #[test]
    fn what_is_in_a_source_is_found_below_the_folder_that_it_stands_in() {
        let of = |source: &str| top(Path::new(source)).display().to_string();
        assert_eq!(["a", "a/b", "/a", "a/", "a/.", "."].map(of), [".", "a", "/", "a/", "a/.", "."]);
    }
}
