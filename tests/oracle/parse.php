<?php
/*
 * What XiVO's nginx and PHP read in a request target: one target a line on stdin, one JSON object a line on stdout.
 *
 *     php tests/oracle/parse.php < targets
 *
 * A target is as it stands in the request line, percent-encoded. Its object has `realm` (private, restricted or null),
 * `segments` (three, or null), `act`, `search`, `id`, `sum` (trimmed; an array for `act[]=…`; null when absent). A target
 * that never reaches json.php gives `null`. nginx's part (decode once, merge slashes, resolve dot segments, split at the last
 * `.php`) and php-fpm's correction of that split are written out below; the query is parse_str()'s; XiVO's part is read.php. A test holds all of it against the real nginx.
 *
 * Nothing is written before some lines were read and vice versa: feed it from a file, or read and write at once.
 */

declare(strict_types=1);

require __DIR__ . '/../xivo/read.php';

// A query with more than max_input_vars fields makes PHP warn; warnings are no part of the answer.
ini_set('display_errors', 'stderr');
error_reporting(E_ALL & ~E_WARNING);

const SCRIPT = '/service/ipbx/json.php';

while (($line = fgets(STDIN)) !== false) {
    $line = str_ends_with($line, "\n") ? substr($line, 0, -1) : $line;
    echo reading($line), "\n";
}

function reading(string $target): string
{
    // nginx ends both the path and the query at a `#`.
    $target = explode('#', $target, 2)[0];
    [$path, $query] = explode('?', $target, 2) + [1 => ''];
    $path = nginx_path($path);
    $path_info = $path === null ? null : path_info($path);
    if ($path_info === null) {
        return 'null';
    }
    $segments = path_segments($path_info);
    parse_str($query, $fields);
    return one_line(['realm' => realm($segments), 'segments' => $segments, ...arguments($fields)]);
}

/**
 * The PATH_INFO with which json.php runs, or null where it does not run.
 *
 * nginx's split is greedy, so a later `.php` makes a longer script name. No such file exists, and PHP (cgi.fix_pathinfo,
 * on by default) then goes up to the file that does and corrects PATH_INFO by the length of what it cut off: the last
 * that many bytes of it, or all of it if it is no longer than that. So `/json.php/<long>.php/private/…` is `private` too.
 */
function path_info(string $path): ?string
{
    // A line feed, from `%0a`, is not matched by `.`: without a match the script is the whole path and PATH_INFO empty.
    $matched = preg_match('/^(.+\.php)(.*)$/', $path, $split) === 1;
    [$script, $path_info] = $matched ? [$split[1], $split[2]] : [$path, ''];
    if ($script === SCRIPT) {
        return $path_info;
    }
    if (!str_starts_with($script, SCRIPT . '/')) {
        return null;
    }
    $cut = strlen($script) - strlen(SCRIPT);
    return strlen($path_info) > $cut ? substr($path_info, -$cut) : $path_info;
}

/** nginx's $uri, or null where it answers 400: not absolute, a bad escape, `%00`, or above the root. */
function nginx_path(string $raw): ?string
{
    if (!str_starts_with($raw, '/') || preg_match('/%(?![0-9A-Fa-f]{2})|%00/', $raw) === 1) {
        return null;
    }
    $kept = [];
    $last = '';
    foreach (explode('/', substr(rawurldecode($raw), 1)) as $last) {
        if ($last === '..') {
            if (array_pop($kept) === null) {
                return null;
            }
        } elseif ($last !== '' && $last !== '.') {
            $kept[] = $last;
        }
    }
    $directory = $last === '' || $last === '.' || $last === '..';
    return '/' . implode('/', $kept) . ($directory && $kept !== [] ? '/' : '');
}
