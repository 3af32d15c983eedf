//! From the server to the client: bytes pass as they are, however large a result is. What ends a
//! statement is recorded first; the error of a stand-in is replaced by the gate's own.

use std::sync::atomic::Ordering;

use bytes::{Buf, BytesMut};
use portcullis_sql::Charset;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::conversation::Answer;
use crate::options::{BUFFER_BYTES, MAX_SMALL_BYTES, MAX_WHOLE_BYTES};
use crate::relay::{Shared, Stopped};
use crate::wire::make::{self, Severity, state};
use crate::wire::{HEADER_BYTES, Header, message, take_text};

/// Forwards until either side stops.
pub(crate) async fn run(
    shared: &Shared,
    from: impl AsyncRead + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
) -> Stopped {
    match forward(shared, from, to).await {
        Ok(never) => never,
        Err(stopped) => stopped,
    }
}

async fn forward(
    shared: &Shared,
    mut from: impl AsyncRead + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
) -> Result<Stopped, Stopped> {
    let mut buffer = BytesMut::with_capacity(BUFFER_BYTES);
    let mut through = 0_usize;
    loop {
        // Up to here it was looked at; from `start` on it was not passed on yet.
        let (mut at, mut start) = (through.min(buffer.len()), 0);
        through -= at;
        let mut moved = 0_u64;
        while through == 0 {
            let rest = buffer.get(at..).unwrap_or_default();
            let header = Header::read(rest).map_err(|_| Stopped::Server("an impossible length"))?;
            let Some(header) = header else { break };
            let here = header.whole().min(rest.len());
            if streams(header.kind) {
                if matches!(header.kind, b'D' | b'd') {
                    moved = moved.saturating_add(header.body as u64);
                }
                at += here;
                through = header.whole() - here;
                continue;
            }
            if header.whole() > whole_limit(header.kind)? {
                return Err(Stopped::Server("a message that is too long for its type"));
            }
            let Some(body) = rest.get(HEADER_BYTES..header.whole()) else { break };
            if moved > 0 {
                shared.tracker().moved(std::mem::take(&mut moved));
            }
            let answer = look(shared, header.kind, body);
            shared.answered.notify_waiters();
            if let Some(running) = &answer.finished {
                shared.finished(running).await?;
            }
            if let Some(told) = answer.refusal {
                let bytes = make::error(Severity::Error, state::REFUSED, &told);
                write(shared, to, buffer.get(start..at).unwrap_or_default(), true).await?;
                write(shared, to, &bytes, true).await?;
                start = at + header.whole();
            }
            at += header.whole();
        }
        if moved > 0 {
            shared.tracker().moved(moved);
        }
        write(shared, to, buffer.get(start..at).unwrap_or_default(), through == 0).await?;
        to.flush().await.map_err(|_| Stopped::ClientLeft)?;
        buffer.advance(at);
        buffer.reserve(BUFFER_BYTES / 4);
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return Ok(Stopped::ServerLeft),
            Ok(_) => shared.live.touch(),
        }
    }
}

/// Messages of any length that need not be looked into.
fn streams(kind: u8) -> bool {
    matches!(kind, b'D' | b'd' | b'N' | b'A' | b'V' | b'c')
}

/// Longest message of a type that is looked at whole.
fn whole_limit(kind: u8) -> Result<usize, Stopped> {
    match kind {
        b'E' | b'T' | b't' => Ok(MAX_WHOLE_BYTES),
        b'1' | b'2' | b'3' | b'C' | b'G' | b'H' | b'I' | b'S' | b'W' | b'Z' | b'n' | b's' => {
            Ok(MAX_SMALL_BYTES)
        }
        _ => Err(Stopped::Server("a message of unknown type")),
    }
}

fn look(shared: &Shared, kind: u8, body: &[u8]) -> Answer {
    match kind {
        b'C' => shared.tracker().complete(message::rows(body)),
        b'E' => {
            let (state, text) = message::error(body);
            shared.tracker().failed(state, text)
        }
        b'Z' => shared.tracker().ready(),
        b'S' => {
            follow(shared, body);
            Answer::default()
        }
        kind => shared.tracker().answered(kind),
    }
}

/// The server says how it reads texts from now on.
fn follow(shared: &Shared, body: &[u8]) {
    let Some((name, rest)) = take_text(body) else { return };
    let Some((value, _)) = take_text(rest) else { return };
    let mut modes = shared.modes();
    match name {
        b"standard_conforming_strings" => modes.standard_conforming_strings = value == b"on",
        b"client_encoding" => {
            modes.charset = Charset::from_name(&String::from_utf8_lossy(value));
        }
        _ => {}
    }
}

/// Writes bytes; `whole` where they end with a message.
async fn write(
    shared: &Shared,
    to: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    whole: bool,
) -> Result<(), Stopped> {
    if bytes.is_empty() {
        return Ok(());
    }
    shared.whole.store(false, Ordering::Release);
    to.write_all(bytes).await.map_err(|_| Stopped::ClientLeft)?;
    shared.whole.store(whole, Ordering::Release);
    Ok(())
}
