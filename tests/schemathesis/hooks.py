"""What Schemathesis cannot read from the document: who signs in, values that an
ISBN, a password or a cursor really can have, and rules between two fields.

Loaded by `scripts/schemathesis`, which sets the environment read here. What is
left out of the judgement, and why, stands in `exceptions.py`.
"""

from __future__ import annotations

import itertools
import os
import unicodedata
import zlib
from datetime import date, timedelta

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

import exceptions  # noqa: F401  (its hooks register themselves)
import tally  # noqa: F401

API = os.environ["MAINSTAY_URL"] + "/api/v1"
# Accounts that exist; the first may do everything.
EMAILS = os.environ["MAINSTAY_EMAILS"].split()
PASSWORD = os.environ["MAINSTAY_PASSWORD"]


# --- tokens -------------------------------------------------------------------


@schemathesis.auth(refresh_interval=300)
class AccessToken:
    """A token of the administrator, renewed long before its 15 minutes are over."""

    def get(self, case, context):
        reply = requests.post(
            f"{API}/auth/login", json={"email": EMAILS[0], "password": PASSWORD}, timeout=10
        )
        reply.raise_for_status()
        return reply.json()["access_token"]

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"


# --- formats ------------------------------------------------------------------


def isbn_10(body: str) -> str:
    """Nine digits and the check digit that they call for (ISO 2108)."""
    check = -sum(int(digit) * weight for digit, weight in zip(body, range(10, 1, -1))) % 11
    return body + "0123456789X"[check]


def isbn_13(body: str) -> str:
    """Twelve digits and the check digit that they call for."""
    check = -sum(int(digit) * (1, 3)[place % 2] for place, digit in enumerate(body)) % 10
    return body + str(check)


def grouped(number: str, separator: str) -> str:
    """As on a back cover: `978-0-14-143951-8`. Where the groups end does not matter."""
    prefix, rest = number[:-10], number[-10:]
    parts = [prefix, rest[0], rest[1:3], rest[3:9], rest[9]]
    return separator.join(part for part in parts if part)


def digits(count: int) -> st.SearchStrategy[str]:
    # Zeros alone are a placeholder, not a number.
    return st.integers(1, 10**count - 1).map(lambda number: f"{number:0{count}}")


ISBN = st.builds(
    grouped,
    st.one_of(
        digits(9).map(isbn_10),
        digits(9).map(lambda body: isbn_13("978" + body)),
        # 979-0 numbers printed music, which is no book.
        digits(8).map(lambda body: isbn_13("9791" + body)),
    ),
    st.sampled_from(["", "-", " "]),
)
schemathesis.openapi.format("isbn", ISBN)

# Any day, but most of them where books are.
DATE = st.one_of(
    st.dates(date(1900, 1, 1), date(2030, 12, 31)),
    st.dates(),
    st.sampled_from([date(1, 1, 1), date(2000, 2, 29), date(9999, 12, 31)]),
)
schemathesis.openapi.format("date", DATE.map(date.isoformat))

# Nobody's first guess: the server refuses the passwords that are tried first.
schemathesis.openapi.format(
    "password",
    st.builds(
        lambda text, salt: unicodedata.normalize("NFKC", f"{text} {salt:08x}"),
        st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=60),
        st.integers(0, 2**32 - 1),
    ),
)

schemathesis.openapi.format(
    "email",
    st.builds(
        lambda local, number, domain: f"{local}{number}@{domain}",
        st.sampled_from(["ada", "grace.hopper", "o'neil", "juergen+books", "x_"]),
        st.integers(0, 10**9),
        st.sampled_from(["example.com", "mail.example.org", "a-b.example.net"]),
    ),
)


# --- rules between fields, and things that exist ------------------------------


def checksum(*seed):
    """A number that is always the same for the same case: a replay must repeat it."""
    return zlib.crc32(repr(seed).encode("utf-8", "surrogatepass"))


def pick(choices, *seed):
    """One of the choices, always the same one for the same case."""
    return choices[checksum(seed) % len(choices)]


