//! Where it is put together what shows a pull: several surfaces at once, each of which may fail without stopping the pull or the others.

use std::io;

use super::picture::{Picture, Surface};

/// Surfaces that are shown the same pictures.
#[derive(Default)]
pub(crate) struct Surfaces {
    all: Vec<(&'static str, Box<dyn Surface>)>,
    /// What went wrong with those that were given up, and what the others remark.
    lost: Vec<String>,
}

impl Surfaces {
    /// One more, under a name for messages.
    pub(crate) fn add(&mut self, name: &'static str, surface: Box<dyn Surface>) {
        self.all.push((name, surface));
    }

    /// Shows the pictures everywhere.
    pub(crate) fn show(&mut self, pictures: &[Picture]) {
        self.each(|surface| surface.show(pictures));
    }

    /// Shows the last pictures everywhere.
    pub(crate) fn end(&mut self, pictures: &[Picture]) {
        self.each(|surface| surface.end(pictures));
        let remarks = self.all.iter_mut().flat_map(|(_, surface)| surface.remarks());
        self.lost.extend(remarks);
    }

    /// What went wrong so far; a reader that had enough, as `head` has, is nothing wrong.
    pub(crate) fn take_lost(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lost)
    }

    fn each(&mut self, mut show: impl FnMut(&mut dyn Surface) -> io::Result<()>) {
        let lost = &mut self.lost;
        self.all.retain_mut(|(name, surface)| match show(surface.as_mut()) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => false,
            Err(error) => {
                lost.push(format!("cannot go on showing the pull ({name}): {error}"));
                false
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;

    struct Fails(io::ErrorKind);
    struct Counts(Rc<RefCell<usize>>);

    impl Surface for Fails {
        fn show(&mut self, _: &[Picture]) -> io::Result<()> {
            Err(self.0.into())
        }
        fn end(&mut self, _: &[Picture]) -> io::Result<()> {
            Ok(())
        }
    }

    impl Surface for Counts {
        fn show(&mut self, _: &[Picture]) -> io::Result<()> {
            *self.0.borrow_mut() += 1;
            Ok(())
        }
        fn end(&mut self, _: &[Picture]) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_surface_that_fails_is_given_up_and_the_others_go_on() {
        let shown = Rc::new(RefCell::new(0));
        let mut surfaces = Surfaces::default();
        surfaces.add("log", Box::new(Fails(io::ErrorKind::StorageFull)));
        surfaces.add("pipe", Box::new(Fails(io::ErrorKind::BrokenPipe)));
        surfaces.add("screen", Box::new(Counts(shown.clone())));
        (0..3).for_each(|_| surfaces.show(&[]));
        assert_eq!(*shown.borrow(), 3);
        let lost = surfaces.take_lost();
        assert_eq!(lost.len(), 1, "{lost:?}");
        assert!(lost[0].contains("log"), "{lost:?}");
    }
}
