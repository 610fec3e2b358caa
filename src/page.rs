//! What HTML pages are built of: the document and its stylesheet, sections, tables, charts and cards.
//!
//! Pages are templates of [`maud`], which escapes every value that they hold, in elements and in attributes. A
//! template becomes a page in one place, [`document()`], which also makes invisible characters
//! visible. So no value has to be escaped where it is used, and none can be forgotten.
//!
//! Imports `text`. Begin with [`document()`].

pub(crate) mod card;
pub(crate) mod chart;
mod document;
pub(crate) mod layout;
pub(crate) mod table;
mod value;

pub(crate) use document::{Live, document, live_document, live_policy};
pub(crate) use value::{clipped, prose, text};

#[cfg(test)]
mod tests;
