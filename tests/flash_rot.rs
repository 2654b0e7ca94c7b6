//! Images that have rotten, that belong to something else, or that somebody made up.

use super::{Bodies, ID, agree_on_image, contents, mount};
use lowlight_core::flash::{Found, HEADER, Image, ImageError, Pass, SectorHeader, Seen, parse};
use lowlight_core::{Digest, LogId};
use lowlight_embedded::sim::{Random, Sim};
use lowlight_embedded::{FlashError, FlashLog, Options, wait};
use std::collections::BTreeMap;

const S: usize = 1024;
const MAX: usize = 192;
type Small = Sim<4, S>;

/// A ring of four sectors that went around several times, with starts between, and all that was appended to it.
fn full() -> (Small, Bodies) {
    let mut random = Random(5);
    let mut log = mount::<4, S, MAX>(Sim::new(4, 0));
    let mut all = Bodies::new();
    for number in 0..90 {
        let batch: Vec<Vec<u8>> = (0..1 + random.below(3)).map(|_| vec![number; 1 + random.below(80)]).collect();
        let parts: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
        let index = wait(log.append(&parts)).unwrap();
        all.extend((index..).zip(batch));
        if number % 9 == 4 {
            if number % 2 == 0 {
                wait(log.stop()).unwrap();
            }
            log = mount(log.into_flash());
        }
    }
    (log.into_flash(), all)
}

/// The bytes each frame covers, without its padding, and the entries in it.
fn frames(image: &[u8]) -> Vec<(std::ops::Range<usize>, std::ops::Range<u64>)> {
    let mut found = Vec::new();
    for (position, sector) in image.chunks(S).enumerate() {
        let header = SectorHeader::parse(sector.first_chunk::<HEADER>().unwrap()).expect("all are there");
        let mut pass = Pass::new(&header);
        while (pass.place.offset as usize) < S {
            let at = pass.place.offset as usize;
            let seen = parse(&pass.place, 4, &sector[at..]);
            let first = pass.take(&seen, 4, 192);
            if let Seen::Frame(..) = seen {
                let length = 8 + usize::from(u16::from_le_bytes([sector[at], sector[at + 1]]) & 0xFFF);
                let entries = first.map_or(0..0, |first| first..pass.next);
                found.push((position * S + at..position * S + at + length, entries));
            }
        }
    }
    found
}

/// The first index of each sector that may have entries, and the seq of the sector.
fn sectors(image: &[u8]) -> BTreeMap<u32, u64> {
    let headers = image.chunks(S).map(|sector| SectorHeader::parse(sector.first_chunk().unwrap()).unwrap());
    headers.map(|header| (header.seq, header.first)).collect()
}

#[test]
fn every_bit_that_flips_costs_what_it_stood_in_and_nothing_else() {
    let (flash, all) = full();
    let (frames, sectors) = (frames(flash.image()), sectors(flash.image()));
    let mut whole = mount::<4, S, MAX>(flash.clone());
    let (before, status) = (contents(&mut whole).unwrap(), whole.status());
    assert!(before.len() > 40 && status.first > 0 && status.next == all.len() as u64, "{status:?}");
    let (oldest, second) = (*sectors.keys().next().unwrap(), *sectors.values().nth(1).unwrap());
    // Without optimisation a sample.
    for bit in (0..flash.image().len() * 8).step_by(if cfg!(debug_assertions) { 13 } else { 1 }) {
        let at = bit / 8;
        let mut flash = flash.clone();
        flash.flip(bit);
        let mut log = mount::<4, S, MAX>(flash);
        let there = contents(&mut log).unwrap_or_else(|error| panic!("bit {bit}: {error}"));
        let lost = if at % S < HEADER && oldest as usize % 4 == at / S {
            // The oldest sector has no neighbour that could say what it was.
            status.first..second
        } else {
            frames.iter().find(|(bytes, _)| bytes.contains(&at)).map_or(0..0, |(_, entries)| entries.clone())
        };
        let left: Bodies = before.iter().filter(|(index, _)| !lost.contains(index)).map(|(index, body)| (*index, body.clone())).collect();
        assert!(there == left, "bit {bit}: {:?} are there, lost should be {lost:?}", there.keys());
        agree_on_image(log.flash().image(), &there, log.status().next).unwrap_or_else(|why| panic!("bit {bit}: {why}"));
        // What is behind the last frame was never there, as far as anyone can tell; anything else is counted.
        let next = if lost.end == status.next { lost.start } else { status.next };
        let first = if lost.start == status.first && lost.end == second && at % S < HEADER { second } else { status.first };
        assert_eq!((log.status().first, log.status().next), (first, next), "bit {bit}");
        assert_eq!(log.status().head == whole.status().head, next == status.next && !log.status().is_torn, "bit {bit}");
        let index = wait(log.append(&[b"more"])).unwrap();
        assert_eq!((index, log.flash().violations), (next, 0), "bit {bit}");
        let mut log = mount::<4, S, MAX>(log.into_flash());
        let again = contents(&mut log).unwrap();
        assert!(again.iter().all(|(at, body)| *at == index || left.get(at) == Some(body)), "bit {bit}");
        assert_eq!(again.get(&index).map(Vec::as_slice), Some(&b"more"[..]), "bit {bit}");
    }
}

