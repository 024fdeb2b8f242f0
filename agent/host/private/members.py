"""From the text that is kept to the value of one variable. Pure."""

from __future__ import annotations

import json

from agent.host.secrets import SecretError


def value(text: str, json_key: str) -> str:
    """The text, or one member of the JSON object that it is: a text, number, true or false.

    Numbers are as they are written. Raises SecretError, which quotes nothing of it.
    """
    found = _member(text, json_key) if json_key else text
    if "\0" in found:
        raise SecretError("it holds a NUL character, which no variable can")
    return found


def _member(text: str, key: str) -> str:
    try:
        whole = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        raise SecretError(f"it is not JSON, so there is no {key} in it") from None
    if not isinstance(whole, dict) or key not in whole:
        raise SecretError(f"it is not a JSON object with a member {key}")
    match whole[key]:
        case bool(flag):
            return "true" if flag else "false"
        case str(found):
            return found
        case _:
            raise SecretError(f"its member {key} is no text, number, true or false")
