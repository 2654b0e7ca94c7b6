//! The witness on flash: power cuts at every operation, and what it says of its logs afterwards.

use lowlight_core::flash::WITNESS_SLOTS;
use lowlight_core::link::Ask;
use lowlight_core::note::base64::Base64;
use lowlight_core::note::{Algorithm, Attestation, Checkpoint, Ed25519, Key, Note, Signer as _};
use lowlight_core::tree::{node, proof};
use lowlight_core::{Digest, LogId};
use lowlight_embedded::sim::{Failing, Operation, Random, Sim, TEARS, Tear};
use lowlight_embedded::{Provisioning, Witness, WitnessError, wait};
use std::fmt::Write as _;

const SEEDS: [u8; 64] = [5; 64];
const NONCE: [u8; 32] = [0xA5; 32];
/// How many logs there are: one more than there are slots.
const LOGS: usize = WITNESS_SLOTS + 1;

fn log_id(log: usize) -> LogId {
    LogId([u8::try_from(log).unwrap(); 16])
}

fn origin(log: usize) -> String {
    format!("lowlight/{}", log_id(log))
}

/// The leaf of a log at an index, and nodes over leaves; `fork` has other leaves from that index on.
fn at(log: usize, fork: u64, level: u8, index: u64) -> Digest {
    if level == 0 {
        let other = u8::from(index >= fork);
        return Digest([u8::try_from(index).unwrap() ^ other << 7; 32].map(|byte| byte ^ u8::try_from(log).unwrap() << 5));
    }
    node(&at(log, fork, level - 1, 2 * index), &at(log, fork, level - 1, 2 * index + 1))
}

fn root(log: usize, fork: u64, size: u64) -> Digest {
    let mut tree = lowlight_core::Frontier::default();
    for index in 0..size {
        tree.push(at(log, fork, 0, index), |_, _, _| {});
    }
    tree.root()
}

fn log_key() -> Ed25519 {
    Ed25519::from_seed(&[9; 32])
}

fn vkey() -> String {
    Key { name: "lowlight", algorithm: Algorithm::Ed25519, public: log_key().public() }.to_string()
}

/// A request to cosign the growth of a log.
fn request(log: usize, fork: u64, old: u64, new: u64, extension: &str) -> Vec<u8> {
    let mut text = format!("old {old}\n");
    if old > 0 {
        let proof = proof::consistency::<()>(old, new, &mut |level, index| Ok(at(log, fork, level, index))).unwrap().unwrap();
        proof.iter().for_each(|hash| writeln!(text, "{}", Base64(&hash.0)).unwrap());
    }
    let origin = origin(log);
    let note = format!("{}{extension}", Checkpoint { origin: &origin, size: new, root: root(log, fork, new) });
    write!(text, "\n{note}\n").unwrap();
    Key::parse(&vkey()).unwrap().sign(&mut log_key(), &note, 0, &mut text).unwrap().unwrap();
    text.into_bytes()
}

fn ask<const W: usize, const S: usize>(witness: &mut Witness<Sim<W, S>>, ask: Ask<'_>) -> (u16, String) {
    let reply = wait(witness.answer(&ask));
    let mut text = String::new();
    witness.write(&reply, &mut text).unwrap();
    (reply.status, text)
}

fn add<const W: usize, const S: usize>(witness: &mut Witness<Sim<W, S>>, log: usize, old: u64, new: u64) -> (u16, String) {
    ask(witness, Ask::Add { time: 1_800_000_000 + new, request: &request(log, u64::MAX, old, new, "") })
}

/// The keys that a witness of these seeds has.
fn keys() -> (Key<'static>, Key<'static>) {
    let public = Ed25519::from_seed(&[5; 32]).public();
    (Key { name: "board", algorithm: Algorithm::CosignatureV1, public }, Key { name: "board-state", algorithm: Algorithm::Ed25519, public })
}

