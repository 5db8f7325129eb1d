//! A few thousand mutations of the golden bundles and their plans through what the fuzz targets do: nothing panics, and
//! whatever is compiled keeps the rules.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::path::Path;
use std::{fs, iter};

use runtime_core::wire::{self, Op};
use runtime_core::{Invalid, spec};

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a library of its own for cargo-fuzz")]
mod fuzz;

/// Numbers that look random and are the same in each run (xorshift64, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

fn configs() -> Vec<Vec<u8>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let folders = fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path().join("config.json"));
    // A folder of an exec names another one.
    let mut files: Vec<_> = folders.filter(|file| file.exists()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Cuts, doubles, overwrites or swaps something.
fn mutate(bytes: &[u8], dice: &mut Dice, words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=dice.throw(3) {
        let at = dice.throw(bytes.len());
        let end = (at + dice.throw(24)).min(bytes.len());
        match dice.throw(5) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let copy = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, copy));
            }
            2 => drop(bytes.splice(at..end, words[dice.throw(words.len())].iter().copied())),
            3 if at < end => bytes[at] ^= 1 << dice.throw(8),
            _ => {
                let other = dice.throw(bytes.len());
                if !bytes.is_empty() {
                    bytes.swap(at.min(other), at.max(other));
                }
            }
        }
    }
    bytes
}

/// Overwrites a whole JSON string or number, so that the syntax mostly survives.
fn replace_token(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "\"\"",
        "\"/\"",
        "\"..\"",
        "\"/proc/x\"",
        "\"\\u0000\"",
        "\"ro\"",
        "\"rbind\"",
        "\"user\"",
        "\"pid\"",
        "\"tmpfs\"",
        "0",
        "-1",
        "4294967295",
        "18446744073709551615",
        "null",
        "true",
    ];
    let text = std::str::from_utf8(bytes).unwrap();
    let is_edge = |c: char| "[]{},:\n".contains(c);
    let tokens: Vec<_> = text.split_inclusive(is_edge).collect();
    let chosen = dice.throw(tokens.len());
    let with = WORDS[dice.throw(WORDS.len())];
    let parts = tokens.iter().enumerate().map(|(n, token)| {
        let edge = token.len() - token.trim_end_matches(is_edge).len();
        let is_value = n == chosen && token.trim_end_matches(is_edge).trim().len() > 1;
        if is_value { format!("{with}{}", &token[token.len() - edge..]) } else { (*token).to_owned() }
    });
    parts.collect::<String>().into_bytes()
}

#[test]
fn mutated_configs_never_panic() {
    let dice = &mut Dice(0x5eed);
    let configs = configs();
    let words: [&[u8]; 6] = [b"\"", b"{}", b"[]", b"null", b"\\u0000", b"/proc/../"];
    let plans: usize = configs.iter().map(|config| fuzz::config(config)).sum();
    assert!(plans > 30, "{plans} plans of unchanged bundles");
    let mut plans = 0;
    for _ in 0..25 {
        for config in &configs {
            plans += fuzz::config(&replace_token(config, dice));
            fuzz::config(&mutate(config, dice, &words));
        }
    }
    assert!(plans > 50, "only {plans} of the mutations were still bundles");
}

#[test]
fn mutated_profiles_never_panic() {
    let profiles = configs().into_iter().filter_map(|config| {
        let config: serde_json::Value = serde_json::from_slice(&config).ok()?;
        config.pointer("/linux/seccomp").map(|profile| serde_json::to_vec(profile).unwrap())
    });
    let profiles: Vec<_> = profiles.collect();
    assert!(profiles.iter().all(|profile| fuzz::seccomp(profile) > 0));
    let dice = &mut Dice(3);
    let words: [&[u8]; 5] = [b"SCMP_ACT_NOTIFY", b"SCMP_CMP_GT", b"4294967296", b"\"args\"", b"openat2"];
    let compiled: usize = (0..1000)
        .map(|n| {
            let profile = &profiles[n % profiles.len()];
            fuzz::seccomp(&mutate(profile, dice, &words)) + fuzz::seccomp(&replace_token(profile, dice))
        })
        .sum();
    assert!(compiled > 0);
}

#[test]
fn any_options_and_id_maps_never_panic() {
    let dice = &mut Dice(0x1d);
    // A tmpfs, and a bind in a user namespace; then `idmap` of own lines: how many, and lines of three numbers.
    let options: [&[u8]; 3] = [b"0ro\nnosuid\nmode=755", b"\x0eidmap\nrbind\nrro", b"0tmpcopyup\nsize=1k,nr_inodes=9"];
    let maps: [&[u8]; 2] = [&[0x11, 0x21, 0, 100, 9, 0, 90, 9, 0, 1, 5, 0, 1, 5], &[0x19, 0x22, 1, 1, 1, 7, 7, 7]];
    let words: [&[u8]; 6] = [b"\n", b"shared\n", b"\x80", b"\xff\xff\xff\xff\xff", b"\x85\n", &[0x12; 6]];
    let plans: usize = (0..1500)
        .map(|n| {
            fuzz::mount_options(&mutate(options[n % options.len()], dice, &words))
                + fuzz::id_maps(&mutate(maps[n % maps.len()], dice, &words))
        })
        .sum();
    assert!(plans > 1500, "{plans} plans");
    assert!(options.iter().all(|options| fuzz::mount_options(options) > 0));
    assert!(fuzz::id_maps(maps[0]) > 0);
}

#[test]
fn mutated_plans_never_panic() {
    let dice = &mut Dice(0xca11);
    let mut plan = Vec::new();
    wire::begin(&mut plan);
    let (spec, _) = spec::parse(&configs()[2]).unwrap();
    let hostname = spec.hostname().clone().unwrap_or_default();
    for name in iter::repeat_n(hostname.as_bytes(), 8) {
        wire::append(&mut plan, "/hostname", &Op::Init(wire::InitOp::SetHostname { name }));
        let list = [wire::Text(c"a"), wire::Text(c"bc")];
        let list = wire::List::new(&list);
        wire::append(&mut plan, "", &Op::Init(wire::InitOp::Execute { args: list, env: list, home: Some(1) }));
        let spaces = wire::Spaces(7);
        wire::append(&mut plan, "", &Op::Host(wire::HostOp::SpawnInit { spaces, into_cgroup: true }));
    }
    assert_eq!(fuzz::plan_decode(&plan), 24);
    let words: [&[u8]; 4] = [&[0xff; 4], &[0; 4], &[1, 0, 0, 0], b"pln\x01"];
    let decoded: usize = (0..5000).map(|_| fuzz::plan_decode(&mutate(&plan, dice, &words))).sum();
    assert!(decoded > 5000, "{decoded} steps");
}

#[test]
fn every_refusal_names_a_place_that_is_in_the_bundle_or_could_be() {
    let dice = &mut Dice(0xf00d);
    let mut refused: Vec<Invalid> = Vec::new();
    for config in configs() {
        for _ in 0..40 {
            refused.extend(spec::parse(&replace_token(&config, dice)).err());
        }
    }
    assert!(refused.len() > 50, "{} refusals", refused.len());
    for Invalid { origin, why, .. } in refused {
        assert!(origin.is_empty() || origin.starts_with('/'), "{origin}");
        assert!(!why.is_empty() && !why.contains('\n'), "{why:?}");
    }
}
