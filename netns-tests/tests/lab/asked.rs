//! Sizes that a variable makes larger than they are in CI.

/// What a variable says, or what is taken without it.
pub(crate) fn asked<T: std::str::FromStr>(variable: &str, default: T) -> T {
    let Ok(text) = std::env::var(variable) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{variable}={text}: what is that?"))
}
