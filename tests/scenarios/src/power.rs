//! Power losses: an installation whose data lies on volumes that forget what was not synced.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use power_loss::{Survivors, Volume};
use rustix::process::Signal;

use crate::processes::signal;
use crate::{Installation, for_good, wait_for};

/// Boot id: stands for the kernel's; another one after each power loss.
pub(crate) const BOOT_ID: &str = "boot-id";

static BOOTS: AtomicU64 = AtomicU64::new(1);

/// A volume for what the supervisor keeps, and one for each of these instances, below `places` and linked to.
pub(crate) fn mount(data: &Path, places: &Path, instances: &[&str]) -> Vec<Volume> {
    let volume = |place: &Path| Volume::mount(place).unwrap_or_else(|error| panic!("{error}"));
    let mut volumes = vec![volume(data)];
    for name in instances {
        let place = places.join(name);
        std::fs::create_dir_all(&place).unwrap();
        volumes.push(volume(&place));
        std::os::unix::fs::symlink(&place, data.join(name)).unwrap();
    }
    std::fs::File::open(data).unwrap().sync_all().unwrap();
    volumes
}

pub(crate) fn boot(folder: &Path) {
    let number = BOOTS.fetch_add(1, Ordering::Relaxed);
    std::fs::write(folder.join(BOOT_ID), format!("boot-{number}\n")).unwrap();
}

impl Installation {
    fn volume(&self, name: &str) -> &Volume {
        self.volumes.iter().find(|volume| volume.place().ends_with(name)).expect("the instance has a volume")
    }

    /// The machine of one instance loses power after so many more changes of its disk, and comes back.
    #[track_caller]
    pub fn loses_power(&self, name: &str, changes: u64, survivors: Survivors) {
        let old = self.pid(name);
        // It would start the instance again before the disk has forgotten.
        signal(self.supervisor(), Signal::STOP);
        self.goes_off(name, changes);
        signal(old, Signal::KILL);
        self.ended(&[name]);
        boot(self.path());
        self.volume(name).power_on(survivors);
        signal(self.supervisor(), Signal::CONT);
        wait_for("another process", || match self.processes().into_iter().find(|(known, _)| known == name) {
            Some((_, pid)) if pid != old => Ok(()),
            other => Err(format!("{name} is {other:?}, was {old}")),
        });
    }

    /// One machine, or all in one room: everything loses power at once, after so many more changes of one disk, and is
    /// started again.
    #[track_caller]
    pub fn all_lose_power(&mut self, name: &str, changes: u64, survivors: Survivors) {
        self.goes_off(name, changes);
        self.volumes.iter().for_each(Volume::power_off);
        self.kill_all();
        self.ended(&["ssh-0", "ssh-1", "mirror-0", "balancer"]);
        boot(self.path());
        self.volumes.iter().for_each(|volume| volume.power_on(survivors));
        self.start_again();
    }

    #[track_caller]
    fn goes_off(&self, name: &str, changes: u64) {
        let volume = self.volume(name);
        volume.power_off_after(changes);
        wait_for("the power loss", || if volume.has_power() { Err(format!("{name} has power")) } else { Ok(()) });
    }

    /// Waits for the end of all processes of these instances.
    #[track_caller]
    fn ended(&self, names: &[&str]) {
        let data = self.data().display().to_string();
        let of_instance = |name: &&str| [format!("{data}/config/{name}.json"), format!("{data}/{name}/")];
        let paths: Vec<String> = names.iter().flat_map(of_instance).collect();
        wait_for("the end of processes", || {
            let all = std::fs::read_dir("/proc").map_err(|error| error.to_string())?;
            let lines = all.filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
            let mut lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
            lines.find(|line| paths.iter().any(|path| line.contains(path))).map_or(Ok(()), Err)
        });
    }

    /// `hg verify` finds nothing in any repository of any instance; nothing may run.
    #[track_caller]
    pub fn repositories_are_whole(&self, client: &crate::Client) {
        for instance in ["ssh-0", "ssh-1"].map(str::to_owned).into_iter().chain(self.mirrors()) {
            let folder = self.data().join(&instance).join("repositories");
            let mut count = 0;
            for repository in std::fs::read_dir(&folder).unwrap() {
                let path = repository.unwrap().path();
                let verified = client.hg("", &["verify", "--quiet", "-R", path.to_str().unwrap()]);
                for_good(verified.code == Some(0), format_args!("{} is not whole: {verified:?}", path.display()));
                count += 1;
            }
            assert!(count > 0, "no repository in {}", folder.display());
        }
    }

    fn mirrors(&self) -> impl Iterator<Item = String> {
        (0..self.ready().mirrors.len()).map(|number| format!("mirror-{number}"))
    }
}
