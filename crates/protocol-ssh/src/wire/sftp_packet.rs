//! SFTP version 3 packets (draft-ietf-secsh-filexfer-02): numbers, field reader, requests.
//!
//! In: the bytes of one packet (or of its beginning, where the rest is file content). Out: typed
//! requests that borrow from them. Knows nothing of handles that are open or of who may do what.

use bytes::{BufMut, Bytes, BytesMut};

/// Longest packet that is gathered before it is decided, in bytes after the length field. The
/// draft (section 3) asks every server to accept 34000.
pub(super) const MAX_CONTROL_BYTES: usize = 34_000;
/// Longest packet whose content is passed on piece by piece: OpenSSH's 256 KiB and room beside it.
pub(super) const MAX_PACKET_BYTES: usize = MAX_CONTROL_BYTES + 256 * 1024;
/// Longest handle (section 6.3), in bytes.
pub(super) const MAX_HANDLE_BYTES: usize = 256;
/// Longest path, in bytes (`PATH_MAX`).
pub(super) const MAX_PATH_BYTES: usize = 4096;
/// Longest text in a status made here, in bytes.
const MAX_REASON_BYTES: usize = 1024;
/// Length, type and request id (for INIT and VERSION: the version).
pub(super) const HEADER_BYTES: usize = 9;
/// The version spoken here.
pub(super) const VERSION: u32 = 3;

// Packet types, section 3.
pub(super) const INIT: u8 = 1;
pub(super) const VERSION_REPLY: u8 = 2;
pub(super) const OPEN: u8 = 3;
pub(super) const CLOSE: u8 = 4;
pub(super) const READ: u8 = 5;
pub(super) const WRITE: u8 = 6;
pub(super) const LSTAT: u8 = 7;
pub(super) const FSTAT: u8 = 8;
pub(super) const SETSTAT: u8 = 9;
pub(super) const FSETSTAT: u8 = 10;
pub(super) const OPENDIR: u8 = 11;
pub(super) const READDIR: u8 = 12;
pub(super) const REMOVE: u8 = 13;
pub(super) const MKDIR: u8 = 14;
pub(super) const RMDIR: u8 = 15;
pub(super) const REALPATH: u8 = 16;
pub(super) const STAT: u8 = 17;
pub(super) const RENAME: u8 = 18;
pub(super) const READLINK: u8 = 19;
pub(super) const SYMLINK: u8 = 20;
pub(super) const STATUS: u8 = 101;
pub(super) const HANDLE: u8 = 102;
pub(super) const DATA: u8 = 103;
pub(super) const NAME: u8 = 104;
pub(super) const ATTRS: u8 = 105;
pub(super) const EXTENDED: u8 = 200;
pub(super) const EXTENDED_REPLY: u8 = 201;

// Flags of OPEN, section 6.3.
pub(super) const FLAG_READ: u32 = 0x01;
pub(super) const FLAG_WRITE: u32 = 0x02;
pub(super) const FLAG_APPEND: u32 = 0x04;
pub(super) const FLAG_CREATE: u32 = 0x08;
pub(super) const FLAG_TRUNCATE: u32 = 0x10;
pub(super) const FLAG_EXCLUSIVE: u32 = 0x20;

// Status codes, section 7.
pub(super) const STATUS_OK: u32 = 0;
pub(super) const STATUS_EOF: u32 = 1;
pub(super) const STATUS_PERMISSION_DENIED: u32 = 3;
pub(super) const STATUS_FAILURE: u32 = 4;
pub(super) const STATUS_BAD_MESSAGE: u32 = 5;
pub(super) const STATUS_OP_UNSUPPORTED: u32 = 8;

// Flags of attributes, section 5.
const ATTRIBUTE_SIZE: u32 = 0x0000_0001;
const ATTRIBUTE_OWNER: u32 = 0x0000_0002;
const ATTRIBUTE_PERMISSIONS: u32 = 0x0000_0004;
const ATTRIBUTE_TIMES: u32 = 0x0000_0008;
const ATTRIBUTE_EXTENDED: u32 = 0x8000_0000;

