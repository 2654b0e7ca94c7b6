//! The device's end of the link: answers what a host asks about the log (`docs/format.md`, section 17).
//!
//! Limits: requests and answers of at most `N` bytes; longer ones are dropped.
//!
//! ```text
//! bytes -> Link::push -> request complete -> Link::answer -> bytes       Link::poll: both, for a main loop
//! ```
//!
//! 1. Nothing is kept between two requests; what is asked again is answered again.
//! 2. Noise is dropped, and never answered; the log is changed by nothing but an acknowledgement.

use super::{FlashSink, Write, bisync, only_blocking};
#[cfg(feature = "witness")]
use super::{NorFlash, Witness};
use crate::Stored;
use lowlight_core::frame::{HEAD, MAX_MESSAGE, OVERHEAD, Receiver, seal, wire};
#[cfg(feature = "witness")]
use lowlight_core::link::Ask;
use lowlight_core::link::{ANSWER, Before, ENTRIES_HEAD, ENTRY_OVERHEAD, Entries, REFUSED, Request, STATUS_LENGTH};

/// Bytes that are handed to the port at once.
const CHUNK: usize = 64;

/// One end of the link, with a buffer of `N` bytes: at least 160, and the longest body plus [`ENTRY_OVERHEAD`]: an entry for which
/// there is no room is refused to the host.
///
/// A main loop calls [`poll`](crate::blocking::Link::poll). In a task of its own: read from the port, [`push`](Self::push) each byte, and where that
/// says so lock the log that the recorder writes to, and [`answer`](Self::answer).
#[derive(Debug)]
pub struct Link<const N: usize> {
    receiver: Receiver<N>,
}

impl<const N: usize> Default for Link<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[bisync]
impl<const N: usize> Link<N> {
    const CHECKED: () = assert!(
        N >= 160 && 160 >= STATUS_LENGTH + OVERHEAD && 160 > ENTRY_OVERHEAD,
        "the buffer must hold a status: give at least 160 bytes"
    );

    /// An end that has received nothing.
    pub const fn new() -> Self {
        let () = Self::CHECKED;
        Self { receiver: Receiver::new() }
    }

    /// Takes a byte from the port; whether a request is complete, which [`answer`](Self::answer) answers.
    pub fn push(&mut self, byte: u8) -> bool {
        self.receiver.push(byte)
    }

    /// Answers the request that the last byte completed, about the log of `sink`.
    ///
    /// # Errors
    ///
    /// Those of the port. Where the log could not be read, the host is told so.
    pub async fn answer<S: FlashSink, P: Write>(&mut self, sink: &mut S, port: &mut P) -> Result<(), P::Error> {
        let Some(message) = self.receiver.message() else { return Ok(()) };
        let (kind, number) = (message.kind, message.request);
        match Request::parse(kind, message.payload) {
            Some(Request::Read { from, messages }) => self.entries(sink, port, (kind, number), from, messages).await,
            Some(request) => {
                if let Request::Acknowledge { upto } = request {
                    sink.acknowledge(upto);
                }
                let status = sink.status().emit();
                if let Some(slot) = self.receiver.buffer().get_mut(HEAD..HEAD + STATUS_LENGTH) {
                    slot.copy_from_slice(&status);
                }
                self.send(port, kind | ANSWER, number, STATUS_LENGTH).await
            }
            // Answers of another device on the same line are none of ours.
            None if kind & ANSWER != 0 => Ok(()),
            None => self.send(port, REFUSED, number, 0).await,
        }
    }

    /// Answers the request that the last byte completed if it is one to a witness; whether it was. A device that has a log as well
    /// answers the others by [`answer`](Self::answer). The buffer must be of 2,048 bytes or more, which is enough for the growth of logs of up to
    /// 2^33 entries.
    ///
    /// # Errors
    ///
    /// Those of the port.
    #[cfg(feature = "witness")]
    pub async fn answer_witness<F, P>(&mut self, witness: &mut Witness<F>, port: &mut P) -> Result<bool, P::Error>
    where
        F: NorFlash,
        P: Write,
    {
        const { assert!(N >= 2_048, "the buffer must hold a proof of growth: give at least 2,048 bytes") };
        let Some(message) = self.receiver.message().filter(|message| Ask::is_kind(message.kind)) else { return Ok(false) };
        let (kind, number) = (message.kind, message.request);
        let mut reply = None;
        if let Some(ask) = Ask::parse(kind, message.payload) {
            reply = Some(witness.answer(&ask).await);
        }
        let length = reply.and_then(|reply| {
            let payload = self.receiver.buffer().get_mut(HEAD..N.min(MAX_MESSAGE) - 4)?;
            let (status, text) = payload.split_first_chunk_mut()?;
            *status = reply.status.to_le_bytes();
            let mut text = Text { buffer: text, length: 0 };
            witness.write(&reply, &mut text).ok().map(|()| 2 + text.length)
        });
        match length {
            Some(length) => self.send(port, kind | ANSWER, number, length).await?,
            None => self.send(port, REFUSED, number, 0).await?,
        }
        Ok(true)
    }

