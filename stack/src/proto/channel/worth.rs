//! Whether the group would be worth more without its slowest followers: a pure function of what each could take.

/// Whoever follows goes, if the others then gain more than this part of the present rate: one part pays for the
/// unicast, a quarter is what it must be worth.
pub(crate) const WORTH: f64 = 1.25;

/// How many of the slowest are to leave, for the rest to go faster by more than [`WORTH`]; `rates` in bytes a second,
/// the slowest first. The group makes `present`: if none of them is about as slow as that, it is not they who hold it.
/// What the line can carry, if that is known, is what the rest and those who leave share; if not, no more than half
/// leave, since as many unicasts may be more than it carries. As many stay as the group is to have at `least`.
pub(crate) fn leaving(rates: &[f64], present: f64, capacity: Option<f64>, least: usize) -> usize {
    let stay = if capacity.is_some() { 1 } else { rates.len().div_ceil(2) };
    let most = rates.len().saturating_sub(least.max(stay));
    let slowest = rates.first().copied().unwrap_or_default();
    if slowest > present * WORTH {
        return 0;
    }
    let (mut leave, mut present) = (0, present.max(slowest));
    let mut alone = 0.0;
    for k in 1..=most {
        alone += rates[k - 1];
        let rest = capacity.map_or(rates[k], |all| rates[k].min(all - alone));
        if rest > present * WORTH {
            (leave, present) = (k, rest);
        }
    }
    leave
}

#[cfg(test)]
mod tests {
    use super::leaving;
    use proptest::prelude::*;

    #[test]
    fn those_leave_without_whom_the_rest_gains() {
        for (rates, capacity, least, leave) in [
            (&[][..], None, 1, 0),
            (&[1.0], None, 1, 0),
            (&[10.0, 10.0, 10.0], None, 1, 0),
            (&[9.0, 10.0, 10.0], None, 1, 0),
            (&[10.0, 100.0], None, 1, 1),
            (&[10.0, 100.0], None, 2, 0),
            (&[10.0, 10.0, 100.0, 100.0], None, 1, 2),
            (&[10.0, 10.0, 100.0], None, 1, 0),
            (&[10.0, 10.0, 100.0], Some(200.0), 1, 2),
            (&[10.0, 50.0, 100.0, 100.0], None, 1, 2),
            (&[10.0, 50.0, 100.0, 100.0], None, 3, 1),
            // A line that all share.
            (&[10.0, 100.0, 100.0], Some(100.0), 1, 1),
            (&[10.0, 100.0, 100.0], Some(20.0), 1, 0),
            (&[10.0, 10.0, 10.0, 10.0, 100.0], Some(50.0), 1, 0),
        ] {
            let present = rates.first().copied().unwrap_or_default();
            let found = leaving(rates, present, capacity, least);
            assert_eq!(found, leave, "{rates:?} {capacity:?} {least}");
        }
        // Their windows are wider than what they are sent: something else holds the group.
        assert_eq!(leaving(&[20.0, 50.0, 50.0], 15.0, None, 1), 0);
        // One that is narrow for a moment, of which the group has made use all the same.
        assert_eq!(leaving(&[70.0, 73.0, 107.0], 90.0, None, 1), 0);
    }

    proptest! {
        #[test]
        fn equals_stay_and_the_rest_always_gains(
            mut rates in prop::collection::vec(1.0..1e3_f64, 1..20),
            least in 1_usize..4,
        ) {
            prop_assert_eq!(leaving(&vec![rates[0]; rates.len()], rates[0], None, least), 0);
            rates.sort_by(f64::total_cmp);
            let leave = leaving(&rates, rates[0], None, least);
            prop_assert!(leave == 0 || rates.len() - leave >= least);
            prop_assert!(leave == 0 || rates[leave] > rates[0] * super::WORTH);
        }
    }
}
