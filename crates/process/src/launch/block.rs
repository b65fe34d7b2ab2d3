//! Lists of texts in the form that the kernel wants.

use std::{ffi::OsString, io, os::unix::ffi::OsStrExt, path::Path, ptr, sync::Arc};

use libc::c_char;

use crate::{BaseEnvironment, Environment};

/// Texts that end with a NUL each, one behind the other, and the array of pointers to them that ends with a null.
#[derive(Default)]
pub(super) struct Block {
    texts: Vec<u8>,
    starts: Vec<usize>,
    pointers: Vec<*const c_char>,
    /// It is pointed to where it is.
    base: Option<Arc<BaseEnvironment>>,
    hidden: Vec<bool>,
}

impl Block {
    /// The array, which holds until the block is filled anew.
    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }

    /// From now on it is the arguments of a program, its name first.
    pub(super) fn fill_with_arguments(&mut self, program: &Path, args: &[OsString]) -> io::Result<()> {
        self.clear();
        self.push(&[program.as_os_str().as_bytes()])?;
        for arg in args {
            self.push(&[arg.as_bytes()])?;
        }
        self.end();
        Ok(())
    }

    /// From now on it is an environment: what all have in common is pointed to where it is.
    pub(super) fn fill_with_environment(&mut self, environment: &Environment) -> io::Result<()> {
        let (base, own) = (&environment.base, &environment.own);
        self.clear();
        self.hidden.clear();
        self.hidden.resize(base.entries.len(), false);
        for (at, (name, value)) in own.iter().enumerate() {
            // The later one of two counts.
            if own[at + 1..].iter().all(|(other, _)| other != name) {
                self.push(&[name.as_bytes(), b"=", value.as_bytes()])?;
                if let Some(place) = base.find(name.as_bytes()) {
                    self.hidden[place] = true;
                }
            }
        }
        self.base = Some(Arc::clone(base));
        let shown = base.entries.iter().zip(&self.hidden).filter(|(_, hidden)| !**hidden);
        self.pointers.extend(shown.map(|(entry, _)| entry.as_ptr()));
        self.end();
        Ok(())
    }

    /// Empties it, and keeps no more room than usual texts need.
    pub(super) fn clear(&mut self) {
        const MOST_KEPT: usize = 16 * 1024;
        self.texts.clear();
        self.texts.shrink_to(MOST_KEPT);
        self.starts.clear();
        self.pointers.clear();
        self.base = None;
    }

    /// Adds a text that is made of `parts`.
    fn push(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        self.starts.push(self.texts.len());
        for part in parts {
            if part.contains(&0) {
                let message = "there is a NUL character in it";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            self.texts.extend_from_slice(part);
        }
        self.texts.push(0);
        Ok(())
    }

    /// Points to the texts, which don't move any more.
    fn end(&mut self) {
        let texts = &self.texts;
        self.pointers.extend(self.starts.iter().map(|start| texts[*start..].as_ptr().cast::<c_char>()));
        self.pointers.push(ptr::null());
    }
}
