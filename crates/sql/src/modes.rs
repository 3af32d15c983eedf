//! How the server reads texts at this moment: dialect, session modes, character set.
//!
//! In: what the server told (parameter status, server version, status flags). Out: [`Modes`],
//! which the lexer obeys. Never knows a statement.
//!
//! Modes must be the server's own word, not what the client asked for: a lexer with other modes
//! than the server's sees other strings, and a statement hidden in a string is the oldest trick.

/// Whose SQL it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL 12 and later.
    Postgres,
    /// MySQL 5.7 and later.
    Mysql,
    /// MariaDB 10.4 and later.
    MariaDb,
}

impl Dialect {
    /// Whether it is MySQL or its descendant.
    #[must_use]
    pub const fn is_mysql_like(self) -> bool {
        matches!(self, Self::Mysql | Self::MariaDb)
    }
}

/// How bytes above 0x7f are read while the server looks for quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Charset {
    /// UTF-8; a text that is not valid UTF-8 is [`crate::Class::Unknown`].
    Utf8,
    /// No character contains a byte below 0x80 beside a byte above it: ISO 8859, EUC, KOI8.
    AsciiTransparent,
    /// A character's second byte may be a quote or a backslash (Shift JIS, GBK, Big5, UHC,
    /// GB18030, Johab), or the character set is not known: a text with any byte above 0x7f is
    /// [`crate::Class::Unknown`].
    Opaque,
}

impl Charset {
    /// The charset of a server's name for it (`client_encoding`, `character_set_client`).
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let plain: String =
            name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        match plain.as_str() {
            "utf8" | "utf8mb3" | "utf8mb4" | "unicode" => Self::Utf8,
            "ascii" | "sqlascii" | "usascii" => Self::AsciiTransparent,
            "eucjp" | "euckr" | "euccn" | "euctw" | "eucjis2004" | "ujis" => Self::AsciiTransparent,
            "mulenormal" | "muleinternal" => Self::AsciiTransparent,
            other => {
                let single_byte =
                    ["latin", "iso8859", "win1", "win8", "windows125", "koi8", "cp125", "greek"];
                if single_byte.iter().any(|start| other.starts_with(start)) {
                    Self::AsciiTransparent
                } else {
                    Self::Opaque
                }
            }
        }
    }
}

/// How the server reads the next text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Modes {
    /// Whose SQL it is.
    pub dialect: Dialect,
    /// The character set of the text.
    pub charset: Charset,
    /// PostgreSQL's parameter status `standard_conforming_strings`; when it is off, a backslash
    /// escapes in `'...'` too.
    pub standard_conforming_strings: bool,
    /// MySQL's `sql_mode` has `ANSI_QUOTES`: `"..."` is an identifier, not a string.
    pub ansi_quotes: bool,
    /// MySQL's `sql_mode` has `NO_BACKSLASH_ESCAPES` (also server status flag 0x0200).
    pub no_backslash_escapes: bool,
    /// MySQL's or MariaDB's version as in executable comments, `80036` for 8.0.36; decides
    /// whether `/*!80100 ... */` is executed. 0 when it is not known: then such a text is
    /// [`crate::Class::Unknown`].
    pub server_version: u32,
}

impl Modes {
    /// PostgreSQL as it answers after a usual start-up: UTF-8, standard strings.
    #[must_use]
    pub const fn postgres() -> Self {
        Self::usual(Dialect::Postgres, 0)
    }

    /// MySQL with UTF-8 and its default `sql_mode`; the version as in `80036`.
    #[must_use]
    pub const fn mysql(server_version: u32) -> Self {
        Self::usual(Dialect::Mysql, server_version)
    }

    /// MariaDB with UTF-8 and its default `sql_mode`; the version as in `101100`.
    #[must_use]
    pub const fn mariadb(server_version: u32) -> Self {
        Self::usual(Dialect::MariaDb, server_version)
    }

    const fn usual(dialect: Dialect, server_version: u32) -> Self {
        Self {
            dialect,
            charset: Charset::Utf8,
            standard_conforming_strings: true,
            ansi_quotes: false,
            no_backslash_escapes: false,
            server_version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charset_whose_second_bytes_may_be_quotes_is_opaque() {
        for name in ["SJIS", "big5", "gbk", "GB18030", "uhc", "JOHAB", "cp932", "utf16", "x"] {
            assert_eq!(Charset::from_name(name), Charset::Opaque, "{name}");
        }
        for name in ["UTF8", "UTF-8", "utf8mb4", "utf8mb3"] {
            assert_eq!(Charset::from_name(name), Charset::Utf8, "{name}");
        }
        for name in ["LATIN1", "latin1", "WIN1252", "ISO_8859_5", "EUC_JP", "SQL_ASCII", "koi8r"] {
            assert_eq!(Charset::from_name(name), Charset::AsciiTransparent, "{name}");
        }
    }
}
