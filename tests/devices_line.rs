//! A device in memory and the cable to it.

use lowlight_core::entry::{Clock, Inference, Severity};
use lowlight_core::frame::{HEAD, MAX_MESSAGE, seal, wire};
use lowlight_core::link::{DeviceStatus, Entries, Request};
use lowlight_core::{Digest, LogId, OverflowPolicy};
use lowlight_embedded::sim::{Random, Sim};
use lowlight_embedded::{Blocking, FlashLog, Link, Now, Options, Provisioning, Recorded, Recorder, Software, Witness, wait};
use lowlight_host::line::Port;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

const SECTOR: usize = 1024;
const MAX: usize = 256;
type Flash = Blocking<Sim<4, SECTOR>>;
type Log = FlashLog<Flash, MAX>;
type Rng = Box<dyn FnMut(&mut [u8]) + Send>;

pub struct Board {
    log: Option<Log>,
    recorder: Recorder<Rng, 8, 160>,
    link: Link<512>,
    /// With a buffer that holds what a witness is asked.
    witness: Option<(Witness<Flash>, Link<2048>)>,
    time: i64,
}

fn random(seed: u64) -> Rng {
    let mut random = Random(seed);
    Box::new(move |bytes| bytes.iter_mut().for_each(|byte| *byte = random.number().to_le_bytes()[0]))
}

fn mount(flash: Flash) -> Log {
    let end = u32::try_from(flash.0.image().len()).unwrap();
    wait(FlashLog::mount(flash, 0..end, Options::default(), LogId([0xD1; 16]))).unwrap()
}

fn start(log: &mut Log, time: i64) -> Recorder<Rng, 8, 160> {
    let software = Software { name: "vad 1.0", build: Some("test"), device: None, true_random: true };
    let mut recorder = Recorder::new(OverflowPolicy::DropNewest, random(u64::try_from(time).unwrap()));
    wait(recorder.start(log, software, now(time))).unwrap();
    recorder
}

fn now(time: i64) -> Now {
    Now { wall: time, monotonic: u64::try_from(time).unwrap(), clock: Clock::Rtc }
}

impl Board {
    pub fn new(sectors: usize) -> Self {
        let mut log = mount(Blocking(Sim::new(sectors, 1)));
        let recorder = start(&mut log, 1);
        Self { log: Some(log), recorder, link: Link::new(), witness: None, time: 1 }
    }

    /// It is a witness as well, on flash of its own; blank, and to be provisioned over the line.
    pub fn with_witness(mut self) -> Self {
        fn made(bytes: &mut [u8]) {
            bytes.fill(6);
        }
        let (flash, provisioning) = (Blocking(Sim::new(8, 2)), Provisioning { over_the_line: true, random: Some(made) });
        let witness = wait(Witness::mount(flash, 0..8 * SECTOR as u32, provisioning)).unwrap();
        self.witness = Some((witness, Link::new()));
        self
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().unwrap()
    }

    /// Power goes and comes back.
    pub fn restart(&mut self) {
        let flash = self.log.take().unwrap().into_flash();
        self.begin(flash);
    }

    pub fn restore(&mut self, image: &[u8]) {
        self.begin(Blocking(Sim::load(image, 1)));
    }

    fn begin(&mut self, flash: Flash) {
        self.time += 1_000;
        let mut log = mount(flash);
        self.recorder = start(&mut log, self.time);
        self.log = Some(log);
    }

    pub fn status(&self) -> DeviceStatus {
        self.log.as_ref().unwrap().status()
    }

    pub fn log_id(&self) -> LogId {
        self.status().log_id
    }

    pub fn image(&self) -> Vec<u8> {
        self.log.as_ref().unwrap().flash().0.image().to_vec()
    }

    /// The frame with that entry rots: which bit of the flash it is.
    pub fn rot(&mut self, index: u64) -> usize {
        let mut buffer = [0; MAX];
        let stored = wait(self.log().read(index, &mut buffer)).unwrap().unwrap();
        assert_eq!(stored.index, index);
        let image = self.image();
        let at = image.windows(stored.length).position(|part| part == &buffer[..stored.length]).unwrap();
        self.flip(at * 8 + 3);
        at * 8 + 3
    }

