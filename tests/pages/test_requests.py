"""Requests that no page can take: each is answered with 4xx and a sentence, to those who are logged in."""

from __future__ import annotations

from collections.abc import Iterator

import airflow_world
import pytest
from fastapi.testclient import TestClient
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perennial.pages.forms import fields
from perennial.use_case import UseCase

PAGES = "/perennial"
ADDRESSES = [
    "/",
    "/of?dag=energy.features&run=one&task=two",
    "/static/perennial.css",
    "/use_cases/energy",
    "/use_cases/energy?until=2024-01-01&done=retrain&of=training&run=one",
    "/use_cases/energy/actions/retrain?window_start=2024-01-01&seed=1",
    "/use_cases/energy/acts/retrain?seed=1",
    "/use_cases/energy/partitions/2024-01-01",
    "/use_cases/energy/partitions/2024-01-01/quarantine?table=readings&state=pending&page=1",
    "/use_cases/energy/partitions/2024-01-01/drift_report?run=one",
    "/use_cases/energy/versions/1",
    "/use_cases/energy/versions/1/card",
    "/validations/energy/2024-01-01",
    "/validations/energy/2024-01-01/one",
]
#: In place of a name or value in an address.
ODD = ["%00", "%ff%fe", "%ed%a0%80", "a" * 5000, "%0d%0aX:1", "9" * 400, "-1", "NaN", "[" * 500, "../../etc", "%", "'"]
RETRAIN = f"{PAGES}/use_cases/energy/actions/retrain"


@pytest.fixture(scope="module")
def headers(http: TestClient, access: dict[str, str]) -> dict[str, str]:
    airflow_world.register_dags()
    return access


@pytest.fixture(scope="module", autouse=True)
def _raises_nothing(http: TestClient) -> None:
    """An exception inside the application becomes a 500, as on a real server."""
    http._transport.raise_server_exceptions = False  # type: ignore[attr-defined]


def variants(address: str, odd: str) -> Iterator[str]:
    """The address with each of its names and values replaced."""
    path, _, query = address.partition("?")
    parts = path.split("/")
    for place in range(1, len(parts)):
        yield "/".join([*parts[:place], odd, *parts[place + 1 :]])
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    for place, (name, _, _) in enumerate(pairs):
        others = [f"{other}={value}" for number, (other, _, value) in enumerate(pairs) if number != place]
        yield f"{path}?{'&'.join([*others, f'{name}={odd}'])}"


@pytest.mark.parametrize("address", ADDRESSES)
def test_odd_names_in_an_address_are_never_a_server_error(
    http: TestClient, headers: dict[str, str], address: str
) -> None:
    for odd in ODD:
        for variant in variants(address, odd):
            answer = http.get(f"{PAGES}{variant}", headers=headers, follow_redirects=False)
            assert answer.status_code < 500 or "MLflow" in answer.text, (variant, answer.text[:300])
            if odd in ("%00", "%ff%fe", "%ed%a0%80"):
                assert answer.status_code in (400, 404), variant


@pytest.mark.parametrize("version", ["0", "²", "one", "9" * 30, "-1"])
def test_a_version_that_cannot_exist_needs_no_mlflow(http: TestClient, headers: dict[str, str], version: str) -> None:
    assert http.get(f"{PAGES}/use_cases/energy/versions/{version}", headers=headers).status_code == 404


@pytest.mark.parametrize(
    "token",
    [b"", b"Bearer", b"Bearer \xff\xfe", b"Bearer ....", b"Bearer e30.e30.e30", b"Basic zzz", b"Bearer " + b"a" * 9000],
)
def test_an_odd_token_is_no_login(http: TestClient, token: bytes) -> None:
    http.cookies.clear()
    for sent in ({"Authorization": token}, {"Cookie": b"_token=" + token.removeprefix(b"Bearer ")}):
        for path in ("/", "/nosuch"):
            assert http.get(f"{PAGES}{path}", headers=sent).status_code in (401, 403)  # type: ignore[arg-type]


