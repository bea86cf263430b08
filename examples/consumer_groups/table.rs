//! Columns as Kafka's tools print them: each as wide as its longest entry, and at least as wide as
//! Kafka has it.

use std::fmt::Write as _;
use std::io::Write;

use crate::support::Outcome;

/// What is printed where nothing is known.
pub(crate) const NOTHING: &str = "-";

/// Rows under a header.
pub(crate) struct Table {
    widths: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table of these columns, which are at least so wide.
    pub(crate) fn new(columns: &[(&str, usize)]) -> Self {
        let mut table = Self {
            widths: columns.iter().map(|(_, width)| *width).collect(),
            rows: Vec::new(),
        };
        table.row(columns.iter().map(|(name, _)| (*name).to_owned()));
        table
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<_> = cells.into_iter().collect();
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count());
        }
        self.rows.push(cells);
    }

    /// True if there is nothing but the header.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// Prints it; the last column without spaces behind.
    pub(crate) fn print(&self, out: &mut impl Write) -> Outcome {
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&self.widths) {
                write!(line, "{cell:<width$} ")?;
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Prints it below an empty line, as Kafka does where several may follow each other.
    pub(crate) fn print_apart(&self, out: &mut impl Write) -> Outcome {
        writeln!(out)?;
        self.print(out)
    }
}

/// A value, or [`NOTHING`].
pub(crate) fn or_nothing(value: Option<impl ToString>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| value.to_string())
}