/// A header of a log like ours with nonsense in it.
fn header(random: &mut Random, seq: u32) -> SectorHeader {
    let mut wild = |end: u64| if random.below(2) == 0 { random.number() % end } else { random.number() % (1 << 56) };
    SectorHeader {
        log2_write: 2,
        log2_sector: 10,
        is_torn: false,
        seq,
        max: 192,
        sectors: 4,
        log_id: ID,
        run: u32::try_from(wild(9) & 0xFFFF_FFFF).unwrap(),
        first: wild(50),
        acked: wild(50),
        dropped: wild(50),
        anchor: Digest([7; 32]),
    }
}

#[test]
fn images_of_something_else_are_mounted_and_written_to() {
    let (flash, _) = full();
    let mut misplaced = 0;
    for seed in 0..3_000 {
        let mut random = Random(seed);
        let mut image = match seed % 3 {
            0 => (0..4 * S).map(|_| random.number().to_le_bytes()[0]).collect(),
            1 => flash.image().to_vec(),
            _ => vec![0xFF; 4 * S],
        };
        for position in 0..4 {
            let seq = [position, position + 4, u32::MAX - 7 + position, (1 << 31) - 4 + position, 0][random.below(5)];
            let sector = &mut image[position as usize * S..];
            if seed % 3 > 0 && random.below(3) > 0 {
                sector[..HEADER].copy_from_slice(&header(&mut random, seq).emit());
            }
        }
        for _ in 0..random.below(40) {
            let at = random.below(image.len());
            image[at] = random.number().to_le_bytes()[0];
        }
        let mut flash = Small::load(&image, seed);
        if wait(FlashLog::<_, MAX>::mount(&mut flash, 0..4 * S as u32, Options::default(), ID)).is_err() {
            // Nothing is in its place.
            let mut headers = image.chunks(S).map(|sector| SectorHeader::parse(sector.first_chunk().unwrap()));
            assert!((0..4).all(|position| headers.next().unwrap().is_none_or(|header| header.seq % 4 != position)), "seed {seed}");
            misplaced += 1;
            continue;
        }
        let mut log = mount::<4, S, MAX>(flash);
        contents(&mut log).unwrap();
        let _ = (log.status(), wait(log.prepare()), wait(log.stop()));
        if wait(log.append(&[b"new"])).is_ok() {
            let (next, flash) = (log.status().next, log.into_flash());
            let mut log = mount::<4, S, MAX>(flash);
            assert_eq!(log.status().next, next, "seed {seed}");
            let there = contents(&mut log).unwrap();
            assert!(there.get(&(next - 1)).is_some_and(|body| body == b"new"), "seed {seed}: {:?}, {there:?}", log.status());
        }
    }
    assert!((1..1_000).contains(&misplaced), "{misplaced}");
}

