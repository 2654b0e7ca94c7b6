//! The key that signs a log's checkpoints: one Ed25519 key in a file of the log directory.
//!
//! ```text
//! DIR/keys/log.key    "PRIVATE+KEY+" name "+" key id "+" base64(0x01 || seed) "\n"      0600
//! DIR/keys/next.key   the same, while the key is being replaced
//! DIR/keys/erasure.key   the same: signs policies that keep less; is to be moved away
//!
//! rotation:  next.key written -> key_change entry, signed by the old key, committed -> next.key renamed to log.key
//! ```
//!
//! Limit: whoever can read the file can sign; it shows that this box made a checkpoint, not that root on it was honest.
//!
//! 1. A file is written once, to a temporary name, and linked; a key that is there is never overwritten but by rotation.
//! 2. A rotation that was interrupted is finished by the next start of a recorder.

use crate::random;
use crate::removal::RuleEntries;
use crate::store::{Layout, StoreError, files};
use lowlight_core::LogId;
use lowlight_core::entry::Event;
use lowlight_core::entry::codec::decode;
use lowlight_core::note::base64::{Base64, decode_array};
use lowlight_core::note::{Algorithm, Ed25519, Key, Signer as _, is_name};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Name of a key that was given none, and of the origin of a log without a key.
pub const DEFAULT_NAME: &str = "lowlight";
/// Most bytes of a name: with the id of the log behind it it must fit an origin, and its vkey a text of an entry.
pub const MAX_NAME: usize = 128;
const PREFIX: &str = "PRIVATE+KEY+";

/// Where the key of a log is.
pub fn file(layout: &Layout) -> PathBuf {
    layout.dir().join("keys").join("log.key")
}

/// Where the key is that takes its place.
pub fn next_file(layout: &Layout) -> PathBuf {
    file(layout).with_file_name("next.key")
}

/// Where the key is that alone can make a log keep less.
pub fn erasure_file(layout: &Layout) -> PathBuf {
    file(layout).with_file_name("erasure.key")
}

/// The private key of a log.
#[derive(Debug)]
pub struct LogKey {
    name: String,
    signer: Ed25519,
}

impl LogKey {
    /// The key in a log's directory, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unsafe`] when others can read it or it is no key.
    pub fn load(layout: &Layout) -> Result<Option<Self>, StoreError> {
        Self::read(&file(layout))
    }

    /// The key that is to take its place, if there is one.
    ///
    /// # Errors
    ///
    /// As for [`LogKey::load`].
    pub fn load_next(layout: &Layout) -> Result<Option<Self>, StoreError> {
        Self::read(&next_file(layout))
    }

    /// The key that can make the log keep less, if there is one.
    ///
    /// # Errors
    ///
    /// As for [`LogKey::load`].
    pub fn load_erasure(layout: &Layout) -> Result<Option<Self>, StoreError> {
        Self::read(&erasure_file(layout))
    }

    pub(crate) fn read(path: &Path) -> Result<Option<Self>, StoreError> {
        let mut text = String::new();
        match files::read_private(path)? {
            None => return Ok(None),
            Some(file) => file.take(1_024).read_to_string(&mut text).map_err(|source| StoreError::from_io(path, source))?,
        };
        let damaged = || StoreError::Unsafe { path: path.to_path_buf(), why: "is not a private key; restore it from a copy".to_owned() };
        Self::parse(&text).map(Some).ok_or_else(damaged)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_suffix('\n')?.strip_prefix(PREFIX)?.splitn(3, '+');
        let (name, id, encoded) = (parts.next()?, parts.next()?, parts.next()?);
        let [1, seed @ ..] = decode_array::<33>(encoded.as_bytes())? else { return None };
        let key = Self { name: name.to_owned(), signer: Ed25519::from_seed(&seed) };
        (is_name(name) && u32::from_str_radix(id, 16).ok()?.to_be_bytes() == key.key().id()).then_some(key)
    }

