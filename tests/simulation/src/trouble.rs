//! Faults that come together. Single ones seldom meet just where a promise hangs on one thing that somebody remembers,
//! so in every other run one kind of trouble prevails.

use std::time::Duration;

use crate::chance::Chance;
use crate::nodes::{Node, OPERATORS};
use crate::world::{World, note};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Anything,
    /// Masters that were replaced do not know it and go on, and the new one starts again.
    OldMasters,
    /// Writes of the register have no answer, and who wrote them loses the standbys as well.
    LostAnswers,
}

impl Trouble {
    pub fn any(chance: &mut Chance) -> Trouble {
        match chance.below(4) {
            0 => Trouble::OldMasters,
            1 => Trouble::LostAnswers,
            _ => Trouble::Anything,
        }
    }
}

impl World {
    pub fn trouble(&mut self) {
        match self.trouble {
            Trouble::Anything => self.disturb(),
            Trouble::OldMasters => self.trouble_with_old_masters(),
            Trouble::LostAnswers => self.trouble_with_answers(),
        }
    }

    fn trouble_with_old_masters(&mut self) {
        match self.chance.below(8) {
            0..3 => {
                if let Some(master) = self.named() {
                    self.hide_from_government(master);
                    self.pause(Node::Ssh(master));
                    self.let_time_pass();
                }
            }
            3..5 => self.wake(),
            5..7 => {
                if let Some(master) = self.named() {
                    let power = self.chance.one_in(4);
                    self.crash_ssh(master, power);
                    self.restart_ssh(master);
                    if self.chance.one_in(2) {
                        self.cut_off(Node::Ssh(master), Node::Register);
                    }
                }
            }
            _ => self.calm(),
        }
    }

    fn trouble_with_answers(&mut self) {
        match self.chance.below(8) {
            0..2 => {
                if let Some(master) = self.named() {
                    self.hide_from_standbys(master);
                    self.let_time_pass();
                }
            }
            2..4 => {
                if let Some(master) = self.named() {
                    self.crash_ssh(master, false);
                }
            }
            4..6 => self.let_time_pass(),
            _ => {
                self.calm();
                self.restart_all();
            }
        }
    }

    /// Loses more than the answer: words of the node itself, on the same way.
    pub fn lose_more_than_the_answer(&mut self, by: Node) {
        if let Node::Ssh(index) = by
            && self.trouble == Trouble::LostAnswers
            && self.chance.one_in(2)
        {
            self.hide_from_standbys(index);
        }
    }

    fn hide_from_government(&mut self, index: usize) {
        self.cut_off(Node::Ssh(index), Node::Register);
        (0..OPERATORS).for_each(|operator| self.cut_off(Node::Ssh(index), Node::Operator(operator)));
    }

    fn hide_from_standbys(&mut self, index: usize) {
        let others = (0..self.ssh.len()).filter(|other| *other != index);
        others.for_each(|other| self.cut_off(Node::Ssh(index), Node::Ssh(other)));
    }

    /// Long enough to be suspected, or to be late.
    fn let_time_pass(&mut self) {
        self.now += Duration::from_millis(1_000 + self.chance.below(3_000) as u64);
        note!(self, "time passes");
    }

    /// Answers whom the register names, alive or not.
    fn named(&self) -> Option<usize> {
        let master = self.register.state().master.as_ref();
        self.ssh.iter().position(|ssh| Some(&ssh.name) == master)
    }
}
