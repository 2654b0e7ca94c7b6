//! Asking a witness: over a Unix socket, the standard streams of a command that reaches it, or a line to a device.
//!
//! 1. Nothing a witness says counts but what it signed.
//! 2. A conversation ends in its time whatever the other end does, and leaves no process behind.

use super::{Answer, Info, MAX_LINE, MAX_REQUEST, Timed};
use crate::line::{self, Aside, Line, LineError, OpenPort};
use crate::random;
use lowlight_core::link::Ask;
use lowlight_core::note::{Attestation, Key, Note};
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// Where a witness is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Socket(PathBuf),
    /// A command with its arguments, which speaks with it on its standard streams.
    Command(Vec<String>),
    /// A device at the other end of a serial line, or what stands for one.
    Serial {
        /// Serial device, pty or Unix socket.
        path: PathBuf,
        /// Bits a second.
        baud: u32,
    },
}

/// Why a witness gave no answer that counts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// It cannot be reached, or broke off.
    #[error("the witness cannot be reached: {0}")]
    Unreachable(std::io::Error),
    /// It refused.
    #[error("the witness refuses ({status}): {reason}")]
    Refused {
        /// As in HTTP.
        status: u16,
        /// What it says.
        reason: String,
    },
    /// What it says is not signed by its key, or not an answer to this.
    #[error("what the witness says does not count: {0}")]
    Untrusted(&'static str),
}

impl From<std::io::Error> for WitnessError {
    fn from(error: std::io::Error) -> Self {
        Self::Unreachable(error)
    }
}

/// A connection to a witness.
pub struct Client(Way);

enum Way {
    Stream(Stream),
    /// Until when.
    Line(Box<Line<OpenPort>>, Instant),
}

/// Requests and answers of `docs/format.md`, section 14.
struct Stream {
    /// The command that reaches it, if it is one.
    child: Option<Child>,
    output: Box<dyn Write + Send>,
    input: BufReader<Box<dyn std::io::Read + Send>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // One that does not end by itself when its input does is not waited for, nor what it has started.
        if let Some(child) = &mut self.child {
            kill(rustix::process::Pid::from_child(child));
            // It may have left its group.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Stream {
    fn socket(path: &Path, patience: Duration) -> Result<Self, WitnessError> {
        let begun = Instant::now();
        let socket = line::connect(path, patience)?;
        let left = patience.saturating_sub(begun.elapsed());
        let input = Timed::new(socket.try_clone()?, left)?;
        Ok(Self { child: None, output: Box::new(Timed::new(socket, left)?), input: BufReader::new(Box::new(input)) })
    }

    fn command(words: &[String], patience: Duration) -> Result<Self, WitnessError> {
        let (program, arguments) = words.split_first().ok_or_else(|| std::io::Error::other("an empty command"))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Of its own group: so what it starts can be ended with it, and a signal from the terminal does not end it.
        let mut child = command.process_group(0).spawn()?;
        let streams = child.stdin.take().zip(child.stdout.take());
        // From here on it is ended with the connection.
        let mut stream = Self { child: Some(child), output: Box::new(std::io::sink()), input: BufReader::new(Box::new(std::io::empty())) };
        let (stdin, stdout) = streams.ok_or_else(|| std::io::Error::other("no streams"))?;
        stream.output = Box::new(Timed::new(stdin, patience)?);
        stream.input = BufReader::new(Box::new(Timed::new(stdout, patience)?));
        Ok(stream)
    }

    /// What a command said before it broke off; it is ended for that.
    fn reason(&mut self) -> Option<String> {
        let child = self.child.as_mut()?;
        kill(rustix::process::Pid::from_child(child));
        let (mut said, stderr) = (Vec::new(), child.stderr.take()?);
        // What it started may hold the pipe open: what is in it now is enough, and then reading ends with an error.
        rustix::io::ioctl_fionbio(&stderr, true).ok()?;
        let _ = stderr.take(MAX_LINE as u64).read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        (!said.is_empty()).then_some(said)
    }

    fn ask(&mut self, request: &Ask<'_>) -> Result<Answer, WitnessError> {
        let bytes = match request {
            Ask::Add { request, .. } => [format!("add {}\n", request.len()).as_bytes(), request].concat(),
            Ask::Latest { origin } => format!("latest {origin}\n").into_bytes(),
            Ask::Attest { nonce, origin } => format!("attest {origin} {}\n", crate::export::hex(nonce)).into_bytes(),
            Ask::Info => b"info\n".to_vec(),
            Ask::Provision { .. } => return Err(std::io::Error::other("only a device is provisioned over its line").into()),
        };
        self.converse(&bytes).map_err(|error| match self.reason() {
            Some(said) => std::io::Error::other(format!("{error}; it says: {said}")).into(),
            None => error.into(),
        })
    }

    fn converse(&mut self, request: &[u8]) -> std::io::Result<Answer> {
        self.output.write_all(request)?;
        let mut line = String::new();
        (&mut self.input).take(MAX_LINE as u64).read_line(&mut line)?;
        if line.is_empty() {
            return Err(std::io::Error::other("it ended without an answer"));
        }
        let parsed = line.strip_suffix('\n').and_then(|line| line.split_once(' ')).and_then(|(status, length)| {
            let length = length.parse::<usize>().ok().filter(|length| *length <= MAX_REQUEST)?;
            Some((status.parse().ok()?, length))
        });
        let (status, length) = parsed.ok_or_else(|| std::io::Error::other("not an answer of a witness"))?;
        let mut body = vec![0; length];
        self.input.read_exact(&mut body)?;
        let body = String::from_utf8(body).map_err(|_| std::io::Error::other("not text"))?;
        Ok(Answer { status, body })
    }
}

impl Client {
    /// Connects; the whole conversation may take `patience`.
    ///
    /// # Errors
    ///
    /// [`WitnessError::Unreachable`].
    pub fn connect(endpoint: &Endpoint, patience: Duration) -> Result<Self, WitnessError> {
        Ok(Self(match endpoint {
            Endpoint::Socket(path) => Way::Stream(Stream::socket(path, patience)?),
            Endpoint::Command(words) => Way::Stream(Stream::command(words, patience)?),
            Endpoint::Serial { path, baud } => {
                let until = Instant::now() + patience;
                // A lost request is asked again once; a small processor takes a second or two for a signature.
                Way::Line(Box::new(Line::new(OpenPort::open(path, *baud)?, patience / 2, Aside::new(None))), until)
            }
        }))
    }

