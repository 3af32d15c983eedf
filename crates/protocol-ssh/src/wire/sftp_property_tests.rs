//! SFTP conversations of any shape, cut in any way.

use proptest::collection::vec;
use proptest::prelude::*;

use super::sftp::{FileEvent, FileOperation};
use super::sftp_transcript::*;
use super::{Side, fuzzing};

/// Something a client does, with the answers of a target that agrees.
#[derive(Debug, Clone)]
enum Deed {
    Put { name: String, blocks: Vec<usize>, swap: bool },
    Get { name: String, blocks: Vec<usize>, swap: bool },
    Remove { name: String },
    Rename { from: String, to: String },
    Unknown { length: usize },
    Stray { length: usize },
}

/// What one deed says, and what has to come of it.
#[derive(Default)]
struct Script {
    turns: Vec<(Side, Vec<u8>)>,
    /// What the target has to receive: everything but refused packets.
    to_target: Vec<u8>,
    digests: Vec<Option<String>>,
}

fn is_refused(name: &str) -> bool {
    name.contains("secret")
}

impl Script {
    fn client(&mut self, bytes: Vec<u8>, refused: bool) {
        if !refused {
            self.to_target.extend_from_slice(&bytes);
        }
        self.turns.push((Side::Client, bytes));
    }

    fn target(&mut self, bytes: Vec<u8>) {
        self.turns.push((Side::Target, bytes));
    }

    fn add(&mut self, deed: &Deed) {
        match deed {
            Deed::Put { name, blocks, swap } => self.transfer(name, blocks, *swap, true),
            Deed::Get { name, blocks, swap } => self.transfer(name, blocks, *swap, false),
            Deed::Remove { name } => {
                self.client(on_path(13, 1, name), is_refused(name));
                if !is_refused(name) {
                    self.target(status(1, 0, ""));
                    self.digests.push(None);
                }
            }
            Deed::Rename { from, to } => {
                let refused = is_refused(from) || is_refused(to);
                self.client(request(18, 1, &[string(from), string(to)]), refused);
                if !refused {
                    self.target(status(1, 4, "no"));
                    self.digests.push(None);
                }
            }
            Deed::Unknown { length } => {
                self.client(request(77, 1, &[vec![0xaa; *length]]), true);
            }
            Deed::Stray { length } => {
                self.client(write(1, "nobody", 0, &vec![0xbb; *length]), true);
            }
        }
    }

    /// A whole file in blocks, all requests sent at once.
    fn transfer(&mut self, name: &str, blocks: &[usize], swap: bool, put: bool) {
        let refused = is_refused(name);
        self.client(open(1, name, if put { 0x1a } else { 0x01 }), refused);
        if refused {
            return;
        }
        self.target(handle(1, "h"));
        let (mut asked, mut answers, mut content) = (Vec::new(), Vec::new(), Vec::new());
        for (id, length) in (2..).zip(blocks) {
            let offset = content.len() as u64;
            let block: Vec<u8> = (0..*length).map(|n| (n % 251) as u8 ^ id as u8).collect();
            content.extend_from_slice(&block);
            if put {
                asked.push(write(id, "h", offset, &block));
                answers.push(status(id, 0, ""));
            } else {
                asked.push(read(id, "h", offset, *length as u32));
                answers.push(data(id, &block));
            }
        }
        if swap {
            answers.reverse();
        }
        if !put {
            asked.push(read(99, "h", content.len() as u64, 1));
            answers.push(status(99, 1, ""));
        }
        asked.push(close(100, "h"));
        answers.push(status(100, 0, ""));
        self.client(asked.concat(), false);
        self.target(answers.concat());
        self.digests.push(sha256(&content));
    }

    fn run(&self, cuts: &[usize]) -> (Vec<u8>, Vec<u8>, Vec<FileEvent>) {
        let mut conversation = Conversation::open();
        let mut cuts = cuts.iter().cycle();
        for (side, bytes) in &self.turns {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let length = cuts.next().map_or(rest.len(), |cut| (*cut).min(rest.len()));
                let (piece, after) = rest.split_at(length);
                conversation.say(*side, piece).unwrap();
                rest = after;
            }
        }
        let events = conversation.finish();
        (conversation.to_target, conversation.to_client, events)
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["/[a-z]{1,20}", Just("/secret/x".to_owned())]
}

fn deed() -> impl Strategy<Value = Deed> {
    let blocks = || vec(1_usize..5000, 0..12);
    prop_oneof![
        (name(), blocks(), any::<bool>()).prop_map(|(name, blocks, swap)| Deed::Put {
            name,
            blocks,
            swap
        }),
        (name(), blocks(), any::<bool>()).prop_map(|(name, blocks, swap)| Deed::Get {
            name,
            blocks,
            swap
        }),
        name().prop_map(|name| Deed::Remove { name }),
        (name(), name()).prop_map(|(from, to)| Deed::Rename { from, to }),
        (0_usize..3000).prop_map(|length| Deed::Unknown { length }),
        (0_usize..9000).prop_map(|length| Deed::Stray { length }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(portcullis_testkit::cases(96)))]

    #[test]
    fn the_target_gets_exactly_what_was_not_refused_and_every_file_its_digest(
        deeds in vec(deed(), 1..8),
    ) {
        let mut script = Script::default();
        deeds.iter().for_each(|deed| script.add(deed));
        let (to_target, _, events) = script.run(&[]);
        prop_assert_eq!(to_target, script.to_target);
        let digests: Vec<_> = events.iter().map(|event| event.sha256.clone()).collect();
        prop_assert_eq!(digests, script.digests);
        for event in events {
            prop_assert_eq!(event.complete, event.operation != FileOperation::Rename);
        }
    }

    #[test]
    fn the_same_bytes_cut_in_any_way_mean_the_same(
        deeds in vec(deed(), 1..8),
        cuts in vec(prop_oneof![1_usize..12, 1_usize..3000], 1..20),
    ) {
        let mut script = Script::default();
        deeds.iter().for_each(|deed| script.add(deed));
        prop_assert_eq!(script.run(&[]), script.run(&cuts));
    }

    #[test]
    fn any_bytes_from_both_sides_are_survived_within_the_bounds(
        input in vec(any::<u8>(), 0..4000),
    ) {
        fuzzing::sftp(&input);
        fuzzing::scp(&input);
        fuzzing::scp_command(&input);
    }

    #[test]
    fn conversations_with_a_damaged_byte_are_survived_within_the_bounds(
        deeds in vec(deed(), 1..6),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut script = Script::default();
        script.client(init(), false);
        script.target(version());
        deeds.iter().for_each(|deed| script.add(deed));
        let mut input = Vec::new();
        for (side, bytes) in &script.turns {
            for piece in bytes.chunks(60_000) {
                input.push(u8::from(*side == Side::Target));
                input.extend((piece.len() as u16).to_be_bytes());
                input.extend_from_slice(piece);
            }
        }
        for (place, value) in damage {
            let place = place.index(input.len());
            input[place] = value;
        }
        fuzzing::sftp(&input);
    }

    #[test]
    fn a_command_taken_for_scp_has_nothing_for_a_shell_in_it(
        command in "scp( -[tfrpdvq]{1,4}){0,3}( --)? [ -~]{0,20}",
    ) {
        fuzzing::scp_command(command.as_bytes());
    }
}
