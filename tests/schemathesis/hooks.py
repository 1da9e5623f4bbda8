"""What Schemathesis cannot read from the document: who signs in, values that an
ISBN, a password or a cursor really can have, and rules between two fields.

Loaded by `scripts/schemathesis`, which sets the environment read here. What is
left out of the judgement, and why, stands in `exceptions.py`.
"""

from __future__ import annotations

import base64
import re
import unicodedata
import zlib
from datetime import date
from decimal import Decimal

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

import exceptions  # noqa: F401  (its hooks register themselves)
import tally  # noqa: F401
import world
from world import ADMINS, EMAILS, IDS, PASSWORD, SERIAL, SERVICE, SOMEBODY


# --- who asks -----------------------------------------------------------------

# What one does with one's own account and sign-ins, done by somebody unimportant.
OWN = re.compile(r"/auth/(me|logout|logout-all|sessions|api-keys|password/change)(/\{id\})?$")


# Organizations are looked after by their founder; invitations are answered by who is invited.
TENANCY = re.compile(r"^/(organizations|websites|invitations)(/|$)")


# Who made an API key, by its id: the header that they were known by.
KEY_OWNERS = {}


def token_for(path):
    """The access token of who does this."""
    short = path.removeprefix("/api/v1")
    if TENANCY.search(short):
        who = world.GUEST if short.startswith("/invitations/") else world.FOUNDER
        return who.person().access_token
    return SOMEBODY.person().access_token if OWN.search(path) else ADMINS.token()


@schemathesis.auth(refresh_interval=None)
class Credentials:
    """Whose credentials an operation takes. Nothing is kept here: `world` looks whether
    they still work each time, because many an operation ends some."""

    def get(self, case, context):
        path = case.operation.path
        if path.endswith("/auth/introspect"):
            pair = ":".join(SERVICE.credentials())
            return "Basic " + base64.b64encode(pair.encode()).decode()
        token = f"Bearer {token_for(path)}"
        if path.endswith("/auth/api-keys/{id}"):
            # A key is there for its owner alone, who may be somebody else by now.
            return KEY_OWNERS.get((case.path_parameters or {}).get("id"), token)
        return token

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = data


def valid_parts(case):
    """The parts of a request that are as the document has them."""
    if case.meta is None:
        return set()
    if case.meta.generation.mode.is_positive:
        # What an example of the document gave is not among the components.
        return set(ParameterLocation)
    return {place for place, component in case.meta.components.items() if component.mode.is_positive}


@schemathesis.hook
def before_call(context, case, kwargs):
    case.headers = case.headers or {}
    case.headers["X-Forwarded-For"] = world.some_address()
    # What there is to begin with; in a scenario only now its id is known.
    valid = valid_parts(case)
    if case.operation.label == "DELETE /api/v1/organizations/{id}" and ParameterLocation.QUERY in valid:
        name = world.PLACES.name(case.path_parameters["id"])
        if case.query and name is not None:
            case.query["confirm"] = name
    if case.operation.path.endswith("/products/{id}/stock") and valid == set(ParameterLocation):
        # There can be no more of one than a billion.
        room = world.PRODUCTS.room(case.path_parameters["id"])
        if case.body["delta"] > room:
            case.body["delta"] = room or -1
            if "Idempotency-Key" in case.headers:
                case.headers["Idempotency-Key"] = own_key(case.headers["Idempotency-Key"], case.body, False)
    if case.operation.path.endswith("/members/me"):
        # Who leaves is the one who was made a member for it. What a check has put there stays.
        leaver = world.LEAVERS.get((case.path_parameters or {}).get("id"))
        if leaver and case.headers.get("Authorization") == f"Bearer {world.FOUNDER.person().access_token}":
            case.headers["Authorization"] = leaver


@schemathesis.hook
def after_call(context, case, response):
    """Five wrong passwords lock an account, and one has at most 50 API keys: who met
    that is not asked again. Whose a new key is, is remembered."""
    if case.operation.path.endswith("/auth/api-keys") and response.status_code == 201:
        KEY_OWNERS[response.json()["id"]] = case.headers["Authorization"]
    if OWN.search(case.operation.path) and response.status_code in (409, 422, 429):
        refusals = ["wrong_password", "login_locked", "too_many_api_keys"]
        if any(code in response.text for code in refusals):
            SOMEBODY.drop()


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

