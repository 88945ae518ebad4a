//! Trees from a source on disk through the sink into a map.

use super::*;
use crate::blocks;
use crate::message::ToReceiver;
use crate::send::board::Next;
use crate::source::{Grows, Source, SourceError};
use crate::tree::digest::TreeDigest;
use crate::tree::entry::{Entry, Kind, Meta, Time};
use crate::tree::files::Open;
use crate::tree::ground::Held;
use crate::tree::manifest::Owner;
use crate::tree::source::{Found, TreeSource};
use crate::tree::spool::Spool;
use proptest::prelude::*;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Mutex;

mod deleting;
mod digest;
mod folding;
mod hashing;
mod hostile;
mod moved;
mod prefix;
mod resumed;

/// A path, and the bytes so far.
type Slot = (Vec<u8>, Vec<u8>);

/// What a map holds instead of a file system.
#[derive(Default)]
struct Map {
    way: Vec<Vec<u8>>,
    there: BTreeMap<Vec<u8>, Thing>,
    /// Paths that are taken for the same.
    same: Vec<Vec<u8>>,
    /// Paths that cannot be made.
    refused: Vec<Vec<u8>>,
    finished: bool,
    /// Bytes and blocks that an earlier session has left.
    left: BTreeMap<Vec<u8>, (Vec<u8>, Held)>,
    /// Blocks that were noted.
    noted: BTreeMap<Vec<u8>, Held>,
    /// What stands under a former name, by the path of now.
    elsewhere: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What is read while it arrives, by its path, and how far that was said to be right, each time.
    watched: BTreeMap<Vec<u8>, (Vec<u8>, Vec<u64>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Thing {
    Dir,
    File(Vec<u8>),
    Symlink(Vec<u8>),
    Link(Vec<u8>),
}

impl Map {
    fn path(&self, entry: &Entry) -> Vec<u8> {
        self.way.iter().chain([&entry.name]).cloned().collect::<Vec<_>>().join(&b'/')
    }

    fn put(&mut self, path: Vec<u8>, thing: Thing) -> Result<Stands, Why> {
        if self.refused.contains(&path) {
            return Err("no".to_owned());
        }
        self.there.insert(path, thing);
        Ok(Stands::Other)
    }
}

fn below(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

impl Ground for Map {
    type Dir = Vec<u8>;
    type Slot = Slot;

    fn owner(&mut self, owner: &Owner) -> Result<(u32, u32), Why> {
        Ok((owner.uid, owner.gid))
    }

    fn write_dir(&self, dir: &Vec<u8>) -> Vec<u8> {
        dir.clone()
    }

    fn read_dir(&self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }

    fn path(&self, dir: &Vec<u8>, name: &[u8]) -> Vec<u8> {
        below(dir, name)
    }

    fn read(&mut self, slot: &mut Slot, bytes: &mut [u8], at: u64) -> Result<(), Why> {
        bytes.copy_from_slice(&slot.1[at as usize..at as usize + bytes.len()]);
        Ok(())
    }

    fn note(&mut self, slot: &mut Slot, index: u64, value: &Value) -> Result<(), Why> {
        self.noted.entry(slot.0.clone()).or_default().insert(index, *value);
        Ok(())
    }

    fn discard(&mut self, slot: Slot) {
        self.noted.remove(&slot.0);
    }

    fn unnamed(&self) -> io::Result<File> {
        tempfile::tempfile()
    }

    fn spool(&self) -> io::Result<Spool> {
        Spool::create(&std::env::temp_dir())
    }

    fn root(&mut self, _: &Meta) -> Result<(), Why> {
        if self.refused.contains(&Vec::new()) { Err("no".to_owned()) } else { Ok(()) }
    }

    fn enter(&mut self, _: u64, entry: &Entry) -> Result<Stands, Why> {
        let put = self.put(self.path(entry), Thing::Dir)?;
        self.way.push(entry.name.clone());
        Ok(put)
    }

    fn leave(&mut self) {
        self.way.pop();
    }

    fn here(&self) -> Vec<u8> {
        self.way.join(&b'/')
    }

    fn look(&mut self, entry: &Entry, _: Option<&Value>) -> Result<Stands, Why> {
        let same = self.same.contains(&self.path(entry));
        Ok(if same { Stands::Same } else { Stands::Other })
    }

    fn symlink(&mut self, entry: &Entry, target: &[u8]) -> Result<Stands, Why> {
        self.put(self.path(entry), Thing::Symlink(target.to_vec()))
    }

    fn link(&mut self, dir: &Vec<u8>, entry: &Entry, to: &[u8]) -> Result<Stands, Why> {
        assert!(matches!(self.there.get(to), Some(Thing::File(_))), "the first name comes first");
        self.put(below(dir, &entry.name), Thing::Link(to.to_vec()))
    }

    fn file(&mut self, dir: &Vec<u8>, entry: &Entry, bytes: &[u8]) -> Result<(), Why> {
        self.put(below(dir, &entry.name), Thing::File(bytes.to_vec())).map(drop)
    }

    fn begin(&mut self, dir: &Vec<u8>, entry: &Entry) -> Result<(Slot, Held), Why> {
        let Kind::File { len, .. } = entry.kind else { panic!() };
        let path = below(dir, &entry.name);
        if let Some((bytes, held)) = self.left.remove(&path) {
            return Ok(((path, bytes), held));
        }
        Ok(((path, vec![0; len as usize]), Held::new()))
    }

    fn is_elsewhere(&mut self, dir: &Vec<u8>, entry: &Entry) -> bool {
        self.elsewhere.contains_key(&below(dir, &entry.name))
    }

    fn fetch(&mut self, dir: &Vec<u8>, entry: &Entry) -> Option<Vec<u8>> {
        self.elsewhere.get(&below(dir, &entry.name)).cloned()
    }

    fn has_elsewhere(&self, slot: &Slot) -> bool {
        self.elsewhere.contains_key(&slot.0)
    }

    fn bring(&mut self, slot: &mut Slot, range: Range<u64>) -> Result<(), Why> {
        let range = range.start as usize..range.end as usize;
        let bytes = self.elsewhere[&slot.0].get(range.clone()).ok_or("it is shorter")?;
        slot.1[range].copy_from_slice(bytes);
        Ok(())
    }

    fn write(&mut self, slot: &mut Slot, bytes: &[u8], at: u64) -> Result<(), Why> {
        slot.1[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn is_watched(&self, slot: &Slot) -> bool {
        self.watched.contains_key(&slot.0)
    }

    fn verified(&mut self, (path, there): &mut Slot, bytes: u64) {
        let (sent, told) = self.watched.get_mut(path).unwrap();
        assert!(there[..bytes as usize] == sent[..bytes as usize], "{bytes} bytes are not right");
        told.push(bytes);
    }

    fn keep(&mut self, (path, bytes): Slot) -> Result<(), Why> {
        self.put(path, Thing::File(bytes)).map(drop)
    }

    fn finish(&mut self) -> Result<Vec<Unfinished>, Why> {
        self.finished = true;
        Ok(Vec::new())
    }

    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }
}

struct Below(PathBuf);

impl Open for Below {
    fn open(&self, path: &[u8]) -> io::Result<File> {
        File::open(self.0.join(std::ffi::OsStr::from_bytes(path)))
    }
}

/// How far a source has grown.
#[derive(Default)]
struct Grown(Mutex<u64>);

impl Grows for Grown {
    fn grow(&self, to: u64) -> Result<(), SourceError> {
        let mut grown = self.0.lock().unwrap();
        assert!(*grown <= to);
        *grown = to;
        Ok(())
    }

    fn end(&self, at: u64) -> Result<(), SourceError> {
        self.grow(at)
    }

    fn is_over(&self) -> bool {
        false
    }
}

/// What a walk over a folder says.
fn walk(dir: &std::path::Path, out: &mut Vec<Found>) {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    for path in names {
        let meta = fs::symlink_metadata(&path).unwrap();
        let name = path.file_name().unwrap().as_bytes().to_vec();
        let mtime = Time { secs: meta.mtime(), nanos: u32::try_from(meta.mtime_nsec()).unwrap() };
        let told = Meta { mode: 0o644, mtime, ..Meta::default() };
        let entry = |kind| Found::Entry(Entry { name: name.clone(), meta: told, kind });
        if meta.is_dir() {
            out.push(entry(Kind::Dir));
            walk(&path, out);
            out.push(Found::Leave);
        } else if meta.is_symlink() {
            let target = fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec();
            out.push(entry(Kind::Symlink { target }));
        } else {
            out.push(entry(Kind::File { len: meta.len(), data: None }));
        }
    }
}

/// A source whose list is written.
struct Listed {
    source: TreeSource,
    grown: Grown,
    dir: PathBuf,
}

fn listed(dir: &std::path::Path, found: Vec<Found>) -> Listed {
    let aside = tempfile::tempdir().unwrap();
    let files = Box::new(Below(dir.to_owned()));
    let source = TreeSource::new(files, Box::new(found.into_iter()), aside.path()).unwrap();
    let grown = Grown::default();
    source.list(&grown).unwrap();
    Listed { source, grown, dir: dir.to_owned() }
}

/// Tells a sink what the source says of its blocks, from a place on.
fn tell<G: Ground>(
    listed: &Listed,
    sink: &mut TreeSink<G>,
    place: &mut u64,
) -> Result<(), SinkError> {
    listed.source.board().flush();
    while let Next::Say(word, next) = listed.source.board().next(*place) {
        *place = next;
        match word {
            ToReceiver::Part { block, len, digest } => sink.part(block, len, digest)?,
            ToReceiver::Values(values) => {
                for (block, value) in values {
                    sink.value(block, value)?;
                }
            }
            ToReceiver::End { entries, blocks } => sink.end(entries, blocks)?,
            ToReceiver::Rules(rules) => sink.rules(rules)?,
            ToReceiver::Extras { rules } => sink.extras(Ok(rules))?,
            ToReceiver::Spare(why) => sink.extras(Err(why))?,
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

/// Carries what a sink lacks to it, pieces in an order that `shuffle` gives, until it is complete.
fn carry<G: Ground>(
    listed: &Listed,
    sink: &mut TreeSink<G>,
    mut shuffle: impl FnMut(&mut Vec<(u64, usize)>),
) -> Result<(), SinkError> {
    let (mut place, mut declared, mut lacking) = (0, 0, Vec::<Range<u64>>::new());
    let mut turns = 0;
    while !sink.is_complete() {
        turns += 1;
        assert!(turns < 1000, "nothing is lacking, and it is not complete");
        tell(listed, sink, &mut place)?;
        while sink.work()? {}
        for block in sink.asks().into_iter().flatten() {
            listed.source.post_value(block).unwrap();
        }
        let said = sink.declared();
        for range in said.have.iter().chain(&said.lack) {
            declared += range.end - range.start;
        }
        lacking.extend(said.lack);
        let mut pieces = Vec::new();
        for range in lacking.drain(..) {
            let mut at = range.start;
            while at < range.end {
                let len = (range.end - at).min(100_000);
                pieces.push((at, len as usize));
                at += len;
            }
        }
        shuffle(&mut pieces);
        for (at, len) in pieces {
            let mut bytes = Vec::new();
            for block in at / BLOCK..(at + len as u64).div_ceil(BLOCK) {
                let read = listed.source.read(block).unwrap();
                let from = at.saturating_sub(block * BLOCK) as usize;
                let to = ((at + len as u64 - block * BLOCK) as usize).min(BLOCK as usize);
                bytes.extend_from_slice(&read[from..to]);
            }
            sink.put(at, &bytes)?;
        }
    }
    let end = sink.declared();
    declared += end.have.iter().map(|range| range.end - range.start).sum::<u64>();
    assert!(declared >= *listed.grown.0.lock().unwrap(), "everything is declared");
    Ok(())
}

/// Brings pieces out of order.
fn shuffled(seed: u64) -> impl FnMut(&mut Vec<(u64, usize)>) {
    let mut state = seed;
    move |pieces| {
        for at in (1..pieces.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            pieces.swap(at, (state >> 33) as usize % (at + 1));
        }
    }
}

/// The list alone, and nothing of the files that it names.
fn part_alone(listed: &Listed, sink: &mut TreeSink<Map>) {
    tell(listed, sink, &mut 0).unwrap();
    sink.put(0, &listed.source.read(0).unwrap()).unwrap();
}

fn new_sink(map: Map) -> TreeSink<Map> {
    TreeSink::new(map, false)
}

fn check(listed: &Listed, map: &Map, but: &[&[u8]]) {
    let mut found = Vec::new();
    walk(&listed.dir, &mut found);
    let (mut way, mut count) = (Vec::<Vec<u8>>::new(), 0);
    for found in found {
        let Found::Entry(entry) = found else {
            way.pop();
            continue;
        };
        way.push(entry.name);
        let path = way.join(&b'/');
        let at = listed.dir.join(std::ffi::OsStr::from_bytes(&path));
        let thing = match entry.kind {
            Kind::Dir => Thing::Dir,
            Kind::Symlink { target } => Thing::Symlink(target),
            _ => Thing::File(fs::read(at).unwrap()),
        };
        if !but.contains(&&path[..]) {
            assert!(map.there.get(&path) == Some(&thing), "{}", String::from_utf8_lossy(&path));
            count += 1;
        }
        if thing != Thing::Dir {
            way.pop();
        }
    }
    assert_eq!(map.there.len(), count);
}

fn tree(dir: &std::path::Path, lens: &[u64]) {
    fs::create_dir_all(dir.join("a/b")).unwrap();
    fs::create_dir(dir.join("empty")).unwrap();
    for (n, len) in lens.iter().enumerate() {
        let bytes: Vec<u8> =
            (0..*len).map(|at| (at.wrapping_mul(n as u64 + 7) >> 3) as u8).collect();
        let folder = ["", "a", "a/b"][n % 3];
        fs::write(dir.join(folder).join(format!("f{n}")), bytes).unwrap();
    }
    std::os::unix::fs::symlink("../f0", dir.join("a/link")).unwrap();
}

#[test]
fn a_tree_comes_whole_and_what_is_there_is_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), &[0, 1, 5000, 262_144, 262_145, BLOCK, BLOCK + 1, 3 * BLOCK + 77, 12]);
    let mut found = Vec::new();
    walk(dir.path(), &mut found);
    let listed = listed(dir.path(), found);
    let mut sink = new_sink(Map::default());
    carry(&listed, &mut sink, |_| {}).unwrap();
    let report = sink.finish().unwrap();
    assert_eq!((report.arrived, report.unchanged, report.failed), (13, 0, 0));
    assert!(sink.ground.finished && sink.failures().is_empty());
    check(&listed, &sink.ground, &[]);

    let same = ["f3", "a/b/f5", "a/f1"].map(|path| path.as_bytes().to_vec()).to_vec();
    let mut sink = new_sink(Map { same: same.clone(), ..Map::default() });
    carry(&listed, &mut sink, |pieces| pieces.reverse()).unwrap();
    let report = sink.finish().unwrap();
    assert_eq!((report.arrived, report.unchanged, report.failed), (10, 3, 0));
    check(&listed, &sink.ground, &same.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

#[test]
fn what_changed_at_the_source_and_what_is_refused_here_fails_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), &[10, 2 * BLOCK, 20, 30, 3 * BLOCK]);
    let mut found = Vec::new();
    walk(dir.path(), &mut found);
    let listed = listed(dir.path(), found);
    fs::write(dir.path().join("f0"), [7; 11]).unwrap();
    fs::write(dir.path().join("a/f1"), [7; 11]).unwrap();
    let refused = vec![b"a/b/f2".to_vec(), b"empty".to_vec()];
    let mut sink = new_sink(Map { refused, ..Map::default() });
    carry(&listed, &mut sink, |_| {}).unwrap();
    assert_eq!(sink.finish().unwrap().failed, 4);
    let failed: Vec<u64> = sink.failures().into_iter().map(|(number, _)| number).collect();
    let names = listed.source.names(&failed.iter().copied().collect()).unwrap();
    let mut paths: Vec<_> =
        names.values().map(|name| (&name.path[..], name.unread.is_some())).collect();
    paths.sort();
    let expected =
        [(&b"a/b/f2"[..], false), (&b"a/f1"[..], true), (&b"empty"[..], false), (&b"f0"[..], true)];
    assert_eq!(paths, expected);
    check(&listed, &sink.ground, &[b"a/b/f2", b"empty", b"f0", b"a/f1"]);
}

/// What a slash stands behind is no entry that could fail.
#[test]
fn what_cannot_be_set_of_the_folder_behind_a_slash_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "bytes").unwrap();
    let mut found = vec![Found::Root(Meta::default()), Found::Root(Meta::default())];
    walk(dir.path(), &mut found);
    let listed = listed(dir.path(), found);
    for refused in [false, true] {
        let refused_paths = if refused { vec![Vec::new()] } else { Vec::new() };
        let mut sink = new_sink(Map { refused: refused_paths, ..Map::default() });
        carry(&listed, &mut sink, |_| {}).unwrap();
        assert_eq!(sink.finish().unwrap().failed, 0);
        let notes = [sink.notes(), sink.notes()];
        let told = ["what is told of its folder cannot be set: no"];
        assert_eq!(notes[0], told[..usize::from(refused)]);
        assert_eq!(notes[1], [""; 0]);
    }
}

#[test]
fn holes_are_not_sent_and_the_digest_is_that_of_the_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let len = 5 * BLOCK + 100;
    let mut content = vec![0; len as usize];
    content[4096..8192].fill(1);
    content[(3 * BLOCK - 10) as usize..(3 * BLOCK + 10) as usize].fill(2);
    fs::write(dir.path().join("sparse"), &content).unwrap();
    let mut found = Vec::new();
    walk(dir.path(), &mut found);
    let runs = vec![4096..8192, 3 * BLOCK - 10..3 * BLOCK + 10];
    if let Found::Entry(entry) = &mut found[0] {
        entry.kind = Kind::File { len, data: Some(runs.clone()) };
    }
    let listed = listed(dir.path(), found);
    let mut sink = new_sink(Map::default());
    let mut sent = 0;
    carry(&listed, &mut sink, |pieces| {
        sent += pieces.iter().filter(|(at, _)| *at >= BLOCK).map(|(_, len)| len).sum::<usize>();
    })
    .unwrap();
    assert_eq!((sent, sink.finish().unwrap().arrived), (4096 + 20, 1));
    assert!(sink.ground.there[&b"sparse"[..]] == Thing::File(content.clone()));
    assert_eq!(listed.source.digest(0), Some(blake3::hash(&content)));
    let empty = blocks::zeros(1, len);
    assert_eq!(empty, blocks::value(1, &content[BLOCK as usize..2 * BLOCK as usize], len));
}

