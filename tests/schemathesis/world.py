"""What exists on the server while it is judged: people who are signed in, accounts
that may be harmed, tokens that came by mail, ids that lead somewhere.

Operations end sessions, change passwords, take roles and remove accounts, so that
nothing made once stays good: everything is looked at before it is used again, and
made anew if it is gone. The administrators are several, for the same reason.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import sqlite3
import subprocess
import time
import uuid
from dataclasses import dataclass
from urllib.parse import quote

import requests

SERVER = os.environ["MAINSTAY_URL"]
API = f"{SERVER}/api/v1"
# The limit that the settings have for API keys.
POLICY = os.environ["MAINSTAY_POLICY"]
# Accounts that exist from the start; the first is an administrator.
EMAILS = os.environ["MAINSTAY_EMAILS"].split()
PASSWORD = os.environ["MAINSTAY_PASSWORD"]
# `sqlite:PATH` or `postgres://…`: dead letters can't be made by a request.
DATABASE = os.environ["MAINSTAY_DATABASE"]

# For what must be unique. A repeated case gets a fresh number, so that it meets the
# same answer and not "taken already".
SERIAL = itertools.count(1)

HTTP = requests.Session()

# Not the shared generator: that one is wound back for every case, so that it repeats itself.
CHANCE = random.SystemRandom()


def some_address():
    """Wrong passwords from one address lock it, and a fuzzer has but one. The server
    trusts what this machine says of who is behind it (`http.trusted_proxies`)."""
    return ".".join(["10", *(str(CHANCE.randrange(1, 255)) for _ in range(3))])


def ask(method, path, token=None, **more):
    headers = {"X-Forwarded-For": some_address()} | more.pop("headers", {})
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return HTTP.request(method, API + path, headers=headers, timeout=20, **more)


def expect(reply, *statuses):
    if reply.status_code not in statuses:
        raise RuntimeError(f"{reply.request.method} {reply.url}: {reply.status_code} {reply.text}")
    return reply.json() if reply.content else None


# What scopes of API keys can be about: an app whose routes ask for none has no area.
AREAS = sorted({
    operation["x-required-scope"].partition(":")[0]
    for methods in HTTP.get(f"{SERVER}/openapi.json", timeout=20).json()["paths"].values()
    for operation in methods.values()
    if "x-required-scope" in operation
})


# --- people -------------------------------------------------------------------


@dataclass
class Person:
    email: str
    id: str
    access_token: str
    refresh_token: str


def register(**more):
    email = f"person-{next(SERIAL)}@example.net"
    body = {"email": email, "password": PASSWORD} | more
    return expect(ask("POST", "/auth/register", json=body), 201)


def sign_in(email):
    """Nothing if the account is gone, or may not."""
    reply = ask("POST", "/auth/login", json={"email": email, "password": PASSWORD})
    if reply.status_code in (401, 429):
        return None
    pair = expect(reply, 200)
    me = expect(ask("GET", "/auth/me", pair["access_token"]), 200)
    return Person(email, me["id"], pair["access_token"], pair["refresh_token"])


def roles_of(person):
    """The roles that the token still gives; none if it gives nothing any more."""
    reply = ask("GET", "/auth/me", person.access_token)
    return expect(reply, 200)["roles"] if reply.status_code == 200 else []


class Admins:
    """Somebody who may do everything, whoever of them was removed meanwhile."""

    # A run may remove one a few times a minute, never this many between two looks.
    MOST = 4

    def __init__(self):
        self.emails = list(EMAILS)
        self.now = None

    def token(self):
        if self.now is None or "admin" not in roles_of(self.now):
            self.now = self.choose()
            self.fill_up()
        return self.now.access_token

    def choose(self):
        for email in list(self.emails):
            person = sign_in(email)
            if person and "admin" in roles_of(person):
                return person
            self.emails.remove(email)
        raise RuntimeError("no administrator is left")

    def fill_up(self):
        while len(self.emails) < max(self.MOST, len(EMAILS)):
            user = register()
            reply = ask(
                "PATCH", f"/users/{user['id']}", self.now.access_token,
                json={"roles": ["admin"]}, headers={"If-Match": "*"},
            )
            expect(reply, 200)
            self.emails.append(user["email"])


ADMINS = Admins()


class Somebody:
    """A person of no importance, signed in on two devices: what an operation ends or
    changes of its own caller hits nobody else."""

    def __init__(self):
        self.now = None

    def person(self):
        if self.now is None or not roles_of(self.now):
            email = register()["email"]
            sign_in(email)
            self.now = sign_in(email)
        return self.now

    def drop(self):
        self.now = None

    def key(self):
        """The id of a new API key of theirs."""
        reply = ask("POST", "/auth/api-keys", self.person().access_token, json={"name": "robot"})
        if reply.status_code == 409:
            # One has at most 50.
            self.drop()
            return self.key()
        return expect(reply, 201)["id"]


SOMEBODY = Somebody()


# --- services -----------------------------------------------------------------


class Service:
    def __init__(self):
        self.now = None

    def credentials(self):
        if self.now is None or not self.works():
            made = expect(ask("POST", "/auth/services", ADMINS.token(), json={"name": "fuzzer"}), 201)
            self.now = (made["client_id"], made["client_secret"])
        return self.now

    def works(self):
        reply = ask("POST", "/auth/introspect", data={"token": "-"}, auth=self.now)
        return reply.status_code == 200


SERVICE = Service()


# --- mail ---------------------------------------------------------------------


def mailed_token(address, about):
    """The token in the mail to this address whose template's name ends so."""
    for _ in range(200):
        query = {"address": address}
        mails = expect(ask("GET", "/mailbox", ADMINS.token(), params=query), 200)["items"]
        for mail in mails:
            if mail["template"].endswith(about):
                text = expect(ask("GET", f"/mailbox/{mail['id']}", ADMINS.token()), 200)["text"]
                return re.search(r"^ {4}(\S{20,})$", text, re.MULTILINE)[1]
        time.sleep(0.05)
    raise RuntimeError(f"no mail {about} came for {address}")


