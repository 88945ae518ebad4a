//! `@GROUP`: groups of hosts as `ClusterShell` keeps them in a flat file, a line `NAME: HOSTS` each.
//!
//! Its other sources are not asked: what a `groups.conf` names are commands of a shell, and YAML has no
//! reader here. What it can do with sets (`!`, `&`, `^`) is `-x` here.

use super::{HostError, list, ranges, split_hosts};
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Begins the name of a group.
pub(super) const GROUP: char = '@';

/// Bytes of the file, at most: as many as of a list of hosts.
const MAX_FILE: u64 = 4 << 20;
/// Groups within groups, at most: more than anybody overlooks.
const MAX_DEPTH: usize = 32;
/// Names that a message lists, at most.
const LISTED: usize = 20;

/// The group of all hosts; where none is called so, all groups together.
const ALL: &str = "*";
/// What [`ALL`] is called in the file, if it is there.
const ALL_NAME: &str = "all";

/// The groups of this host, which are read when the first is named.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// The first of these that is there is read.
    files: Vec<PathBuf>,
    /// One that was named has to be there.
    named: bool,
    known: OnceCell<Result<Known, Why>>,
    /// Users may stand before hosts.
    users: bool,
}

/// Why there are no groups.
#[derive(Debug, Clone)]
enum Why {
    /// No file has any: whoever named one meant something else.
    None(String),
    /// A file cannot be read.
    Unread(String),
}

/// The groups of one file.
#[derive(Debug)]
struct Known {
    file: PathBuf,
    groups: BTreeMap<String, Vec<String>>,
}

impl Groups {
    /// Of that file, or else of the first that `ClusterShell` would read.
    pub(crate) fn new(file: Option<&Path>) -> Self {
        let files = match file {
            Some(file) => vec![file.to_owned()],
            None => places(|name| std::env::var_os(name).map(PathBuf::from)),
        };
        Self { files, named: file.is_some(), known: OnceCell::new(), users: false }
    }

    /// Where somebody is logged in on each host: `USER@HOST`.
    pub(crate) fn with_users(self) -> Self {
        Self { users: true, ..self }
    }

    /// Whether that is so.
    pub(super) fn has_users(&self) -> bool {
        self.users
    }

    /// Whether a host is a group instead: `@GROUP`, perhaps with a port and a path.
    pub(super) fn is_group(text: &str) -> bool {
        text.starts_with(GROUP)
    }

    /// The hosts of `@GROUP` as they stand in the file, ranges and all, and what stands behind the group, which is for
    /// each of them. Ranges in a group's name are several groups.
    pub(super) fn hosts<'a>(&self, text: &'a str) -> Result<(Vec<String>, &'a str), HostError> {
        let at = text.find(':').unwrap_or(text.len());
        let (group, rest) = (&text[GROUP.len_utf8()..at], &text[at..]);
        let wrong = |why: String| HostError::Group(text.to_owned(), why);
        let known = match self.known.get_or_init(|| self.read()) {
            Ok(known) => known,
            Err(Why::None(why)) => return Err(wrong(why.clone())),
            Err(Why::Unread(why)) => return Err(HostError::GroupFile(why.clone())),
        };
        let names = if group == ALL { known.all() } else { ranges::expand(text, group)? };
        let mut walk = Walk { known, path: Vec::new(), done: HashSet::new(), hosts: Vec::new() };
        for name in &names {
            walk.enter(name).map_err(wrong)?;
        }
        if walk.hosts.is_empty() {
            return Err(wrong(format!("there is no host in it, in {}", known.file.display())));
        }
        Ok((walk.hosts, rest))
    }

    fn read(&self) -> Result<Known, Why> {
        for file in &self.files {
            let name = file.display();
            let mut text = String::new();
            let opened = std::fs::File::open(file);
            match opened.and_then(|open| open.take(MAX_FILE + 1).read_to_string(&mut text)) {
                Err(error) if error.kind() == ErrorKind::NotFound && !self.named => {}
                Err(error) => {
                    return Err(Why::Unread(format!(
                        "cannot read the groups of hosts in {name}: {error}"
                    )));
                }
                Ok(read) if read as u64 > MAX_FILE => {
                    return Err(Why::Unread(format!(
                        "the file of groups {name} is longer than 4 MiB"
                    )));
                }
                Ok(_) => return Known::parse(file, &text).map_err(Why::Unread),
            }
        }
        let files: Vec<_> = self.files.iter().map(|file| file.display().to_string()).collect();
        let files = if files.is_empty() { "nowhere".to_owned() } else { files.join(", ") };
        Err(Why::None(format!(
            "no file has groups (looked for {files}): --host-groups FILE names one, a line NAME: HOSTS each"
        )))
    }
}

