//! `mcp FILE HOST…`: one copy, from the plan to the table.

use crate::args;
use crate::firewall;
use crate::hosts::Target;
use crate::itemized::{self, Changes, Host, Output};
use crate::payload::{Copied, Payload};
use crate::plan::Plan;
use crate::progress::{self, Phase, Progress};
use crate::reach::Reach;
use crate::resolve::{Found, resolve};
use crate::retry;
use crate::say::say;
use crate::seats::Seats;
use crate::slow;
use crate::ssh::{self, Daemons, Started};
use crate::stats::Stats;
use crate::table::{self, HostRow, Summary};
use crate::tries;
use crate::trust::Ground;
use anyhow::{Context, Result, ensure};
use mcp_cli::say::plain;
use mcp_cli::signals::Watch;
use mcp_cli::{Common, Exit};
use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tcpxm::api::{Sender, SenderOptions};
use tcpxm::config::{Group, SessionConfig};
use tcpxm::error::Reason;
use tcpxm::net::interface::{address_of, index_of};
use tcpxm::net::{Family, draw_group};
use tcpxm::trust::SenderTrust;
use transfer::send::{Delivered, Itemized, in_own_words};
use transfer::session::{Opened, open_session, open_stream};

/// Runs a copy; an error is one of this side, before there were results.
pub(crate) fn run(options: &args::Copy, mut plan: Plan, ground: &Arc<Ground>) -> Result<Exit> {
    let begin = Instant::now();
    let common = &options.common;
    let interface = common
        .interface
        .as_deref()
        .map(|name| index_of(name).with_context(|| format!("there is no interface {name}")));
    let interface = interface.transpose()?;
    let watch = Watch::start().context("cannot watch for signals")?;
    let way = Way { interface, ground, watch: &watch };
    let (mut rows, mut outcome) = attempt(options, &plan, way, Some(&|| ground.warn(options)))?;
    let reports = outcome.members.iter().map(|member| &member.report);
    // With --ssh the next copy has other ports.
    if let Some(rules) = firewall::rules(reports).filter(|_| !options.ssh) {
        say(rules);
    }
    let all = plan.targets.clone();
    let mut tried = vec![(all.len(), outcome.failure.take())];
    for number in 1..=options.retry {
        let failed = tries::failed(&rows, options.kept.dry_run);
        let of = (number, options.retry);
        if failed.is_empty() || !tries::pause(failed.len(), of, common.quiet, &watch) {
            break;
        }
        plan.targets = tries::targets(&all, &failed);
        match attempt(options, &plan, way, None) {
            Ok((again, mut next)) => {
                tries::replace(&mut rows, &failed, again, options.kept.dry_run);
                tried.push((failed.len(), next.failure.take()));
                outcome = next.after(outcome);
            }
            Err(error) => {
                say(plain(&format!("{error:#}"))); // what came before stands
                break;
            }
        }
    }
    outcome.failure = tries::failure(&tried);
    let shown = show(&rows, outcome, begin.elapsed(), options, &watch);
    retry::end(options, &rows, shown)
}

/// What each try has in common.
#[derive(Clone, Copy)]
struct Way<'a> {
    interface: Option<u32>,
    ground: &'a Arc<Ground>,
    watch: &'a Arc<Watch>,
}

/// Where the hosts of a plan are, and where it goes there.
struct Served {
    found: Vec<Found>,
    targets: Vec<Target>,
    /// With `--ssh`.
    trust: Option<SenderTrust>,
    _daemons: Daemons,
}

/// Looks the hosts up; with `--ssh` starts a daemon on each.
fn served(options: &args::Copy, plan: &Plan, watch: &Watch) -> Result<Served> {
    let (common, ended) = (&options.common, || watch.is_ended());
    let hosts = plan.targets.len();
    if options.ssh {
        let _phase = Phase::start(format!("starting daemons on {hosts} hosts"), common);
        let started = ssh::start(&plan.targets, options, &ended);
        let Started { found, targets, trust, daemons } = started.context("cannot use ssh")?;
        return Ok(Served { found, targets, trust: Some(trust), _daemons: daemons });
    }
    let _phase = Phase::start(format!("looking up the addresses of {hosts} hosts"), common);
    let found = resolve(&plan.targets, common.port, common.patience(), &ended);
    let targets = plan.targets.clone();
    Ok(Served { found, targets, trust: None, _daemons: Daemons::default() })
}