def invitation(email):
    expect(ask("POST", "/users/invitations", ADMINS.token(), json={"email": email}), 202)
    return mailed_token(email, "invited")


def verification():
    return mailed_token(register()["email"], "verify_email")


def reset():
    email = register()["email"]
    expect(ask("POST", "/auth/password/forgot", json={"email": email}), 202)
    return mailed_token(email, "reset_password")


# --- organizations ------------------------------------------------------------


class Guest(Somebody):
    """Somebody whose address is proven: they may accept invitations to it."""

    def person(self):
        if self.now is None or not roles_of(self.now):
            email = register()["email"]
            token = mailed_token(email, "verify_email")
            expect(ask("POST", "/auth/verify-email", json={"token": token}), 200, 204)
            self.now = sign_in(email)
        return self.now


# Who has organizations, and who is invited to them. Nothing else is done with their accounts.
FOUNDER = Somebody()
GUEST = Guest()

# Who may leave a place, by its id: how they are known. The founder can't: nobody else is an admin.
LEAVERS = {}


class Places:
    """Organizations and websites of the founder. What a request may end is made for it."""

    def __init__(self):
        self.kept = None

    def organization(self):
        name = f"Harbor {next(SERIAL)}"
        return expect(ask("POST", "/organizations", FOUNDER.person().access_token, json={"name": name}), 201)["id"]

    def website(self, organization):
        body = {"name": "Ferry times", "url": f"https://ferries-{next(SERIAL)}.example.com/"}
        path = f"/organizations/{organization}/websites"
        return expect(ask("POST", path, FOUNDER.person().access_token, json=body), 201)["id"]

    def some(self):
        """A place that is there still: the ids of an organization and of a website of it."""
        token = FOUNDER.person().access_token
        if self.kept is None or ask("GET", f"/websites/{self.kept[1]}", token).status_code != 200:
            organization = self.organization()
            self.kept = (organization, self.website(organization))
        return self.kept

    @staticmethod
    def invite(base, email=None):
        """A new invitation to an organization or a website, by its path."""
        body = {"email": email or f"guest-{next(SERIAL)}@example.net", "role": "user"}
        return expect(ask("POST", f"{base}/invitations", FOUNDER.person().access_token, json=body), 201)

    def token(self):
        """The token of an invitation of the guest, to a place where they are not yet."""
        return self.invite(f"/organizations/{self.organization()}", GUEST.person().email)["token"]

    def member(self, base):
        """A new member, who came by an invitation."""
        made = self.invite(base)
        account = register(email=made["email"], invitation_token=made["token"])
        return sign_in(account["email"])

    def parameters(self, method, path):
        """Ids for a path that lead to something."""
        if path == "/invitations/{token}":
            return {"token": self.token()}
        if method == "DELETE" and path == "/organizations/{id}":
            return {"id": self.organization()}
        organization, website = self.some()
        if method == "DELETE" and path == "/websites/{id}":
            return {"id": self.website(organization)}
        place = website if path.startswith("/websites/") else organization
        base = path.split("/{")[0] + f"/{place}"
        found = {"id": place}
        if "{user_id}" in path:
            found["user_id"] = self.member(base).id
        if path.endswith("/members/me"):
            LEAVERS[place] = f"Bearer {self.member(base).access_token}"
        if "{invitation_id}" in path:
            found["invitation_id"] = self.invite(base)["id"]
        return found

    @staticmethod
    def name(organization):
        """What it is called now; nothing if it is not there."""
        reply = ask("GET", f"/organizations/{organization}", FOUNDER.person().access_token)
        return reply.json()["name"] if reply.status_code == 200 else None