/// The size that it attests of a log; the newest checkpoint must be that one, signed by both, and the nonce ours.
fn told<const W: usize, const S: usize>(witness: &mut Witness<Sim<W, S>>, log: usize) -> Result<u64, String> {
    let own = origin(log);
    let (status, text) = ask(witness, Ask::Attest { nonce: NONCE, origin: &own });
    if status != 200 {
        return Err(format!("attest: {status} {text}"));
    }
    let note = Note::parse(text.as_bytes()).unwrap();
    assert!(note.signature_of(&keys().1).unwrap().is_some(), "{text}");
    let said = Attestation::parse(note.text).unwrap();
    assert_eq!((said.origin, said.nonce, said.root), (&*own, NONCE, root(log, u64::MAX, said.size)));
    let (status, latest) = ask(witness, Ask::Latest { origin: &own });
    assert_eq!(status, 200);
    if said.size == 0 {
        assert_eq!(latest, "");
        return Ok(0);
    }
    let note = Note::parse(latest.as_bytes()).unwrap();
    let checkpoint = Checkpoint::parse(note.text).unwrap();
    assert_eq!((checkpoint.size, checkpoint.root), (said.size, said.root));
    for key in [Key::parse(&vkey()).unwrap(), keys().0] {
        assert!(note.signature_of(&key).unwrap().is_some(), "{latest}");
    }
    Ok(said.size)
}

type Flash<const S: usize> = Sim<4, S>;

fn mount<const W: usize, const S: usize>(flash: Sim<W, S>, halves: u32) -> Witness<Sim<W, S>> {
    let end = 2 * halves * u32::try_from(S).unwrap();
    wait(Witness::mount(flash, 0..end, Provisioning::default())).unwrap()
}

fn provision<const W: usize, const S: usize>(witness: &mut Witness<Sim<W, S>>) {
    wait(witness.provision(&Key::parse(&vkey()).unwrap(), "board", SEEDS)).unwrap();
}

/// What is known when an operation begins.
#[derive(Debug, Clone, Default)]
struct Known {
    is_provisioned: bool,
    /// Of each log what was signed, and what may be remembered.
    sizes: [(u64, u64); LOGS],
}

/// Blocks of a half, operations, seed, and a planted mistake: it signs before it persists.
struct Plan {
    halves: u32,
    steps: usize,
    seed: u64,
    is_early: bool,
}

type Case<const W: usize, const S: usize> = (Sim<W, S>, Operation, Known);

fn record<const W: usize, const S: usize>(plan: &Plan) -> Vec<Case<W, S>> {
    let mut random = Random(plan.seed);
    let mut flash = Sim::new(2 * plan.halves as usize, plan.seed);
    flash.journal = Some(Vec::new());
    let (mut cases, mut known) = (Vec::new(), Known::default());
    let mut witness = mount(flash, plan.halves);
    provision(&mut witness);
    let keep = |witness: Witness<Sim<W, S>>, known: &Known, cases: &mut Vec<Case<W, S>>| {
        let mut flash = witness.into_inner();
        let operations = flash.journal.replace(Vec::new()).unwrap();
        cases.extend(operations.into_iter().map(|(flash, operation)| (flash, operation, known.clone())));
        assert_eq!(flash.violations, 0);
        mount(flash, plan.halves)
    };
    witness = keep(witness, &known, &mut cases);
    known.is_provisioned = true;
    for step in 0..plan.steps {
        let log = random.below(LOGS);
        let (old, _) = known.sizes[log];
        let new = old + 1 + random.below(3) as u64;
        let is_there = known.sizes.iter().filter(|sizes| sizes.0 > 0).count();
        if old == 0 && is_there == WITNESS_SLOTS {
            assert_eq!(add(&mut witness, log, 0, new).0, 404, "there is no slot");
            let other = (log + 1) % LOGS;
            known.sizes[other].0 = 0;
            wait(witness.free(log_id(other))).unwrap();
            witness = keep(witness, &known, &mut cases);
            known.sizes[other].1 = 0;
            continue;
        }
        known.sizes[log].1 = new;
        if plan.is_early {
            known.sizes[log].0 = new;
        }
        let (status, text) = add(&mut witness, log, old, new);
        assert_eq!(status, 200, "{text}");
        if step % 5 > 1 {
            witness = keep(witness, &known, &mut cases);
            known.sizes[log].0 = new;
        } else {
            // Without a start in between.
            let mut flash = witness.into_inner();
            let operations = flash.journal.replace(Vec::new()).unwrap();
            cases.extend(operations.into_iter().map(|(flash, operation)| (flash, operation, known.clone())));
            known.sizes[log].0 = new;
            witness = mount(flash, plan.halves);
            let next = known.sizes[log].0 + 1;
            known.sizes[log].1 = next;
            assert_eq!(add(&mut witness, log, next - 1, next).0, 200);
            witness = keep(witness, &known, &mut cases);
            known.sizes[log].0 = next;
        }
    }
    cases
}