    /// A bit of the flash changes, and power goes and comes back.
    pub fn flip(&mut self, bit: usize) {
        let mut flash = self.log.take().unwrap().into_flash();
        flash.0.flip(bit);
        self.log = Some(mount(flash));
    }

    /// More comes than the queue holds: how many are lost.
    pub fn overflow(&mut self) -> u64 {
        let now = now(self.time);
        let mut lost = 0;
        for _ in 0..20 {
            let header = self.recorder.header(now, Severity::Info);
            lost += u64::from(matches!(self.recorder.record(header, &Inference::new("detect", "earshot", "ok"), &[]), Recorded::Lost(_)));
        }
        while wait(self.recorder.flush(self.log.as_mut().unwrap(), now)).unwrap() > 0 {}
        lost
    }

    /// The leaf before an entry, as the device knows it.
    pub fn leaf_before(&mut self, index: u64) -> Option<Digest> {
        wait(self.log().read(index, &mut [0; 512])).unwrap().and_then(|stored| stored.before).map(|before| before.leaf)
    }

    /// Past the recorder.
    pub fn append(&mut self, body: &[u8]) {
        wait(self.log().append(&[body])).unwrap();
    }

    pub fn entries(&mut self) -> Vec<(u64, Vec<u8>)> {
        let (mut all, mut index, mut buffer) = (Vec::new(), 0, [0; MAX]);
        while let Some(stored) = wait(self.log().read(index, &mut buffer)).unwrap() {
            all.push((stored.index, buffer[..stored.length].to_vec()));
            index = stored.index + 1;
        }
        all
    }

    pub fn cable(&mut self) -> Cable<'_> {
        Cable { board: Some(self), answers: VecDeque::new(), loss: None, left: usize::MAX, hostile: None }
    }

    /// What the device sends for a request.
    pub fn ask(&mut self, request: &Request) -> Vec<u8> {
        let (mut fields, mut buffer) = ([0; 9], [0; 64]);
        let (kind, payload) = request.emit(&mut fields);
        buffer[HEAD..HEAD + payload.len()].copy_from_slice(payload);
        let bytes: Vec<u8> = wire(seal(&mut buffer, kind, 1, payload.len()).unwrap()).collect();
        self.receive(&bytes)
    }
    pub fn receive(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut sent = Vec::new();
        for byte in bytes {
            let (mut out, log) = (Blocking(Out(&mut sent)), self.log.as_mut().unwrap());
            if let Some((witness, link)) = &mut self.witness {
                if link.push(*byte) && !wait(link.answer_witness(witness, &mut out)).unwrap() {
                    wait(link.answer(log, &mut out)).unwrap();
                }
            } else if self.link.push(*byte) {
                wait(self.link.answer(log, &mut out)).unwrap();
            }
        }
        sent
    }
    /// Random bytes and random messages.
    pub fn noise(&mut self, seed: u64) {
        let mut random = Random(seed);
        for _ in 0..200 {
            let mut buffer = [0; 64];
            buffer.iter_mut().for_each(|byte| *byte = random.number().to_le_bytes()[0]);
            let bytes: Vec<u8> = if random.below(2) == 0 {
                buffer.to_vec()
            } else {
                let kind = u8::try_from(random.below(6)).unwrap();
                wire(seal(&mut buffer, kind, 7, [0, 8, 9, 3][random.below(4)]).unwrap()).collect()
            };
            self.receive(&bytes);
        }
    }
}

struct Out<'a>(&'a mut Vec<u8>);

impl embedded_io::ErrorType for Out<'_> {
    type Error = std::convert::Infallible;
}

impl embedded_io::Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Records so many inferences and writes them.
pub fn record(board: &mut Board, count: usize) {
    for number in 0..count {
        board.time += 1_000_000;
        let now = now(board.time);
        let header = board.recorder.header(now, Severity::Info);
        let (slot, _) = board.recorder.commit(lowlight_core::FieldId::RESPONSE, b"voice");
        let duration_ns = Some(5_000 + u64::try_from(number).unwrap());
        let event = Inference { duration_ns, ..Inference::new("detect", "earshot", "ok") };
        assert_eq!(board.recorder.record(header, &event, &[slot]), Recorded::Queued);
        if number % 5 == 4 || number + 1 == count {
            while wait(board.recorder.flush(board.log.as_mut().unwrap(), now)).unwrap() > 0 {}
        }
    }
}

