//! The integration tests: one binary, so that it links once. Each module is one claim about the whole.

#[cfg(test)]
mod client_behaviour;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod real_upstream;
#[cfg(test)]
mod support;
#[cfg(test)]
mod upstream_faults;
