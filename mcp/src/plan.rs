//! From the command line to what is to be done: what is copied, and whom it goes to.

use crate::args::Copy;
use crate::deletion;
use crate::hosts::{self, Given, Groups, HostError, Misplaced, Target};
use crate::pipes::{self, Stream};
use crate::rules;
use crate::say::say;
use crate::slips;
use crate::standard_input::{StandardInput, Use, is_stdin};
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use thiserror::Error;
use transfer::filter::Filter;
use transfer::tree::scan::FilesFrom;

/// Bytes of a list of hosts, at most.
const MAX_LIST: u64 = 4 << 20;

/// What is to be copied, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) sources: Vec<PathBuf>,
    pub(crate) targets: Vec<Target>,
    /// What of the source alone is copied.
    pub(crate) listed: Option<FilesFrom>,
    /// What of the sources is left out.
    pub(crate) filter: Filter,
    /// The source is read once, as a stream.
    pub(crate) stream: Option<Stream>,
    /// Standard input is read for the source, hosts or rules, so it says nothing else.
    pub(crate) stdin_used: bool,
}

/// Why there is no plan.
#[derive(Debug, Error)]
pub(crate) enum PlanError {
    /// The command line makes no sense.
    #[error("{0}; see mcp --help")]
    Usage(String),
    /// It does, but cannot be done here.
    #[error("{0}")]
    Here(String),
}

/// Makes the plan.
pub(crate) fn plan(copy: &Copy) -> Result<Plan, PlanError> {
    let usage = |what: &str| PlanError::Usage(what.to_owned());
    let (sources, words) = match (&copy.source[..], &copy.words[..]) {
        ([], []) => return Err(usage("no source is given")),
        ([], [source, hosts @ ..]) => (vec![PathBuf::from(source)], hosts),
        (sources, hosts) => (sources.to_vec(), hosts),
    };
    let input = standard_input(copy, &sources)?;
    let filter = copy.rules.filter(copy.from0, &input)?;
    let listed = rules::listed(copy, &sources)?;
    if listed.is_some() && sources.len() > 1 {
        return Err(usage("--files-from lists what is below one source, and there are several"));
    }
    if sources.iter().any(|source| source.as_os_str().is_empty()) {
        return Err(usage("a source is empty, as a variable is that was not set"));
    }
    if let Some(why) = sources.iter().find_map(|source| slips::fetches(source)) {
        // As `rsync -ax SOURCE HOST:PATH` is typed.
        let left_out = copy.exclude_host.iter().find_map(|text| slips::leaves_out_a_file(text));
        return Err(left_out.map_or(PlanError::Here(why), PlanError::Usage));
    }
    if let Some(why) = slips::second_source(&sources, words, &copy.common) {
        return Err(PlanError::Usage(why));
    }
    let no_hosts = copy.exclude_host.iter().filter(|text| text.contains('/'));
    if let Some(why) = no_hosts.into_iter().find_map(|text| slips::leaves_out_a_file(text)) {
        return Err(PlanError::Usage(why));
    }
    let list = copy.hosts.as_deref().map(read_list).transpose()?.unwrap_or_default();
    let words = words.iter().map(|word| text(word)).collect::<Result<Vec<_>, _>>()?;
    let hosts = words.into_iter().map(|word| (None, word)).chain(hosts::lines(&list));
    let groups = Groups::new(copy.host_groups.as_deref());
    let groups = if copy.ssh { groups.with_users() } else { groups };
    let given = hosts::collect(hosts, copy.exclude_host.iter().map(String::as_str), &groups);
    let Given { targets, idle } =
        given.map_err(|Misplaced { line, error }| match (line, &copy.hosts) {
            _ if matches!(error, HostError::GroupFile(_)) => PlanError::Here(error.to_string()),
            (Some(line), Some(list)) => {
                PlanError::Usage(format!("{}, line {line}: {error}", name_of(list)))
            }
            _ => PlanError::Usage(error.to_string()),
        })?;
    if targets.is_empty() {
        // As `rsync -x SOURCE HOST` is typed.
        let why = idle.iter().find_map(|text| slips::leaves_out_a_file(text));
        return Err(why.map_or_else(|| usage("no host is given"), PlanError::Usage));
    }
    // As `rsync -ax SOURCE OTHER HOST` is typed.
    if let Some(why) = idle.iter().find_map(|text| slips::leaves_out_no_host(text, &copy.common)) {
        return Err(PlanError::Usage(why));
    }
    let fault = deletion::fault(copy, &sources, &targets, (listed.as_ref(), &filter));
    if let Some(why) = fault {
        return Err(PlanError::Usage(why));
    }
    if let Some(why) = copy.kept.fault() {
        return Err(PlanError::Usage(why));
    }
    let stream = pipes::stream(&sources, &targets, copy)?;
    if let Some(why) = copy.late_hosts.fault(targets.len()).filter(|_| stream.is_none()) {
        return Err(PlanError::Usage(why));
    }
    if let Some(why) = sources.iter().filter(|_| stream.is_none()).find_map(|s| slips::pipe(s)) {
        return Err(PlanError::Here(why));
    }
    if !copy.common.quiet {
        tell(copy, &targets, idle, stream.is_some());
    }
    Ok(Plan { sources, targets, listed, filter, stream, stdin_used: input.is_used() })
}

