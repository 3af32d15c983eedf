//! Just enough of the MySQL protocol to send a text as one query, several statements allowed, and
//! see what became of it.

use std::io::{Read, Write};
use std::net::TcpStream;

/// Long password, connect with a database, protocol 4.1, secure connection, several statements,
/// several results, named authentication.
const CAPABILITIES: u32 = 0x1 | 0x8 | 0x200 | 0x8000 | 0x1_0000 | 0x2_0000 | 0x8_0000;
const MORE_RESULTS: u16 = 0x0008;

/// A session that sends texts byte for byte.
pub(crate) struct Session {
    stream: TcpStream,
    sequence: u8,
}

/// What became of a text.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Statements that ran to their end and answered with rows. A text that ends in a comment has
    /// an empty statement more, which answers without.
    pub(crate) results: usize,
    /// The error that ended the text: its number and message.
    pub(crate) error: Option<(u16, String)>,
}

impl Session {
    /// Signs in without a password.
    pub(crate) fn open(port: u16, user: &str, database: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut session = Self { stream, sequence: 0 };
        let _greeting = session.packet();
        let mut body = CAPABILITIES.to_le_bytes().to_vec();
        body.extend((1_u32 << 24).to_le_bytes());
        body.push(45);
        body.extend([0; 23]);
        body.extend(user.as_bytes());
        body.extend([0, 0]);
        body.extend(database.as_bytes());
        body.push(0);
        body.extend(b"mysql_native_password\0");
        session.send(&body);
        loop {
            let packet = session.packet();
            match packet[0] {
                0 => return session,
                0xfe => session.send(&[]),
                _ => panic!("refused: {}", String::from_utf8_lossy(&packet)),
            }
        }
    }

    /// Sends a text that must run.
    pub(crate) fn run(&mut self, text: &str) {
        let answer = self.query(text.as_bytes());
        assert_eq!(answer.error, None, "{text}");
    }

    /// Sends a text and waits for the end of its answer.
    pub(crate) fn query(&mut self, text: &[u8]) -> Answer {
        self.sequence = 0;
        self.send(&[&[3], text].concat());
        let mut answer = Answer::default();
        loop {
            let packet = self.packet();
            let status = match packet[0] {
                0 => status_of_ok(&packet),
                0xff => {
                    answer.error = Some(error(&packet));
                    return answer;
                }
                // The server asks for a file of the client's: there is none.
                0xfb => {
                    self.send(&[]);
                    continue;
                }
                _ => match self.result() {
                    Ok(status) => {
                        answer.results += 1;
                        status
                    }
                    Err(error) => {
                        answer.error = Some(error);
                        return answer;
                    }
                },
            };
            if status & MORE_RESULTS == 0 {
                return answer;
            }
        }
    }

    /// Columns and rows, each ended by an end packet; the last one's status.
    fn result(&mut self) -> Result<u16, (u16, String)> {
        let mut ends = 0;
        loop {
            let packet = self.packet();
            if packet[0] == 0xff {
                return Err(error(&packet));
            }
            if packet[0] == 0xfe && packet.len() < 9 {
                ends += 1;
                if ends == 2 {
                    return Ok(u16::from_le_bytes([packet[3], packet[4]]));
                }
            }
        }
    }

    fn send(&mut self, body: &[u8]) {
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        let mut packet = vec![length[0], length[1], length[2], self.sequence];
        packet.extend(body);
        self.sequence = self.sequence.wrapping_add(1);
        self.stream.write_all(&packet).unwrap();
    }

    fn packet(&mut self) -> Vec<u8> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).unwrap();
        self.sequence = head[3].wrapping_add(1);
        let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
        let mut body = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        body
    }
}

/// Behind two numbers of variable length, which are short here.
fn status_of_ok(packet: &[u8]) -> u16 {
    let mut place = 1;
    for _ in 0..2 {
        place += match packet[place] {
            0xfc => 3,
            0xfd => 4,
            0xfe => 9,
            _ => 1,
        };
    }
    u16::from_le_bytes([packet[place], packet[place + 1]])
}

fn error(packet: &[u8]) -> (u16, String) {
    let number = u16::from_le_bytes([packet[1], packet[2]]);
    (number, String::from_utf8_lossy(&packet[3..]).into_owned())
}
