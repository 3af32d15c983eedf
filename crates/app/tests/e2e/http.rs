//! A plain HTTP client of the node's API, as a script would be one.
//!
//! Must never know: what the calls mean.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The API as one person.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    address: SocketAddr,
    token: Option<String>,
}

/// An answer whose body has not been read yet.
pub(crate) struct Answer {
    /// 0 where the connection ended without an answer.
    pub(crate) status: u16,
    chunked: bool,
    body: BufReader<TcpStream>,
    /// Bytes of the present chunk not read yet.
    left: usize,
    length: Option<usize>,
}

impl Api {
    pub(crate) fn new(address: SocketAddr, token: Option<String>) -> Self {
        Self { address, token }
    }

    /// Any call, any answer.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        let mut answer = self.open(method, path, body);
        let mut text = Vec::new();
        // A body that breaks off is what came of it so far.
        let _ = answer.read_to_end(&mut text);
        (answer.status, String::from_utf8(text).unwrap())
    }

    /// As [`Api::call`], of a node that may die at any moment: `None` unless it answered.
    pub(crate) fn try_call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Option<(u16, String)> {
        let mut answer = self.try_open(method, path, body).ok()?;
        let mut text = String::new();
        answer.read_to_string(&mut text).ok()?;
        (answer.status != 0).then_some((answer.status, text))
    }

    /// A call that must be answered with a success.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, text) = self.call("GET", path, None);
        assert!((200..300).contains(&status), "GET {path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The lines of an answer, each one JSON value.
    #[track_caller]
    pub(crate) fn lines(&self, path: &str) -> Vec<Value> {
        let (status, text) = self.call("GET", path, None);
        assert!((200..300).contains(&status), "GET {path}: {status} {text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A call that must be answered with a success.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let (status, text) = self.call("POST", path, Some(body));
        assert!((200..300).contains(&status), "POST {path}: {status} {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    /// A call that must be answered with a success.
    #[track_caller]
    pub(crate) fn delete(&self, path: &str) {
        let (status, text) = self.call("DELETE", path, None);
        assert!((200..300).contains(&status), "DELETE {path}: {status} {text}");
    }

    /// A call whose answer is read as it comes.
    pub(crate) fn open(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.try_open(method, path, body).unwrap()
    }

    fn try_open(&self, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let text = body.map(Value::to_string).unwrap_or_default();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.address,
            text.len()
        );
        if body.is_some() {
            head.push_str("Content-Type: application/json\r\n");
        }
        if let Some(token) = &self.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        stream.write_all(format!("{head}\r\n{text}").as_bytes())?;
        Answer::read_head(stream)
    }
}

impl Answer {
    fn read_head(stream: TcpStream) -> std::io::Result<Self> {
        let mut body = BufReader::new(stream);
        let mut line = String::new();
        body.read_line(&mut line)?;
        // A connection that ends without an answer counts as one of status 0.
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let (mut chunked, mut length) = (false, None);
        loop {
            line.clear();
            body.read_line(&mut line)?;
            let header = line.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            chunked |= header == "transfer-encoding: chunked";
            if let Some(count) = header.strip_prefix("content-length: ") {
                length = Some(count.parse().unwrap());
            }
        }
        Ok(Self { status, chunked, body, left: 0, length })
    }
}

impl Read for Answer {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if !self.chunked {
            let Some(left) = &mut self.length else { return self.body.read(buffer) };
            let wanted = buffer.len().min(*left);
            let count = self.body.read(&mut buffer[..wanted])?;
            *left -= count;
            return Ok(count);
        }
        if self.left == 0 {
            let mut line = String::new();
            self.body.read_line(&mut line)?;
            self.left = usize::from_str_radix(line.trim_end(), 16).unwrap_or(0);
            if self.left == 0 {
                return Ok(0);
            }
        }
        let wanted = buffer.len().min(self.left);
        let count = self.body.read(&mut buffer[..wanted])?;
        self.left -= count;
        if self.left == 0 {
            self.body.read_line(&mut String::new())?;
        }
        Ok(count)
    }
}
