//! `fuzz_bodies::tlvs_and_records` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_bodies::tlvs_and_records(input));