    /// Makes a key for a log from the system's random source.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unsafe`] for a name that no key can have, or when there is a key already.
    pub fn create(layout: &Layout, name: &str) -> Result<Self, StoreError> {
        Self::write(layout, &file(layout), name)
    }

    /// Makes the key that is to take the place of the one that is there; the next start of a recorder completes it.
    ///
    /// # Errors
    ///
    /// As for [`LogKey::create`]; a rotation that was begun and not completed is in the way of another.
    pub fn create_next(layout: &Layout, name: &str) -> Result<Self, StoreError> {
        Self::write(layout, &next_file(layout), name)
    }

    /// Makes the key that can make a log keep less; a new log names it in entry 0.
    ///
    /// # Errors
    ///
    /// As for [`LogKey::create`].
    pub fn create_erasure(layout: &Layout, name: &str) -> Result<Self, StoreError> {
        Self::write(layout, &erasure_file(layout), name)
    }

    pub(crate) fn write(layout: &Layout, path: &Path, name: &str) -> Result<Self, StoreError> {
        let refuse = |why: &str| Err(StoreError::Unsafe { path: path.to_path_buf(), why: why.to_owned() });
        if !is_name(name) || name.len() > MAX_NAME {
            return refuse("cannot be made: a name (--name) has 1 to 128 bytes without white space and plus signs");
        }
        layout.prepare()?;
        let folder = layout.dir().join("keys");
        files::private_dir(&folder)?;
        let mut seed = [0; 32];
        random::fill(&mut seed).map_err(|source| StoreError::from_io(path, source))?;
        let key = Self { name: name.to_owned(), signer: Ed25519::from_seed(&seed) };
        let mut secret = [1; 33];
        secret[1..].copy_from_slice(&seed);
        let line = format!("{PREFIX}{name}+{:08x}+{}\n", u32::from_be_bytes(key.key().id()), Base64(&secret));
        let io = |source| StoreError::from_io(path, source);
        let fresh = folder.join(format!(".log.key.{}", std::process::id()));
        let _ = std::fs::remove_file(&fresh);
        let mut file = files::private_file(&fresh)?;
        file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        // A link fails where there is a key, a rename would replace it.
        let linked = std::fs::hard_link(&fresh, path);
        let _ = std::fs::remove_file(&fresh);
        match linked {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let is_own = path == self::file(layout);
                let advice = if is_own { ": `lowlight keys show` prints it, `lowlight keys rotate` replaces it" } else { "" };
                return refuse(&format!("is there already and was left alone{advice}"));
            }
            linked => linked.map_err(io)?,
        }
        files::sync_parent(path)?;
        Ok(key)
    }

    /// The public key.
    pub fn key(&self) -> Key<'_> {
        Key { name: &self.name, algorithm: Algorithm::Ed25519, public: self.signer.public() }
    }

    /// The public key, when it is used for cosignatures.
    pub fn cosigner(&self) -> Key<'_> {
        Key { algorithm: Algorithm::CosignatureV1, ..self.key() }
    }

    /// Writes the signature line for a checkpoint's text behind it.
    pub fn sign(&mut self, text: &str, out: &mut String) {
        self.sign_as(Algorithm::Ed25519, text, 0, out);
    }

    /// Writes a line of either kind; `time` is for cosignatures, Unix seconds.
    pub fn sign_as(&mut self, algorithm: Algorithm, text: &str, time: u64, out: &mut String) {
        let key = Key { name: &self.name, algorithm, public: self.signer.public() };
        // A key in memory does not fail, and a String takes every line.
        let Ok(_written) = key.sign(&mut self.signer, text, time, out);
    }

    /// Signs entry `seq` of a log, which says that `new` takes the place of `old` (`docs/format.md`, section 3); `old` is empty
    /// and this key the new one where there was none.
    pub fn sign_change(&mut self, log_id: LogId, seq: u64, old: &str, new: &str) -> [u8; 64] {
        self.sign_message(&change_message(log_id, seq, old, new))
    }

    /// Signs bytes as they are.
    pub fn sign_message(&mut self, message: &[u8]) -> [u8; 64] {
        let Ok(signature) = self.signer.sign(message);
        signature
    }
}