PLACES = Places()


# --- the catalog and the blog ---------------------------------------------------


class Categories:
    """Categories to be in, and categories that a request may rename, move or end, made for it:
    no case takes away what another one names."""

    def __init__(self):
        self.kept = []

    @staticmethod
    def made(parent=None):
        """The slug of a new one."""
        number = next(SERIAL)
        body = {"slug": f"shelf-{number}", "name": f"Shelf {number}", "parent": parent}
        return expect(ask("POST", "/categories", ADMINS.token(), json=body), 201)["slug"]

    def some(self):
        """The slugs of a few that are there: one at the top, one below it, one below that."""
        if not self.kept or not all(self.is_there(slug) for slug in self.kept):
            top = self.made()
            middle = self.made(top)
            self.kept = [top, middle, self.made(middle)]
        return self.kept

    @staticmethod
    def is_there(slug):
        return ask("GET", f"/categories/{quote(slug, safe='')}").status_code == 200


CATEGORIES = Categories()


class Products:
    """Products that are there already, and new ones."""

    # As many as there can be of one.
    MOST = 1_000_000_000

    @staticmethod
    def made():
        """The id of a new one, of which nothing but what must be is known."""
        number = next(SERIAL)
        body = {"sku": f"HARBOR-{number}", "name": f"Bollard {number}", "price": "120", "currency": "EUR"}
        return expect(ask("POST", "/products", ADMINS.token(), json=body), 201)["id"]

    def room(self, product):
        """How many more of it there can be."""
        reply = ask("GET", f"/products/{product}")
        return self.MOST - reply.json()["stock"] if reply.status_code == 200 else self.MOST


PRODUCTS = Products()


class BlogPosts:
    """Posts that are there, and those that a request may end, made for it."""

    @staticmethod
    def made():
        """A new one, which everybody may read."""
        body = {"title": f"Tides {next(SERIAL)}", "content": "They *come*.", "published": True, "tags": ["sea"]}
        return expect(ask("POST", "/blog/posts", ADMINS.token(), json=body), 201)

    def some(self):
        """At least one, as a list shows them."""
        query = {"page_size": 50, "content": "false"}
        return expect(ask("GET", "/blog/posts", ADMINS.token(), params=query), 200)["items"] or [self.made()]


BLOG_POSTS = BlogPosts()


# --- dead letters -------------------------------------------------------------

# Of each a few, so that replaying one consumer's leaves something.
CONSUMERS = ["identity.notices", "identity.token_lives"]