/// One session with the hosts of the plan.
fn attempt(
    options: &args::Copy,
    plan: &Plan,
    Way { interface, ground, watch }: Way<'_>,
    first: Option<&dyn Fn()>,
) -> Result<(Vec<HostRow>, Copied)> {
    let common = &options.common;
    let payload = Payload::open(plan, options)?;
    if let Some(first) = first {
        first();
        if io::stdin().is_terminal() && !plan.stdin_used {
            progress::status_on_enter(watch);
        }
    }
    let Served { found, targets, trust, _daemons } = served(options, plan, watch)?;
    let plan = &Plan { targets, ..plan.clone() };
    let seats = Seats::new(&plan.targets, found, (common, ground));
    seats.tell(&plan.targets);
    let (mut outcome, reach) = if seats.members.is_empty() {
        (Copied::nothing(), None)
    } else {
        let trust = trust.unwrap_or_else(|| ground.trust(seats.named(plan), common.port));
        let (sender, refused) = connect((options, &payload), &trust, interface, &seats.addrs())?;
        if let Some(Refused { group, why }) = &refused {
            say(format_args!("the group {group} cannot be used: {why}; going on by unicast"));
        }
        let reach = Reach::new(&sender, refused.map(|refused| refused.why), common.ttl);
        if common.verbose > 0 {
            say(reach.way());
            seats.introduce(plan);
        }
        let shown = (&reach, common, ground);
        let sender = Arc::new(sender);
        let outcome = send(&sender, &payload, &seats, plan, shown, watch);
        let reach = reach.clone().anew(&sender);
        if common.verbose > 0 {
            let reports: Vec<_> = outcome.members.iter().map(|member| &member.report).collect();
            seats.tell_taken(plan, &reports);
        }
        let met = outcome.members.iter().zip(&seats.members);
        let met = met.map(|(member, seat)| (&member.report, seat.names(&plan.targets)));
        ground.remember(met, (common.port, common.quiet));
        (outcome, Some(reach))
    };
    let mut told = itemize(options, plan, (&payload, &seats, &mut outcome));
    let deletes = options.kept.delete;
    let mut rows = rows(plan, &seats, &outcome, reach.as_ref(), (common, ground), deletes);
    for (index, (row, seat)) in rows.iter_mut().zip(&seats.of).enumerate() {
        let Ok(member) = seat else { continue };
        let is_last = seats.members[*member].targets.last() == Some(&index);
        let taken = if is_last { told.remove(member) } else { told.get(member).cloned() };
        row.itemized = taken;
    }
    Ok((rows, outcome))
}

/// An interface that was named is to be sent from: without an address nothing is.
fn check_source(interface: Option<(&str, u32)>, family: Family) -> Result<()> {
    let Some((name, ifindex)) = interface else { return Ok(()) };
    let source = address_of(ifindex, family).with_context(|| format!("the addresses of {name}"))?;
    ensure!(
        source.is_some(),
        "{name} has no {family} address to send the group from: give it one, name another with --interface, or \
         send to each host alone with --unicast"
    );
    Ok(())
}

/// A group that cannot be used.
pub(crate) struct Refused {
    group: SocketAddr,
    /// What the system said.
    why: String,
}

/// What the options say of a session with so many hosts, but for its group.
pub(crate) fn session(options: &args::Copy, hosts: usize) -> SessionConfig {
    let common = &options.common;
    let mut session = SessionConfig {
        rate: common.rate,
        algorithm: options.congestion.into(),
        connect_timeout: common.patience(),
        // Who says how long to wait means it, also for a host that is starting just now.
        give_up_refused: common.connect_timeout.is_none(),
        wait_lost: options.wait_lost.unwrap_or_default(),
        ..SessionConfig::default()
    };
    options.slow_hosts.apply(&mut session);
    options.late_hosts.apply(&mut session, hosts);
    session
}

