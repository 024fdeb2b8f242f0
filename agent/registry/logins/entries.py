"""One login in the forms that Docker's files have. Pure; the texts of errors quote nothing."""

import base64
import binascii

from agent.registry.logins.login import Login

_TOKEN = "<token>"  # noqa: S105 - what Docker writes for the name
"""The user name that says: the password is an identity token."""


def login(username: str, password: str) -> Login:
    """A login; with the user name ``<token>`` the password is an identity token.

    Raises ValueError for what can't be sent, as RFC 7617 has it.
    """
    if ":" in username:
        raise ValueError("its user name has a colon")
    try:
        (username + password).encode()
    except UnicodeEncodeError:
        raise ValueError("it is not Unicode text") from None
    if username == _TOKEN:
        return Login(username="", identity_token=password)
    return Login(username, password)


def decoded(auth: str) -> Login:
    """The login in ``auth``, which is base64 of ``user:password``. Raises ValueError."""
    try:
        text = base64.b64decode(auth, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("its auth is not base64") from None
    username, colon, password = text.partition(":")
    if not colon or not username:
        raise ValueError("its auth is not base64 of user:password")
    return login(username, password.rstrip("\0"))
