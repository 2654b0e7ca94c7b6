//! Every example of `docs/guide.md` does what the guide says.
//!
//! A fenced block `console` is a session: a line `$ command`, lines `> ...` that go on with it, then what it prints.
//! A line `...` stands for any lines. All sessions of the guide run one after another in one directory, which has the
//! `examples` of the repository. What a command says on stderr may come before or after what it prints.

use super::common::{Place, finish};
use regex_lite::Regex;
use std::process::Command;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide.md");
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

#[derive(Debug, Default, PartialEq, Eq)]
struct Step {
    line: usize,
    command: String,
    prints: Vec<String>,
}

fn steps(guide: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut inside, mut started, mut in_command) = (false, false, false);
    for (index, line) in guide.lines().enumerate() {
        if line.trim_end().starts_with("```") {
            inside = !inside && line.trim_end() == "```console";
            started = false;
        } else if !inside {
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { line: index + 1, command: command.to_owned(), prints: Vec::new() });
            (started, in_command) = (true, true);
        } else if let Some(step) = steps.last_mut().filter(|_| started) {
            match line.strip_prefix("> ").filter(|_| in_command) {
                Some(more) => {
                    step.command.push('\n');
                    step.command.push_str(more);
                }
                None => {
                    in_command = false;
                    step.prints.push(line.to_owned());
                }
            }
        }
    }
    steps
}

/// Replaces what differs from one run to the next.
struct Normaliser {
    rules: Vec<(Regex, &'static str)>,
}

impl Normaliser {
    fn new() -> Self {
        let rules = [
            // What `doctor` says about the machine it runs on.
            (r"^(ok|warning) +(clock|file system|space) .*$", "<$2>"),
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>"),
            (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?", "<time>"),
            (r"\b1\d{18}\b", "<ns>"),
            (r#"(monotonic"?:?\s*)\d+"#, "$1<ns>"),
            (r"\b[0-9a-f]{16,}\b…?", "<hash>"),
            (r"\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}", "+<key>"),
            (r"[A-Za-z0-9+/]{42,}=*", "<base64>"),
            (r"\b\d+(\.\d+)? (B|KiB|MiB|GiB|TiB)\b", "<size>"),
            (r"\b\d+(\.\d+)? ?(ns|us|µs|ms|s)\b", "<duration>"),
            (r#"("(p50_ms|p90_ms|p99_ms|database|wal)":)[0-9.]+"#, "$1<n>"),
            (r"\s+", " "),
        ];
        Self { rules: rules.map(|(pattern, with)| (Regex::new(pattern).unwrap(), with)).into() }
    }

    fn line(&self, line: &str) -> String {
        let mut line = line.trim_end().to_owned();
        for (pattern, with) in &self.rules {
            line = pattern.replace_all(&line, *with).into_owned();
        }
        line
    }

    fn lines<'t>(&self, lines: impl Iterator<Item = &'t str>) -> Vec<String> {
        let mut lines: Vec<_> = lines.map(|line| self.line(line)).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }
}

/// Whether `found` is `expected`, where a line `...` stands for any lines.
fn matches(expected: &[String], found: &[String]) -> bool {
    match expected.split_first() {
        None => found.is_empty(),
        Some((line, rest)) if line == "..." => (0..=found.len()).any(|skipped| matches(rest, &found[skipped..])),
        Some((line, rest)) => found.first() == Some(line) && matches(rest, &found[1..]),
    }
}

/// Whether what was printed is what is shown, each of stderr and the rest in its own order.
fn same(expected: &[String], found: &[String]) -> bool {
    let part = |lines: &[String], said: bool| -> Vec<String> {
        lines.iter().filter(|line| line.starts_with("lowlight: ") == said).cloned().collect()
    };
    matches(&part(expected, true), &part(found, true)) && matches(&part(expected, false), &part(found, false))
}

/// Runs a step as a terminal would show it.
fn run(place: &Place, step: &Step) -> String {
    let binaries = std::path::Path::new(env!("CARGO_BIN_EXE_lowlight")).parent().unwrap();
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(binaries.to_path_buf()).chain(std::env::split_paths(&inherited));
    let mut command = Command::new("timeout");
    command.args(["60", "sh", "-c", &format!("exec 2>&1\n{}", step.command)]);
    place.clean(&mut command);
    command.env("PATH", std::env::join_paths(path).unwrap());
    finish(command, b"").out
}

#[test]
fn every_example_of_the_guide_gives_the_output_shown() {
    let Ok(guide) = std::fs::read_to_string(GUIDE) else {
        assert!(std::env::var("CI").is_err(), "docs/guide.md is missing");
        eprintln!("skipped: docs/guide.md is not written yet");
        return;
    };
    let steps = steps(&guide);
    assert!(!steps.is_empty(), "the guide has no console block with a command");
    let (place, normaliser) = (Place::new(), Normaliser::new());
    std::os::unix::fs::symlink(EXAMPLES, place.path("examples")).unwrap();
    let mut wrong = Vec::new();
    for step in &steps {
        let printed = run(&place, step);
        let expected = normaliser.lines(step.prints.iter().map(String::as_str));
        let found = normaliser.lines(printed.lines());
        if !same(&expected, &found) {
            wrong.push(format!("guide.md:{}: $ {}\n--- shown\n{}\n--- printed\n{}", step.line, step.command, expected.join("\n"), printed));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn sessions_are_found_in_a_guide() {
    let guide = "text\n```console\n$ one \\\n> more\nout\n$ two\n```\n```sh\n$ not this\n```\n$ nor this\n```console\nno prompt\n```\n";
    let step = |line, command: &str, prints: &[&str]| Step {
        line,
        command: command.to_owned(),
        prints: prints.iter().map(|line| (*line).to_owned()).collect(),
    };
    assert_eq!(steps(guide), [step(3, "one \\\nmore", &["out"]), step(6, "two", &[])]);
}

#[test]
fn what_differs_between_runs_is_normalised_and_nothing_else() {
    let normaliser = Normaliser::new();
    let line = |text: &str| normaliser.line(text);
    assert_eq!(line("     3  2026-11-22T11:38:16  inference  m1  12.5 ms"), " 3 <time> inference m1 <duration>");
    assert_eq!(line("root dce6287ab5013a374ef73ac4b1fba69b1cab565b2a625a5dbf9e986012750bac"), "root <hash>");
    assert_eq!(line(r#"{"seq":3,"id":"01a2030c-bfdd-7382-a797-ae653dace739"}"#), r#"{"seq":3,"id":"<id>"}"#);
    assert_eq!(line("intact: ./logs: 10 entries, 6 records"), "intact: ./logs: 10 entries, 6 records");
    assert_ne!(line("10 entries"), line("11 entries"));
}

#[test]
fn three_dots_stand_for_any_lines() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(matches(&lines("a\n...\nd"), &lines("a\nb\nc\nd")));
    assert!(matches(&lines("..."), &[]));
    assert!(!matches(&lines("a\n...\nd"), &lines("a\nb\nc")));
    assert!(!matches(&lines("a"), &lines("a\nb")));
}