/// Opens the session. A group that cannot be used at all is no reason not to copy.
pub(crate) fn connect(
    (options, payload): (&args::Copy, &Payload),
    trust: &SenderTrust,
    interface: Option<u32>,
    addrs: &[Vec<SocketAddr>],
) -> Result<(Sender, Option<Refused>)> {
    let common = &options.common;
    // What comes first is of the family that most have, or all that there is a way to.
    let v6 = addrs.iter().filter(|of_one| of_one[0].is_ipv6()).count() * 2 > addrs.len();
    let family = if v6 { Family::V6 } else { Family::V4 };
    let addr = match common.group {
        Some(group) => group,
        None => (draw_group(family, true).context("cannot draw a group")?, common.port).into(),
    };
    let group = (!options.unicast).then_some(Group { addr, source: None });
    if group.is_some() && addrs.len() > 1 {
        check_source(common.interface.as_deref().zip(interface), Family::of(addr.ip()))?;
    }
    let session = SessionConfig { group, ..session(options, addrs.len()) };
    let options =
        SenderOptions { session, interface, ttl: common.ttl, ..SenderOptions::new(trust.clone()) };
    let opened = if payload.is_stream() {
        open_stream(options, addrs)
    } else {
        open_session(options, addrs)
    };
    let Opened { sender, refused } = opened.context("cannot open the session")?;
    Ok((sender, refused.map(|why| Refused { group: addr, why })))
}

/// Sends, and shows how it goes.
fn send(
    sender: &Arc<Sender>,
    payload: &Payload,
    seats: &Seats,
    plan: &Plan,
    (reach, common, ground): (&Reach, &Common, &Arc<Ground>),
    watch: &Arc<Watch>,
) -> Copied {
    let weak = Arc::downgrade(sender);
    watch.on_end(move || {
        if let Some(sender) = weak.upgrade() {
            sender.abort("interrupted");
        }
    });
    let hosts: Vec<Vec<Target>> = seats
        .members
        .iter()
        .map(|seat| seat.names(&plan.targets).into_iter().cloned().collect())
        .collect();
    let names = hosts.iter().map(|names| names[0].text.clone()).collect();
    let addrs = seats.addrs();
    let (ground, port) = (Arc::clone(ground), common.port);
    let why = move |member: usize, reason: &Reason| {
        let names: Vec<&Target> = hosts.get(member).into_iter().flatten().collect();
        let own = names.first().zip(addrs.get(member));
        let own = own.and_then(|(first, at)| ground.why(first, &names, (at[0], port), reason));
        own.or_else(|| slow::dropped(reason)).unwrap_or_else(|| in_own_words(reason))
    };
    let to: Vec<_> = (0..seats.members.len())
        .map(|member| seats.target(plan, member).map_or_else(Vec::new, |t| t.path.clone().into()))
        .map(|to| (to, None))
        .collect();
    let progress =
        Progress::start(sender, (names, Box::new(why)), (reach, common, payload.origin()), watch);
    let outcome = payload.send(sender, &to, &|come| progress.come(come));
    progress.finish();
    outcome
}

/// With `-i` or `-n`: says what is changed at the hosts that have told it, and gives that by their places.
fn itemize(
    options: &args::Copy,
    plan: &Plan,
    (payload, seats, outcome): (&Payload, &Seats, &mut Copied),
) -> HashMap<usize, Changes> {
    let (kept, common) = (&options.kept, &options.common);
    if !(kept.dry_run || kept.itemize_changes) {
        return HashMap::new();
    }
    let members = outcome.members.iter().enumerate();
    let members: Vec<_> = members.filter(|(_, member)| member.said.report.is_some()).collect();
    let host = |(place, member): (usize, _)| {
        let (place, member): (usize, &Delivered) = (place, member);
        let names = seats.members[place].names(&plan.targets);
        let names = names.into_iter().map(|target| target.text.clone()).collect();
        let deleted = member.said.report.map_or(0, |report| report.deleted);
        Host { names, changed: &member.said.changed, deleted }
    };
    let hosts: Vec<_> = members.iter().copied().map(host).collect();
    let changed: Vec<_> = hosts.iter().map(|host| host.changed).collect();
    let entries =
        |each: &mut dyn FnMut(Itemized) -> io::Result<()>| payload.itemized(&changed, each);
    let mut out = io::BufWriter::new(Output(io::stdout().lock()));
    let mut nowhere = io::sink();
    let out: &mut dyn io::Write = if common.quiet { &mut nowhere } else { &mut out };
    match itemized::tell(&hosts, &entries, (out, common.json)) {
        Ok(told) => {
            let places: Vec<usize> = members.into_iter().map(|(place, _)| place).collect();
            outcome.estimate = told.estimate;
            match itemized::in_part(&hosts) {
                // A dry run is for nothing else.
                Some(why) if kept.dry_run => drop(outcome.failure.get_or_insert(why)),
                Some(why) if !common.quiet => say(why),
                _ => {}
            }
            places.into_iter().zip(told.changes).collect()
        }
        Err(error) => {
            let why = format!("cannot say what is changed: {:#}", anyhow::Error::from(error));
            outcome.failure.get_or_insert(why);
            HashMap::new()
        }
    }
}