/// What the signature of a change of keys is over.
pub(crate) fn change_message(log_id: LogId, seq: u64, old: &str, new: &str) -> Vec<u8> {
    let mut message = b"lowlight/keychange/v1\0".to_vec();
    message.extend_from_slice(&log_id.0);
    message.extend_from_slice(&seq.to_le_bytes());
    for text in [old, new] {
        message.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
        message.extend_from_slice(text.as_bytes());
    }
    message
}

/// Puts the next key in the place of the key.
///
/// # Errors
///
/// [`StoreError`] when it cannot be renamed.
pub fn complete_rotation(layout: &Layout) -> Result<(), StoreError> {
    let path = file(layout);
    match std::fs::rename(next_file(layout), &path) {
        // Another recorder was faster.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(StoreError::from_io(&path, source)),
        Ok(()) => files::sync_parent(&path),
    }
}

/// The keys that the entries of a log name, in their order: the last one is the one in use.
///
/// # Errors
///
/// [`StoreError`] when the entries cannot be read.
pub fn named(entries: &dyn RuleEntries) -> Result<Vec<String>, StoreError> {
    let mut named = Vec::new();
    entries.each(&mut |body| match decode(body).map(|entry| entry.event) {
        Ok(Event::Open(open)) => named.extend(open.vkey.map(str::to_owned)),
        Ok(Event::KeyChange(change)) => named.push(change.new_vkey.to_owned()),
        _ => {}
    })?;
    Ok(named)
}

/// The origin of the checkpoints of a log.
pub fn origin(name: &str, log_id: LogId) -> String {
    format!("{name}/{log_id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let dir = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir().unwrap();
        let layout = Layout::new(dir.path());
        assert!(LogKey::load(&layout).unwrap().is_none());
        for name in ["", "a b", "a+b", &"x".repeat(129)] {
            assert!(LogKey::create(&layout, name).is_err(), "{name}");
        }
        let made = LogKey::create(&layout, "gate-7.example").unwrap();
        let read = LogKey::load(&layout).unwrap().unwrap();
        assert_eq!(made.key(), read.key());
        assert_eq!(Key::parse(&made.key().to_string()), Ok(made.key()));
        let again = LogKey::create(&layout, "gate-7.example").unwrap_err().to_string();
        assert!(again.contains("is there already"), "{again}");
        assert_eq!(LogKey::load(&layout).unwrap().unwrap().key(), made.key());
        assert_eq!(std::fs::read_dir(layout.dir().join("keys")).unwrap().count(), 1, "nothing else is left");

        let path = file(&layout);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(LogKey::load(&layout).unwrap_err().to_string().contains("can be read"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for damaged in [text.trim_end(), &text[..40], &text.replace("gate-7", "gate-8")] {
            std::fs::write(&path, damaged).unwrap();
            assert!(LogKey::load(&layout).unwrap_err().to_string().contains("not a private key"), "{damaged}");
        }
    }

    #[test]
    fn what_is_signed_verifies_and_nothing_else() {
        let dir = tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir().unwrap();
        let mut key = LogKey::create(&Layout::new(dir.path()), "k").unwrap();
        let text = "k/00\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
        let mut note = format!("{text}\n");
        key.sign(text, &mut note);
        let parsed = lowlight_core::note::Note::parse(note.as_bytes()).unwrap();
        assert!(parsed.signature_of(&key.key()).unwrap().is_some());
        let other = LogKey::create(&Layout::new(dir.path().join("other")), "k").unwrap();
        assert_eq!(parsed.signature_of(&other.key()), Ok(None));
    }
}
