//! Questions in SQL. They can only read.

use std::io;

use rusqlite::types::ValueRef;

use crate::{Index, IndexError};

/// A value of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Real(f64),
    /// A text; bytes that are no UTF-8 are replaced.
    Text(String),
}

/// Takes an answer.
pub trait Answer {
    /// The names of the columns, which come first.
    ///
    /// # Errors
    /// Those of whatever it is written to.
    fn columns(&mut self, names: &[&str]) -> io::Result<()>;

    /// A row.
    ///
    /// # Errors
    /// Those of whatever it is written to.
    fn row(&mut self, cells: &[Cell]) -> io::Result<()>;
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// SQLite does not understand it.
    #[error("{message}")]
    Sql {
        /// What SQLite says.
        message: String,
        /// The byte of the question where it stopped, if it says so.
        at: Option<usize>,
    },
    /// It would write.
    #[error("the index can only be read: it is made from the logs")]
    Writes,
    /// There is no statement in it, or more than one.
    #[error("give one statement at a time")]
    Several,
    /// The answer can't be written.
    #[error("cannot write the answer")]
    Output(#[from] io::Error),
    /// The index can't be read.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl Index {
    /// Answers a question.
    ///
    /// # Errors
    /// When it is no question, or the answer can't be taken.
    pub fn query(&self, sql: &str, answer: &mut dyn Answer) -> Result<(), QueryError> {
        let db = self.reader()?;
        let mut statement = db.prepare(sql).map_err(in_sql)?;
        let count = statement.column_count();
        if sql.trim().is_empty() {
            return Err(QueryError::Several);
        }
        if count == 0 || !statement.readonly() {
            return Err(QueryError::Writes);
        }
        answer.columns(&statement.column_names().collect::<Vec<_>>())?;
        let mut rows = statement.query([]).map_err(in_sql)?;
        let mut cells = Vec::with_capacity(count);
        while let Some(found) = rows.next().map_err(in_sql)? {
            cells.clear();
            for place in 0..count {
                cells.push(Cell::from(found.get_ref(place).map_err(in_sql)?));
            }
            answer.row(&cells)?;
        }
        Ok(())
    }
}

impl From<ValueRef<'_>> for Cell {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(number) => Cell::Integer(number),
            ValueRef::Real(number) => Cell::Real(number),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                Cell::Text(String::from_utf8_lossy(bytes).into_owned())
            }
        }
    }
}

fn in_sql(error: rusqlite::Error) -> QueryError {
    match error {
        rusqlite::Error::MultipleStatement => QueryError::Several,
        rusqlite::Error::SqlInputError { msg, offset, .. } => {
            QueryError::Sql { message: msg, at: usize::try_from(offset).ok() }
        }
        error => QueryError::Sql { message: error.to_string(), at: None },
    }
}
