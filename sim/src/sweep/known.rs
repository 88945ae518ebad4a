//! The list of what is known to fail, with the reason: `sim/known-failing.txt`.

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Name of a scenario; a `*` at its end stands for anything.
    pub scenario: String,
    /// Seeds; `None`: any.
    pub seeds: Option<Vec<u64>>,
    /// Why it fails, and when it will not any more.
    pub reason: String,
}

impl Known {
    /// Reads the list: a line each of scenario, seeds (`*`, or numbers with commas) and reason,
    /// between tabs; `#` begins a comment.
    pub fn parse(text: &str) -> Result<Vec<Self>, String> {
        let lines = text.lines().zip(1..);
        let entries = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
        entries.map(|(line, n)| Self::line(line).map_err(|e| format!("line {n}: {e}"))).collect()
    }

    fn line(line: &str) -> Result<Self, String> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [scenario, seeds, reason] = fields[..] else {
            return Err("it is not scenario, seeds and reason between tabs".to_owned());
        };
        let number = |seed: &str| seed.parse().map_err(|_| format!("{seed} is not a seed"));
        let seeds = match seeds {
            "*" => None,
            list => Some(list.split(',').map(number).collect::<Result<_, _>>()?),
        };
        Ok(Self { scenario: scenario.to_owned(), seeds, reason: reason.to_owned() })
    }

    /// Whether it is about this scenario.
    pub fn is_about(&self, name: &str) -> bool {
        match self.scenario.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => name == self.scenario,
        }
    }

    /// Whether it is about this run.
    pub fn covers(&self, name: &str, seed: u64) -> bool {
        self.is_about(name) && self.seeds.as_ref().is_none_or(|seeds| seeds.contains(&seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry;

    #[test]
    fn a_list_is_read_and_what_is_wrong_in_it_named() {
        let list = Known::parse("# why\n\na-*\t*\tall\nb\t3,17\ttwo\n").expect("it is sound");
        assert_eq!(list.len(), 2);
        assert!(list[0].covers("a-1", 5) && !list[0].covers("b", 5));
        assert!(list[1].covers("b", 17) && !list[1].covers("b", 4) && !list[1].covers("b-1", 3));
        for wrong in ["a\t*", "a\tone\twhy", "a\t1,\twhy", "a\t*\twhy\tmore"] {
            let why = Known::parse(wrong).expect_err(wrong);
            assert!(why.starts_with("line 1: "), "{why}");
        }
    }

    #[test]
    fn the_committed_list_is_about_scenarios_that_exist() {
        let list = Known::parse(include_str!("../../known-failing.txt")).expect("it is sound");
        let names: Vec<String> = registry::all().into_iter().map(|entry| entry.name).collect();
        for known in list {
            assert!(names.iter().any(|name| known.is_about(name)), "{}", known.scenario);
        }
    }
}
