//! `lowlight prove`: proofs that hold without the log.

use super::args::{Cli, ProveArgs};
use super::{Failure, Outcome, out, say};
use crate::prove::{self, ProveError};
use lowlight_core::FieldId;

impl From<ProveError> for Failure {
    fn from(error: ProveError) -> Self {
        match error {
            ProveError::Store(error) => Self::Store(error),
            other => Self::Usage(other.to_string()),
        }
    }
}

pub(super) fn run(cli: &Cli, args: &ProveArgs) -> Outcome {
    out::check(&args.output)?;
    let proof = match (args.seq, args.consistency.as_slice()) {
        (_, [old, rest @ ..]) => prove::growth(&cli.path, *old, rest.first().copied()),
        (Some(seq), []) => {
            let fields = args.field.iter().map(|name| field(name)).collect::<Result<Vec<_>, _>>()?;
            let opened = std::cell::RefCell::new(Vec::new());
            let proof = prove::entry(&cli.path, seq, args.at, &|field| {
                opened.borrow_mut().push(field);
                fields.contains(&None) || fields.contains(&Some(field))
            });
            let there = opened.into_inner();
            if let Some(field) = fields.iter().flatten().find(|field| proof.is_ok() && !there.contains(field)) {
                let names: Vec<_> = there.iter().map(|field| field.name().to_string()).collect();
                let has = if names.is_empty() { "no content".to_owned() } else { names.join(", ") };
                return Err(Failure::Usage(format!("--field: entry {seq} has no {}; it has {has}", field.name())));
            }
            proof
        }
        (None, []) => return Err(Failure::Usage("give the seq of an entry, or --consistency OLD".to_owned())),
    };
    match proof {
        Err(ProveError::Broken(why)) => {
            say(&ProveError::Broken(why).to_string());
            Ok(1)
        }
        proof => {
            let proof = proof?;
            out::write(&args.output, |out| Ok(out.write_all(&proof)?))?;
            Ok(0)
        }
    }
}

/// A field by its name; `None` for `all`.
fn field(name: &str) -> Result<Option<FieldId>, Failure> {
    let known = (0..64).filter_map(FieldId::new).find(|field| field.name() == name);
    match known {
        None if name != "all" => {
            let names: Vec<_> = (0..13).filter_map(FieldId::new).map(|field| field.name().to_string()).collect();
            Err(Failure::Usage(format!("--field: '{name}' is no content field; there are {}, app_32 to app_63 and all", names.join(", "))))
        }
        known => Ok(known),
    }
}
