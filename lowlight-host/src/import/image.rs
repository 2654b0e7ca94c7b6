//! Images of flash, as they were copied out of a device.

use super::{DeviceReport, ImportError};
use lowlight_core::flash::{Found, Image};
use lowlight_core::frame::{MAX_WIRE, Receiver};
use lowlight_core::link::Answer;
use lowlight_core::verify::DeviceVerifier;
use std::path::Path;

/// Largest image that is read, bytes.
pub const MAX_IMAGE: u64 = 1 << 30;

/// Whether these bytes are a capture of a line on which a device said where it stands.
pub fn is_capture(bytes: &[u8]) -> bool {
    let mut receiver = Box::new(Receiver::<MAX_WIRE>::new());
    let is_status = |byte: &u8| {
        receiver.push(*byte)
            && receiver.message().is_some_and(|message| matches!(Answer::parse(message.kind, message.payload), Some(Answer::Status(_))))
    };
    std::iter::once(&0).chain(bytes).chain(&[0]).any(is_status)
}

/// The log in an image.
///
/// # Errors
///
/// [`ImportError::Image`].
pub fn open(bytes: &[u8]) -> Result<Image<'_>, ImportError> {
    Ok(Image::new(bytes)?)
}

/// What an image of a device's flash shows.
pub fn verify_image(image: &Image<'_>) -> DeviceReport {
    let mut verifier = DeviceVerifier::new(image.log_id(), 0, None);
    for found in image.found() {
        match found {
            Found::Anchor { index, head, is_torn } => verifier.anchor(index, head, is_torn),
            Found::Entry { index, body } => verifier.entry(index, body),
        }
    }
    DeviceReport::new(image.log_id(), &verifier.finish())
}

/// The bytes of a file, as far as it may be an image or a capture.
///
/// # Errors
///
/// What the system says, also when it is too large.
pub fn read(path: &Path) -> Result<Vec<u8>, ImportError> {
    if path.metadata()?.len() > MAX_IMAGE {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "larger than any flash or capture that is read").into());
    }
    Ok(std::fs::read(path)?)
}
