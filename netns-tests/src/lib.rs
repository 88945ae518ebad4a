//! What the tests between network namespaces need and that is worth running by hand: the link
//! emulator. The tests themselves stand in `tests/lab/main.rs`.

pub mod emulate;