/// Says what may be meant otherwise.
fn tell(copy: &Copy, targets: &[Target], idle: Vec<String>, is_stream: bool) {
    let without = copy.kept.without_effect();
    if is_stream && !without.is_empty() {
        say(format_args!(
            "{} without effect: what goes through a pipe comes anew, and has neither permissions nor times",
            without.join(", ")
        ));
    }
    if !copy.ssh {
        slips::notes(targets).iter().for_each(say);
    }
    for text in idle {
        say(format_args!("-x {text}: none of the hosts that are given is that"));
    }
    let hosts: Vec<String> = targets.iter().map(|target| target.host.clone()).collect();
    for text in copy.rules.like_hosts(&hosts) {
        say(format_args!(
            "--exclude {text} leaves out files of that name, not the host: to leave that out write -x {text}"
        ));
    }
}

/// Standard input, with what it is read for before any rules are.
fn standard_input(copy: &Copy, sources: &[PathBuf]) -> Result<StandardInput, PlanError> {
    let input = StandardInput::default();
    // Of several sources that are standard input something else is said.
    let source = sources.iter().find(|source| is_stdin(source));
    let lists = [&copy.hosts, &copy.files_from].into_iter().flatten();
    let uses = source.map(|source| (source, Use::Source)).into_iter();
    for (file, what) in uses.chain(lists.map(|file| (file, Use::List))) {
        input.claim(file, what).map_err(|taken| PlanError::Usage(taken.to_string()))?;
    }
    Ok(input)
}

fn text(word: &OsStr) -> Result<&str, PlanError> {
    let bad = || PlanError::Usage(format!("{} is not UTF-8", word.to_string_lossy()));
    word.to_str().ok_or_else(bad)
}

/// What a list of hosts is called in messages.
fn name_of(list: &Path) -> String {
    if is_stdin(list) { "standard input".to_owned() } else { list.display().to_string() }
}

fn read_list(path: &Path) -> Result<String, PlanError> {
    let mut list = Vec::new();
    let read = if is_stdin(path) {
        std::io::stdin().lock().take(MAX_LIST + 1).read_to_end(&mut list)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_LIST + 1).read_to_end(&mut list))
    };
    let name = name_of(path);
    match read {
        Err(error) => Err(PlanError::Here(format!("cannot read the hosts in {name}: {error}"))),
        Ok(read) if read as u64 > MAX_LIST => {
            Err(PlanError::Here(format!("the list of hosts in {name} is longer than 4 MiB")))
        }
        Ok(_) => decode(list).map_err(|why| PlanError::Usage(format!("{name}, {why}"))),
    }
}