/// What all logs are at; `None` when it was never provisioned, which only an unfinished provisioning explains.
fn check<const W: usize, const S: usize>(witness: &mut Witness<Sim<W, S>>, known: &Known) -> Result<Option<[u64; LOGS]>, String> {
    let mut sizes = [0; LOGS];
    for (log, (least, most)) in known.sizes.iter().enumerate() {
        let size = match wait(witness.seen(log_id(log))) {
            Err(WitnessError::Blank) if !known.is_provisioned => return Ok(None),
            seen => seen.map_err(|error| error.to_string())?.size,
        };
        if size < *least || size > *most {
            return Err(format!("log {log} is at {size}, and {least} were signed of {most}"));
        }
        sizes[log] = size;
    }
    // Signatures take most of the time.
    if sizes.iter().sum::<u64>() % 8 == 0 {
        for (log, size) in sizes.iter().enumerate() {
            assert_eq!(told(witness, log), Ok(*size));
        }
    }
    Ok(Some(sizes))
}

fn cut<const W: usize, const S: usize>(
    (flash, operation, known): &Case<W, S>,
    halves: u32,
    (tear, seed): (Tear, u64),
    depth: u32,
    count: &mut u64,
) -> Result<(), String> {
    *count += 1;
    let mut flash = flash.clone();
    flash.cut(operation, tear, seed);
    flash.power_on();
    flash.journal = (depth > 0).then(Vec::new);
    let mut flash = mount(flash, halves).into_inner();
    let settling = flash.journal.as_mut().map(std::mem::take);
    let mut witness = mount(flash, halves);
    let Some(sizes) = check(&mut witness, known)? else {
        provision(&mut witness);
        return if witness.into_inner().violations > 0 { Err("programmed twice".to_owned()) } else { Ok(()) };
    };
    // What power was cut in may be there at a later start and not at this one; once it was told it stays.
    let mut after = Known { is_provisioned: true, sizes: std::array::from_fn(|log| (sizes[log], known.sizes[log].1)) };
    // What was told stays, before anything more is signed.
    let mut flash = witness.into_inner();
    let journal = flash.journal.take();
    flash.power_on();
    let mut witness = mount(flash, halves);
    let sizes = check(&mut witness, &after).map_err(|why| format!("at the next start: {why}"))?.ok_or("it is not provisioned any more")?;
    after.sizes.iter_mut().zip(sizes).for_each(|(known, size)| known.0 = size);
    let mut flash = witness.into_inner();
    flash.journal = journal;
    let mut witness = mount(flash, halves);
    let log = sizes.iter().position(|size| *size > 0).unwrap_or(0);
    let next = sizes[log] + 2;
    after.sizes[log].1 = next.max(after.sizes[log].1);
    let (status, text) = add(&mut witness, log, sizes[log], next);
    if status != 200 {
        return Err(format!("it does not go on: {status} {text}"));
    }
    let mut flash = witness.into_inner();
    let settling = settling.into_iter().flatten().map(|case| (case, known));
    let adding = flash.journal.take().into_iter().flatten().map(|case| (case, &after));
    for (number, ((flash, operation), known)) in settling.chain(adding).enumerate() {
        for again in [Tear::Front, Tear::Weak, Tear::Any, Tear::Ghost] {
            cut(&(flash.clone(), operation.clone(), known.clone()), halves, (again, seed ^ number as u64), depth - 1, count)
                .map_err(|why| format!("{why}, after a second cut ({again:?})"))?;
        }
    }
    after.sizes[log].0 = next;
    // What is weak reads as something else at each of these.
    for _ in 0..3 {
        flash.power_on();
        let mut witness = mount(flash, halves);
        let sizes = check(&mut witness, &after).map_err(|why| format!("at a later start: {why}"))?;
        let sizes = sizes.ok_or("it is not provisioned at a later start")?;
        after.sizes.iter_mut().zip(sizes).for_each(|(known, size)| known.0 = size);
        flash = witness.into_inner();
    }
    // What leaves no trace where the first record after a start goes is programmed again there; reading it back is what is left then.
    if flash.violations > 0 && tear != Tear::Ghost { Err("a word was programmed twice, or misaligned".to_owned()) } else { Ok(()) }
}

