<?php
/*
 * How XiVO reads a request, for the stand-in (json.php) and the oracle (../oracle/parse.php).
 *
 * The rules stand here once, so that the oracle cannot differ from what nginx and PHP really served.
 * PHP itself does the rest: it builds $_GET, or parse_str() builds the same from a query.
 */

declare(strict_types=1);

/**
 * The first three segments of a PATH_INFO, or null where XiVO finds no place.
 *
 * The order is XiVO's, and it matters: `..` is deleted after the slashes are gone, so `pri..vate` becomes
 * `private`, and `restricted/../private` has an empty second segment.
 */
function path_segments(string $path_info): ?array
{
    $path = preg_replace('#/+#', '/', $path_info);
    if (str_starts_with($path, '/')) {
        $path = substr($path, 1);
    }
    if (str_ends_with($path, '/')) {
        $path = substr($path, 0, -1);
    }
    $segments = array_slice(explode('/', str_replace('..', '', $path)), 0, 3);
    if (count($segments) < 3) {
        return null;
    }
    foreach ($segments as $segment) {
        if ($segment === '' || $segment[0] === '_' || $segment[0] === '.') {
            return null;
        }
    }
    return $segments;
}

/** The realm that segments name: `private`, `restricted`, or null for any other place. */
function realm(?array $segments): ?string
{
    $first = $segments[0] ?? null;
    return $first === 'private' || $first === 'restricted' ? $first : null;
}

/** One value as XiVO's code sees it: trimmed, null when absent; an array stays one (`act[]=…`). */
function value(array $fields, string $name): string|array|null
{
    $value = $fields[$name] ?? null;
    return is_string($value) ? trim($value) : $value;
}

/** What is read of a request's fields: the four names that the phonebook's page looks at. */
function arguments(array $fields): array
{
    return [
        'act' => value($fields, 'act'),
        'search' => value($fields, 'search'),
        'id' => value($fields, 'id'),
        'sum' => value($fields, 'sum'),
    ];
}

/** JSON on one line; bytes that are not UTF-8 become U+FFFD, for a record must always be writable. */
function one_line(mixed $value): string
{
    return json_encode(
        $value,
        JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE,
    );
}
