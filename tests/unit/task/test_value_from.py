"""What ``valueFrom`` means: which service, which name, which member and version."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.task.definition.value_from import ParameterId, SecretId, ValueFrom, secret_id, value_from

SECRET = "arn:aws:secretsmanager:eu-north-1:111122223333:secret:"
PARAMETER = "arn:aws:ssm:eu-north-1:111122223333:parameter/"
WHOLE = SecretId(f"{SECRET}db-AbC123", "db-AbC123", "eu-north-1")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("db", ValueFrom(ParameterId("db", "db"))),
        ("/app/db", ValueFrom(ParameterId("/app/db", "/app/db"))),
        ("db:3", ValueFrom(ParameterId("db:3", "db"))),
        ("app.db_1-x:live", ValueFrom(ParameterId("app.db_1-x:live", "app.db_1-x"))),
        (f"{PARAMETER}db", ValueFrom(ParameterId(f"{PARAMETER}db", "db", "eu-north-1"))),
        (
            f"{PARAMETER}app/db:3",
            ValueFrom(ParameterId(f"{PARAMETER}app/db:3", "app/db", "eu-north-1")),
        ),
        (f"{SECRET}db-AbC123", ValueFrom(WHOLE)),
        (f"{SECRET}db-AbC123:::", ValueFrom(WHOLE)),
        (f"{SECRET}db-AbC123:password::", ValueFrom(WHOLE, "password")),
        (
            f"{SECRET}a/b:k y:AWSPREVIOUS:v-1",
            ValueFrom(SecretId(f"{SECRET}a/b", "a/b", "eu-north-1", "AWSPREVIOUS", "v-1"), "k y"),
        ),
        (
            f"{SECRET}db::AWSPREVIOUS:",
            ValueFrom(SecretId(f"{SECRET}db", "db", "eu-north-1", "AWSPREVIOUS")),
        ),
        (
            "arn:aws-cn:ssm:cn-north-1:111122223333:parameter/db",
            ValueFrom(
                ParameterId(
                    "arn:aws-cn:ssm:cn-north-1:111122223333:parameter/db", "db", "cn-north-1"
                )
            ),
        ),
    ],
)
def test_it_names_a_parameter_or_a_secret(text: str, meant: ValueFrom) -> None:
    assert value_from(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "é",
        "a:b:c",
        "x" * 1012,
        SECRET,
        f"{SECRET}db:key",
        f"{SECRET}db:key:stage",
        f"{SECRET}db:key:stage:id:more",
        f"{SECRET}d b",
        PARAMETER,
        "arn:aws:ssm:eu-north-1:111122223333:db",
        "arn:aws:ssm:eu-north-1:1:parameter/db",
        "arn:aws:s3:::bucket/key",
        "arn:db",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be the name or ARN of a parameter"):
        value_from(text)


def test_a_login_is_a_whole_secret() -> None:
    assert secret_id(f"{SECRET}db-AbC123") == WHOLE
    with pytest.raises(ValueError, match="neither a name nor an ARN"):
        secret_id(f"{SECRET}db-AbC123:::")


@given(
    st.text() | st.builds("".join, st.lists(st.sampled_from([SECRET, PARAMETER, ":", "/", "a"])))
)
def test_any_text_means_something_or_is_refused(text: str) -> None:
    try:
        meant = value_from(text)
    except ValueError:
        return
    assert text.startswith(meant.kept.id)
    assert meant.kept.name in text
    assert not any(each.startswith("/") for each in list(meant.kept.files)[1:])
