//! One reader, who asks another mirror each time.

use std::collections::VecDeque;

use scenarios::{Answer, KeepAlive, for_good};

use crate::sequence::{Sequence, View};
use crate::wire;

/// Whether an answer is one that every mirror must give.
type Check = Box<dyn Fn(&Answer) -> bool>;

/// Bundles come as they are, so that hashes can be found in them.
const UNCOMPRESSED: (&str, &str) = ("X-HgProto-1", "0.1 0.2 comp=none");
/// More are kept for nobody.
const MAX_FRESH: usize = 64;
const MAX_FOUND: usize = 50;

pub struct Checker<'a> {
    mirrors: Vec<KeepAlive>,
    sequences: &'a [Sequence],
    /// Turn: who is asked next.
    turn: usize,
    dice: u64,
    /// Hashes seen for the first time: (of which sequence, on which mirror, hash).
    fresh: VecDeque<(usize, usize, String)>,
    pub by_hash: usize,
    /// Contradictions.
    pub found: Vec<String>,
}

impl<'a> Checker<'a> {
    pub fn new(mirrors: &[String], sequences: &'a [Sequence], seed: u64) -> Checker<'a> {
        Checker {
            mirrors: mirrors.iter().map(|base| KeepAlive::new(base)).collect(),
            sequences,
            turn: 0,
            dice: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            fresh: VecDeque::new(),
            by_hash: 0,
            found: Vec::new(),
        }
    }

    /// One request.
    pub fn ask(&mut self) {
        self.turn = (self.turn + 1) % self.mirrors.len();
        let other = self.fresh.iter().position(|(_, mirror, _)| *mirror != self.turn);
        let number = self.roll();
        let result = match other.and_then(|place| self.fresh.remove(place)) {
            Some((sequence, _, hash)) => self.fetch(sequence, &hash),
            None => {
                let sequence = usize::try_from(number % 2).unwrap() % self.sequences.len();
                let old = self.sequences[sequence].any_seen(number / 8);
                match old.filter(|_| number % 8 >= 4) {
                    Some(hash) => self.fetch(sequence, &hash),
                    None => self.look(sequence),
                }
            }
        };
        if let Err(why) = result
            && self.found.len() < MAX_FOUND
        {
            self.found.push(why);
        }
    }

    /// xorshift64: any order does, and a seed gives it again.
    fn roll(&mut self) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice >> 3
    }

    fn get(&mut self, sequence: usize, rest: &str, headers: &[(&str, &str)]) -> Result<Answer, String> {
        let path = format!("/{}{rest}", self.sequences[sequence].path());
        let answer = self.mirrors[self.turn].get(&path, headers);
        let answer = answer.map_err(|error| format!("mirror {}: {path}: {error}", self.turn))?;
        match answer.status {
            200 => Ok(answer),
            status => Err(format!("mirror {}: {path}: {status}: {}", self.turn, answer.text())),
        }
    }

    /// Asks what there is.
    fn look(&mut self, sequence: usize) -> Result<(), String> {
        let number = self.roll();
        let shared = &self.sequences[sequence];
        let fresh = if number.is_multiple_of(16) {
            shared.listed(listed(&self.get(sequence, "/json-log", &[])?)?)
        } else {
            let command = match number % 8 {
                1 => wire::HEADS,
                2 => wire::BRANCHES,
                3 => wire::BOOKMARKS,
                4 => wire::PHASES,
                _ => wire::WHOLE,
            };
            let from = shared.reached(self.turn);
            let answer = self.get(sequence, &format!("?{command}"), &[])?;
            let view = wire::view(command, &answer.text());
            shared.look(self.turn, from, &view).map_err(|why| format!("{}: {command}: {why}", shared.path()))?
        };
        let turn = self.turn;
        self.fresh.extend(fresh.into_iter().map(|hash| (sequence, turn, hash)));
        while self.fresh.len() > MAX_FRESH {
            self.fresh.pop_front();
        }
        Ok(())
    }

    /// Asks for what was seen on some mirror.
    fn fetch(&mut self, sequence: usize, hash: &str) -> Result<(), String> {
        self.by_hash += 1;
        let shared = &self.sequences[sequence];
        let number = self.roll();
        let (rest, right): (String, Check) = match number % 8 {
            0 | 6 => {
                let wanted = format!("1 {hash}\n");
                (format!("?cmd=lookup&key={hash}"), Box::new(move |answer| answer.text() == wanted))
            }
            // Discovery is about what is shown here, now.
            1 | 7 => (format!("?cmd=known&nodes={hash}"), Box::new(|answer| matches!(&answer.body[..], b"0" | b"1"))),
            2 => {
                let common = shared.any_seen(number / 8).filter(|other| other != hash && number % 16 < 8);
                let named = common.is_some();
                let common = common.unwrap_or_else(|| crate::sequence::NULL.to_owned());
                let capabilities = "HG20%2Cbundle2%3DHG20%250Achangegroup%253D01%252C02";
                let rest = format!("?cmd=getbundle&bundlecaps={capabilities}&cg=1&common={common}&heads={hash}");
                let bytes = binary(hash);
                // What is in common may be a descendant, and then there is nothing to send.
                (rest, Box::new(move |answer| holds(&answer.body, b"HG20") && (named || holds(&answer.body, &bytes))))
            }
            3 => {
                let wanted = format!("\"node\": \"{hash}\"");
                (format!("/json-rev/{hash}"), Box::new(move |answer| answer.text().contains(&wanted)))
            }
            _ => {
                let new = shared.content(hash);
                let wanted = new.content.into_bytes();
                (format!("/raw-file/{hash}/{}", new.file), Box::new(move |answer| answer.body == wanted))
            }
        };
        let answer = self.get(sequence, &rest, &[UNCOMPRESSED])?;
        if right(&answer) {
            return Ok(());
        }
        Err(format!("mirror {} cannot serve {hash}: {}{rest}: {}", self.turn, shared.path(), answer.text()))
    }

    /// All mirrors show the last pushed state.
    pub fn shows_the_last(&mut self, sequence: &Sequence) {
        let last = sequence.last();
        for mirror in &mut self.mirrors {
            let answer = mirror.get(&format!("/{}?{}", sequence.path(), wire::WHOLE), &[]).unwrap();
            let view = wire::view(wire::WHOLE, &answer.text());
            let View { heads, branches, bookmarks, drafts } = view;
            let shown = (heads.as_ref(), branches.as_ref(), bookmarks.as_ref(), drafts.as_ref());
            let pushed = (Some(&last.heads), Some(&last.branches), Some(&last.bookmarks), Some(&last.drafts));
            for_good(shown == pushed, format_args!("{shown:#?} is shown, and {pushed:#?} was pushed"));
            let nowhere = mirror.get(&format!("/{}/json-rev/{}", sequence.path(), "12".repeat(20)), &[]).unwrap();
            for_good(nowhere.status == 404, format_args!("{}: nobody has it", nowhere.text()));
        }
    }
}

fn listed(answer: &Answer) -> Result<Vec<String>, String> {
    let page: serde_json::Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let changesets = page["changesets"].as_array().ok_or_else(|| format!("a page of changesets: {page}"))?;
    Ok(changesets.iter().filter_map(|entry| entry["node"].as_str()).map(str::to_owned).collect())
}

fn binary(hash: &str) -> Vec<u8> {
    (0..hash.len() / 2).map(|place| u8::from_str_radix(&hash[2 * place..2 * place + 2], 16).unwrap()).collect()
}

fn holds(body: &[u8], wanted: &[u8]) -> bool {
    body.windows(wanted.len()).any(|window| window == wanted)
}
