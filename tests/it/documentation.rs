//! What the pages say is what the program does: links lead somewhere, tables have what the code has, commands exist, and what
//! they print is what is shown.
//!
//! CONTRIBUTING.md says what each kind of block in a page promises.

mod back_door;
mod commands;
mod demo;
mod far_side;
mod keys;
mod links;
mod page;
mod shown;
mod tables;
mod wording;
