"""What is on the web is fetched whole, as what it was expected to be, and what stands in the way is said."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from web_server import Answer, Server, packed, serving

from perennial.errors import BadBatch, PerennialError, ServiceUnavailable, StorageFull
from perennial.settings import settings
from perennial.sources import web

CSV = b"at,value\n2024-01-01,1\n2024-01-02,2\n"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


@pytest.fixture(autouse=True)
def _in_no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two tries nothing is waited for, but it is asked how long."""
    monkeypatch.setattr(web, "_wait", lambda state: 0.0)


def fetched(address: str, expected: web.Format | None = None) -> tuple[str, bytes]:
    with web.local(address, expected) as file:
        return Path(file).name.partition(".")[2], Path(file).read_bytes()


def refused(address: str, expected: web.Format | None = None, kind: type[PerennialError] = BadBatch) -> str:
    with pytest.raises(PerennialError) as error, web.local(address, expected):
        pass
    assert type(error.value) is kind
    assert error.value.fix
    return error.value.problem


def test_a_file_is_there_until_the_block_ends(server: Server) -> None:
    with web.local(server.serves("/a.csv", Answer(CSV))) as file:
        assert Path(file).read_bytes() == CSV
    assert not Path(file).exists()


def test_a_path_is_itself(tmp_path: Path) -> None:
    with web.local(f"{tmp_path}/some where.csv", "parquet") as file:
        assert file == f"{tmp_path}/some where.csv"


