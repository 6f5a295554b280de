//! Only the names of the images that are there now, one a line, as `docker pull --quiet` has it.

use std::io::{self, Write};

use lifecycle::pull::Outcome;

use super::picture::{Picture, Surface};

/// Says the name of what was pulled.
pub(crate) struct Quiet<W>(pub(crate) W);

impl<W: Write> Surface for Quiet<W> {
    fn show(&mut self, _: &[Picture]) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, pictures: &[Picture]) -> io::Result<()> {
        let ready = |picture: &&Picture| picture.pull.ending.as_ref().is_some_and(|ending| ending.outcome == Outcome::Ready);
        for image in pictures.iter().filter(ready).filter_map(|picture| picture.pull.image.as_ref()) {
            writeln!(self.0, "{image}")?;
        }
        self.0.flush()
    }
}