# Letters in small form that nothing folds to others, in two scripts.
WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789雪国", min_size=1, max_size=9)
schemathesis.openapi.format("slug", st.lists(WORD, min_size=1, max_size=5).map("-".join))

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
        lambda text, salt: unicodedata.normalize("NFKC", f"{text} wren {salt:08x} moss"),
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

    def of(self, operation):
        path = operation.path
        if path not in self.known:
            sorts = [
                name
                for parameter in operation.query
                if parameter.name == "sort"
                for name in parameter.definition["schema"]["enum"]
            ]
            self.known[path] = list(self.fetch(path, sorts))
        return self.known[path]

    @staticmethod
    def fetch(path, sorts):
        token, short = token_for(path), path.removeprefix("/api/v1")
        if "{" in path:
            path = path.format(**world.PLACES.parameters("GET", short))
        for sort in sorts:
            # Without "q" a list answers, with it a search.
            query = {"page_size": 1, "sort": sort} | ({"q": "a"} if path.endswith("/search") else {})
            reply = world.ask("GET", path.removeprefix("/api/v1"), token, params=query)
            cursor = world.expect(reply, 200).get("next_cursor")
            if cursor:
                yield sort, cursor


CURSORS = Cursors()

# Any state, the first one (what most books are in), either of two, one that never was.
ETAGS = ["*"] * 5 + ['"1"', '"1", W/"2"', '"0"']

def keep_query_rules(operation, query):
    if "cursor" in query:
        # A cursor is a token: only one that was given out is valid, and only in its own order.
        cursor = pick([*CURSORS.of(operation), None], query)
        del query["cursor"]
        if cursor:
            query.pop("page", None)
            if "sort" in query:
                query["sort"] = cursor[0]
                if cursor[0].endswith("relevance"):
                    # It was given out by a list without words to match.
                    query.pop("q", None)
            query["cursor"] = cursor[1]
    first, last = query.get("published_from"), query.get("published_to")
    if isinstance(first, str) and isinstance(last, str) and first > last:
        query["published_from"], query["published_to"] = last, first
    if isinstance(query.get("from"), str) and isinstance(query.get("to"), str):
        # A day or a moment, in any zone: which comes first can't be told from the text.
        query["to"] = query["from"]
    low, high = query.get("min_price"), query.get("max_price")
    if isinstance(low, str) and isinstance(high, str) and Decimal(low) > Decimal(high):
        query["min_price"], query["max_price"] = high, low
    for name in {"parent", "category"} & query.keys():
        query[name] = pick([*world.CATEGORIES.some(), query[name]], query)


def keep_body_rules(path, body):
    rule = BODY_RULES.get(path.removeprefix("/api/v1"))
    if rule:
        rule(body)
    elif path.startswith("/api/v1/products"):
        product_rules(body)
    elif path.startswith("/api/v1/categories"):
        category_rules(body)
    elif "isbn" in body and pick([True] * 3 + [False] * 2, body):
        # What is unique would be taken soon: small values are tried again and again.
        body["isbn"] = grouped(isbn_13(f"9791{next(SERIAL):08}"), pick(["", "-", " "], body))


def product_rules(body):
    if isinstance(body.get("sku"), str) and pick([True] * 3 + [False], body):
        body["sku"] = f"{body['sku'][:50]}-{next(SERIAL)}"
    if isinstance(body.get("category"), str):
        body["category"] = pick([*world.CATEGORIES.some(), None], body)
    # How many decimals a price may have depends on its currency, which a schema can't say. A patch may
    # name one of the two alone; then what the other is decides.
    if isinstance(body.get("price"), str):
        whole, _, decimals = body["price"].partition(".")
        has_decimals = decimals and body.get("currency", WITHOUT_DECIMALS[0]) not in WITHOUT_DECIMALS
        body["price"] = f"{whole}.{decimals[:2]}" if has_decimals else whole
    if "price" not in body:
        body.pop("currency", None)
    # Names are words of composed letters.
    if isinstance(body.get("attributes"), dict):
        body["attributes"] = {
            unicodedata.normalize("NFC", name): value for name, value in body["attributes"].items()
        }


# Currencies that are not divided (ISO 4217).
WITHOUT_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split()


