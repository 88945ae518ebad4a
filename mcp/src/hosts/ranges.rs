//! Ranges in names: `node[01-16,20]`, `[0-6/2]`.

use super::{HostError, MAX_HOSTS, RANGE};

/// Resolves every range of a pattern, the first changing slowest.
pub(super) fn expand(text: &str, pattern: &str) -> Result<Vec<String>, HostError> {
    let (mut parts, mut rest, mut count) = (Vec::new(), pattern, 1u64);
    while let Some((before, after)) = rest.split_once(RANGE) {
        let bad = |what: &str| HostError::Range(text.to_owned(), format!("[{what}"));
        let (inner, behind) = after.split_once(']').ok_or_else(|| bad(after))?;
        let spans = spans(inner).ok_or_else(|| bad(&format!("{inner}]")))?;
        if before.contains(']') {
            return Err(bad(before));
        }
        let many = spans.iter().fold(0u64, |sum, span| sum.saturating_add(span.count()));
        count = count.saturating_mul(many);
        parts.push((before, spans));
        rest = behind;
    }
    if rest.contains(']') {
        return Err(HostError::Range(text.to_owned(), rest.to_owned()));
    }
    // Before anything of it is made.
    if count > MAX_HOSTS {
        return Err(HostError::LargeRange(text.to_owned(), count));
    }
    let mut hosts = vec![String::new()];
    for (before, spans) in parts {
        let one = |host: &String| {
            let host = format!("{host}{before}");
            spans.iter().flat_map(Span::values).map(move |value| format!("{host}{value}"))
        };
        hosts = hosts.iter().flat_map(one).collect();
    }
    for host in &mut hosts {
        host.push_str(rest);
    }
    Ok(hosts)
}

/// What stands between two commas of a range: a number, or first-last with an optional /step.
struct Span {
    from: u64,
    to: u64,
    step: u64,
    /// A leading zero asks for numbers of that width.
    width: usize,
}

impl Span {
    fn count(&self) -> u64 {
        (self.to - self.from) / self.step + 1
    }

    fn values(&self) -> impl Iterator<Item = String> {
        let Self { from, step, width, .. } = *self;
        (0..self.count()).map(move |index| format!("{:0width$}", from + index * step))
    }
}

/// What stands between brackets; `None` if it is no range.
fn spans(inner: &str) -> Option<Vec<Span>> {
    let span = |part: &str| {
        let (ends, step) = match part.split_once('/') {
            Some((ends, step)) => (ends, number(step).filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (first, last) = ends.split_once('-').unwrap_or((ends, ends));
        let (from, to) = (number(first)?, number(last)?);
        let width = if first.starts_with('0') { first.len() } else { 1 };
        (from <= to).then_some(Span { from, to, step, width })
    };
    inner.split(',').map(span).collect()
}

fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}
