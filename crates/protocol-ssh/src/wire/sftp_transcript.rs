//! Packets written by hand, and a driver that carries steps out, for the tests beside it.

use bytes::Bytes;
use portcullis_domain::Action;

use super::sftp::{FileEvent, SftpError, SftpObserver, SftpStep};
use super::{Side, file_event};

pub(super) fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = u32::try_from(body.len() + 1).unwrap().to_be_bytes().to_vec();
    packet.push(kind);
    packet.extend_from_slice(body);
    packet
}

pub(super) fn string(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text].concat()
}

pub(super) fn request(kind: u8, id: u32, fields: &[Vec<u8>]) -> Vec<u8> {
    packet(kind, &[&id.to_be_bytes()[..], &fields.concat()].concat())
}

pub(super) fn u32_field(value: u32) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

pub(super) fn u64_field(value: u64) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

pub(super) fn init() -> Vec<u8> {
    packet(1, &3_u32.to_be_bytes())
}

pub(super) fn version() -> Vec<u8> {
    let extension = [string("limits@openssh.com"), string("1")].concat();
    packet(2, &[&3_u32.to_be_bytes()[..], &extension].concat())
}

pub(super) fn open(id: u32, path: &str, flags: u32) -> Vec<u8> {
    request(3, id, &[string(path), u32_field(flags), u32_field(0)])
}

pub(super) fn close(id: u32, handle: &str) -> Vec<u8> {
    request(4, id, &[string(handle)])
}

pub(super) fn read(id: u32, handle: &str, offset: u64, length: u32) -> Vec<u8> {
    request(5, id, &[string(handle), u64_field(offset), u32_field(length)])
}

pub(super) fn write(id: u32, handle: &str, offset: u64, content: &[u8]) -> Vec<u8> {
    request(6, id, &[string(handle), u64_field(offset), string(content)])
}

pub(super) fn on_path(kind: u8, id: u32, path: &str) -> Vec<u8> {
    request(kind, id, &[string(path)])
}

pub(super) fn extended(id: u32, name: &str, fields: &[Vec<u8>]) -> Vec<u8> {
    request(200, id, &[&[string(name)], fields].concat())
}

pub(super) fn status(id: u32, code: u32, text: &str) -> Vec<u8> {
    request(101, id, &[u32_field(code), string(text), string("")])
}

pub(super) fn handle(id: u32, handle: &str) -> Vec<u8> {
    request(102, id, &[string(handle)])
}

pub(super) fn data(id: u32, content: &[u8]) -> Vec<u8> {
    request(103, id, &[string(content)])
}

pub(super) fn attrs_with_size(id: u32, size: u64) -> Vec<u8> {
    request(105, id, &[u32_field(1), u64_field(size)])
}

pub(super) fn sha256(content: &[u8]) -> Option<String> {
    let mut context = file_event::sha256();
    context.update(content);
    Some(file_event::hex(context))
}

pub(super) fn upload(path: &str) -> Action {
    Action::Upload { path: path.to_owned() }
}

pub(super) fn download(path: &str) -> Action {
    Action::Download { path: path.to_owned() }
}

/// Drives an observer and keeps everything it puts out. Actions on paths with `secret` in them are
/// refused.
pub(super) struct Conversation {
    pub(super) observer: SftpObserver,
    pub(super) to_target: Vec<u8>,
    pub(super) to_client: Vec<u8>,
    pub(super) events: Vec<FileEvent>,
    pub(super) asked: Vec<Vec<Action>>,
    pub(super) forwards: usize,
}

impl Conversation {
    pub(super) fn new() -> Self {
        Self {
            observer: SftpObserver::new(),
            to_target: Vec::new(),
            to_client: Vec::new(),
            events: Vec::new(),
            asked: Vec::new(),
            forwards: 0,
        }
    }

    /// With the version agreed.
    pub(super) fn open() -> Self {
        let mut conversation = Self::new();
        conversation.client(&init()).unwrap();
        conversation.target(&version()).unwrap();
        assert_eq!((&conversation.to_target, &conversation.to_client), (&init(), &version()));
        conversation.to_target.clear();
        conversation.to_client.clear();
        conversation
    }

    pub(super) fn client(&mut self, bytes: &[u8]) -> Result<(), SftpError> {
        self.say(Side::Client, bytes)
    }

    pub(super) fn target(&mut self, bytes: &[u8]) -> Result<(), SftpError> {
        self.say(Side::Target, bytes)
    }

    pub(super) fn say(&mut self, side: Side, bytes: &[u8]) -> Result<(), SftpError> {
        let mut steps = Vec::new();
        let bytes = Bytes::copy_from_slice(bytes);
        let result = match side {
            Side::Client => self.observer.from_client(bytes, &mut steps),
            Side::Target => self.observer.from_target(bytes, &mut steps),
        };
        for step in steps {
            match step {
                SftpStep::Forward(bytes) => {
                    assert!(!bytes.is_empty());
                    self.forwards += 1;
                    match side {
                        Side::Client => self.to_target.extend_from_slice(&bytes),
                        Side::Target => self.to_client.extend_from_slice(&bytes),
                    }
                }
                SftpStep::Reply(bytes) => self.to_client.extend_from_slice(&bytes),
                SftpStep::Event(event) => self.events.push(event),
                SftpStep::Authorize { id, actions, packet } => {
                    if actions.iter().all(|action| !action.detail().unwrap().contains("secret")) {
                        self.observer.allow(id);
                        self.to_target.extend_from_slice(&packet);
                    } else {
                        self.to_client.extend_from_slice(&self.observer.refuse(id, "no"));
                    }
                    self.asked.push(actions);
                }
            }
        }
        result
    }

    /// A file or directory is opened under `name`.
    pub(super) fn opened(&mut self, id: u32, path: &str, flags: u32, name: &str) {
        self.client(&open(id, path, flags)).unwrap();
        self.target(&handle(id, name)).unwrap();
    }

    pub(super) fn finish(&mut self) -> Vec<FileEvent> {
        self.observer.finish(&mut self.events);
        std::mem::take(&mut self.events)
    }

    /// What was sent to the client since this was last asked.
    pub(super) fn take_to_client(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.to_client)
    }
}