/// The host's end of the line.
pub struct Cable<'a> {
    board: Option<&'a mut Board>,
    answers: VecDeque<u8>,
    /// One byte in so many is lost or changed.
    loss: Option<(Random, usize)>,
    /// Bytes until it is closed.
    left: usize,
    hostile: Option<Random>,
}

impl<'a> Cable<'a> {
    pub fn lossy(self, seed: u64, one_in: usize) -> Self {
        Self { loss: Some((Random(seed), one_in)), ..self }
    }

    pub fn closed_after(self, bytes: usize) -> Self {
        Self { left: bytes, ..self }
    }

    /// A device that answers whatever it likes.
    pub fn hostile(seed: u64) -> Self {
        Self { board: None, answers: VecDeque::new(), loss: None, left: usize::MAX, hostile: Some(Random(seed)) }
    }

    fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some((random, one_in)) = &mut self.loss else { return bytes.to_vec() };
        let mut out = Vec::new();
        for byte in bytes {
            match random.below(*one_in * 3) {
                0 => {}
                1 => out.push(byte ^ 1 << random.below(8)),
                2 => out.extend([*byte, random.number().to_le_bytes()[0]]),
                _ => out.push(*byte),
            }
        }
        out
    }
}

/// An answer that fits the request, with whatever in it.
fn answer(random: &mut Random, kind: u8, request: u16) -> Vec<u8> {
    let mut buffer = [0; MAX_MESSAGE];
    let mut wild = || [0, 1, 5, 1000, 1 << 55, u64::MAX][random.below(6)];
    let length = if kind == 2 {
        let (asked, index, count) = (wild(), wild(), random.below(5));
        let prev = [None, Some(Digest([0; 32]).into()), Some(Digest([9; 32]).into())][random.below(3)];
        Entries::emit_head(asked, index, prev, &mut buffer[HEAD..]);
        let mut at = 49;
        for _ in 0..count {
            let size = [0, 1, 60, 300][random.below(4)];
            buffer[HEAD + at..HEAD + at + 2].copy_from_slice(&u16::try_from(size).unwrap().to_le_bytes());
            at += 2 + size;
        }
        at
    } else {
        let status = DeviceStatus {
            log_id: LogId([u8::try_from(random.below(3)).unwrap(); 16]),
            run: 3,
            first: [0, 5, 90][random.below(3)],
            next: [90, 1000, 1 << 55][random.below(3)],
            acked: 0,
            reclaimed: 1,
            dropped: 2,
            laps: 9,
            head: Digest([4; 32]),
            is_torn: random.below(2) == 0,
        };
        let bytes = status.emit();
        buffer[HEAD..HEAD + bytes.len()].copy_from_slice(&bytes);
        bytes.len()
    };
    let kind = if random.below(20) == 0 { 0xFF } else { kind | 0x80 };
    wire(seal(&mut buffer, kind, request, length).unwrap()).collect()
}

impl Port for Cable<'_> {
    fn receive(&mut self, bytes: &mut [u8], patience: Duration) -> io::Result<Option<usize>> {
        if self.left == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if self.answers.is_empty() {
            std::thread::sleep(patience);
            return Ok(None);
        }
        let count = bytes.len().min(self.answers.len()).min(self.left).min(100);
        bytes.iter_mut().zip(self.answers.drain(..count)).for_each(|(slot, byte)| *slot = byte);
        self.left = self.left.saturating_sub(count);
        Ok(Some(count))
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(mut random) = self.hostile.take() {
            // The request's kind and number, past the code byte of COBS.
            let mut receiver = lowlight_core::frame::Receiver::<64>::new();
            let whole = bytes.iter().any(|byte| receiver.push(*byte));
            if let Some(message) = receiver.message().filter(|_| whole) {
                let (kind, request) = (message.kind, message.request);
                for _ in 0..random.below(4) {
                    self.answers.extend(answer(&mut random, kind, request));
                }
                self.answers.extend((0..random.below(40)).map(|_| random.number().to_le_bytes()[0]));
            }
            self.hostile = Some(random);
            return Ok(());
        }
        let bytes = self.damage(bytes);
        let sent = self.board.as_mut().map(|board| board.receive(&bytes)).unwrap_or_default();
        let sent = self.damage(&sent);
        self.answers.extend(sent);
        Ok(())
    }
}
