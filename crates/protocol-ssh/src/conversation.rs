//! The conversation on one session channel (RFC 4254 section 6), as a pure state machine.
//!
//! A client's requests flow in, answers flow out, and at most once a [`Wanted`]: the program to
//! authorise with everything asked for before it. Of russh only the names of terminal modes are known
//! here; no channel, no target, no clock.
//!
//! Invariants: at most one of shell, exec and subsystem per channel; nothing is accepted after it
//! except window changes and signals; a [`Wanted`] becomes a [`Program`] only against an
//! [`Allowed`], which only an authorisation makes.

use russh::Pty;

/// Requests one channel may make before its program; the channel is closed at the next.
pub const MAX_REQUESTS: usize = 128;
/// Environment variables kept for one channel; more are refused.
pub const MAX_ENVIRONMENT: usize = 32;
/// Longest name of an environment variable, in bytes.
pub const MAX_ENVIRONMENT_NAME_BYTES: usize = 128;
/// Longest value, in bytes.
pub const MAX_ENVIRONMENT_VALUE_BYTES: usize = 4096;
/// Longest terminal type, in bytes.
pub const MAX_TERM_BYTES: usize = 128;
/// Most columns or rows a terminal may have; larger ones are cut to it.
pub const MAX_TERMINAL_CELLS: u32 = 4096;
/// Longest command, in bytes (the same bound decisions have).
pub const MAX_COMMAND_BYTES: usize = portcullis_domain::action::MAX_ACTION_TEXT_BYTES;

/// What a client asks on a session channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `env`.
    Environment {
        /// Name.
        name: String,
        /// Value.
        value: String,
    },
    /// `pty-req`.
    Terminal(Terminal),
    /// `auth-agent-req@openssh.com`.
    Agent,
    /// `x11-req`.
    X11,
    /// `shell`.
    Shell,
    /// `exec`.
    Exec(Vec<u8>),
    /// `subsystem`.
    Subsystem(String),
    /// Data, or any other request, before a program runs.
    Other,
}

/// A pseudo-terminal as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    /// `TERM`.
    pub term: String,
    /// Width in characters.
    pub columns: u32,
    /// Height in characters.
    pub rows: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Terminal modes with their arguments (RFC 4254 section 8).
    pub modes: Vec<(Pty, u32)>,
}

/// What was asked for before the program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preparation {
    /// Environment variables, in the client's order.
    pub environment: Vec<(String, String)>,
    /// The terminal, if any.
    pub terminal: Option<Terminal>,
    /// Whether agent forwarding was asked for.
    pub agent: bool,
    /// Whether X11 forwarding was asked for, and refused.
    pub x11: bool,
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The login shell.
    Shell,
    /// A command line.
    Exec(String),
    /// A subsystem, such as `sftp`.
    Subsystem(String),
}

/// A program that is wanted and not yet authorised.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Wanted {
    command: Command,
    preparation: Preparation,
}

/// The proof that an authorisation was granted. Made by the connection only.
#[derive(Debug)]
pub struct Allowed(());

impl Allowed {
    /// To be called with the permit in hand, and nowhere else.
    pub(crate) fn by(_permit: &portcullis_gateway::Permit) -> Self {
        Self(())
    }
}

/// A program that may run.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// What to run.
    pub command: Command,
    /// What to set up before.
    pub preparation: Preparation,
}

impl Wanted {
    /// What is wanted.
    pub fn command(&self) -> &Command {
        &self.command
    }

    /// What was asked for before.
    pub fn preparation(&self) -> &Preparation {
        &self.preparation
    }

    /// It may run.
    pub fn allowed(self, _proof: &Allowed) -> Program {
        Program { command: self.command, preparation: self.preparation }
    }
}

/// What to do about a request.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// Success.
    Accept,
    /// Failure; the channel goes on.
    Refuse,
    /// Success; authorise this and run it.
    Authorize(Wanted),
    /// A flood: close the channel.
    Close,
}

/// One session channel.
#[derive(Debug)]
pub struct Conversation {
    state: State,
    requests: usize,
}

#[derive(Debug)]
enum State {
    Preparing(Preparation),
    Handed,
}

impl Default for Conversation {
    fn default() -> Self {
        Self { state: State::Preparing(Preparation::default()), requests: 0 }
    }
}

impl Conversation {
    /// Answers a request.
    pub fn answer(&mut self, request: Request) -> Answer {
        let State::Preparing(preparation) = &mut self.state else {
            return Answer::Refuse;
        };
        self.requests += 1;
        if self.requests > MAX_REQUESTS {
            return Answer::Close;
        }
        let command = match request {
            Request::Environment { name, value } => return preparation.environment(name, value),
            Request::Terminal(terminal) => return preparation.terminal(terminal),
            Request::Agent => {
                preparation.agent = true;
                return Answer::Accept;
            }
            Request::X11 => {
                preparation.x11 = true;
                return Answer::Refuse;
            }
            Request::Other => return Answer::Refuse,
            Request::Shell => Command::Shell,
            Request::Exec(line) => match command_line(line) {
                Some(line) => Command::Exec(line),
                None => return Answer::Refuse,
            },
            Request::Subsystem(name) if name.len() > MAX_ENVIRONMENT_NAME_BYTES => {
                return Answer::Refuse;
            }
            Request::Subsystem(name) => Command::Subsystem(name),
        };
        let preparation = std::mem::take(preparation);
        self.state = State::Handed;
        Answer::Authorize(Wanted { command, preparation })
    }