/// What mounting the image like this says; nothing is written in any case.
fn otherwise<const W: usize, const S: usize, const MAX: usize>(image: &[u8], region: std::ops::Range<usize>) -> Result<u64, FlashError> {
    let mut flash = Sim::<W, S>::load(image, 0);
    let region = u32::try_from(region.start).unwrap()..u32::try_from(region.end).unwrap();
    let next = wait(FlashLog::<_, MAX>::mount(&mut flash, region, Options::default(), ID)).map(|log| log.status().next);
    assert!(flash.image() == image);
    next
}

#[test]
fn a_log_that_was_mounted_otherwise_is_refused_and_stays_as_it_is() {
    let (flash, all) = full();
    let image = flash.image();
    let layout = Err(FlashError::Layout);
    assert_eq!(otherwise::<4, S, MAX>(image, 0..4 * S), Ok(all.len() as u64));
    assert_eq!(otherwise::<4, S, 256>(image, 0..4 * S), layout);
    assert_eq!(otherwise::<8, S, MAX>(image, 0..4 * S), layout);
    // Sectors of another size, as many of them.
    let blank = vec![0xFF; 12 * S];
    let chip = [image, &blank].concat();
    assert_eq!(otherwise::<4, { 4 * S }, MAX>(&chip, 0..16 * S), layout);
    assert_eq!(otherwise::<4, { S / 2 }, MAX>(image, 0..2 * S), layout);
    // Regions that are smaller, larger, moved.
    assert_eq!(otherwise::<4, S, MAX>(image, 0..2 * S), layout);
    assert_eq!(otherwise::<4, S, MAX>(image, S..4 * S), layout);
    let blank = vec![0xFF; 4 * S];
    let chip = [image, &blank].concat();
    assert_eq!(otherwise::<4, S, MAX>(&chip, 0..8 * S), layout);
    assert_eq!(otherwise::<4, S, MAX>(&chip, S..5 * S), layout);
    assert_eq!(otherwise::<4, S, MAX>(&chip, 4 * S..8 * S), Ok(0));
    // In the first lap nothing tells but the header.
    let mut log = mount::<4, S, MAX>(Small::new(4, 0));
    wait(log.append(&[b"one"])).unwrap();
    let chip = [log.flash().image(), &blank].concat();
    assert_eq!(otherwise::<4, S, MAX>(&chip, 0..8 * S), layout);
}

#[test]
fn an_image_of_a_part_of_a_log_says_so_and_is_read_when_it_is_filled_up() {
    let (flash, all) = full();
    let image = flash.image();
    for cut in [&image[..3 * S], &image[S..], &image[..3 * S + 500], &image[2 * S..3 * S]] {
        assert_eq!(Image::new(cut).unwrap_err(), ImageError::Cut(4), "{}", cut.len());
    }
    let filled = [&vec![0; S], &image[S..]].concat();
    let image = Image::new(&filled).unwrap();
    let read = entries(&image);
    assert!(read.len() > 20 && read.iter().all(|(index, body)| all[index] == *body), "{}", read.len());
}

#[test]
fn of_two_logs_in_an_image_the_one_that_is_not_read_is_named() {
    let (flash, _) = full();
    let mut log = wait(FlashLog::<_, 256>::mount(Small::new(2, 0), 0..2 * S as u32, Options::default(), LogId([8; 16]))).unwrap();
    wait(log.append(&[b"of another region"])).unwrap();
    for chip in [[flash.image(), log.flash().image()].concat(), [log.flash().image(), flash.image()].concat()] {
        let image = Image::new(&chip).unwrap();
        assert_eq!((image.log_id(), image.other()), (ID, Some(LogId([8; 16]))));
    }
    assert_eq!(Image::new(flash.image()).unwrap().other(), None);
}

