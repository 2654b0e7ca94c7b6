//! Answering requests on a stream.

use super::{Answer, MAX_LINE, MAX_REQUEST, Witness};
use crate::store::StoreError;
use std::io::{BufRead, Read as _, Write};

/// Answers until the stream ends or says something that is no request.
///
/// # Errors
///
/// [`StoreError`] when the state cannot be written; the request then has no answer.
pub fn serve(witness: &mut Witness, input: &mut impl BufRead, output: &mut impl Write) -> Result<(), StoreError> {
    let io = |source| StoreError::from_io("witness stream".as_ref(), source);
    loop {
        let mut line = Vec::new();
        input.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut line).map_err(io)?;
        if line.is_empty() {
            return Ok(());
        }
        let words = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
        let words: Vec<_> = words.map(|line| line.split(' ').collect()).unwrap_or_default();
        let answer = match words.as_slice() {
            ["add", length] => match length.parse::<usize>().ok().filter(|length| *length <= MAX_REQUEST) {
                Some(length) => {
                    let mut body = vec![0; length];
                    input.read_exact(&mut body).map_err(io)?;
                    witness.add(&body)?
                }
                None => return bad(output).map_err(io),
            },
            ["latest", origin] => witness.latest(origin),
            ["attest", origin, nonce] => witness.attest(origin, nonce),
            ["info"] => Answer { status: 200, body: serde_json::to_string(&witness.info()).unwrap_or_default() + "\n" },
            _ => return bad(output).map_err(io),
        };
        write(output, &answer).map_err(io)?;
    }
}

/// What comes behind it cannot be told apart any more.
fn bad(output: &mut impl Write) -> std::io::Result<()> {
    write(output, &Answer { status: 400, body: "not a request: add N, latest ORIGIN, attest ORIGIN NONCE or info\n".to_owned() })
}

fn write(output: &mut impl Write, answer: &Answer) -> std::io::Result<()> {
    write!(output, "{} {}\n{}", answer.status, answer.body.len(), answer.body)?;
    output.flush()
}
