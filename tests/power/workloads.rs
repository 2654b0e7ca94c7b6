//! What is recorded: commands that people run, on small logs.

use crate::Recording;
use crate::check::{Expected, Promised, lay_out, read_in};
use crate::disk::{Disk, Image, Loss, Random};
use crate::trace;
use lowlight_host::store::Reader;
use std::path::Path;
use std::process::Command;

/// Commands, and what was there before them.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    pub name: &'static str,
    /// Its part of all images: of large logs fewer are tried.
    pub weight: u64,
    /// Run before, without being recorded.
    pub before: &'static str,
    pub script: &'static str,
    pub config: &'static str,
}

const LINES: &str = r#"lines() { seq "$1" "$2" | sed 's/.*/{"model":"m","user":"u-needle","prompt":"p-& secret-needle","response":"r-&"}/'; }
"#;

pub const ALL: [Workload; 8] = [
    Workload {
        name: "plain",
        weight: 8,
        before: "",
        script: "lines 1 20 | $LL record --ack\nlines 21 40 | $LL record --ack",
        config: "batch_entries = 5\n",
    },
    Workload {
        name: "connections",
        weight: 8,
        before: "lines 1 5 | $LL record",
        script: "lines 1 25 | $LL record --ack & lines 26 50 | $LL record --ack & wait",
        config: "batch_entries = 4\n",
    },
    Workload {
        name: "checkpoints",
        weight: 8,
        before: "$LL keys init",
        script: "lines 1 15 | $LL record --ack\n$LL keys rotate\nlines 16 30 | $LL record --ack",
        config: "batch_entries = 3\ncheckpoint_entries = 3\n",
    },
    Workload {
        name: "retention",
        weight: 1,
        before: "lines 1 700 | $LL record",
        script: "$LL prune\nlines 1 10 | $LL record --ack",
        config: "[retention]\nmax_entries = 256\n",
    },
    Workload {
        name: "erasure",
        weight: 8,
        before: "lines 1 60 | $LL record",
        script: "$LL erase --user u-needle --yes\nlines 1 5 | sed 's/needle/other/g' | $LL record --ack",
        config: "",
    },
    Workload {
        name: "quarantine",
        weight: 8,
        before: "lines 1 40 | $LL record; printf damaged | dd of=logs/lowlight.db bs=1 seek=4200 conv=notrunc status=none; printf damaged | dd of=logs/lowlight.db bs=1 seek=40 conv=notrunc status=none",
        script: "lines 1 10 | $LL record --ack\nlines 11 20 | $LL record --ack",
        config: "",
    },
    Workload {
        name: "wal",
        weight: 8,
        before: "",
        script: "lines 1 60 | sed \"s/secret/$(head -c 30000 /dev/zero | tr '\\\\0' x)/\" | $LL record --ack",
        config: "batch_entries = 10\n",
    },
    Workload {
        name: "copy",
        weight: 8,
        before: "mkdir -p copy",
        script: "lines 1 15 | $LL record --ack\nlines 16 30 | $LL record --ack",
        config: "batch_entries = 5\n[copy]\npath = \"DIR/copy\"\n",
    },
];

impl Workload {
    /// Runs it under strace below `scratch`.
    pub fn record(&self, lowlight: &Path, scratch: &Path) -> Result<Recording, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.name);
        let dir = scratch.join(self.name);
        lay_out(&Default::default(), &dir).map_err(failed)?;
        let config = scratch.join(format!("{}.toml", self.name));
        std::fs::write(&config, self.config.replace("DIR", &dir.display().to_string())).map_err(failed)?;
        let script = |text: &str| format!("LL='{} --path logs'\n{LINES}{text}\n", lowlight.display());
        let before = Command::new("sh").args(["-e", "-c", &script(self.before)]).current_dir(&dir).env("LOWLIGHT_CONFIG", &config).output();
        let before = before.map_err(failed)?;
        if !before.status.success() {
            return Err(format!("{}: {}", self.name, String::from_utf8_lossy(&before.stderr)));
        }
        let files = read_in(&dir).map_err(failed)?;
        let ops = trace::record(&dir, &script(self.script), &config).map_err(|why| format!("{}: {why}", self.name))?;
        let mut expected = Expected { is_damaged: self.name == "quarantine", ..Expected::default() };
        let reader = Reader::open(&dir.join("logs")).map_err(|error| error.to_string())?;
        for seq in 0..reader.tip().size {
            expected.leaves.extend(reader.leaf(seq).map_err(|error| error.to_string())?.map(|leaf| (seq, leaf)));
        }
        self.is_whole(&files, &ops, &dir)?;
        Ok(Recording { name: self.name, weight: self.weight, before: files, ops, expected })
    }

    /// What the operations make must be what is on the disk: else they were not understood.
    fn is_whole(&self, before: &Image, ops: &[trace::Op], dir: &Path) -> Result<(), String> {
        let mut disk = Disk::with(before);
        ops.iter().for_each(|op| disk.apply(op));
        let mut on_disk = read_in(dir).map_err(|error| error.to_string())?;
        on_disk.retain(|path, _| !path.to_string_lossy().ends_with("-shm"));
        let made = disk.image(Loss::Kept, &mut Random(0));
        for path in on_disk.keys().chain(made.keys()) {
            if on_disk.get(path) != made.get(path) {
                return Err(format!("{}: {} is not what was recorded", self.name, path.display()));
            }
        }
        Ok(())
    }
}

/// What a line on standard output promises.
pub fn promise(line: &str, promised: &mut Promised) {
    if line.contains("\"status\":\"durable\"") {
        let seq = line.split_once("\"seq\":").and_then(|(_, rest)| rest.split([',', '}']).next()?.parse::<u64>().ok());
        promised.acked = promised.acked.max(seq);
    }
    if line.starts_with("erased ") {
        promised.erased.push("secret-needle".to_owned());
    }
}
