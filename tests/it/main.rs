//! The integration tests: one binary, so that it links once. Each module is one claim about the whole.

#[cfg(test)]
mod admin;
#[cfg(test)]
mod answer_begins;
#[cfg(test)]
mod behind_the_gateway;
#[cfg(test)]
mod certificate_names;
#[cfg(test)]
mod check_host;
#[cfg(test)]
mod circuit;
#[cfg(test)]
mod cli_agreement;
#[cfg(test)]
mod cli_certs;
#[cfg(test)]
mod cli_check;
#[cfg(test)]
mod cli_demo;
#[cfg(test)]
mod cli_dump;
#[cfg(test)]
mod cli_explain;
#[cfg(test)]
mod cli_usage;
#[cfg(test)]
mod client_behaviour;
#[cfg(test)]
mod configuration_mistakes;
#[cfg(test)]
mod control;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod documentation;
#[cfg(test)]
mod fairness;
#[cfg(test)]
mod handshake_agreement;
#[cfg(test)]
mod hidden_terms;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod irregular_files;
#[cfg(test)]
mod layering;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod log_formats;
#[cfg(test)]
mod log_readers;
#[cfg(test)]
mod log_rotation;
#[cfg(test)]
mod log_targets;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod names;
#[cfg(test)]
mod nginx_log;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod proxies_in_front;
#[cfg(test)]
mod real_journal;
#[cfg(test)]
mod real_upstream;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod report;
#[cfg(test)]
mod report_bombs;
#[cfg(test)]
mod report_from_outside;
#[cfg(test)]
mod report_page;
#[cfg(test)]
mod report_reading;
#[cfg(test)]
mod report_truth;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod revocations;
#[cfg(test)]
mod seats;
#[cfg(test)]
mod standard_streams;
#[cfg(test)]
mod standing_in_front;
#[cfg(test)]
mod status_page;
#[cfg(test)]
mod supervision;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tests_run;
#[cfg(test)]
mod tls_listener;
#[cfg(test)]
mod upstream_faults;
#[cfg(test)]
mod upstream_tls;
