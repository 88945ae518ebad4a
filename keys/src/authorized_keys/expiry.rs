//! When a key ends: a day, or a time of RFC 3339.

use std::time::{Duration, SystemTime};

/// Reads `2027-01-31`, the beginning of that day in UTC, or `2027-01-31T18:00:00Z`, also with an
/// offset, `+01:00`.
pub(super) fn parse(text: &str) -> Result<SystemTime, String> {
    read(text).ok_or_else(|| {
        "not a day such as 2027-01-31, nor a time such as 2027-01-31T18:00:00Z".to_owned()
    })
}

fn read(text: &str) -> Option<SystemTime> {
    if !text.is_ascii() {
        return None;
    }
    // RFC 3339, section 5.6: T and Z may be small letters.
    let text = text.to_ascii_uppercase();
    let utc = |text: &str| humantime::parse_rfc3339(text).ok();
    if text.ends_with('Z') {
        return utc(&text);
    }
    if !text.contains('T') {
        return utc(&format!("{text}T00:00:00Z"));
    }
    let (time, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let time = utc(&format!("{time}Z"))?;
    let ahead = match offset.as_bytes()[0] {
        b'+' => true,
        b'-' => false,
        _ => return None,
    };
    let (hours, minutes) = offset[1..].split_once(':')?;
    let seconds = 60 * (60 * number(hours, 23)? + number(minutes, 59)?);
    let offset = Duration::from_secs(seconds);
    // Clocks that are ahead of UTC show a time before UTC does.
    if ahead { time.checked_sub(offset) } else { time.checked_add(offset) }
}

/// A number of two digits.
fn number(text: &str, most: u64) -> Option<u64> {
    let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number <= most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(text: &str) -> Option<u64> {
        read(text).map(|time| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn days_and_times_are_read() {
        // `date -u -d 2027-01-31 +%s`
        let day = 1_801_353_600;
        for (text, expected) in [
            ("2027-01-31", day),
            ("2027-01-31T00:00:00Z", day),
            ("2027-01-31t18:00:00z", day + 18 * 3600),
            ("2027-01-31T01:30:00+01:30", day),
            ("2027-01-30T20:00:00-04:00", day),
            ("2027-01-31T00:00:00.5-00:00", day),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_not() {
        for text in [
            "",
            "2027-13-01",
            "2027-02-29",
            "20270131",
            "2027-01-31T18:00:00",
            "2027-01-31 18:00:00Z",
            "2027-01-31T18:00:00+1:00",
            "2027-01-31T18:00:00+24:00",
            "2027-01-31T18:00:00*01:00",
            "T+01:00",
            "T",
            "2027-01-31é",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,30}", near in "[0-9T:+Z-]{0,30}") {
            let _ = (read(&text), read(&near));
        }
    }
}