/// A row for each host of the plan, with `events` if they are asked for.
fn rows(
    plan: &Plan,
    seats: &Seats,
    outcome: &Copied,
    reach: Option<&Reach>,
    (common, ground): (&Common, &Ground),
    deletes: bool,
) -> Vec<HostRow> {
    let events = common.verbose > 0;
    let row = |(target, seat): (&Target, &Result<usize, String>)| match seat {
        Err(why) => HostRow::without_session(target.text.clone(), why.clone(), events),
        Ok(seat) => {
            let (member, at) = (&outcome.members[*seat], &seats.members[*seat]);
            let names = at.names(&plan.targets);
            let said = match (&member.said.refused, &member.report.outcome) {
                (Some(_), _) => None, // its own words say more
                (_, Some(Err(reason))) => {
                    let at = (member.report.addr, common.port);
                    ground.why(target, &names, at, reason).or_else(|| slow::dropped(reason))
                }
                _ => ground.unknown(target, common.port, &member.report),
            };
            let result = match said.or_else(|| member.failure()) {
                None => Ok(outcome.digest.clone()),
                Some(why) => Err(why),
            };
            let why = reach.and_then(|reach| reach.reason(&member.report));
            let host = target.text.clone();
            let events = events.then(|| table::events::of(&host, &member.report, reach));
            let row = HostRow::new(host, &member.report, why, result, events);
            match member.said.report {
                Some(report) => {
                    row.with_entries(report, member).with_deleted(Some(report).filter(|_| deletes))
                }
                None => row,
            }
            .untold(!matches!(member.report.outcome, Some(Err(_))))
        }
    };
    plan.targets.iter().zip(&seats.of).map(row).collect()
}

/// The table, the summary, and the exit that follows from them.
fn show(
    rows: &[HostRow],
    outcome: Copied,
    took: Duration,
    options: &args::Copy,
    watch: &Watch,
) -> Result<Exit> {
    let common = &options.common;
    let seconds = took.as_secs_f64();
    let interrupted = watch.is_ended() && rows.iter().any(|row| row.reason.is_some());
    let failure = outcome.failure.filter(|_| !interrupted);
    let summary = Summary::new(rows, outcome.come.len, seconds, outcome.sent);
    let stats = Stats::new(outcome.counts, outcome.come, outcome.sent, summary.ok);
    let stats = stats.deleted(options.kept.delete.then_some(outcome.deleted));
    let summary = Summary {
        one: outcome.one,
        dry: options.kept.dry_run.then_some(outcome.estimate),
        dry_run: options.kept.dry_run,
        omitted_symlinks: outcome.omitted.symlinks,
        omitted_specials: outcome.omitted.specials,
        omitted_by_rule: outcome.omitted.by_rule,
        omitted_lists: outcome.omitted.lists,
        stats: options.stats.then_some(stats),
        ..summary.because(failure)
    };
    table::failures(rows).for_each(say);
    table::show(&mut io::stdout().lock(), rows, &summary, common)
        .or_else(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Ok(()), // who closed it has seen enough
            _ => Err(error),
        })
        .context("cannot write the result")?;
    if interrupted {
        say("interrupted");
        return Ok(Exit::Interrupted);
    }
    if let Some(why) = &summary.reason {
        say(plain(why));
        return Ok(Exit::Failed);
    }
    Ok(summary.exit)
}
