<?php
/*
 * A stand-in for XiVO's json.php with its phonebook: what the gateway's tests have as their upstream.
 *
 * It routes, authorizes and answers as XiVO 16.13 does, and PHP does the reading ($_GET, $_POST, PATH_INFO,
 * REMOTE_ADDR). Each request that comes this far is appended to records.jsonl before anything is decided.
 * `add` and `delete` really change the phonebook: a test can see that nothing did.
 *
 * XIVO_STATE (set by nginx.conf) is the directory of hosts.json, phonebook.json and records.jsonl.
 */

declare(strict_types=1);

require __DIR__ . '/read.php';

$state = $_SERVER['XIVO_STATE'];
$segments = path_segments($_SERVER['PATH_INFO'] ?? '');
$arguments = arguments(request_fields());
record($state, $segments, $arguments);
authorize($state, realm($segments));
if ($segments === null || $segments[1] !== 'pbx_services' || $segments[2] !== 'phonebook') {
    finish(404);
}
header('X-XIVO-WS-VERSION: 1.0');
act($state, $arguments);

/** The fields that XiVO reads: none for HEAD; for POST the body's, then the query's. */
function request_fields(): array
{
    return match ($_SERVER['REQUEST_METHOD']) {
        'GET' => $_GET,
        'POST' => $_POST + $_GET,
        default => [],
    };
}

function record(string $state, ?array $segments, array $arguments): void
{
    $headers = array_filter(
        $_SERVER,
        fn($name) => str_starts_with((string) $name, 'HTTP_'),
        ARRAY_FILTER_USE_KEY,
    );
    $line = one_line([
        'method' => $_SERVER['REQUEST_METHOD'],
        'uri' => $_SERVER['REQUEST_URI'],
        'path_info' => $_SERVER['PATH_INFO'] ?? '',
        'segments' => $segments,
        'realm' => realm($segments),
        ...$arguments,
        'remote_addr' => $_SERVER['REMOTE_ADDR'],
        'headers' => (object) $headers,
    ]);
    file_put_contents("$state/records.jsonl", "$line\n", FILE_APPEND | LOCK_EX);
}

/** XiVO's two doors. `private` asks for nothing but a loopback address: that is why the gateway exists. */
function authorize(string $state, ?string $realm): void
{
    if ($realm === 'private') {
        if (!in_array($_SERVER['REMOTE_ADDR'], ['127.0.0.1', '::1'], true)) {
            finish(403);
        }
    } elseif ($realm === 'restricted') {
        // Credentials replace the host's permission. No user of this stand-in has a login, so they always fail.
        if (isset($_SERVER['PHP_AUTH_USER']) || !host_allowed($state, $_SERVER['REMOTE_ADDR'])) {
            header('WWW-Authenticate: Basic realm="Access restricted"');
            finish(401);
        }
    } else {
        finish(404);
    }
}

/** Whether a Web Services user has this host: an IPv4 address or an IPv4 prefix, as in XiVO; no IPv6. */
function host_allowed(string $state, string $address): bool
{
    $address = ip2long($address);
    foreach (json_decode(file_get_contents("$state/hosts.json"), true) as $host) {
        [$network, $length] = explode('/', $host) + [1 => '32'];
        $mask = $length === '0' ? 0 : (-1 << (32 - (int) $length)) & 0xffffffff;
        if ($address !== false && ($address & $mask) === (ip2long($network) & $mask)) {
            return true;
        }
    }
    return false;
}

function act(string $state, array $arguments): never
{
    switch ($arguments['act']) {
        case 'search':
            $found = array_values(array_filter(phonebook($state), matcher($arguments['search'])));
            send($found, $arguments['sum']);
        case 'view':
            send(entry($state, $arguments['id']), $arguments['sum']);
        case 'add':
            $entry = json_decode(file_get_contents('php://input'), true);
            if (!is_array($entry) || !isset($entry['phonebook'])) {
                finish(400);
            }
            $entries = phonebook($state);
            $entry['phonebook']['id'] = 1 + max([0, ...array_column(array_column($entries, 'phonebook'), 'id')]);
            store($state, [...$entries, $entry]);
            finish(200);
        case 'delete':
            $gone = entry($state, $arguments['id']);
            store($state, array_values(array_filter(phonebook($state), fn($entry) => $entry !== $gone)));
            finish(200);
        default:
            send(phonebook($state), $arguments['sum']);
    }
}

function phonebook(string $state): array
{
    return json_decode(file_get_contents("$state/phonebook.json"), true);
}

function store(string $state, array $entries): void
{
    file_put_contents("$state/phonebook.json", one_line($entries), LOCK_EX);
}

function entry(string $state, string|array|null $id): array
{
    foreach (phonebook($state) as $entry) {
        if ((string) $entry['phonebook']['id'] === $id) {
            return $entry;
        }
    }
    finish(404);
}

/** XiVO's search: the term anywhere in any of the 14 columns, whatever its case; an empty term finds nothing. */
function matcher(string|array|null $term): callable
{
    if (!is_string($term) || $term === '') {
        return fn(array $entry) => false;
    }
    // A UTF-8 pattern knows that É is é; Debian's php-fpm has no mbstring to ask. A term that is not UTF-8 finds nothing.
    $pattern = '/' . preg_quote($term, '/') . '/iu';
    return function (array $entry) use ($pattern): bool {
        foreach (searched_columns($entry) as $column) {
            if (@preg_match($pattern, $column) === 1) {
                return true;
            }
        }
        return false;
    };
}

function searched_columns(array $entry): iterable
{
    foreach (['firstname', 'lastname', 'displayname', 'society', 'email', 'url', 'description'] as $name) {
        yield (string) $entry['phonebook'][$name];
    }
    foreach ($entry['phonebookaddress'] ?: [] as $address) {
        foreach (['address1', 'address2', 'city', 'state', 'zipcode', 'country'] as $name) {
            yield (string) $address[$name];
        }
    }
    foreach ($entry['phonebooknumber'] ?: [] as $number) {
        yield (string) $number['number'];
    }
}

/** Sends JSON: 204 when there is nothing, 304 when the caller has it already. */
function send(array $value, string|array|null $sum): never
{
    if ($value === []) {
        finish(204);
    }
    $json = json_encode($value);
    if ($sum === md5($json)) {
        finish(304);
    }
    header('Content-Type: application/json');
    finish(200, $json);
}

function finish(int $status, string $body = ''): never
{
    http_response_code($status);
    echo $body;
    exit();
}