    fn ask(&mut self, request: &Ask<'_>) -> Result<Answer, WitnessError> {
        match &mut self.0 {
            Way::Stream(stream) => stream.ask(request),
            Way::Line(line, until) => match line.exchange(request, *until) {
                Ok((status, body)) => Ok(Answer { status, body }),
                Err(LineError::Io(error)) => Err(error.into()),
                Err(LineError::Refused) => {
                    Err(std::io::Error::other("the device answers, and has no witness, or one that does not understand").into())
                }
                Err(error) => Err(std::io::Error::other(error.to_string()).into()),
            },
        }
    }

    /// Who it is, as it says.
    ///
    /// # Errors
    ///
    /// [`WitnessError`].
    pub fn info(&mut self) -> Result<Info, WitnessError> {
        self.who(&Ask::Info)
    }

    /// Makes a blank device the witness of the logs of `vkey`, called `name`: with these seeds of the keys that cosign and attest, or keys of
    /// its own making.
    ///
    /// # Errors
    ///
    /// [`WitnessError::Refused`] where it is one already, or does not allow it now.
    pub fn provision(&mut self, seeds: Option<&[u8; 64]>, name: &str, vkey: &str) -> Result<Info, WitnessError> {
        self.who(&Ask::Provision { seeds, name, vkey })
    }

    fn who(&mut self, ask: &Ask<'_>) -> Result<Info, WitnessError> {
        serde_json::from_str(&accepted(self.ask(ask)?)?).map_err(|_| WitnessError::Untrusted("it does not say who it is"))
    }

    /// Sends an `add-checkpoint` request; the cosignature line, which is checked by whoever has the checkpoint.
    ///
    /// # Errors
    ///
    /// [`WitnessError::Refused`] with 409 and the size it is at, or another reason.
    pub fn add(&mut self, request: &[u8]) -> Result<String, WitnessError> {
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        accepted(self.ask(&Ask::Add { time, request })?)
    }

    /// The newest checkpoint it cosigned of that log; `None` when it has none.
    ///
    /// # Errors
    ///
    /// [`WitnessError`].
    pub fn latest(&mut self, origin: &str) -> Result<Option<String>, WitnessError> {
        let note = accepted(self.ask(&Ask::Latest { origin })?)?;
        Ok((!note.is_empty()).then_some(note))
    }

    /// Size and root that it remembers of that log now, signed by `key`.
    ///
    /// # Errors
    ///
    /// [`WitnessError`], also when what it says is old or not signed.
    pub fn attest(&mut self, origin: &str, key: &Key<'_>) -> Result<(u64, lowlight_core::Digest), WitnessError> {
        let mut nonce = [0; 32];
        random::fill(&mut nonce)?;
        let body = accepted(self.ask(&Ask::Attest { nonce, origin })?)?;
        let untrusted = WitnessError::Untrusted;
        let note = Note::parse(body.as_bytes()).map_err(|_| untrusted("it is not a note"))?;
        let signed = note.signature_of(key).map_err(|_| untrusted("its signature does not verify"))?;
        signed.ok_or(untrusted("it is not signed by the key that attests"))?;
        let said = Attestation::parse(note.text).map_err(|_| untrusted("it is not an attestation"))?;
        if said.origin != origin || said.nonce != nonce {
            return Err(untrusted("it answers another question"));
        }
        Ok((said.size, said.root))
    }
}

fn kill(group: rustix::process::Pid) {
    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
}

fn accepted(answer: Answer) -> Result<String, WitnessError> {
    match answer.status {
        200 => Ok(answer.body),
        status => Err(WitnessError::Refused { status, reason: answer.body.trim_end().to_owned() }),
    }
}
