#!/usr/bin/python3
"""Asks a phonebook as xivo-dird does: python3 tests/clients/dird.py URL TERM…

One request and one new connection per term, 1 s of patience, no check of certificates. 200 is contacts, 204 is
none, anything else is one warning with the number and no contacts. Prints one JSON object per term:
{"term": …, "status": number or null, "names": [display names]}.
"""

import json
import logging
import sys

import requests
import urllib3

logger = logging.getLogger("dird")


def lookup(url, term):
    """The status (None without an answer) and the contacts for one term."""
    try:
        answer = requests.get(
            url, params={"act": "search", "search": term}, timeout=1.0, verify=False
        )
    except requests.RequestException as error:
        logger.warning("no answer for %r: %s", term, error)
        return None, []
    if answer.status_code == 204:
        return 204, []
    if answer.status_code != 200:
        logger.warning("got status %s for %r", answer.status_code, term)
        return answer.status_code, []
    return 200, answer.json()


def main(arguments):
    if len(arguments) < 2:
        print("usage: dird.py URL TERM...", file=sys.stderr)
        return 2
    logging.basicConfig(format="%(name)s: %(message)s")
    urllib3.disable_warnings()
    url, *terms = arguments
    for term in terms:
        status, contacts = lookup(url, term)
        names = [contact["phonebook"]["displayname"] for contact in contacts]
        print(json.dumps({"term": term, "status": status, "names": names}, ensure_ascii=False), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
