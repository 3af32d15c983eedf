//! Just enough of PostgreSQL's protocol to send a text as one simple query and see what became of
//! it: how many statements ran, and the error if one did not.

use std::io::{Read, Write};
use std::net::TcpStream;

/// A session that sends texts byte for byte.
pub(crate) struct Session {
    stream: TcpStream,
}

/// What became of a text.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Statements that ran to their end, empty ones included.
    pub(crate) completed: usize,
    /// The error that ended the text.
    pub(crate) sqlstate: Option<String>,
    /// The error's message.
    pub(crate) message: String,
    /// The first column of the last row.
    pub(crate) value: Option<String>,
    /// How many columns the last result has.
    pub(crate) columns: usize,
    /// Its rows, the first few.
    pub(crate) rows: Vec<Vec<String>>,
}

/// Most rows kept of a result.
const MOST_ROWS: usize = 50;

impl Session {
    /// Signs in with trust.
    pub(crate) fn open(port: u16, user: &str, database: &str, options: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut session = Self { stream };
        let mut body = 196_608_i32.to_be_bytes().to_vec();
        let parameters = [
            ("user", user),
            ("database", database),
            ("options", options),
            ("client_encoding", "UTF8"),
        ];
        for (name, value) in parameters {
            body.extend_from_slice(name.as_bytes());
            body.push(0);
            body.extend_from_slice(value.as_bytes());
            body.push(0);
        }
        body.push(0);
        let mut message = i32::try_from(body.len() + 4).unwrap().to_be_bytes().to_vec();
        message.extend(body);
        session.stream.write_all(&message).unwrap();
        let answer = session.answer();
        assert_eq!(answer.sqlstate, None, "{answer:?}");
        session
    }

    /// Sends a text and waits for the end of its answer.
    pub(crate) fn query(&mut self, text: &[u8]) -> Answer {
        let mut message = vec![b'Q'];
        message.extend(i32::try_from(text.len() + 5).unwrap().to_be_bytes());
        message.extend(text);
        message.push(0);
        self.stream.write_all(&message).unwrap();
        self.answer()
    }

    /// Sends a text that must run.
    pub(crate) fn run(&mut self, text: &str) -> Answer {
        let answer = self.query(text.as_bytes());
        assert_eq!(answer.sqlstate, None, "{text}: {answer:?}");
        answer
    }

    fn answer(&mut self) -> Answer {
        let mut answer = Answer::default();
        loop {
            let mut head = [0; 5];
            self.stream.read_exact(&mut head).unwrap();
            let length = i32::from_be_bytes([head[1], head[2], head[3], head[4]]);
            let mut body = vec![0; usize::try_from(length).unwrap() - 4];
            self.stream.read_exact(&mut body).unwrap();
            match head[0] {
                b'C' | b'I' => answer.completed += 1,
                b'E' => {
                    answer.sqlstate = field(&body, b'C');
                    answer.message = field(&body, b'M').unwrap_or_default();
                }
                b'T' => {
                    answer.columns = usize::from(u16::from_be_bytes([body[0], body[1]]));
                    answer.rows.clear();
                }
                b'D' => {
                    let row = row(&body);
                    answer.value = row.first().cloned().flatten();
                    if answer.rows.len() < MOST_ROWS {
                        answer.rows.push(row.into_iter().map(Option::unwrap_or_default).collect());
                    }
                }
                // Copy in: there is nothing to send.
                b'G' => self.stream.write_all(b"f\0\0\0\x07no\0").unwrap_or_default(),
                b'Z' => return answer,
                _ => {}
            }
        }
    }
}

fn field(body: &[u8], code: u8) -> Option<String> {
    let field = body.split(|byte| *byte == 0).find(|field| field.first() == Some(&code))?;
    Some(String::from_utf8_lossy(&field[1..]).into_owned())
}

fn row(body: &[u8]) -> Vec<Option<String>> {
    let count = u16::from_be_bytes([body[0], body[1]]);
    let mut rest = &body[2..];
    (0..count)
        .map(|_| {
            let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
            rest = &rest[4..];
            let length = usize::try_from(length).ok()?;
            let (value, after) = rest.split_at(length);
            rest = after;
            Some(String::from_utf8_lossy(value).into_owned())
        })
        .collect()
}