    /// Whether a program was handed out.
    pub fn is_handed(&self) -> bool {
        matches!(self.state, State::Handed)
    }
}

/// Commands must be UTF-8 without NUL, so that what is decided, recorded and run is one text.
fn command_line(line: Vec<u8>) -> Option<String> {
    if line.len() > MAX_COMMAND_BYTES || line.contains(&0) {
        return None;
    }
    String::from_utf8(line).ok()
}

impl Preparation {
    fn environment(&mut self, name: String, value: String) -> Answer {
        let well_formed = !name.is_empty()
            && name.len() <= MAX_ENVIRONMENT_NAME_BYTES
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && value.len() <= MAX_ENVIRONMENT_VALUE_BYTES
            && !value.contains('\0');
        if !well_formed || self.environment.len() >= MAX_ENVIRONMENT {
            return Answer::Refuse;
        }
        self.environment.push((name, value));
        Answer::Accept
    }

    fn terminal(&mut self, mut terminal: Terminal) -> Answer {
        if self.terminal.is_some()
            || terminal.term.len() > MAX_TERM_BYTES
            || terminal.term.chars().any(char::is_control)
        {
            return Answer::Refuse;
        }
        // RFC 4254 section 8: the end mark belongs to the encoding; inside, it would cut the list.
        terminal.modes.retain(|(mode, _)| *mode != Pty::TTY_OP_END);
        terminal.columns = terminal.columns.min(MAX_TERMINAL_CELLS);
        terminal.rows = terminal.rows.min(MAX_TERMINAL_CELLS);
        self.terminal = Some(terminal);
        Answer::Accept
    }
}

/// Whether a target's `accept_env` lets `name` through. A final `*` stands for any rest.
pub fn accepts_environment(accepted: &[String], name: &str) -> bool {
    accepted.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request() -> impl Strategy<Value = Request> {
        prop_oneof![
            ("[A-Z_=\u{0}]{0,6}", ".{0,6}")
                .prop_map(|(name, value)| Request::Environment { name, value }),
            any::<(u32, u32)>().prop_map(|(columns, rows)| Request::Terminal(Terminal {
                term: "xterm".into(),
                columns,
                rows,
                width: 0,
                height: 0,
                modes: vec![],
            })),
            Just(Request::Agent),
            Just(Request::X11),
            Just(Request::Other),
            Just(Request::Shell),
            proptest::collection::vec(any::<u8>(), 0..8).prop_map(Request::Exec),
            "[a-z]{0,8}".prop_map(Request::Subsystem),
        ]
    }

    proptest! {
        #[test]
        fn no_order_of_requests_yields_two_programs_on_one_channel(
            requests in proptest::collection::vec(request(), 0..300)
        ) {
            let mut conversation = Conversation::default();
            let mut handed = 0;
            for request in requests {
                let was_handed = conversation.is_handed();
                let answer = conversation.answer(request.clone());
                if was_handed {
                    prop_assert_eq!(&answer, &Answer::Refuse);
                }
                if let Answer::Authorize(wanted) = answer {
                    handed += 1;
                    prop_assert!(wanted.preparation().environment.len() <= MAX_ENVIRONMENT);
                    if let Some(terminal) = &wanted.preparation().terminal {
                        prop_assert!(terminal.columns <= MAX_TERMINAL_CELLS);
                    }
                    prop_assert!(matches!(
                        request,
                        Request::Shell | Request::Exec(_) | Request::Subsystem(_)
                    ));
                }
            }
            prop_assert!(handed <= 1);
        }
    }

    #[test]
    fn what_was_asked_before_the_program_comes_with_it() {
        let mut conversation = Conversation::default();
        let lang = Request::Environment { name: "LANG".into(), value: "C".into() };
        assert_eq!(conversation.answer(lang), Answer::Accept);
        assert_eq!(conversation.answer(Request::Agent), Answer::Accept);
        assert_eq!(conversation.answer(Request::X11), Answer::Refuse);
        let Answer::Authorize(wanted) = conversation.answer(Request::Exec(b"id".to_vec())) else {
            panic!("no program");
        };
        assert_eq!(wanted.command(), &Command::Exec("id".into()));
        assert_eq!(wanted.preparation().environment, [("LANG".into(), "C".into())]);
        assert!(wanted.preparation().agent && wanted.preparation().x11);
    }

    #[test]
    fn a_flood_of_requests_closes_the_channel() {
        let mut conversation = Conversation::default();
        for _ in 0..MAX_REQUESTS {
            assert_eq!(conversation.answer(Request::Other), Answer::Refuse);
        }
        assert_eq!(conversation.answer(Request::Other), Answer::Close);
        assert_eq!(conversation.answer(Request::Shell), Answer::Close);
    }

    #[test]
    fn commands_that_are_not_one_text_are_refused() {
        for line in [b"a\0b".to_vec(), vec![0xff], vec![b'a'; MAX_COMMAND_BYTES + 1]] {
            assert_eq!(Conversation::default().answer(Request::Exec(line)), Answer::Refuse);
        }
    }

    #[test]
    fn environment_names_match_exactly_or_by_a_final_star() {
        let accepted = ["LANG".to_owned(), "LC_*".to_owned()];
        for (name, yes) in [("LANG", true), ("LC_ALL", true), ("LANGUAGE", false), ("PATH", false)]
        {
            assert_eq!(accepts_environment(&accepted, name), yes, "{name}");
        }
    }
}