/// Reads the fields of a packet from its front; `None` where the bytes do not suffice.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn uint32(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*first))
    }

    pub(super) fn uint64(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*first))
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.uint32()?).ok()?;
        let (first, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(first)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The attributes anybody here looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Attributes {
    pub(super) size: Option<u64>,
    pub(super) permissions: Option<u32>,
}

impl Attributes {
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let flags = fields.uint32()?;
        let known = ATTRIBUTE_SIZE
            | ATTRIBUTE_OWNER
            | ATTRIBUTE_PERMISSIONS
            | ATTRIBUTE_TIMES
            | ATTRIBUTE_EXTENDED;
        if flags & !known != 0 {
            return None;
        }
        let mut attributes = Self::default();
        if flags & ATTRIBUTE_SIZE != 0 {
            attributes.size = Some(fields.uint64()?);
        }
        if flags & ATTRIBUTE_OWNER != 0 {
            fields.uint64()?;
        }
        if flags & ATTRIBUTE_PERMISSIONS != 0 {
            attributes.permissions = Some(fields.uint32()?);
        }
        if flags & ATTRIBUTE_TIMES != 0 {
            fields.uint64()?;
        }
        if flags & ATTRIBUTE_EXTENDED != 0 {
            // Bounded by the packet: each pair takes at least eight of its bytes.
            for _ in 0..fields.uint32()? {
                fields.string()?;
                fields.string()?;
            }
        }
        Some(attributes)
    }

    /// Whether this is known to be a regular file (POSIX `S_IFREG`).
    pub(super) fn is_regular_file(self) -> bool {
        self.permissions.is_some_and(|mode| mode & 0o170_000 == 0o100_000)
    }
}

/// A request of the client, its fields borrowed from the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientRequest<'a> {
    Open {
        path: &'a [u8],
        flags: u32,
    },
    Close {
        handle: &'a [u8],
    },
    Read {
        handle: &'a [u8],
        offset: u64,
        length: u32,
    },
    /// Only the fields before the content.
    Write {
        handle: &'a [u8],
        offset: u64,
    },
    Stat {
        path: &'a [u8],
        follow: bool,
    },
    HandleStat {
        handle: &'a [u8],
    },
    SetStat {
        path: &'a [u8],
    },
    HandleSetStat {
        handle: &'a [u8],
        size: Option<u64>,
    },
    OpenDirectory {
        path: &'a [u8],
    },
    ReadDirectory {
        handle: &'a [u8],
    },
    Remove {
        path: &'a [u8],
    },
    MakeDirectory {
        path: &'a [u8],
    },
    RemoveDirectory {
        path: &'a [u8],
    },
    Rename {
        from: &'a [u8],
        to: &'a [u8],
    },
    ReadLink {
        path: &'a [u8],
    },
    SymbolicLink {
        from: &'a [u8],
        to: &'a [u8],
    },
    HardLink {
        from: &'a [u8],
        to: &'a [u8],
    },
    /// `copy-data` (draft-ietf-secsh-filexfer-extensions-00 section 7).
    CopyData {
        from: &'a [u8],
        to: &'a [u8],
    },
    /// A question about an open file that changes nothing: `fsync@`, `fstatvfs@`.
    OnHandle {
        handle: &'a [u8],
    },
    /// Changes nothing and shows no content: REALPATH, `limits@`, `statvfs@` and their like.
    Harmless,
    /// Not understood, so not let through.
    Unsupported,
}

