//! What the gate itself says to a person on a channel: a remark, a refusal, the last words.
//!
//! A client that does not read is not waited for.

use russh::ChannelId;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::conversation::Preparation;
use crate::options::FAREWELL;
use crate::relay::{Front, FrontWriter, REFUSED_STATUS, STDERR};

/// Longest wait for a refused client to take what it is told.
const TELL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// Text for a person on a channel, with the line ends its terminal needs.
pub(crate) fn lines(text: &str, has_terminal: bool) -> String {
    let end = if has_terminal { "\r\n" } else { "\n" };
    let mut shown = String::with_capacity(text.len() + 16);
    for line in text.lines() {
        shown.push_str(line);
        shown.push_str(end);
    }
    shown
}

/// A remark that does not end anything.
pub(crate) async fn note(front: &Front, preparation: &Preparation, text: &str) {
    let text = lines(&format!("portcullis: {text}"), preparation.terminal.is_some());
    let _ = timeout(TELL_TIMEOUT, front.extended_data_bytes(STDERR, text.into_bytes())).await;
}

/// Says why not, and closes the channel.
pub(crate) async fn refuse(front: &Front, told: &str, has_terminal: bool, status: u32) {
    let text = lines(&format!("portcullis: {told}"), has_terminal);
    let telling = async {
        let _ = front.extended_data_bytes(STDERR, text.into_bytes()).await;
        let _ = front.exit_status(status).await;
        let _ = front.eof().await;
        let _ = front.close().await;
    };
    let _ = timeout(TELL_TIMEOUT, telling).await;
}

/// The last words on a running channel. A client that does not read does not get them.
pub(crate) async fn farewell(
    connection: &Connection,
    front: ChannelId,
    writer: &FrontWriter,
    has_terminal: bool,
) {
    let Some(told) = connection.farewell() else { return };
    let text = format!("\r\n{}\r\n", lines(&format!("portcullis: {told}"), true).trim_end());
    let telling = async {
        let _ = if has_terminal {
            writer.data_bytes(text.into_bytes()).await
        } else {
            writer.extended_data_bytes(STDERR, text.into_bytes()).await
        };
        let _ = connection.front.exit_status_request(front, REFUSED_STATUS).await;
        let _ = writer.eof().await;
        let _ = writer.close().await;
    };
    let _ = timeout(FAREWELL, telling).await;
}