def category_rules(body):
    if isinstance(body.get("slug"), str) and pick([True] * 3 + [False], body):
        body["slug"] = f"{body['slug'][:40].rstrip('-')}-{next(SERIAL)}"
    if isinstance(body.get("parent"), str):
        body["parent"] = pick([*world.CATEGORIES.some(), None], body)


def sign_in_rules(body):
    # By address or by username, not by both; mostly an account that exists.
    email, username = body.pop("email", None), body.pop("username", None)
    if pick([True, True, False], email, username, body):
        body |= {"email": pick(EMAILS, email), "password": PASSWORD}
    elif username is not None:
        body["username"] = username
    else:
        body["email"] = "nobody@example.com" if email is None else email


def only_texts(form):
    # An array or object is sent as a repeated parameter, which OAuth forbids (RFC 6749 §3.2).
    for name in [name for name, value in form.items() if not isinstance(value, str)]:
        del form[name]


def token_rules(form):
    only_texts(form)
    if form["grant_type"] == "refresh_token":
        if "refresh_token" not in form or pick([True, True, False], form):
            form["refresh_token"] = SOMEBODY.person().refresh_token
    elif not {"username", "password"} <= form.keys() or pick([True, True, False], form):
        form |= {"username": pick(EMAILS, form), "password": PASSWORD}


def introspection_rules(form):
    token = form.get("token")
    only_texts(form)
    person = SOMEBODY.person()
    if "token" not in form or pick([True, True, False], token):
        form["token"] = pick([person.access_token, person.refresh_token, ADMINS.token()], token)


def refresh_rules(body):
    if pick([True, True, False], body):
        body["refresh_token"] = SOMEBODY.person().refresh_token


def sign_out_rules(body):
    if isinstance(body.get("refresh_token"), str) and pick([True, False], body):
        body["refresh_token"] = SOMEBODY.person().refresh_token


def registration_rules(body):
    # What is unique would be taken soon: small values are tried again and again.
    if pick([True] * 4 + [False], body):
        number = next(SERIAL)
        body["email"] = f"reader-{number}@example.com"
        if body.get("username") is not None:
            body["username"] = f"Reader_{number}"
    if body.get("invitation_token") is not None and pick([True] * 3 + [False], body["invitation_token"]):
        body["invitation_token"] = world.invitation(body["email"])


def profile_rules(body):
    if "username" in body and pick([True] * 4 + [False], body):
        body["username"] = f"Reader_{next(SERIAL)}"


def mailed(get):
    def rules(body):
        if pick([True, True, False], body):
            body["token"] = get()

    return rules


def proof(field):
    def rules(body):
        # Who asks is somebody with this password.
        if pick([True] * 5 + [False], body):
            body[field] = PASSWORD

    return rules


def api_key_rules(body):
    # Only areas that are here, and an end that is not past: neither can stand in a schema.
    if isinstance(body.get("scopes"), list):
        body["scopes"] = [re.sub(r"^[a-z_]+(?=:)", in_area, scope) for scope in body["scopes"]]
    if isinstance(body.get("expires_at"), str) and body["expires_at"] < f"{date.today().year + 2}":
        body["expires_at"] = pick(["2999-12-31T23:59:59Z", "2100-02-28T12:00:00.5+05:30"], body)


def in_area(match):
    return pick(world.AREAS, match[0])


def limit_rules(body):
    # The settings have no other.
    body["policy"] = world.POLICY


def website_rules(body):
    # Unique in its organization.
    if isinstance(body.get("url"), str) and pick([True] * 4 + [False], body):
        body["url"] = f"https://site-{next(SERIAL)}.example.com/{checksum(body):x}"


def invitation_rules(body):
    # An address is invited once at a time.
    if pick([True] * 4 + [False], body):
        body["email"] = f"guest-{next(SERIAL)}@example.net"


def replay_rules(body):
    world.dead_letters()
    if body.get("consumer") is not None and pick([True] * 4 + [False], body):
        body["consumer"] = pick(world.CONSUMERS, body)