/// As files of proc(5): what they hold shows only when they are read.
#[test]
fn a_file_that_denies_its_bytes_is_not_sent_as_empty() {
    let entry = |name: &str| {
        let (meta, kind) = (Meta::default(), Kind::File { len: 0, data: None });
        Found::Entry(Entry { name: name.as_bytes().to_vec(), meta, kind })
    };
    let dir = |name: &str| {
        let meta = Meta::default();
        Found::Entry(Entry { name: name.as_bytes().to_vec(), meta, kind: Kind::Dir })
    };
    let found = vec![dir("self"), entry("comm"), Found::Leave, entry("version"), entry("gone")];
    let listed = listed(std::path::Path::new("/proc"), found);
    let failed = listed.source.unlisted();
    let names: Vec<_> = failed.iter().map(|(path, _)| String::from_utf8_lossy(path)).collect();
    assert_eq!(names, ["self/comm", "version", "gone"]);
    assert!(
        failed[1].1.contains("holds more") && failed[2].1.contains("No such file"),
        "{failed:?}"
    );
    assert_eq!(listed.source.progress().entries, 1);
}

/// Parts are told one by one, as a slow list comes, and have no data.
#[test]
fn parts_without_data_follow_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let entry = |n: u32| {
        let (meta, kind) = (Meta::default(), Kind::Symlink { target: b"x".to_vec() });
        Found::Entry(Entry { name: format!("{n:05}").into_bytes(), meta, kind })
    };
    let listed = listed(dir.path(), (0..20_000).map(entry).collect());
    let mut sink = new_sink(Map::default());
    let mut place = 0;
    while !sink.is_complete() {
        let Next::Say(word, next) = listed.source.board().next(place) else { panic!() };
        place = next;
        match word {
            ToReceiver::Part { block, len, digest } => sink.part(block, len, digest).unwrap(),
            ToReceiver::End { entries, blocks } => sink.end(entries, blocks).unwrap(),
            other => panic!("{other:?}"),
        }
        for range in sink.declared().lack {
            let block = listed.source.read(range.start / BLOCK).unwrap();
            sink.put(range.start, &block[..(range.end - range.start) as usize]).unwrap();
        }
    }
    assert_eq!(sink.finish().unwrap().arrived, 20_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn in_any_order(
        lens in prop::collection::vec(prop_oneof![0..4000_u64, 200_000..300_000_u64, BLOCK..3 * BLOCK], 1..20),
        seed: u64,
    ) {
        let dir = tempfile::tempdir().unwrap();
        tree(dir.path(), &lens);
        let mut found = Vec::new();
        walk(dir.path(), &mut found);
        let listed = listed(dir.path(), found);
        let mut sink = new_sink(Map::default());
        carry(&listed, &mut sink, shuffled(seed)).unwrap();
        prop_assert_eq!(sink.finish().unwrap().failed, 0);
        check(&listed, &sink.ground, &[]);
    }
}