    /// Sends entries from `from` on in at most so many messages; the last is empty when there are no more.
    async fn entries<S: FlashSink, P: Write>(
        &mut self,
        sink: &mut S,
        port: &mut P,
        (kind, number): (u8, u16),
        from: u64,
        messages: u8,
    ) -> Result<(), P::Error> {
        let mut index = from;
        for _ in 0..messages {
            let mut length = ENTRIES_HEAD;
            let Ok(mut next) = self.read(sink, index, length).await else { return self.send(port, REFUSED, number, 0).await };
            let Some(first) = next else {
                let status = sink.status();
                self.put_head(index, status.next, Some(Before { leaf: status.head, is_torn: status.is_torn }));
                return self.send(port, kind | ANSWER, number, length).await;
            };
            self.put_head(index, first.index, first.before);
            index = first.index;
            while let Some(stored) = next.filter(|stored| stored.index == index) {
                // Where entries were lost before, or the leaf is known again, the host is told it.
                let is_told = stored.before.is_some_and(|before| before.is_torn || first.before.is_none());
                if is_told && length > ENTRIES_HEAD {
                    break;
                }
                length = self.keep(length, stored.length);
                index += 1;
                // One for which there is no room is the first of the next message.
                next = self.read(sink, index, length).await.unwrap_or_default();
            }
            self.send(port, kind | ANSWER, number, length).await?;
        }
        Ok(())
    }

    /// Reads an entry to where its body goes in a payload of `length` bytes.
    async fn read<S: FlashSink>(&mut self, sink: &mut S, index: u64, length: usize) -> Result<Option<Stored>, S::Error> {
        let room = self.receiver.buffer().get_mut(HEAD + length + 2..N.min(MAX_MESSAGE) - 4).unwrap_or_default();
        sink.read_from(index, room).await
    }

    fn put_head(&mut self, asked: u64, index: u64, before: Option<Before>) {
        Entries::emit_head(asked, index, before, self.receiver.buffer().get_mut(HEAD..).unwrap_or_default());
    }

    /// Keeps a body of `size` bytes that was read behind a payload of `length` bytes: the new length.
    fn keep(&mut self, length: usize, size: usize) -> usize {
        if let Some(slot) = self.receiver.buffer().get_mut(HEAD + length..).and_then(<[u8]>::first_chunk_mut) {
            *slot = u16::try_from(size).unwrap_or(0).to_le_bytes();
        }
        length + 2 + size
    }

    async fn send<P: Write>(&mut self, port: &mut P, kind: u8, number: u16, length: usize) -> Result<(), P::Error> {
        let Some(message) = seal(self.receiver.buffer(), kind, number, length) else { return Ok(()) };
        let mut chunk = heapless::Vec::<u8, CHUNK>::new();
        for byte in wire(message) {
            if let Err(byte) = chunk.push(byte) {
                port.write_all(&chunk).await?;
                chunk.clear();
                // It is empty now.
                let _ = chunk.push(byte);
            }
        }
        port.write_all(&chunk).await?;
        port.flush().await
    }

    /// Takes what the port has received until a request is complete; whether one is.
    ///
    /// # Errors
    ///
    /// Those of the port.
    pub fn receive<P: embedded_io::Read + embedded_io::ReadReady>(&mut self, port: &mut P) -> Result<bool, P::Error> {
        let mut byte = [0];
        while port.read_ready()? && port.read(&mut byte)? > 0 {
            let [received] = byte;
            if self.push(received) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes what the port has received and answers it; returns at once when there is nothing. For a main loop.
    ///
    /// # Errors
    ///
    /// Those of the port.
    #[only_blocking]
    pub fn poll<S: FlashSink, P>(&mut self, sink: &mut S, port: &mut P) -> Result<(), P::Error>
    where
        P: embedded_io::Read + embedded_io::ReadReady + embedded_io::Write,
    {
        while self.receive(port)? {
            self.answer(sink, port)?;
        }
        Ok(())
    }
}

/// Text that is written into a payload.
#[cfg(feature = "witness")]
struct Text<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

#[cfg(feature = "witness")]
impl core::fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let slot = self.buffer.get_mut(self.length..self.length + text.len()).ok_or(core::fmt::Error)?;
        slot.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}