def bury(count):
    """Puts down dead letters as a consumer would leave them. Replayed, they are about
    an account that nobody has, which is no failure."""
    rows = []
    for number in range(count):
        event = {
            "id": str(uuid.uuid4()),
            "kind": "user.registered",
            "subject": f"user/{uuid.uuid4()}",
            "time": "2026-01-02T03:04:05.678Z",
            "actor": "anonymous",
            "request_id": None,
            "data": {"user_id": str(uuid.uuid4()), "email_verified": False},
        }
        history = [{"at": "2026-01-02T03:04:06.789Z", "error": "out of order"}]
        rows.append(
            (
                str(uuid.uuid4()), CONSUMERS[number % len(CONSUMERS)], event["id"], event["kind"],
                event["subject"], json.dumps(event), "out of order", json.dumps(history), 5,
                int(time.time() * 1000) - number,
            )
        )
    columns = "id, consumer, event_id, kind, subject, event, error, history, attempts, died_at"
    if DATABASE.startswith("sqlite:"):
        with sqlite3.connect(DATABASE.removeprefix("sqlite:"), timeout=20) as database:
            database.executemany(
                f"insert into dead_letters ({columns}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(uuid.UUID(row[0]).bytes, row[1], uuid.UUID(row[2]).bytes, *row[3:]) for row in rows],
            )
        database.close()
    else:
        # Nothing in these texts has a quote.
        values = ", ".join("(" + ", ".join(f"'{value}'" for value in row) + ")" for row in rows)
        statement = f"insert into dead_letters ({columns}) values {values}"
        subprocess.run(
            ["psql", "--quiet", f"--dbname={DATABASE}", f"--command={statement}"], check=True, timeout=20
        )


# --- ids ----------------------------------------------------------------------


class Ids:
    """Ids that lead to something, by the path that takes them."""

    def __init__(self):
        self.victim = None

    def of(self, method, path):
        if path.endswith("/users/{id}"):
            return self.users() if method == "GET" else [self.some_victim()]
        if path.endswith("/auth/sessions/{id}"):
            sign_in(SOMEBODY.person().email)
            return self.listed("/auth/sessions", SOMEBODY.person().access_token)
        if path.endswith("/auth/api-keys/{id}"):
            return [SOMEBODY.key()]
        if path.endswith("/auth/api-keys/{id}/limit"):
            return [self.limited_key()]
        if path.endswith("/auth/services/{id}"):
            return [expect(ask("POST", "/auth/services", ADMINS.token(), json={"name": "robot"}), 201)["id"]]
        if "/events/dead-letters/{id}" in path:
            return dead_letters()
        if path.endswith("/blog/posts/{id}"):
            return [post["id"] for post in ([BLOG_POSTS.made()] if method == "DELETE" else BLOG_POSTS.some())]
        if path.endswith("/mailbox/{id}"):
            return self.listed("/mailbox", ADMINS.token())
        return []

    def users(self):
        return self.listed("/users", ADMINS.token())

    @staticmethod
    def limited_key():
        """A key that has a limit of its own."""
        key = SOMEBODY.key()
        expect(ask("PUT", f"/auth/api-keys/{key}/limit", ADMINS.token(), json={"policy": POLICY}), 200)
        return key

    def some_victim(self):
        """An account that may be changed and removed."""
        if self.victim is not None:
            reply = ask("GET", f"/users/{self.victim}", ADMINS.token())
            if reply.status_code == 404:
                self.victim = None
        if self.victim is None:
            self.victim = register()["id"]
        return self.victim

    @staticmethod
    def listed(path, token):
        reply = ask("GET", path, token, params={"page_size": 100})
        return [item["id"] for item in expect(reply, 200)["items"]]


def dead_letters():
    """There are some of each consumer, afterwards."""
    path = "/events/dead-letters"
    found = expect(ask("GET", path, ADMINS.token(), params={"page_size": 100}), 200)["items"]
    if any(sum(letter["consumer"] == name for letter in found) < 2 for name in CONSUMERS):
        bury(10)
        found = expect(ask("GET", path, ADMINS.token(), params={"page_size": 100}), 200)["items"]
    return [letter["id"] for letter in found]


IDS = Ids()
