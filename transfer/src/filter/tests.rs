//! Lists of rules.

use super::*;

fn no_file(file: &Path) -> io::Result<Vec<u8>> {
    panic!("{} is not to be read", file.display())
}

/// By `--filter`.
fn filter(rules: &[&str]) -> Filter {
    let mut filter = Filter::default();
    for rule in rules {
        filter.rule(rule.as_bytes(), false, &no_file).unwrap();
    }
    filter
}

/// Whether it is sent, and whether it may be deleted.
fn sides(filter: &Filter, path: &str) -> (bool, bool) {
    let path = path.as_bytes();
    (!filter.of_source(path, false).leaves_out(), !filter.of_target(path, false).leaves_out())
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = filter(&["+ *.c", "- *", "+ *.h"]);
    assert_eq!(rules.of_source(b"x.c", false), Verdict::Taken);
    assert_eq!(rules.of_source(b"x.h", false), Verdict::LeftOut { perishable: false });
    assert_eq!(Filter::default().of_source(b"x", false), Verdict::Nothing);
    let mut patterns = Filter::default();
    patterns.include(b"*/").unwrap();
    patterns.exclude(b"*").unwrap();
    assert!(!patterns.of_source(b"a", true).leaves_out());
    assert!(patterns.of_source(b"a", false).leaves_out());
}

#[test]
fn rules_count_at_the_ends_that_they_name() {
    for (rule, expected) in [
        ("- x", (false, false)),
        ("exclude x", (false, false)),
        ("-_x", (false, false)),
        ("-, x", (false, false)),
        ("H x", (false, true)),
        ("hide x", (false, true)),
        ("hide,p x", (false, true)),
        ("P x", (true, false)),
        ("protect x", (true, false)),
        ("-s x", (false, true)),
        ("-r x", (true, false)),
        ("-sr x", (false, false)),
        ("-,r x", (true, false)),
        ("S x", (true, true)),
        ("-! x", (true, true)),
        ("-! y", (false, false)),
    ] {
        assert_eq!(sides(&filter(&[rule]), "x"), expected, "{rule}");
    }
    assert_eq!(sides(&filter(&["S x", "R y", "- *"]), "x"), (true, false));
    assert_eq!(sides(&filter(&["S x", "R y", "- *"]), "y"), (false, true));
    let perishable = filter(&["-p x"]).of_target(b"x", false);
    assert_eq!(perishable, Verdict::LeftOut { perishable: true });
}

#[test]
fn patterns_have_the_old_prefixes_and_no_others() {
    let mut patterns = Filter::default();
    for pattern in ["gone", "!", "+ kept", "- left", "H x", "", " y"] {
        patterns.exclude(pattern.as_bytes()).unwrap();
    }
    let out = |path: &str| patterns.of_source(path.as_bytes(), false).leaves_out();
    assert_eq!(
        ["gone", "kept", "left", "x", "H x", "y", " y"].map(out),
        [false, false, true, false, true, false, true]
    );
}

#[test]
fn what_is_no_rule_is_told() {
    let tell = |rule: &str| {
        let error = Filter::default().rule(rule.as_bytes(), false, &no_file).unwrap_err();
        let FilterError::Rule { error, .. } = error else { panic!("{error}") };
        error
    };
    assert_eq!(tell("x"), RuleError::Unknown);
    assert_eq!(tell("excluded x"), RuleError::Unknown);
    assert_eq!(tell("-"), RuleError::Ends);
    assert_eq!(tell("- "), RuleError::Ends);
    assert_eq!(tell("-y x"), RuleError::Modifier('y'));
    assert_eq!(tell("Ps x"), RuleError::Modifier('s'));
    assert_eq!(tell("! x"), RuleError::Trailing);
    assert_eq!(tell(": .rsync-filter"), RuleError::PerFolder);
    assert_eq!(tell("dir-merge,- .cvsignore"), RuleError::PerFolder);
    assert!(matches!(tell("-/ x"), RuleError::Missing { modifier: '/', .. }));
    assert!(matches!(tell("-C"), RuleError::Missing { modifier: 'C', .. }));
    assert_eq!(tell(&format!("- {}", "x".repeat(4097))), RuleError::Long);
}