/// Where `ClusterShell` has its flat file: in the folder that a variable names, the user's or the system's, `groups`
/// before `groups.d/local.cfg`.
fn places(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let given = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
    let config = given("XDG_CONFIG_HOME").or_else(|| Some(given("HOME")?.join(".config")));
    let folders = [
        given("CLUSTERSHELL_CFGDIR"),
        config.map(|config| config.join("clustershell")),
        Some("/etc/clustershell".into()),
    ];
    let folders = folders.into_iter().flatten();
    folders.flat_map(|dir| [dir.join("groups"), dir.join("groups.d/local.cfg")]).collect()
}

impl Known {
    fn parse(file: &Path, text: &str) -> Result<Self, String> {
        let mut groups = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |why: &str| format!("{}, line {}: {why}", file.display(), index + 1);
            let line = line.trim_start_matches('\u{feff}').trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hosts) =
                line.split_once(':').ok_or_else(|| wrong("it is not NAME: HOSTS"))?;
            let name = name.trim();
            if name.is_empty() || name.contains(|c: char| c.is_whitespace() || "@,[]*".contains(c))
            {
                return Err(wrong(&format!("{name:?} cannot be a group's name")));
            }
            let words = list::lines(hosts).flat_map(|(_, word)| split_hosts(word));
            let hosts: Vec<String> = words.map(str::to_owned).collect();
            if let Some(host) = hosts.iter().find(|host| host.contains(['!', '&', '^'])) {
                return Err(wrong(&format!(
                    "{host}: sets are not read here: leave hosts out with -x"
                )));
            }
            let other = |host: &&String| {
                let end = if host.starts_with(GROUP) { Some(0) } else { host.rfind(']') };
                host[end.unwrap_or(0)..].contains(':')
            };
            if let Some(host) = hosts.iter().find(other) {
                return Err(wrong(&format!(
                    "{host}: neither groups of other sources nor ports and paths are read here"
                )));
            }
            if groups.insert(name.to_owned(), hosts).is_some() {
                return Err(wrong(&format!("{name} stands there twice")));
            }
        }
        Ok(Self { file: file.to_owned(), groups })
    }

    /// The groups that all hosts are in.
    fn all(&self) -> Vec<String> {
        if self.groups.contains_key(ALL_NAME) {
            vec![ALL_NAME.to_owned()]
        } else {
            self.groups.keys().cloned().collect()
        }
    }

    fn unknown(&self, name: &str) -> String {
        let names: Vec<_> = self.groups.keys().take(LISTED).map(String::as_str).collect();
        let more = match self.groups.len() - names.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("there is no group {name} in {}, there are: {names}{more}", self.file.display())
    }
}

/// Through a group and those in it; each is visited once, so it takes no longer than the file is long.
struct Walk<'a> {
    known: &'a Known,
    /// The groups that led here.
    path: Vec<String>,
    done: HashSet<String>,
    hosts: Vec<String>,
}