#[test]
fn a_copy_of_a_frame_inside_an_entry_is_no_frame_when_the_entry_rots() {
    let mut log = mount::<4, S, MAX>(Small::new(2, 0));
    wait(log.append(&[b"before the start"])).unwrap();
    // The note of this start says that entry 1 is next.
    let mut log = mount::<4, S, MAX>(log.into_flash());
    for _ in 1..4 {
        wait(log.append(&[b"after it"])).unwrap();
    }
    let (note, _) = frames(log.flash().image().get(..S).unwrap())[1].clone();
    let copy = log.flash().image()[note].to_vec();
    wait(log.append(&[&copy])).unwrap();
    wait(log.append(&[b"the last"])).unwrap();
    let whole = frames(log.flash().image().get(..S).unwrap());
    let (outer, _) = whole.iter().find(|(_, entries)| entries.contains(&4)).unwrap().clone();
    for bit in 0..64 {
        let mut flash = log.flash().clone();
        flash.flip(outer.start * 8 + bit);
        let there = contents(&mut mount::<4, S, MAX>(flash)).unwrap();
        assert_eq!(there.into_keys().collect::<Vec<_>>(), [0, 1, 2, 3, 5], "bit {bit}");
    }
}

fn entries(image: &Image<'_>) -> Bodies {
    let entries = image.found().filter_map(|found| match found {
        Found::Entry { index, body } => Some((index, body.to_vec())),
        Found::Anchor { .. } => None,
    });
    entries.collect()
}

#[test]
fn a_log_is_found_wherever_it_is_in_an_image_of_the_whole_chip() {
    let (flash, _) = full();
    let wanted = contents(&mut mount::<4, S, MAX>(flash.clone())).unwrap();
    for before in 0..6 {
        for behind in 0..6 {
            let mut chip = vec![0xFF; before * S];
            // Something else is there too.
            chip.iter_mut().take(700).for_each(|byte| *byte = 0x5A);
            chip.extend_from_slice(flash.image());
            chip.extend(vec![0xFF; behind * S]);
            let image = Image::new(&chip).unwrap_or_else(|error| panic!("{before}, {behind}: {error}"));
            assert_eq!(entries(&image), wanted, "{before}, {behind}");
        }
    }
}

#[test]
fn what_somebody_has_recorded_is_no_sector() {
    // On the 32 bytes at which headers are looked for, whatever stands before.
    for pad in 0..32 {
        let mut log = mount::<4, S, MAX>(Small::new(4, 0));
        wait(log.append(&[b"one"])).unwrap();
        let foreign = SectorHeader { seq: 1 << 30, log_id: LogId([8; 16]), ..header(&mut Random(1), 0) };
        let own = SectorHeader { first: 0, ..header(&mut Random(1), 3) };
        for made_up in [foreign, own] {
            let body = [&vec![b'x'; pad][..], &made_up.emit()].concat();
            wait(log.append(&[&body, b"behind"])).unwrap();
        }
        let wanted = contents(&mut log).unwrap();
        let image = Image::new(log.flash().image()).unwrap_or_else(|error| panic!("{pad}: {error}"));
        assert_eq!((image.log_id(), image.other(), entries(&image)), (ID, None, wanted), "{pad}");
        // Nor when what it stands in has rotten.
        let image = log.flash().image().to_vec();
        for (frame, _) in frames(&image[..S]).into_iter().filter(|(frame, _)| frame.len() > HEADER) {
            let mut image = image.clone();
            image[frame.start + 9] ^= 1;
            let wanted = contents(&mut mount::<4, S, MAX>(Small::load(&image, 0))).unwrap();
            let image = Image::new(&image).unwrap_or_else(|error| panic!("{pad}, rotten: {error}"));
            assert_eq!((image.log_id(), entries(&image)), (ID, wanted), "{pad}, rotten");
        }
    }
}

#[test]
fn of_two_copies_of_a_log_in_an_image_the_first_is_read_and_that_is_said() {
    let (flash, _) = full();
    let wanted = entries(&Image::new(flash.image()).unwrap());
    let chip = [flash.image(), flash.image()].concat();
    let image = Image::new(&chip).unwrap();
    assert_eq!((image.other(), entries(&image)), (Some(ID), wanted));
}
