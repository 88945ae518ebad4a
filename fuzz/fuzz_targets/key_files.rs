//! `fuzz_bodies::key_files` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::key_files(input));
