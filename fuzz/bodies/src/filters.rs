//! Rules that leave files out, and lists of files.

use crate::input::Input;
use std::io;
use std::path::Path;
use transfer::filter::{Extra, Filter, Told, Verdict};
use transfer::tree::scan::FilesFrom;

/// Reads bytes as a file of rules, of patterns or a list of files, and asks what they say of a path.
pub fn filters(input: &[u8]) {
    let mut input = Input::new(input);
    let (kind, from0) = (input.u8(), input.u8() % 2 == 1);
    let len = usize::from(input.u8());
    let (path, text) = (input.take(len), input.rest());
    if kind % 4 == 3 {
        let _ = FilesFrom::parse(text, from0, kind & 4 != 0);
        return;
    }
    let read = |file: &Path| match file.to_str() {
        Some("rules") => Ok(text.to_vec()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let mut filter = Filter::EMPTY;
    let added = match kind % 4 {
        0 => filter.rule(b"merge rules", from0, &read),
        1 => filter.rule(b".w rules", from0, &read),
        _ => filter.patterns_from(Path::new("rules"), kind & 4 != 0, from0, &read),
    };
    let Ok(()) = added else { return };
    let mut told = Told::default();
    let is_told = filter.told().try_for_each(|rule| told.push(rule)).is_ok();
    for folder in [false, true] {
        // What protects at a receiver is what the sender has told it, however that is cut short.
        let protects = filter.of_target(path, folder).leaves_out();
        match told.of(path, folder, false) {
            Extra::Undecided => {}
            said => assert!(!is_told || protects == (said == Extra::Protected)),
        }
        let verdicts = [filter.of_source(path, folder), filter.of_target(path, folder)];
        assert!(!filter.is_empty() || verdicts == [Verdict::Nothing; 2]);
        // A rule that matches everything, before all others, decides.
        let mut first = Filter::EMPTY;
        first.include(b"*").expect("a pattern");
        if first.patterns_from(Path::new("rules"), false, from0, &read).is_ok() {
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            let cleared = text.split(|b| matches!(b, b'\n' | b'\r' | 0)).any(|line| line == b"!");
            assert!(first.of_source(name, folder) == Verdict::Taken || cleared);
        }
    }
}