fn all_cuts<const W: usize, const S: usize>(plan: &Plan, seeds: u64, depth: u32) -> (u64, Option<String>) {
    let cases = record::<W, S>(plan);
    let mut count = 0;
    for (number, case) in cases.iter().enumerate() {
        for tear in TEARS.into_iter().filter(|tear| !(depth > 0 && *tear == Tear::Ghost)) {
            let seeds = if matches!(tear, Tear::Before | Tear::After) { 1 } else { seeds };
            for seed in 0..seeds {
                let seed = seed << 32 | number as u64;
                if let Err(why) = cut::<W, S>(case, plan.halves, (tear, seed), depth, &mut count) {
                    return (count, Some(format!("W {W}, S {S}, seed {}, operation {number} ({tear:?}, {seed}): {why}", plan.seed)));
                }
            }
        }
    }
    (count, None)
}

fn plan(halves: u32, steps: usize, seed: u64) -> Plan {
    Plan { halves, steps, seed, is_early: false }
}

#[test]
fn a_witness_never_forgets_what_it_signed_wherever_power_is_cut() {
    let (mut once, mut twice) = (0, 0);
    let (steps, seeds) = if super::IS_SAMPLE { (7, 1) } else { (24, 3) };
    for round in 0..super::rounds() {
        let runs = [
            all_cuts::<1, 1024>(&plan(3, steps, round), seeds, 0),
            all_cuts::<4, 4096>(&plan(1, steps, round + 100), seeds, 0),
            all_cuts::<16, 1024>(&plan(4, steps, round + 200), seeds, 0),
            all_cuts::<32, 4096>(&plan(1, steps, round + 300), seeds, 0),
        ];
        for (count, failure) in runs {
            assert_eq!(failure, None);
            once += count;
        }
        if !super::IS_SAMPLE {
            for (count, failure) in
                [all_cuts::<4, 1024>(&plan(3, 8, round + 400), 1, 1), all_cuts::<8, 4096>(&plan(1, 8, round + 500), 1, 1)]
            {
                assert_eq!(failure, None);
                twice += count;
            }
        }
    }
    println!("{once} runs of a witness with power cut once, {twice} with a cut more while it recovers");
    assert!(once > if super::IS_SAMPLE { 300 } else { 5_000 }, "too few");
}

#[test]
fn what_was_told_while_two_halves_might_be_the_state_stays() {
    // Power went in the last note of the half that had forgotten a log, which reads as whole at one start and not at another.
    for (number, case) in record::<8, 4096>(&plan(1, 8, 501)).iter().enumerate() {
        for seed in 0..16 {
            let seed = seed << 32 | number as u64;
            assert_eq!(cut(case, 1, (Tear::Weak, seed), 0, &mut 0), Ok(()), "operation {number}, {seed}");
        }
    }
}

