"""What is left out of the judgement: each with its reason, as narrow as it can be.

Further statuses that say something about the server's state, not about the
request, stand in `schemathesis.toml`.
"""

from __future__ import annotations

import unicodedata

import jsonschema_rs
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData

import tally

EXCEPTIONS = []


def exception(rule):
    EXCEPTIONS.append(rule)
    return rule


@exception
def text_is_judged_after_it_was_cleaned(failure, case, response):
    """White space at the ends goes, runs of it become one space, letters are composed
    (NFC; passwords NFKC), and only then is the length counted: a title of 150 letters
    and a blank is one of 150 letters, where JSON Schema counts 151. So what fits the
    document once it was cleaned was rightly accepted.
    """
    return isinstance(failure, AcceptedNegativeData) and all(
        fits_when_cleaned(case, place)
        for place, component in case.meta.components.items()
        if component.mode.is_negative
    )


def fits_when_cleaned(case, place):
    operation = case.operation
    if place == ParameterLocation.BODY:
        schemas = [alternative.definition["schema"] for alternative in operation.body]
        body = cleaned(case.body)
        return isinstance(body, dict) and any(is_valid(operation, schema, body) for schema in schemas)
    if place == ParameterLocation.QUERY:
        schemas = {parameter.name: parameter.definition["schema"] for parameter in operation.query}
        # An unknown parameter is a fault, too.
        return all(
            name in schemas and is_valid(operation, schemas[name], cleaned(value))
            for name, value in case.query.items()
        )
    return False


def cleaned(value, name=""):
    if isinstance(value, dict):
        return {key: cleaned(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [cleaned(inner, name) for inner in value]
    if not isinstance(value, str):
        return value
    if name == "password":
        return unicodedata.normalize("NFKC", value)
    return " ".join(unicodedata.normalize("NFC", value).split()).strip(" \u200b\u2060\ufeff")


def is_valid(operation, schema, value):
    document = {**schema, "components": operation.schema.raw_schema["components"]}
    return jsonschema_rs.validator_for(document, validate_formats=True).is_valid(value)


@exception
def oauth_refuses_wrong_credentials_with_400(failure, case, response):
    """RFC 6749 §5.2 has 400 `invalid_grant` for a wrong name or password, where every
    other endpoint has 401, which is no fault of a request that fits the document.
    """
    return (
        isinstance(failure, RejectedPositiveData)
        and case.operation.path.endswith("/auth/token")
        and response.status_code == 400
        and response.json().get("error") == "invalid_grant"
    )


@exception
def a_made_up_token_opens_nothing(failure, case, response):
    """Tokens of one use come by mail, or for the first administrator in the log. `hooks.py`
    fetches many from the mailbox; any other text fits the document and is answered 410,
    in the operations that take one.
    """
    body = case.body if isinstance(case.body, dict) else {}
    return (
        isinstance(failure, RejectedPositiveData)
        and response.status_code == 410
        and response.json()["code"] == "token_invalid"
        and (
            case.operation.path.endswith(("/setup", "/auth/verify-email", "/auth/password/reset"))
            or case.operation.path.startswith("/api/v1/invitations/")
            or (case.operation.path.endswith("/auth/register") and body.get("invitation_token") is not None)
        )
    )


@exception
def a_wrong_password_of_who_is_signed_in_is_a_fault_of_its_field(failure, case, response):
    """401 would tell a program that its token is bad. That the password is another's
    than the caller's can't be seen in the document.
    """
    return (
        isinstance(failure, RejectedPositiveData)
        and case.operation.path.endswith(("/auth/me", "/auth/password/change"))
        and response.status_code == 422
        and {error["code"] for error in response.json()["errors"]} == {"wrong_password"}
    )


@exception
def five_wrong_passwords_lock_a_name(failure, case, response):
    """Small names are tried again and again, and a name that nobody has is locked like
    one that somebody has: 429 then says so of the name, not of the request.
    """
    return (
        isinstance(failure, RejectedPositiveData)
        and case.operation.path.endswith(("/auth/login", "/auth/token"))
        and response.status_code == 429
        and response.json()["code"] == "login_locked"
    )


@schemathesis.hook
def filter_failure(context, failure, case, response):
    for rule in EXCEPTIONS:
        if rule(failure, case, response):
            tally.EXCEPTIONS[rule.__name__] += 1
            return False
    return True
