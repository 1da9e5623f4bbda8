"""A real SMTP server (aiosmtpd) for the tests of mainstay-mail, with faults on demand.

    smtp_server.py [--tls starttls|implicit --certificates FOLDER] [--auth USER:PASSWORD]

Listens on a free port of 127.0.0.1, prints it, then one line of JSON for each mail that it
was sent, decoded by Python's own mail parser. Ends when its standard input does. What goes
wrong is chosen by the recipient's local part:

    greylist-…        451 to the first RCPT, then fine
    reject-…          550 to RCPT
    refuse-content-…  554 to the content
    hang-…            takes the content and never answers
    drop-…            takes the content of the first mail and hangs up without an answer
"""

import argparse
import asyncio
import json
import ssl
import subprocess
import sys
import warnings
from email import message_from_bytes, policy
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult


def make_certificates(folder: Path) -> ssl.SSLContext:
    """A certificate authority (ca.pem), and a server's certificate by it."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test authority")
    openssl(
        "req", "-x509", *new_key, "-keyout", "server.key", "-out", "server.pem",
        "-CA", "ca.pem", "-CAkey", "ca.key", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-addext", "basicConstraints=critical,CA:FALSE",
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context


class Handler:
    def __init__(self) -> None:
        self.seen: set[str] = set()

    def is_first(self, address: str) -> bool:
        is_first = address not in self.seen
        self.seen.add(address)
        return is_first

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("reject-"):
            return "550 5.1.1 no such mailbox here"
        if address.startswith("greylist-") and self.is_first(address):
            return "451 4.7.1 greylisted, come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        address = envelope.rcpt_tos[0]
        if address.startswith("refuse-content-"):
            return "554 5.7.1 this looks like spam"
        mail = message_from_bytes(envelope.content, policy=policy.default)
        parts = {
            part.get_content_type(): part.get_content().replace("\r\n", "\n")
            for part in mail.walk()
            if not part.is_multipart()
        }
        received = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "is_encrypted": session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None,
            "is_signed_in": bool(session.authenticated),
            "host": session.host_name,
            "headers": [[name, str(value)] for name, value in mail.items()],
            "text": parts.get("text/plain"),
            "html": parts.get("text/html"),
            "defects": [str(defect) for defect in mail.defects],
        }
        print(json.dumps(received), flush=True)
        if address.startswith("hang-"):
            await asyncio.Event().wait()
        if address.startswith("drop-") and self.is_first(address):
            server.transport.abort()
        return "250 OK"


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", choices=["starttls", "implicit"])
    parser.add_argument("--certificates", type=Path)
    parser.add_argument("--auth")
    arguments = parser.parse_args()
    context = make_certificates(arguments.certificates) if arguments.tls else None

    def authenticate(server, session, envelope, mechanism, data):
        given = f"{data.login.decode()}:{data.password.decode()}"
        return AuthResult(success=given == arguments.auth, handled=False)

    options = {"enable_SMTPUTF8": True, "hostname": "localhost", "auth_require_tls": False}
    if arguments.auth:
        options |= {"authenticator": authenticate, "auth_required": True}
    if arguments.tls == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    handler = Handler()
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(handler, **options),
        "127.0.0.1",
        0,
        ssl=context if arguments.tls == "implicit" else None,
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    # Whoever started this holds the other end: when they are gone, so is this.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


warnings.simplefilter("ignore")
try:
    asyncio.run(asyncio.wait_for(main(), 600))
finally:
    # A mail that hangs would hold up the loop's end.
    sys.stdout.flush()