#[test]
fn a_witness_that_signs_too_early_is_caught() {
    let (_, failure) = all_cuts::<4, 4096>(&Plan { is_early: true, ..plan(1, 6, 1) }, 1, 0);
    assert!(failure.is_some_and(|why| why.contains("were signed")));
}

fn fresh() -> Witness<Flash<4096>> {
    let mut witness = mount(Sim::new(2, 1), 1);
    provision(&mut witness);
    witness
}

#[test]
fn damage_that_power_loss_does_not_explain_ends_it_for_good() {
    let mut witness = fresh();
    for size in 1..4 {
        assert_eq!(add(&mut witness, 0, size - 1, size).0, 200);
    }
    let flash = witness.into_inner();
    let (mut lost, mut same) = (0, 0);
    // Both copies of the newest record, of the one before, of the note, of the header; then one of each.
    for (first, second) in [(512 + 3 * 320, 160), (512 + 2 * 320, 160), (512, 160), (0, 256)] {
        for both in [true, false] {
            let mut flash = flash.clone();
            flash.flip(8 * (first + 60));
            if both {
                flash.flip(8 * (first + second + 60));
            }
            let mut witness = mount(flash, 1);
            let found = told(&mut witness, 0);
            if both {
                assert!(found.as_ref().is_err_and(|why| why.contains("lost")), "{first}: {found:?}");
                assert_eq!(add(&mut witness, 0, 3, 4).0, 503);
                lost += 1;
                provision(&mut witness);
                assert_eq!(told(&mut witness, 0), Ok(0), "it is another witness now");
            } else {
                assert_eq!(found, Ok(3));
                same += 1;
            }
        }
    }
    assert_eq!((lost, same), (4, 4));
}

#[test]
fn a_request_that_is_not_growth_changes_nothing() {
    let mut witness = fresh();
    assert_eq!(add(&mut witness, 0, 0, 5).0, 200);
    let text = |witness: &mut Witness<_>, request: Vec<u8>| ask(witness, Ask::Add { time: 0, request: &request });
    assert_eq!(text(&mut witness, request(0, u64::MAX, 4, 9, "")), (409, "5\n".to_owned()));
    assert_eq!(text(&mut witness, request(0, 3, 5, 9, "")).0, 422, "it forks before what was signed");
    assert_eq!(text(&mut witness, request(0, 4, 5, 5, "")).0, 422, "another root of the same size");
    assert_eq!(text(&mut witness, request(0, u64::MAX, 5, 6, "more\n")).0, 400, "extension lines");
    let mut wrong = request(0, u64::MAX, 5, 6, "");
    let end = wrong.len() - 20;
    wrong[end] ^= 1;
    assert_eq!(text(&mut witness, wrong).0, 403);
    assert_eq!(text(&mut witness, b"old".to_vec()).0, 400);
    let other = String::from_utf8(request(0, u64::MAX, 5, 6, "")).unwrap().replace("lowlight/", "elsewhere/");
    assert_eq!(text(&mut witness, other.into_bytes()).0, 404);
    assert_eq!(told(&mut witness, 0), Ok(5));
    // The same again, and again: it costs no flash.
    let mut flash = witness.into_inner();
    flash.journal = Some(Vec::new());
    let mut witness = mount(flash, 1);
    let first = add(&mut witness, 0, 5, 5);
    assert_eq!((first.0, &first), (200, &add(&mut witness, 0, 5, 5)));
    assert!(witness.into_inner().journal.unwrap().is_empty());
}

