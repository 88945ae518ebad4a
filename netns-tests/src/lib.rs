//! Tests only: see `tests/lab/main.rs`.
