//! The entries of a device, read as those of a log are.

use super::ImportError;
use super::store::{DeviceStore, devices};
use super::verify::names_of_devices;
use crate::store::{Reader, Scratch};
use lowlight_core::chain::leaf;
use lowlight_core::entry::MAX_SIZE;
use std::path::Path;

/// The entries that were taken in of a device, and how many of them it had differently before: those are told as they came in last.
/// They are put into a private file of temporary files first, by which they are as the log of a box to whoever reads them; nothing
/// is verified. `id` is that of the device's log, or how it begins.
///
/// # Errors
///
/// [`ImportError::Device`] when there is not one such device; otherwise what the system says.
pub fn open_device(dir: &Path, id: &str) -> Result<(Reader, u64), ImportError> {
    match std::fs::read_dir(devices(dir)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(ImportError::Device(format!("{}: {error}", devices(dir).display())));
        }
        _ => {}
    }
    let known = names_of_devices(dir);
    let found: Vec<_> = known.iter().filter(|name| name.starts_with(&id.to_ascii_lowercase())).collect();
    let [name] = found[..] else {
        let list = |names: &mut dyn Iterator<Item = &String>| names.take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(ImportError::Device(match (found.is_empty(), known.is_empty()) {
            (_, true) => "no device was taken in into this log: see `lowlight import`".to_owned(),
            (true, false) => format!("no device {id} was taken in into this log; there are {}", list(&mut known.iter())),
            (false, false) => format!("give more of the id: {}", list(&mut found.into_iter())),
        }));
    };
    let home = devices(dir).join(name);
    let nothing = || ImportError::Device(format!("nothing was taken in of device {name} yet: run `lowlight import`"));
    if DeviceStore::is_unmade(&home) {
        return Err(nothing());
    }
    let store = DeviceStore::read(&home)?;
    let stretches = store.stretches()?;
    if stretches.is_empty() {
        return Err(nothing());
    }
    let mut scratch = Scratch::new(store.path(), store.log_id())?;
    // Later ones over earlier ones.
    for stretch in stretches {
        let (mut head, mut done) = (stretch.import.head_before, Ok(()));
        store.bodies(stretch.id, |index, body| {
            head = leaf(&head, body);
            if done.is_ok() && index < MAX_SIZE {
                done = scratch.put(index.cast_signed(), &head, body);
            }
        })?;
        done?;
    }
    Ok((scratch.read()?, store.doubled()?))
}