def test_a_files_format_is_recognized_by_its_first_bytes(server: Server, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a")
    parquet = (tmp_path / "a").read_bytes()
    assert fetched(server.serves("/download", Answer(parquet)))[0] == "parquet"
    assert fetched(server.serves("/export", Answer(CSV)))[0] == "csv"
    assert fetched(server.serves("/packed", Answer(packed(CSV)))) == ("csv.gz", packed(CSV))


def test_a_body_packed_for_the_way_only_is_unpacked(server: Server) -> None:
    headers = {"Content-Encoding": "gzip"}
    assert fetched(server.serves("/a.csv.gz", Answer(packed(CSV), headers=headers))) == ("csv", CSV)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(status=404), "was not found: the server answers 404 Not Found"),
        (Answer(status=410), "was not found: the server answers 410 Gone"),
        (Answer(status=403), "may not be read: the server answers 403 Forbidden"),
        (Answer(status=401), "may not be read: the server answers 401"),
        (Answer(status=400), "cannot be fetched: the server answers 400"),
        (Answer(b"\n <!DOCTYPE html><title>Log in</title>"), "is a web page instead of data, perhaps a login page"),
        (Answer(b"PK\x03\x04..."), "is a ZIP archive"),
        (Answer(b"PAR1..."), "is a Parquet file, but csv was expected"),
        (Answer(b""), "is empty"),
        (Answer(status=302, headers={"Location": "ftp://127.0.0.1/a.csv"}), "redirects to ftp://127.0.0.1"),
        (Answer(status=302, headers={"Location": "file:///etc/passwd"}), "redirects to file://"),
        (Answer(status=302), "the server answers 302 Found, but not where to redirect to"),
        (Answer(status=304), "the server answers 304 Not Modified, but not where to redirect to"),
        (Answer(status=302, headers={"Location": "http://[zz]/hidden"}), "is not a valid address"),
        (Answer(status=302, headers={"Location": "http://127.0.0.1:99999/hidden"}), "there is no port 99999"),
        (Answer(status=302, headers={"Location": "http://me:hidden@a..b/"}), "its host is malformed"),
        (Answer(status=302, headers={"Location": "http://xn--/hidden"}), "cannot be fetched: Malformed A-label"),
        (Answer(status=302, headers={"Location": "/a.csv"}), "redirects too many times"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_person_has_to_fix_is_raised_at_once(server: Server, answer: Answer, said: str) -> None:
    address = server.serves("/a.csv", answer)
    problem = refused(f"{address}?token=hidden", "csv")
    assert "hidden" not in problem
    assert said in problem
    assert f"{address}?token=***" in problem
    assert len(server.asked) == (6 if "redirects too many" in said else 1)


def test_no_parquet_where_some_was_expected(server: Server) -> None:
    assert "is not a Parquet file" in refused(server.serves("/a", Answer(CSV)), "parquet")


@pytest.mark.parametrize("first", [Answer(status=503), Answer(status=429), Answer(CSV, cut=9)], ids=str)
def test_what_passes_is_tried_again(server: Server, first: Answer) -> None:
    assert fetched(server.serves("/a.csv", first, first, Answer(CSV))) == ("csv", CSV)


def test_a_server_that_always_fails_is_unavailable(server: Server) -> None:
    problem = refused(server.serves("/a.csv", Answer(status=502)), kind=ServiceUnavailable)
    assert "the server answers 502 Bad Gateway, 4 times" in problem
    assert len(server.asked) == 4


def test_nobody_who_listens_is_one_too() -> None:
    assert "http://127.0.0.1:9/a.csv" in refused("http://127.0.0.1:9/a.csv", kind=ServiceUnavailable)


def test_an_answer_is_not_waited_for_without_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    over = threading.Event()

    def slow(headers: dict[str, str]) -> Answer:
        over.wait(20)
        return Answer(CSV)

    server.pages["/a.csv"] = slow
    monkeypatch.setattr(web, "_PATIENCE", 0.2)
    monkeypatch.setattr(web, "_ATTEMPTS", 2)
    problem = refused(f"{server.address}/a.csv", kind=ServiceUnavailable)
    over.set()
    assert "no answer within 0 s, 2 times" in problem


def test_the_server_says_how_long_to_wait(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    late = Answer(status=503, headers={"Retry-After": "20"})
    fetched(server.serves("/a.csv", late, Answer(status=503), Answer(CSV)))
    assert waited[0] == 20
    assert waited[1] < 10


def test_redirects_are_followed_to_the_file(server: Server) -> None:
    server.serves("/new/a.csv", Answer(CSV))
    assert fetched(server.serves("/a.csv", Answer(status=301, headers={"Location": "new/a.csv"})))[1] == CSV


def test_a_login_is_refused_in_an_address_and_never_shown(server: Server) -> None:
    address = server.serves("/a.csv", Answer(CSV)).replace("http://", "http://me:hidden@")
    problem = refused(address)
    assert "hidden" not in problem
    assert "me" not in problem.replace("somebody", "").split("://")[1].split(" ")[0]
    assert not server.asked


@pytest.fixture
def shop(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An Airflow connection to the server, with a login and a header of its own."""
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    settings.cache_clear()
    host = server.address.removeprefix("http://")
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", f"http://me:hidden@{host}/?X-Key=opener")
    yield "connection://shop"
    settings.cache_clear()


def test_a_connection_gives_the_server_its_login_and_headers(server: Server, shop: str) -> None:
    server.serves("/export/a.csv", Answer(CSV))
    assert fetched(f"{shop}/export/a.csv")[1] == CSV
    ((_, headers),) = server.asked
    assert headers["authorization"].startswith("Basic ")
    assert headers["x-key"] == "opener"


def test_another_server_gets_neither(server: Server, shop: str) -> None:
    with serving() as other:
        there = other.serves("/a.csv", Answer(CSV))
        server.serves("/a.csv", Answer(status=302, headers={"Location": there}))
        assert fetched(f"{shop}/a.csv")[1] == CSV
    ((_, headers),) = other.asked
    assert not {"authorization", "x-key"} & set(headers)


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that nobody knows yet, and a server's context with it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + built.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return pem, context


def test_an_unknown_certificate_is_refused_until_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted, context = certificate(tmp_path)
    with serving(context) as server:
        address = server.serves("/a.csv", Answer(CSV))
        assert "cannot be fetched safely" in refused(address)
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        assert fetched(address)[1] == CSV


def test_a_way_from_https_to_http_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with serving(context) as safe, serving() as unsafe:
        there = unsafe.serves("/a.csv", Answer(CSV))
        address = safe.serves("/a.csv", Answer(status=302, headers={"Location": there}))
        assert "redirects to http://127.0.0.1, which is less secure" in refused(address)
        assert not unsafe.asked


@pytest.mark.parametrize("length", [{}, {"Content-Length": None}], ids=["told", "untold"])
def test_what_is_too_large_is_not_fetched(
    server: Server, length: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "MOST", 20)
    assert "is larger than" in refused(server.serves("/a.csv", Answer(CSV, headers=length)))


def test_what_does_not_fit_is_no_half_a_file(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10))
    assert "does not fit into" in refused(server.serves("/a.csv", Answer(CSV)), kind=StorageFull)
