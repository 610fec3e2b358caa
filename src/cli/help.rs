//! What `--help` says, overall and for each command.

/// Of the program.
pub(super) const OVERVIEW: &str = "\
phonebook-gateway lets other XiVO servers read this XiVO's phonebook, and
nothing else of it.

Usage: phonebook-gateway [--config FILE] COMMAND [OPTIONS]

Commands:
  serve     run the gateway
  check     look for mistakes in the configuration (-t is the same, as in nginx)
  explain   show step by step what would become of a request
  demo      try it out against a sample XiVO; needs no configuration
  probe     connect to XiVO and say step by step what is there

Options:
  -c, --config FILE   the configuration, /etc/phonebook-gateway/gateway.toml
                      unless given; the policies lie beside it
  -h, --help          this text; behind a command, that command's
  -V, --version       the version

Exit codes: 0 well, 1 findings, 2 the command line is wrong, 3 failed at run
time, 78 `serve` does not start with this configuration.
";

/// Of `serve`.
pub(super) const SERVE: &str = "\
Runs the gateway until a signal ends it.

Usage: phonebook-gateway serve [--config FILE] [--log-format text|json]

Options:
  -c, --config FILE     the configuration
      --log-format FORM diagnostics on standard error: text, or json

Signals: TERM, QUIT and INT finish what is under way, within 5 seconds; a second
one ends at once. USR1 opens the access logs anew.
Environment: RUST_LOG sets how much is told: error, warn, info or debug.

Exit codes: 0 ended by a signal, 2 the command line is wrong, 3 failed at run
time (an address is taken, say), 78 the configuration is not valid, or not safe
on this host.
";

/// Of `check`.
pub(super) const CHECK: &str = "\
Shows every mistake in the configuration and the policies, each with its place,
and what is legal but doubtful. Starts nothing and resolves no names.

Usage: phonebook-gateway check [--config FILE] [--strict] [--json] [-q]

Options:
  -c, --config FILE   the configuration
      --strict        warnings are findings too
      --json          the problems as a JSON array on standard output
  -q, --quiet         without the closing line

Exit codes: 0 valid, 1 findings, 2 the command line is wrong.
";

/// Of `explain`.
pub(super) const EXPLAIN: &str = "\
Shows what would become of a request, by the rules that `serve` uses: each step
with the file and line that decided, the answer, and what XiVO would be sent.
Nothing is sent, and no rate is used up.

Usage: phonebook-gateway explain --from ADDRESS [OPTIONS] [METHOD] URL

  METHOD              GET unless given
  URL                 http://host:port/path?query, or the path and query alone;
                      taken as it is written: nothing is encoded or normalized

Options:
      --from ADDRESS  whom the connection comes from: a client, or a proxy that
                      stands in front
      --proxied-for ADDRESS
                      the client that the PROXY header of a sender listed in
                      proxy_protocol_from names; it names none unless given
  -c, --config FILE   the configuration
      --listen ADDRESS
                      the listener that it comes to, as [[listen]] has it; the
                      first unless given
  -H, --header LINE   a further header line, `Name: value`; a Host replaces that
                      of the URL
      --http1.0       speak HTTP/1.0
      --json          the same as a JSON object: from, client (address, source),
                      peer, steps (each with step, outcome, place, text),
                      verdict, status, reason, limits (each with limit, place,
                      text), answer, upstream (address, source, request), hint;
                      null where there is none

Exit codes: 0 allowed, 1 refused or the configuration is not valid, 2 the
command line is wrong.
";

/// Of `demo`.
pub(super) const DEMO: &str = "\
Starts a sample XiVO with a small phonebook and a gateway in front of it, both
on this machine alone, prints requests to try, and shows the access log as it
grows. Needs no file and leaves none. Ctrl-C ends it.

Usage: phonebook-gateway demo [--listen ADDRESS] [--plain]

Options:
      --listen ADDRESS  where the gateway listens, 127.0.0.1:9480 unless given;
                        a loopback address; port 0 takes a free one
      --plain           without colours

Exit codes: 0 ended by a signal, 2 the command line is wrong, 3 failed at run
time (the address is taken, say).
";

/// Of `probe`.
pub(super) const PROBE: &str = "\
Connects to the configured XiVO as the gateway would, says step by step what is
there, and asks one question: a search for what no contact is called.

Usage: phonebook-gateway probe [--config FILE] [--from ADDRESS]
       phonebook-gateway probe --pin [--config FILE | URL]

Options:
  -c, --config FILE   the configuration
      --from ADDRESS  the client that the PROXY protocol names, if it is sent;
                      an address of this host unless given
      --pin           print the pin_sha256 line of the certificate that XiVO, or
                      whoever is at URL, shows; verify nothing and ask nothing

Exit codes: 0 XiVO answers as a phonebook does, 1 it does not or the
configuration is not valid, 2 the command line is wrong, 3 failed at run time.
";