BODY_RULES = {
    "/auth/login": sign_in_rules,
    "/auth/token": token_rules,
    "/auth/introspect": introspection_rules,
    "/auth/refresh": refresh_rules,
    "/auth/logout": sign_out_rules,
    "/auth/register": registration_rules,
    "/auth/me": lambda body: proof("password")(body) if "password" in body else profile_rules(body),
    "/auth/password/change": proof("current_password"),
    "/auth/password/reset": mailed(world.reset),
    "/auth/verify-email": mailed(world.verification),
    "/auth/api-keys": api_key_rules,
    "/auth/api-keys/{id}/limit": limit_rules,
    "/events/dead-letters/replay": replay_rules,
    "/organizations/{id}/websites": website_rules,
    "/websites/{id}": website_rules,
    "/organizations/{id}/invitations": invitation_rules,
    "/websites/{id}/invitations": invitation_rules,
    "/invitations/accept": mailed(world.PLACES.token),
    "/invitations/decline": mailed(world.PLACES.token),
}


def own_key(key, body, linked):
    """An Idempotency-Key for this body alone: one that was sent with another body is
    refused, which says nothing about the request. The same body may come twice, but not
    in a scenario, which could have removed what the first answer speaks of."""
    mark = f"{checksum(body):08x}" + (f"-{next(SERIAL)}" if linked else "")
    if len(key) > 200:
        return mark
    return f'{key[:-1]}{mark}"' if key.startswith('"') else key + mark


def adds_many_attributes(case):
    body = case.body if isinstance(case.body, dict) else {}
    attributes = body.get("attributes")
    return case.operation.method.upper() == "PATCH" and isinstance(attributes, dict) and len(attributes) > 5


def slug_for(case):
    """One that leads to something."""
    method, path = case.operation.method.upper(), case.operation.path
    if "/blog/" in path:
        return pick([post["slug"] for post in world.BLOG_POSTS.some()], dict(case.path_parameters))
    if method == "GET":
        return pick(world.CATEGORIES.some(), dict(case.path_parameters))
    return world.CATEGORIES.made()


@schemathesis.hook
def before_add_examples(context, examples):
    """The tool maps generated cases, and not those that it takes from the document."""
    for case in examples:
        map_case(context, case)


@schemathesis.hook
def map_case(context, case):
    """Turns valid values into values that can succeed. Invalid ones stay as they are."""
    if case.meta is None:
        return case
    path = case.operation.path
    valid = valid_parts(case)
    # A scenario's ids come from its earlier answers.
    linked = case.meta.phase.name == TestPhase.STATEFUL
    if ParameterLocation.QUERY in valid and case.query:
        keep_query_rules(case.operation, case.query)
    if ParameterLocation.BODY in valid and isinstance(case.body, dict):
        keep_body_rules(path, case.body)
    short = path.removeprefix("/api/v1")
    if TENANCY.search(short) and case.path_parameters and ParameterLocation.PATH in valid:
        if not linked and pick([True] * 6 + [False], dict(case.path_parameters), case.body):
            case.path_parameters |= world.PLACES.parameters(case.operation.method.upper(), short)
    elif ParameterLocation.PATH in valid and not linked and "id" in case.path_parameters:
        given = case.path_parameters["id"]
        if short == "/products/{id}" and adds_many_attributes(case):
            # They come to those that are there, of which there can be 50.
            case.path_parameters["id"] = world.PRODUCTS.made()
        elif path.startswith(("/api/v1/books", "/api/v1/products", "/api/v1/posts")):
            if isinstance(given, int):
                case.path_parameters["id"] = pick([given, *[1 + given % 250] * 9], given)
        elif pick([True] * 6 + [False], given, case.body):
            known = IDS.of(case.operation.method.upper(), path)
            case.path_parameters["id"] = pick([given] if not known else known, given)
    if ParameterLocation.PATH in valid and not linked and "slug" in case.path_parameters:
        if pick([True] * 6 + [False], dict(case.path_parameters), case.body):
            case.path_parameters["slug"] = slug_for(case)
    if case.headers and {"Authorization", "X-Api-Key"} <= set(case.headers):
        # The document has either of them, made-up credentials come as both (400).
        del case.headers[pick(["Authorization", "X-Api-Key"], dict(case.headers))]
    if ParameterLocation.HEADER in valid and case.headers and "If-Match" in case.headers:
        case.headers["If-Match"] = pick(ETAGS, case.headers["If-Match"], case.path_parameters, case.body)
    if ParameterLocation.HEADER in valid and case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = own_key(case.headers["Idempotency-Key"], case.body, linked)
    return case