/// A list as text. Editors of other systems may save it as UTF-16, which its byte order mark says
/// (RFC 2781, section 3.2).
fn decode(list: Vec<u8>) -> Result<String, String> {
    if let [0xfe, 0xff, ..] | [0xff, 0xfe, ..] = list[..] {
        return Err("line 1: it is UTF-16: save it as UTF-8".to_owned());
    }
    String::from_utf8(list).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..good].split(|byte| *byte == b'\n').count();
        format!("line {line}: it is not UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn of(line: &str) -> Result<Plan, PlanError> {
        let args = std::iter::once("mcp").chain(line.split_whitespace()).map(OsString::from);
        plan(&crate::args::read(args).unwrap().copy)
    }

    #[test]
    fn the_first_word_is_the_source_unless_an_option_says_it() {
        for line in ["f h1 h2", "-s f h1 h2", "f h[1-2]", "f h[1-3] -x h3"] {
            let plan = of(line).unwrap();
            assert_eq!((plan.sources, plan.targets.len()), (vec![PathBuf::from("f")], 2), "{line}");
        }
    }

    #[test]
    fn hosts_come_from_a_file_as_well() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        std::fs::write(&path, "h1\nh2:x # comment\n").unwrap();
        let plan = of(&format!("f h3 --hosts {}", path.display())).unwrap();
        let texts: Vec<_> = plan.targets.iter().map(|target| target.text.as_str()).collect();
        assert_eq!(texts, ["h3", "h1", "h2:x"]);
        let absent = of(&format!("f --hosts {}/no", dir.path().display())).unwrap_err();
        assert!(matches!(absent, PlanError::Here(_)), "{absent}");
    }

    #[test]
    fn what_is_wrong_in_a_list_is_named_with_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        let with = |list: &[u8]| {
            std::fs::write(&path, list).unwrap();
            of(&format!("f --hosts {}", path.display()))
        };
        let plan = with(b"\xef\xbb\xbfh1\r\nh2 h3:x,h4\r\n").unwrap();
        let texts: Vec<_> = plan.targets.iter().map(|target| target.text.as_str()).collect();
        assert_eq!(texts, ["h1", "h2", "h3:x", "h4"]);
        for (list, what) in [
            (&b"h1\nh[2-1]\n"[..], "hosts, line 2: h[2-1]: [2-1] is not a range"),
            (b"\xff\xfeh\x001\x00", "hosts, line 1: it is UTF-16"),
            (b"\xfe\xff\x00h\x001", "hosts, line 1: it is UTF-16"),
            (b"h1\n\nh\xe4\n", "hosts, line 3: it is not UTF-8"),
        ] {
            let error = with(list).unwrap_err();
            assert!(matches!(error, PlanError::Usage(_)), "{error}");
            assert!(error.to_string().contains(what), "{error}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_usage_and_what_cannot_be_done_is_not() {
        for line in ["f", "-s f", "f h:..", "f h[3-1]", "- h --hosts -", "f h -x h"] {
            assert!(matches!(of(line), Err(PlanError::Usage(_))), "{line}");
        }
        let empty = ["mcp", "", "h"].map(OsString::from);
        let empty = plan(&crate::args::read(empty).unwrap().copy);
        assert!(matches!(empty, Err(PlanError::Usage(_))), "{empty:?}");
    }

    #[test]
    fn standard_input_needs_a_name_and_standard_output_one_file() {
        let plan = of("- h1:name h2:- h3:a/b").unwrap();
        assert_eq!((plan.stream, plan.stdin_used), (Some(Stream::Stdin), true));
        for line in ["- h1", "- h1:x h2", "- h1:x/", "- h1:.", "- h1:x/.", "-s - -s f h:x"] {
            assert!(matches!(of(line), Err(PlanError::Usage(_))), "{line}");
        }
        assert!(matches!(of("- h:x --files-from /dev/null"), Err(PlanError::Usage(_))));
        let dir = tempfile::tempdir().unwrap();
        let (folder, file) = (dir.path().display(), dir.path().join("f"));
        std::fs::write(&file, "x").unwrap();
        let stream = of(&format!("{} h:- h2:", file.display())).unwrap().stream;
        assert_eq!(stream, Some(Stream::File(file.clone())));
        for line in [format!("{folder} h:-"), format!("-s {0} -s {0} h:-", file.display())] {
            assert!(matches!(of(&line), Err(PlanError::Usage(_))), "{line}");
        }
        assert!(matches!(of("/no/such h:-"), Err(PlanError::Here(_))));
        for line in ["./- h:x", "f h:./-", "f h:-/", "--ssh f h:~/- u@h:~//-"] {
            assert_eq!(of(line).unwrap().stream, None, "{line}");
        }
    }

    #[test]
    fn x_of_rsync_is_answered() {
        // As rsync -ax SRC HOST: -x takes the file for a host.
        for line in ["-ax src h", "-ax ./src h", "-ax ./src h h2"] {
            let why = of(line).unwrap_err();
            let usage = matches!(&why, PlanError::Usage(why) if why.contains("--one-file-system"));
            assert!(usage, "{line}: {why}");
        }
        // What follows it is taken for the source, and its host for one that things are fetched from.
        for line in ["-ax src h:d", "-ax src h:d --delete", "-ax ./src h:d h2"] {
            let why = of(line).unwrap_err();
            let usage = matches!(&why, PlanError::Usage(why) if why.contains("--one-file-system"));
            assert!(usage, "{line}: {why}");
        }
        // As rsync -ax ONE OTHER HOST: the other one alone would be copied.
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("folder.invalid");
        std::fs::create_dir(&folder).unwrap();
        let mut line = ["mcp", "-ax", "", "src", "127.0.0.1:d"].map(OsString::from);
        for (excluded, is_fault) in [(folder, true), ("other.invalid".into(), false)] {
            line[2] = excluded.into();
            let plan = plan(&crate::args::read(line.clone()).unwrap().copy);
            let usage =
                matches!(&plan, Err(PlanError::Usage(why)) if why.contains("leaves out a host"));
            assert_eq!(usage, is_fault, "{plan:?}");
        }
        // Folders are often called as hosts are.
        assert!(of("f h src: -x src").is_ok());
    }

    #[test]
    fn rules_and_hosts_do_not_share_standard_input() {
        let why = of("f --hosts - --exclude-from -").unwrap_err();
        assert!(matches!(&why, PlanError::Usage(why) if why.contains("rules")), "{why}");
        assert!(matches!(of("f --hosts - --files-from -"), Err(PlanError::Usage(_))));
        assert!(matches!(of("-s f -s g h --files-from /dev/null"), Err(PlanError::Usage(_))));
        assert!(of("f h --files-from /dev/null").unwrap().listed.is_some());
        assert!(matches!(of("f h --filter x"), Err(PlanError::Usage(_))));
        assert!(matches!(of("f h --exclude-from /no/such"), Err(PlanError::Here(_))));
        assert!(of("f h --exclude *.o").unwrap().filter.of_source(b"x.o", false).leaves_out());
    }

    #[test]
    fn rules_in_files_do_not_read_what_something_else_reads() {
        let dir = tempfile::tempdir().unwrap();
        let nested = dir.path().join("nested");
        std::fs::write(&nested, "- *.o\nmerge -\n").unwrap();
        let nested = format!("merge_{}", nested.display());
        for rule in ["merge_-", "._-", &nested, "merge,-_-"] {
            for line in ["- h:x", "f --hosts -", "f h --files-from -"] {
                let why = of(&format!("{line} --filter {rule}")).unwrap_err();
                let is_usage = matches!(&why, PlanError::Usage(why) if why.contains("rules"));
                assert!(is_usage, "{line} {rule}: {why}");
            }
        }
    }

    #[test]
    fn several_sources_are_given_one_by_one() {
        let plan = of("-s a -s b h1 h2").unwrap();
        assert_eq!((plan.sources, plan.targets.len()), (vec!["a".into(), "b".into()], 2));
    }
}