#[test]
fn a_line_may_provision_only_what_is_blank_and_allows_it() {
    fn made(bytes: &mut [u8]) {
        bytes.fill(5);
    }
    let region = 0..8192;
    let key = vkey();
    let provision = Ask::Provision { seeds: None, name: "board", vkey: &key };
    let with =
        |over_the_line, random| wait(Witness::mount(Flash::<4096>::new(2, 1), region.clone(), Provisioning { over_the_line, random }));
    assert_eq!(ask(&mut with(false, Some(made as fn(&mut [u8]))).unwrap(), provision).0, 403);
    assert_eq!(ask(&mut with(true, None).unwrap(), provision).0, 501);
    let mut witness = with(true, Some(made)).unwrap();
    for wrong in ["", "a b"] {
        assert_eq!(ask(&mut witness, Ask::Provision { seeds: None, name: wrong, vkey: &key }).0, 400);
    }
    let cosigner = keys().0.to_string();
    assert_eq!(ask(&mut witness, Ask::Provision { seeds: None, name: "board", vkey: &cosigner }).0, 400, "not the key of a log");
    assert_eq!(ask(&mut witness, Ask::Info), (503, "it is not provisioned, or its state is lost\n".to_owned()));
    let (status, info) = ask(&mut witness, provision);
    let said = format!("{{\"version\":1,\"witness\":\"{}\",\"attest\":\"{}\",\"write_seq\":1}}\n", keys().0, keys().1);
    assert_eq!((status, info), (200, said));
    assert_eq!(ask(&mut witness, provision).0, 409);
    wait(witness.erase()).unwrap();
    assert_eq!((ask(&mut witness, Ask::Info).0, ask(&mut witness, provision).0), (503, 200));
    assert_eq!(add(&mut witness, 0, 0, 3).0, 200);
    let wrong = [(0..8190), (0..6144), (16..8208), (0..16384)];
    for region in wrong {
        let found = wait(Witness::mount(Flash::<1024>::new(8, 1), region.clone(), Provisioning::default()));
        assert!(matches!(found.err(), Some(WitnessError::Region)) || region == (0..6144), "{region:?}");
    }
}

#[test]
fn a_log_key_may_be_replaced_by_the_firmware_only() {
    let mut witness = fresh();
    assert_eq!(add(&mut witness, 0, 0, 3).0, 200);
    let public = Ed25519::from_seed(&[1; 32]).public();
    let other = Key { name: "lowlight", algorithm: Algorithm::Ed25519, public };
    assert_eq!(wait(witness.trust(&Key { name: "else", ..other })), Err(WitnessError::Name));
    wait(witness.trust(&other)).unwrap();
    assert_eq!(add(&mut witness, 0, 3, 4).0, 403, "signed by the old key");
    let mut witness = mount(witness.into_inner(), 1);
    assert_eq!(told(&mut witness, 0), Ok(3), "what the old key signed is still there");
    assert_eq!(add(&mut witness, 0, 3, 4).0, 403);
    assert_eq!(wait(witness.free(log_id(1))), Err(WitnessError::Unknown));
}

#[test]
fn flash_that_fails_costs_a_refusal_and_never_what_was_signed() {
    let mut refused = 0;
    for (after, count, tears) in (0..60).flat_map(|after| [(after, 1, false), (after, 3, true), (after, u64::MAX, true)]) {
        let mut flash = fresh().into_inner();
        flash.fails = Some(Failing { after, count, tears });
        let mut witness = mount(flash, 1);
        let mut signed = 0;
        for size in 1..30 {
            // A host asks where it is first.
            let (status, text) = add(&mut witness, 0, signed, size);
            match status {
                200 => signed = size,
                409 => signed = text.trim().parse().unwrap(),
                _ => refused += 1,
            }
            assert!([200, 409, 503].contains(&status), "{status}: {text}");
        }
        let mut flash = witness.into_inner();
        assert_eq!(flash.violations, 0, "{after}, {count}");
        flash.fails = None;
        let mut witness = mount(flash, 1);
        let now = told(&mut witness, 0).unwrap_or_else(|why| panic!("{after}, {count}, {tears}: {why}"));
        assert!(now >= signed, "{after}, {count}: {signed} were signed, and it is at {now}");
        assert_eq!(add(&mut witness, 0, now, now + 1).0, 200, "it works again");
    }
    assert!(refused > 100, "{refused}");
}