impl Walk<'_> {
    fn enter(&mut self, name: &str) -> Result<(), String> {
        if let Some(at) = self.path.iter().position(|above| above == name) {
            let round = self.path[at..].join(", @");
            return Err(format!(
                "the group {name} is in itself, by @{round}, in {}",
                self.known.file.display()
            ));
        }
        if self.path.len() == MAX_DEPTH {
            return Err(format!("its groups stand in each other more than {MAX_DEPTH} deep"));
        }
        let hosts = self.known.groups.get(name).ok_or_else(|| self.known.unknown(name))?;
        if !self.done.insert(name.to_owned()) {
            return Ok(());
        }
        self.path.push(name.to_owned());
        for host in hosts {
            match host.strip_prefix(GROUP) {
                None => self.hosts.push(host.clone()),
                Some(ALL) => self.known.all().iter().try_for_each(|name| self.enter(name))?,
                Some(group) => {
                    let names = ranges::expand(host, group).map_err(|error| error.to_string())?;
                    names.iter().try_for_each(|name| self.enter(name))?;
                }
            }
        }
        self.path.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(text: &str) -> Groups {
        let known = OnceCell::new();
        known.set(Known::parse(Path::new("groups"), text).map_err(Why::Unread)).unwrap();
        Groups { known, ..Groups::default() }
    }

    fn of(count: usize, line: fn(usize) -> String) -> String {
        (0..count).map(line).collect::<Vec<_>>().join("\n")
    }

    fn hosts(groups: &Groups, text: &str) -> Result<String, String> {
        let (hosts, rest) = groups.hosts(text).map_err(|error| error.to_string())?;
        Ok(hosts.join(" ") + rest)
    }

    /// The example that comes with `ClusterShell`, and what nests.
    const FILE: &str = "\u{feff}# groups\r\nadm: example0\r\noss: example4 example5 # two\nmds:example6\n\
        io: @oss,@mds\nrack1: r1n[1-2]\nrack2: r2n[1-2],[fd77::1]\nracks: @rack[1-2]\nempty:\n";

    #[test]
    fn a_group_is_its_hosts_and_those_of_its_groups() {
        let groups = groups(FILE);
        for (text, expected) in [
            ("@adm", "example0"),
            ("@adm:isos/", "example0:isos/"),
            ("@io:8738:x", "example4 example5 example6:8738:x"),
            ("@racks", "r1n[1-2] r2n[1-2] [fd77::1]"),
            ("@rack[1-2]", "r1n[1-2] r2n[1-2] [fd77::1]"),
            ("@*", "example0 example4 example5 example6 r1n[1-2] r2n[1-2] [fd77::1]"),
        ] {
            let found = hosts(&groups, text).unwrap();
            let sorted = |text: &str| {
                let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
                words.sort();
                words
            };
            assert_eq!(sorted(&found), sorted(expected), "{text}");
        }
        let all = self::groups("all: a b\nsome: c\nboth: @*,d");
        assert_eq!(hosts(&all, "@*").unwrap(), "a b");
        assert_eq!(hosts(&all, "@both").unwrap(), "a b d");
    }

    #[test]
    fn what_cannot_be_meant_is_answered() {
        let why = |text: &str| hosts(&groups(FILE), text).unwrap_err();
        let known = "there is no group gpu in groups, there are: adm, empty, io, mds, oss, rack1";
        assert!(why("@gpu").starts_with(&format!("@gpu: {known}")), "{}", why("@gpu"));
        assert!(why("@").contains("there is no group "), "{}", why("@"));
        assert!(why("@empty").contains("there is no host in it"));
        assert!(why("@rack[2-1]").contains("is not a range"));
        let many = of(100, |n| format!("g{n}: h"));
        assert!(hosts(&groups(&many), "@x").unwrap_err().ends_with(" and 80 more"));
        assert!(hosts(&groups(""), "@x").unwrap_err().ends_with("there are: none"));
        for (file, what) in [
            ("a: b\nb c", "groups, line 2: it is not NAME: HOSTS"),
            ("a b: c", "line 1: \"a b\" cannot be a group's name"),
            ("a: @b!@c", "@b!@c: sets are not read here"),
            ("a: @racks:r1", "@racks:r1: neither groups of other sources"),
            ("a: n1:x", "n1:x: neither"),
            ("a: n1\na: n2", "line 2: a stands there twice"),
        ] {
            let error = hosts(&groups(file), "@a").unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn groups_within_groups_end() {
        let why = |file: &str, text: &str| hosts(&groups(file), text).unwrap_err();
        assert!(why("a: @a", "@a").contains("the group a is in itself, by @a, in groups"));
        let error = why("x: h @a\na: @b\nb: @c\nc: @a", "@x");
        assert!(error.contains("the group a is in itself, by @a, @b, @c, in groups"), "{error}");
        let chain = of(40, |n| format!("g{n}: @g{}", n + 1));
        assert!(why(&chain, "@g0").contains("more than 32 deep"));
        // Each of these doubles the one below: what is visited once does not grow.
        let doubled = of(31, |n| format!("g{n}: @g{0},@g{0}", n + 1)) + "\ng31: h";
        assert_eq!(hosts(&groups(&doubled), "@g0").unwrap(), "h");
    }

    #[test]
    fn files_are_looked_for_where_they_are_by_custom() {
        let all = |variables: &[(&str, &str)]| {
            let value = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            };
            let places = places(value);
            places.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        let system = "/etc/clustershell/groups /etc/clustershell/groups.d/local.cfg";
        assert_eq!(all(&[("CLUSTERSHELL_CFGDIR", "")]), system);
        assert_eq!(
            all(&[("CLUSTERSHELL_CFGDIR", "/c"), ("HOME", "/h")]),
            format!(
                "/c/groups /c/groups.d/local.cfg /h/.config/clustershell/groups \
                 /h/.config/clustershell/groups.d/local.cfg {system}"
            )
        );
        assert!(
            all(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")])
                .starts_with("/x/clustershell/groups ")
        );
    }

    #[test]
    fn a_file_that_is_named_is_there_and_no_longer_than_it_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("groups");
        let of = || Groups::new(Some(&file)).hosts("@a").map(|(hosts, _)| hosts);
        assert!(matches!(of(), Err(HostError::GroupFile(_))));
        std::fs::write(&file, "a: b").unwrap();
        assert_eq!(of(), Ok(vec!["b".to_owned()]));
        std::fs::write(&file, "#".repeat(MAX_FILE as usize + 1)).unwrap();
        assert!(of().unwrap_err().to_string().contains("longer than 4 MiB"));
        let none = Groups { files: vec![dir.path().join("no")], ..Groups::default() };
        let why = none.hosts("@a").unwrap_err();
        assert!(matches!(why, HostError::Group(..)), "{why}");
        assert!(why.to_string().contains("/no): --host-groups FILE names one"), "{why}");
    }
}
