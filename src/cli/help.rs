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
  certs     make certificates for the gateway and its peers, and show them
  probe     connect to XiVO and say step by step what is there
  report    say what access logs tell: who, how much, refused why, how fast

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
  URL                 http:// or https://host:port/path?query, or the path and
                      query alone; taken as it is written: nothing is encoded or
                      normalized

Options:
      --from ADDRESS  whom the connection comes from: a client, or a proxy that
                      stands in front
      --proxied-for ADDRESS
                      the client that the PROXY header of a sender listed in
                      proxy_protocol_from names; it names none unless given
      --certificate FILE
                      the certificate that the client shows, and behind it those
                      that lead to its authority, as PEM; its key is taken for
                      proven
  -c, --config FILE   the configuration
      --listen ADDRESS
                      the listener that it comes to, as [[listen]] has it; the
                      first that speaks as the URL does unless given
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

/// Of `certs`.
pub(super) const CERTS: &str = "\
Makes certificates for the gateway and its peers with a private authority, and
shows which there are. Nothing is ever overwritten; keys have mode 0600.

Usage: phonebook-gateway certs init [--name TEXT] [OPTIONS]
       phonebook-gateway certs server NAME... [OPTIONS]
       phonebook-gateway certs peer NAME [OPTIONS]
       phonebook-gateway certs show [--json] [OPTIONS] [FILE...]

  init                make the authority: ca.pem and ca.key
  server NAME...      make NAME.pem and NAME.key for a listener that callers
                      know by these host names and addresses; the first names
                      the files
  peer NAME           make NAME.pem and NAME.key for the peer whose policy is
                      NAME.toml
  show                list what the configuration uses, and what else is in the
                      directory: for whom, until when, and the SHA-256 to pin;
                      with FILE... or --directory what is there alone

Options:
      --directory DIR where the files are, `certs` beside the configuration
                      unless given
      --days N        how long it is valid: 3650 for the authority and 825 for
                      others unless given, and no longer than the authority
      --name TEXT     what the authority is called
      --json          as a JSON array: file, used_by, state (valid,
                      expires-soon, expired, not-yet-valid, broken), and what
                      the file holds
  -c, --config FILE   the configuration

Exit codes: 0 well, 1 something shown is expired or broken, 2 the command line
is wrong, 3 nothing was made (a file exists, say).
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

/// Of `report`.
pub(super) const REPORT: &str = "\
Says what access logs tell: who looks up how much and when, what was refused and
how that is mended, which quota would have sufficed, how long answers took, who
is in no policy, who has gone silent, and who reads the phonebook out.

Usage: phonebook-gateway report [OPTIONS] [FILE...]

  FILE...             logs of the gateway or of nginx, plain, gzip or zstd, in
                      any order, bare or as syslog, the journal or containers
                      keep them; - is the standard input. Without any, the logs
                      of the configuration with what logrotate has made of them

Options:
      --log-format F  what the lines are written in: a format of the
                      configuration, combined, main, gateway or gateway_json, or
                      the text itself as in nginx's log_format; found out for
                      each file unless given
      --since TIME    nothing before: 2026-11-23, \"2026-11-23 14:30\", today,
                      yesterday, or so long ago: 90m, 24h, 7d
      --until TIME    nothing from then on
      --peer NAME     only these peers or addresses; - is everybody in no policy
      --status S      only these statuses: 429, 4xx, !2xx
      --reason WORD   only these refusals, by the words of the README
                      (lists with commas: --status 403,429)
      --json          as JSON; packaging/report.schema.json describes it
      --html FILE     as one page that needs nothing else; - for standard output
      --exit-code     1 where something needs somebody; packaging/ has a timer
                      that mails such a report each week
      --all           every row of every table, in the terminal
  -f, --follow        live: the report is shown again as the files grow
      --plain         without colours and with ASCII alone
      --threads N     threads that read; one for each core unless given
  -c, --config FILE   the configuration, for its logs, formats and policies;
                      the usual one is used where it can be read

Exit codes: 0 well, 1 no line could be read in its format (with --exit-code: or
something needs somebody), 2 the command line is wrong, 3 a file could not be
read.
";
