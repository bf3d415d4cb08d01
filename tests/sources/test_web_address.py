"""Addresses on the web: what is malformed is an error that names them, and no secret is shown."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perennial.errors import BadBatch
from perennial.sources import web, web_address


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        ("https://me:hidden@x.org/a.csv", "a login"),
        ("https://x.org/a.csv?access_token=hidden", "'access_token'"),
        ("https://x.s3.org/a.csv?X-Amz-Signature=hidden", "'X-Amz-Signature'"),
        ("https://x.org/a.csv?sv=1&sig=hidden", "'sig'"),
        ("https://x.org/a.csv?apikey=hidden", "'apikey'"),
        ("https://x.org/a.csv?accessToken=hidden", "'accessToken'"),
        ("https://x.org/a.csv?AccessKey=hidden", "'AccessKey'"),
        ("https://x.org/a.csv?JWT=hidden", "'JWT'"),
        ("https://x.org/a.csv?dbPass=hidden", "'dbPass'"),
        ("https://x.org/a.csv?clientSecret=hidden", "'clientSecret'"),
    ],
)
def test_secrets_of_an_address_are_seen_and_hidden(address: str, secret: str) -> None:
    assert secret in web_address.secrets_of(address)
    assert "hidden" not in web_address.shown(address)


@pytest.mark.parametrize(
    "address", ["https://x.org/a.csv", "https://x.org/e?format=csv&year=2024&keyboard=de&countryCode=US"]
)
def test_what_is_no_secret_is_kept(address: str) -> None:
    assert not web_address.secrets_of(address)
    assert web_address.shown(address) == address


@pytest.mark.parametrize(
    "address",
    [
        *("http://[", "http://[zz]/a", "http://[::1", "https://me:hidden@[/a?token=hidden", "http://", "http:///a.csv"),
        *("http://a..b/a.csv", f"http://{'a' * 64}.org/", "http://xn--/", "http://\u2603.net/", "http://\ud800.org/"),
        *(
            "http://x.org:99999/",
            "http://x.org:-1/",
            "http://x.org:0/",
            "http://x.org:abc/?token=hidden",
            "http://a b/",
        ),
        *("http://x.org/\x00", f"http://x.org/{'a' * 70_000}", "HTTP://[", "http://me:hidden@x.org:99999/a"),
    ],
)
def test_a_malformed_address_is_an_error_that_names_it(address: str) -> None:
    with pytest.raises(BadBatch, match=r"^(?i:https?)://.* is not a valid address: ") as raised, web.local(address):
        pass
    assert "hidden" not in str(raised.value)
    assert len(raised.value.problem) < 400
    raised.value.problem.encode()


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("http://ex\u00e4mple.org/\u00fc.csv", b"xn--exmple-cua.org"),
        ("http://[::1]:8080/a.csv", b"::1"),
        ("https://my_bucket.example.com./a.csv", b"my_bucket.example.com."),
        ("HTTPS://X.org/a.csv", b"x.org"),
    ],
)
def test_unusual_addresses_are_valid(address: str, host: bytes) -> None:
    assert web_address.parse(address).raw_host == host


_PIECES = st.sampled_from(
    [*"[]@:/?#%\\.&=-_ \x00\n\u00fc\ud800", "http://", "https://", "hidden", "xn--", "99999", "token="]
)


@given(st.lists(_PIECES, max_size=12).map("".join))
@example("http://me:hidden@[")
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    address = f"http://{text}"
    try:
        web_address.parse(address)
    except BadBatch as error:
        str(error).encode()
    web_address.shown(address).encode()