impl<'a> ClientRequest<'a> {
    /// Reads the fields behind the request id. The error says what is wrong; the packet's
    /// boundaries are known all the same, so the conversation can go on.
    pub(super) fn read(kind: u8, payload: &'a [u8]) -> Result<Self, &'static str> {
        let mut fields = Fields::new(payload);
        let request = Self::read_fields(kind, &mut fields)
            .ok_or("the request's fields do not fit into its packet")?;
        // The content of WRITE follows; the others below are forwarded whatever follows.
        let open_ended = matches!(request, Self::Write { .. } | Self::Harmless | Self::Unsupported);
        if !open_ended && !fields.is_empty() {
            return Err("the request's packet is longer than its fields");
        }
        Ok(request)
    }

    fn read_fields(kind: u8, fields: &mut Fields<'a>) -> Option<Self> {
        Some(match kind {
            OPEN => {
                let (path, flags) = (fields.string()?, fields.uint32()?);
                Attributes::read(fields)?;
                Self::Open { path, flags }
            }
            CLOSE => Self::Close { handle: fields.string()? },
            READ => {
                let (handle, offset) = (fields.string()?, fields.uint64()?);
                Self::Read { handle, offset, length: fields.uint32()? }
            }
            WRITE => Self::Write { handle: fields.string()?, offset: fields.uint64()? },
            LSTAT => Self::Stat { path: fields.string()?, follow: false },
            STAT => Self::Stat { path: fields.string()?, follow: true },
            FSTAT => Self::HandleStat { handle: fields.string()? },
            SETSTAT => {
                let path = fields.string()?;
                Attributes::read(fields)?;
                Self::SetStat { path }
            }
            FSETSTAT => {
                let handle = fields.string()?;
                Self::HandleSetStat { handle, size: Attributes::read(fields)?.size }
            }
            OPENDIR => Self::OpenDirectory { path: fields.string()? },
            READDIR => Self::ReadDirectory { handle: fields.string()? },
            REMOVE => Self::Remove { path: fields.string()? },
            MKDIR => {
                let path = fields.string()?;
                Attributes::read(fields)?;
                Self::MakeDirectory { path }
            }
            RMDIR => Self::RemoveDirectory { path: fields.string()? },
            REALPATH => Self::Harmless,
            RENAME => Self::Rename { from: fields.string()?, to: fields.string()? },
            READLINK => Self::ReadLink { path: fields.string()? },
            SYMLINK => Self::SymbolicLink { from: fields.string()?, to: fields.string()? },
            EXTENDED => return Self::read_extension(fields),
            _ => Self::Unsupported,
        })
    }

    /// OpenSSH's `PROTOCOL` file, section 4, and draft-ietf-secsh-filexfer-extensions-00.
    fn read_extension(fields: &mut Fields<'a>) -> Option<Self> {
        Some(match fields.string()? {
            b"posix-rename@openssh.com" => {
                Self::Rename { from: fields.string()?, to: fields.string()? }
            }
            b"hardlink@openssh.com" => {
                Self::HardLink { from: fields.string()?, to: fields.string()? }
            }
            b"lsetstat@openssh.com" => {
                let path = fields.string()?;
                Attributes::read(fields)?;
                Self::SetStat { path }
            }
            b"copy-data" => {
                let from = fields.string()?;
                fields.uint64()?;
                fields.uint64()?;
                let to = fields.string()?;
                fields.uint64()?;
                Self::CopyData { from, to }
            }
            b"fsync@openssh.com" | b"fstatvfs@openssh.com" => {
                Self::OnHandle { handle: fields.string()? }
            }
            b"statvfs@openssh.com"
            | b"limits@openssh.com"
            | b"expand-path@openssh.com"
            | b"home-directory"
            | b"users-groups-by-id@openssh.com" => Self::Harmless,
            _ => Self::Unsupported,
        })
    }
}

/// An `SSH_FXP_STATUS` for the client.
pub(super) fn status_packet(id: u32, code: u32, reason: &str) -> Bytes {
    let reason = reason.get(..reason.floor_char_boundary(MAX_REASON_BYTES)).unwrap_or_default();
    // INVARIANT: `reason` is at most MAX_REASON_BYTES, so both lengths fit.
    let text_length = u32::try_from(reason.len()).unwrap_or_default();
    let mut packet = BytesMut::with_capacity(21 + reason.len());
    packet.put_u32(17 + text_length);
    packet.put_u8(STATUS);
    packet.put_u32(id);
    packet.put_u32(code);
    packet.put_u32(text_length);
    packet.put_slice(reason.as_bytes());
    packet.put_u32(0); // language tag
    packet.freeze()
}

/// An `SSH_FXP_INIT` that asks for the version spoken here.
pub(super) fn init_packet() -> Bytes {
    let mut packet = BytesMut::with_capacity(HEADER_BYTES);
    packet.put_u32(5);
    packet.put_u8(INIT);
    packet.put_u32(VERSION);
    packet.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_claiming_four_billion_extensions_are_unreadable() {
        let mut packet = vec![0x80, 0, 0, 0];
        packet.extend([0xff; 4]);
        assert_eq!(Attributes::read(&mut Fields::new(&packet)), None);
    }

    #[test]
    fn bytes_behind_a_request_are_not_let_through() {
        let mut payload = vec![0, 0, 0, 1, b'a'];
        assert_eq!(ClientRequest::read(REMOVE, &payload), Ok(ClientRequest::Remove { path: b"a" }));
        payload.push(0);
        assert!(ClientRequest::read(REMOVE, &payload).is_err());
    }

    #[test]
    fn a_status_with_a_long_reason_is_cut_at_a_character() {
        let packet = status_packet(7, STATUS_PERMISSION_DENIED, &"ä".repeat(4000));
        assert_eq!(packet.len(), 21 + 1024);
        let length = u32::from_be_bytes(packet[..4].try_into().unwrap());
        assert_eq!(length as usize + 4, packet.len());
    }
}