class Cursors:
    """Cursors that the lists gave out, by path: (sort, cursor). Fetched once."""

    def __init__(self):
        self.known = {}

    def of(self, path):
        if path not in self.known:
            self.known[path] = list(self.fetch(path))
        return self.known[path]

    @staticmethod
    def fetch(path):
        address = os.environ["MAINSTAY_URL"] + path
        # Without "q" a list answers, with it a search; both know these orders.
        for sort in ["id", "-id", "title", "-published_date", "created_at"]:
            query = {"page_size": 1, "sort": sort} | ({"q": "a"} if path.endswith("/search") else {})
            cursor = requests.get(address, query, timeout=10).json().get("next_cursor")
            if cursor:
                yield sort, cursor


CURSORS = Cursors()

# Any state, the first one (what most books are in), either of two, one that never was.
ETAGS = ["*", "*", '"1"', '"1", W/"2"', '"0"']

# For what must be unique. A repeated case gets a fresh number, so that it meets the
# same answer and not "taken already".
SERIAL = itertools.count(1)


def keep_query_rules(path, query):
    if "cursor" in query:
        # A cursor is a token: only one that was given out is valid, and only in its own order.
        cursor = pick([*CURSORS.of(path), None], query)
        del query["cursor"]
        if cursor:
            query.pop("page", None)
            if "sort" in query:
                query["sort"] = cursor[0]
            query["cursor"] = cursor[1]
    first, last = query.get("published_from"), query.get("published_to")
    if isinstance(first, str) and isinstance(last, str) and first > last:
        query["published_from"], query["published_to"] = last, first


def keep_body_rules(path, body):
    if path.endswith("/auth/login"):
        # By address or by username, not by both; mostly an account that exists.
        email, username = body.pop("email", None), body.pop("username", None)
        if pick([True, True, False], email, username, body):
            body |= {"email": pick(EMAILS, email), "password": PASSWORD}
        elif username is not None:
            body["username"] = username
        else:
            body["email"] = "nobody@example.com" if email is None else email
    elif path.endswith("/auth/token"):
        # An array or object is sent as a repeated parameter, which OAuth forbids (RFC 6749 §3.2).
        for name in [name for name, value in body.items() if isinstance(value, (list, dict))]:
            del body[name]
        if pick([True, True, False], body):
            body |= {"username": pick(EMAILS, body), "password": PASSWORD}
    # What is unique would be taken soon: small values are tried again and again.
    elif path.endswith("/auth/register") and pick([True] * 4 + [False], body):
        number = next(SERIAL)
        body["email"] = f"reader-{number}@example.com"
        if body.get("username") is not None:
            body["username"] = f"Reader_{number}"
    elif "isbn" in body and pick([True] * 3 + [False] * 2, body):
        body["isbn"] = grouped(isbn_13(f"9791{next(SERIAL):08}"), pick(["", "-", " "], body))


@schemathesis.hook
def map_case(context, case):
    """Turns valid values into values that can succeed. Invalid ones stay as they are."""
    if case.meta is None:
        return case
    path = case.operation.path
    valid = {place for place, component in case.meta.components.items() if component.mode.is_positive}
    # A scenario's ids come from its earlier answers.
    linked = case.meta.phase.name == TestPhase.STATEFUL
    if ParameterLocation.QUERY in valid and case.query:
        keep_query_rules(path, case.query)
    if ParameterLocation.BODY in valid and isinstance(case.body, dict):
        keep_body_rules(path, case.body)
    if ParameterLocation.PATH in valid and not linked and isinstance(case.path_parameters.get("id"), int):
        number = case.path_parameters["id"]
        case.path_parameters["id"] = pick([number, *[1 + number % 250] * 9], number)
    if ParameterLocation.HEADER in valid and case.headers and "If-Match" in case.headers:
        case.headers["If-Match"] = pick(ETAGS, case.headers["If-Match"], case.path_parameters)
    return case