#[test]
fn files_hold_patterns_or_rules() {
    let read = |file: &Path| match file.to_str().unwrap() {
        "patterns" => Ok(b"# a comment\n; another\n\n x\ny\r\n+ z\n #no comment".to_vec()),
        "zeros" => Ok(b"a\nb\0#c\0d\0".to_vec()),
        "rules" => Ok(b"- a\n. more\nP d".to_vec()),
        "more" => Ok(b"+ b\nH c\n".to_vec()),
        "words" => Ok(b"-_a +_b\t#\n".to_vec()),
        "signs" => Ok(b"k/**\n!\n- x\n+ y\n#z\n".to_vec()),
        "merges zeros" => Ok(b". more zeros\0- a b\nc\0".to_vec()),
        "more zeros" => Ok(b"P d\ne\0".to_vec()),
        "words and zeros" => Ok(b"a\0b\nc d\x0be\0".to_vec()),
        "bad" => Ok(b"- a\n\nwhat\n".to_vec()),
        "itself" => Ok(b"merge itself\n".to_vec()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let out = |filter: &Filter, paths: &[&str]| {
        let of = |path: &&str| filter.of_source(path.as_bytes(), false).leaves_out();
        paths.iter().map(of).collect::<Vec<_>>()
    };
    let mut filter = Filter::default();
    filter.patterns_from(Path::new("patterns"), false, false, &read).unwrap();
    let paths = [" x", "x", "y", "z", " #no comment", "# a comment", "; another"];
    assert_eq!(out(&filter, &paths), [true, false, true, false, true, false, false]);

    let mut filter = Filter::default();
    filter.patterns_from(Path::new("zeros"), false, true, &read).unwrap();
    assert_eq!(out(&filter, &["a\nb", "#c", "d"]), [true, false, true]);

    let mut filter = Filter::default();
    filter.rule(b". rules", false, &read).unwrap();
    assert_eq!(out(&filter, &["a", "b", "c", "d"]), [true, false, true, false]);
    assert!(filter.of_target(b"d", false).leaves_out());

    let mut filter = Filter::default();
    filter.rule(b".- more", false, &read).unwrap();
    assert_eq!(out(&filter, &["H c", "c", "b"]), [true, false, false]);

    // By - and + all lines are patterns, also those that look like rules.
    for (rule, verdict) in [(&b".- signs"[..], true), (b".+ signs", false)] {
        let mut filter = Filter::default();
        filter.rule(rule, false, &read).unwrap();
        filter.exclude(b"*").unwrap();
        let paths = ["k/a", "!", "- x", "+ y"];
        assert_eq!(out(&filter, &paths), [verdict; 4]);
        assert_eq!(out(&filter, &["x", "y", "#z"]), [true; 3]);
        let last = filter.rules.last().unwrap();
        assert_eq!((filter.rules.len(), &*last.text), (5, &b"*"[..]));
    }

    // Zero bytes end the lines of all files, and as many words.
    let mut filter = Filter::default();
    filter.rule(b"merge merges zeros", true, &read).unwrap();
    assert_eq!(out(&filter, &["a b\nc", "a b", "c"]), [true, false, false]);
    assert!(filter.of_target(b"d\ne", false).leaves_out());
    let mut filter = Filter::default();
    filter.rule(b".-w words and zeros", true, &read).unwrap();
    assert_eq!(out(&filter, &["a", "b", "c", "d", "f"]), [true, true, true, true, false]);

    let mut filter = Filter::default();
    let error = filter.rule(b".w words", false, &read).unwrap_err();
    assert!(matches!(error, FilterError::Line { rule, .. } if rule == b"#"));
    assert_eq!(out(&filter, &["a", "b"]), [true, false]);

    let told = |rule: &[u8]| Filter::default().rule(rule, false, &read).unwrap_err();
    assert!(matches!(told(b"merge bad"), FilterError::Line { line: 3, .. }));
    assert!(matches!(told(b"merge itself"), FilterError::Deep { .. }));
    assert!(matches!(told(b"merge none"), FilterError::File { .. }));
}

#[test]
fn there_are_only_so_many() {
    let mut filter = Filter::default();
    let result = (0..=RULES_MAX).try_for_each(|n| filter.exclude(format!("{n}").as_bytes()));
    assert!(matches!(result, Err(FilterError::Many)));
}