def test_without_a_login_an_odd_address_tells_nothing(http: TestClient) -> None:
    http.cookies.clear()
    for address in ADDRESSES:
        for variant in variants(address, "%00"):
            assert http.get(f"{PAGES}{variant}", follow_redirects=False).status_code == 401, variant


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_without_a_login_no_page_is_even_missing(http: TestClient, headers: dict[str, str], method: str) -> None:
    http.cookies.clear()
    for path in ("/nosuch", "/use_cases", "/use_cases/energy/nosuch/", "/use_cases/energy"):
        assert http.request(method, f"{PAGES}{path}", follow_redirects=False).status_code == 401
    expected = 404 if method == "GET" else 405
    assert http.request(method, f"{PAGES}/nosuch", headers=headers).status_code == expected


def test_a_slash_too_many_is_taken_away(http: TestClient, headers: dict[str, str]) -> None:
    answer = http.get(f"{PAGES}/use_cases/energy/?until=2024-01-01", headers=headers, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, f"{PAGES}/use_cases/energy?until=2024-01-01")


@pytest.mark.parametrize("origin", ["http://[", "http://]", "null", "http://evil.example", "//", "\udcff", ""])
def test_an_origin_that_is_not_ours_is_refused(http: TestClient, headers: dict[str, str], origin: str) -> None:
    token = headers["Authorization"].removeprefix("Bearer ")
    sent = {"Cookie": f"_token={token}", "Origin": origin.encode("utf-8", "surrogateescape")}
    answer = http.post(RETRAIN, headers=sent, data={"reason": "because"})
    assert answer.status_code == 403
    assert "sent from another site" in answer.text


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b'{"reason": "because"}', "application/json", 415),
        (b"reason=because", "text/plain", 415),
        (b"reason=because", "multipart/form-data; boundary=x", 415),
        (b"reason=because", "", 415),
        (b"reason=%ff", None, 400),
        (b"reason=\xff", None, 400),
        (b"reason=%ed%a0%80", None, 400),
        (b"reason=a%00b", None, 400),
        (b"re%00ason=a", None, 400),
        (b"&".join(b"a%d=1" % number for number in range(200)), None, 400),
        (b"reason=" + b"a" * 70_000, None, 413),
        (b"reason=" + b"a" * 5_000, None, 422),
        (b"%%%=&&==&reason", None, 422),
        (b"", None, 422),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_form_is_refused_in_a_sentence(
    http: TestClient, headers: dict[str, str], content: bytes, kind: str | None, status: int
) -> None:
    sent = headers | {"Content-Type": "application/x-www-form-urlencoded" if kind is None else kind}
    answer = http.post(RETRAIN, headers=sent, content=content)
    assert answer.status_code == status, answer.text[:300]
    assert "<h1" in answer.text


ODD_VALUES = ["[" * 3000, "[" * 400, "9" * 5000, "NaN", "-Infinity", "1e999", '"\\ud800"', '"\\u0000"', '{"a":' * 50]


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: value[:12])
@pytest.mark.parametrize("name", ["seed", "alpha", "window_start", "require_approval", "as", "reason"])
def test_an_odd_value_of_a_field_is_a_problem_of_that_field(
    http: TestClient, headers: dict[str, str], name: str, value: str
) -> None:
    answer = http.post(RETRAIN, headers=headers, data={"reason": "because", name: value}, follow_redirects=False)
    assert answer.status_code in ((303, 422) if name in ("as", "reason") else (422,)), answer.text[:300]


def test_the_name_of_a_browser_need_not_be_ascii(http: TestClient, headers: dict[str, str]) -> None:
    sent = headers | {"User-Agent": "Fuchs Ü".encode()}  # type: ignore[dict-item]
    answer = http.post(RETRAIN, headers=sent, data={"reason": "because"}, follow_redirects=False)
    assert answer.status_code == 303, answer.text[:300]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
)


@settings(deadline=None)
@given(st.text(st.characters(codec=None), max_size=600) | _JSON.map(repr))
@example("[" * 3000)
@example("NaN")
def test_a_parameter_can_be_sent_or_is_a_problem(energy: UseCase, typed: str) -> None:
    import json

    for name in ("seed", "alpha", "window_start"):
        params, problems = fields.parse(energy, energy.params, {name: typed})
        if not problems:
            json.dumps(params, allow_nan=False, ensure_ascii=False).encode()
