//! An installation and plain Mercurial beside each other, with the same repositories and settings, and what clients
//! find there (`sameness.py`).

use std::fmt::{Display, Formatter};
use std::path::Path;
use std::process::{Command, Stdio};

use scenarios::{Client, Installation, Mercurial, Options};
use serde::Deserialize;
use serde_json::json;

use crate::plain::{Plain, script};

/// Client's hgrc that all have, so that both worlds' changesets and markers have the same hashes.
const CLIENT_HGRC: &str = "[ui]\nusername = Test User <test@example.com>\ninteractive = no\ntimeout = 60\n\
     merge = :local\n[extensions]\nrebase =\nuncommit =\n[experimental]\nevolution = all\n\
     [devel]\ndefault-date = 0 0\ndiscovery.randomize = no\n[progress]\ndisable = yes\n";
/// Where the list of differences is.
const PAGE: &str = "../../docs/differences.md";

#[derive(Clone, Copy)]
struct Kind {
    publishing: bool,
    obsolescence: bool,
}

/// Sequence, and what it came to.
#[derive(Debug, Deserialize)]
pub struct Sequence {
    pub seed: u64,
    /// The last step.
    pub step: i64,
    pub differs: Vec<String>,
    /// Steps that were done last.
    pub steps: Vec<String>,
}

pub struct Sequences {
    installation: Installation,
    plain: Plain,
}

fn path(seed: u64) -> String {
    format!("sequences/{seed}")
}

fn kind(seed: u64) -> Kind {
    match seed / 4 % 4 {
        0 => Kind { publishing: true, obsolescence: false },
        1 => Kind { publishing: false, obsolescence: false },
        _ => Kind { publishing: false, obsolescence: true },
    }
}

impl Display for Sequence {
    fn fmt(&self, text: &mut Formatter<'_>) -> std::fmt::Result {
        let Sequence { seed, step, differs, steps } = self;
        writeln!(text, "seed {seed}, step {step} (again: HGD_SOAK_SEED={seed} HGD_SAMENESS_SEQUENCES=1):")?;
        writeln!(text, "{}\nafter\n{}", differs.join("\n"), steps.join("\n"))
    }
}

impl Sequences {
    pub fn start(server: &Mercurial, seeds: &[u64]) -> Sequences {
        let mut options = Options::new(server, &[]);
        for seed in seeds {
            let Kind { publishing, obsolescence } = kind(*seed);
            options.resources += &format!(
                "---\napiVersion: hg-operator.dev/v1alpha1\nkind: HgRepository\nmetadata: {{name: s{seed}}}\nspec: \
                 {{path: {}, masterRef: {{name: hg}}, writeGroups: [developers], publishing: {publishing}, \
                 obsolescence: {obsolescence}}}\n",
                path(*seed)
            );
        }
        let installation = Installation::start(options);
        let ours = std::fs::read_to_string(installation.data().join("ssh-0/run/mercurial/hgrc")).unwrap();
        let repositories: Vec<_> = seeds.iter().map(|seed| (path(*seed), settings(kind(*seed)))).collect();
        let plain = Plain::start(server, &installation.path().join("plain"), &without_ours(&ours), &repositories);
        Sequences { installation, plain }
    }

    /// The sequences of these seeds, by clients of this Mercurial.
    pub fn run(&self, client: &Mercurial, seeds: &[u64], steps: u64) -> Vec<Sequence> {
        let folder = self.installation.path().join(format!("sequences-{}", client.version));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("hgrc"), CLIENT_HGRC).unwrap();
        let ready = self.installation.ready();
        let ours = Client::new(&self.installation, client, "sequences");
        let order = json!({
            "folder": folder,
            "page": Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE),
            "seeds": seeds,
            "steps": steps,
            "repositories": seeds.iter().map(|seed| path(*seed)).collect::<Vec<_>>(),
            "markers": seeds.iter().map(|seed| kind(*seed).obsolescence).collect::<Vec<_>>(),
            "ours": {
                "ssh": ours.ssh_command(), "sshUrl": ours.ssh_url, "mirrors": ready.mirrors, "status": ready.status,
            },
            "plain": {"ssh": self.plain.ssh(), "sshUrl": "ssh://plain", "mirrors": [self.plain.http()]},
        });
        let mut command = Command::new(&client.python);
        command.arg(script("sameness.py")).arg(order.to_string());
        command.env_clear().envs([("PATH", "/usr/bin:/bin"), ("LC_ALL", "C.UTF-8")]);
        command.env("HGRCPATH", folder.join("hgrc")).env("HOME", &folder).stdin(Stdio::null());
        let said = command.stderr(Stdio::inherit()).output().unwrap();
        let text = String::from_utf8(said.stdout).unwrap();
        let ran: Vec<Sequence> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(ran.len(), seeds.len(), "sameness.py ended early: {text}");
        ran
    }
}

/// A repository's own hgrc, as the extension writes it of the same settings.
fn settings(kind: Kind) -> String {
    let evolution = if kind.obsolescence { "all" } else { "" };
    format!("[phases]\npublish = {}\n[experimental]\nevolution = {evolution}\n", kind.publishing)
}

/// An instance's hgrc without our extension.
fn without_ours(hgrc: &str) -> String {
    let mut section = "";
    let mut text = String::new();
    for line in hgrc.lines() {
        if line.starts_with('[') {
            section = line;
        }
        if section != "[hg-operator]" && section != "[extensions]" && !line.starts_with("%include") {
            text += line;
            text += "\n";
        }
    }
    text
}
