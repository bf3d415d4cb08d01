"""Tables of PostgreSQL and SQLite are read by Airflow connections: what is asked for, whatever type time has there."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial import Cadence
from perennial.errors import BadBatch, PerennialError, ServiceUnavailable
from perennial.services import postgres
from perennial.sources import Column, DatabaseTable, connections, tables
from perennial.sources.spans import Span, Written

START, END = datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)
#: Around the bounds, to the microsecond, and far from them.
MOMENTS = [
    *(START + timedelta(microseconds=each) for each in (-1, 0, 1)),
    *(END + timedelta(microseconds=each) for each in (-1, 0, 1)),
    *(START + timedelta(days=each) for each in (-400, -3, 0.4, 7, 20, 40, 800)),
]
Write = Callable[[datetime], Any]
#: Column -> type in PostgreSQL, how a moment is written there, and what that is called.
WAYS: dict[str, tuple[str, Write, Written]] = {
    "zoned": ("timestamptz", lambda at: at, "type"),
    "plain": ("timestamp", lambda at: at.replace(tzinfo=None), "type"),
    "day": ("date", lambda at: at.date(), "type"),
    "seconds": ("bigint", lambda at: int(at.timestamp()), "seconds"),
    "exact_seconds": ("double precision", lambda at: at.timestamp(), "seconds"),
    "decimal_seconds": ("numeric(20, 6)", lambda at: at.timestamp(), "seconds"),
    "millis": ("bigint", lambda at: round(at.timestamp() * 1e3), "milliseconds"),
    "micros": ("bigint", lambda at: round(at.timestamp() * 1e6), "microseconds"),
    "day_number": ("integer", lambda at: int(f"{at:%Y%m%d}"), "days"),
    "text": ("text", lambda at: at.isoformat(), "text"),
    "elsewhere": ("varchar(40)", lambda at: (at + timedelta(hours=9)).replace(tzinfo=None).isoformat() + "+09", "text"),
    "german": ("text", lambda at: f"{at:%d.%m.%Y %H:%M:%S}", ""),
}


def _sqlite(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else str(value)


@pytest.fixture(scope="module")
def shop(home: Path) -> Iterator[sa.Connection]:
    """Connections `pg` and `lite` to databases with table `sales`, whose column `id` numbers `MOMENTS`; the former."""
    lite = home / "shop folder" / "shop.db"
    lite.parent.mkdir()
    columns = ", ".join(f"{name} {kind}" for name, (kind, _, _) in WAYS.items())
    marks = ", ".join("?" * (len(WAYS) + 1))
    with sqlite3.connect(lite) as opened:
        opened.execute(f"CREATE TABLE sales (id integer, {columns})")
        for number, at in enumerate(MOMENTS):
            row = [_sqlite(write(at)) for _, write, _ in WAYS.values()]
            opened.execute(f"INSERT INTO sales VALUES ({marks})", [number, *row])  # noqa: S608
    opened.close()
    url = postgres.url("lake")
    pg = {"conn_type": "postgres", "host": url.query["host"], "port": int(str(url.query["port"]))}
    pg |= {"login": url.username, "schema": "lake", "extra": {"application_name": "shop"}}
    with pytest.MonkeyPatch.context() as changed, postgres.engine("lake").connect() as connection:
        changed.setenv("AIRFLOW_CONN_LITE", f"sqlite:///{lite}")
        changed.setenv("AIRFLOW_CONN_PG", json.dumps(pg))
        connection.exec_driver_sql("CREATE SCHEMA shop")
        connection.exec_driver_sql(f"CREATE TABLE shop.sales (id bigint, {columns})")
        given = ", ".join(f":{name}" for name in WAYS)
        for number, at in enumerate(MOMENTS):
            row = {name: write(at) for name, (_, write, _) in WAYS.items()}
            connection.execute(sa.text(f"INSERT INTO shop.sales VALUES ({number}, {given})"), row)  # noqa: S608
        connection.commit()
        yield connection


def read(address: str, *columns: str, span: Span | None = None) -> pa.Table:
    with tables.rows(address, columns, span) as found:
        return found.read_all()


ADDRESS = {"pg": "connection://pg/shop.sales", "lite": "connection://lite/sales"}
inside = {number for number, at in enumerate(MOMENTS) if START <= at < END}
near = {number for number, at in enumerate(MOMENTS) if START - timedelta(days=3) < at < END + timedelta(days=3)}


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("where", ADDRESS)
@pytest.mark.parametrize("way", [way for way in WAYS if way != "german"])
def test_the_rows_of_a_span_come_and_hardly_any_others(where: str, way: str) -> None:
    found = read(ADDRESS[where], "id", span=Span(way, START, END, WAYS[way][2] if where == "pg" else _loose(way)))
    numbers = {int(number) for number in found["id"].to_pylist()}
    assert inside <= numbers <= near
    if where == "pg" and way in ("zoned", "plain"):
        assert numbers == inside


def _loose(way: str) -> Written:
    """SQLite keeps moments as text."""
    return "text" if WAYS[way][2] == "type" else WAYS[way][2]


@pytest.mark.usefixtures("shop")
def test_where_text_is_not_ordered_like_time_everything_comes() -> None:
    found = read(ADDRESS["pg"], "id", span=Span("german", START, END, ""))
    assert found.num_rows == len(MOMENTS)


@settings(max_examples=examples(25), deadline=None)
@given(
    at=st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),
    hours=st.integers(1, 24 * 40),
    part=st.floats(0, 0.999),
    way=st.sampled_from([way for way in WAYS if way != "german"]),
)
def test_no_row_of_a_span_is_ever_missing(shop: sa.Connection, at: datetime, hours: int, part: float, way: str) -> None:
    kind, write, written = WAYS[way]
    start = at.replace(minute=0, second=0, microsecond=0)
    moment = start + timedelta(hours=hours) * part
    with shop.begin_nested() as undone:
        shop.exec_driver_sql(f"CREATE TABLE tried (at {kind})")
        shop.execute(sa.text("INSERT INTO tried VALUES (:at)"), {"at": write(moment)})
        (column,) = sa.inspect(shop).get_columns("tried")
        span = Span("at", start, start + timedelta(hours=hours), written)
        asked = sa.select(sa.func.count()).select_from(sa.table("tried"))
        asked = asked.where(*span.conditions(sa.column("at"), column["type"], "postgresql"))
        # A day alone has no time of day: it is of the partition in which it begins.
        is_inside = (written != "days" and kind != "date") or start <= moment.replace(hour=0, minute=0, second=0)
        assert shop.execute(asked).scalar() == 1 or not is_inside
        undone.rollback()


@pytest.mark.usefixtures("shop")
def test_types_are_those_of_the_database() -> None:
    kinds = {field.name: field.type for field in read(ADDRESS["pg"], *WAYS).schema}
    assert kinds["zoned"] == pa.timestamp("us", tz="UTC")
    assert kinds["plain"] == pa.timestamp("us")
    assert (kinds["day"], kinds["seconds"]) == (pa.date32(), pa.int64())
    # More digits than a float64 keeps: read as they are printed.
    assert (kinds["decimal_seconds"], kinds["text"]) == (pa.string(), pa.string())
    assert read(ADDRESS["pg"], "zoned")["zoned"].to_pylist() == MOMENTS


@pytest.mark.usefixtures("shop")
def test_of_sqlite_every_value_is_text_and_none_is_rounded() -> None:
    found = read(ADDRESS["lite"], "exact_seconds")["exact_seconds"].to_pylist()
    assert [float(value) for value in found] == [at.timestamp() for at in MOMENTS]


def test_strange_names_and_values_are_names_and_values(shop: sa.Connection) -> None:
    table, column = 'a "b"; DROP TABLE x.y', "it's %s :x"
    made = sa.Table(table, sa.MetaData(), sa.Column(column, sa.Text()), sa.Column("when", sa.Text()))
    made.create(shop)
    shop.execute(made.insert(), [{column: "'; --", "when": "2024-02-03"}])
    shop.commit()
    address = "connection://pg/" + table.replace('"', "%22").replace(" ", "%20")
    found = read(address, column, span=Span("when", START, END, "text"))
    assert found[column].to_pylist() == ["'; --"]


def test_what_is_not_read_is_named_with_its_type(shop: sa.Connection) -> None:
    shop.exec_driver_sql("CREATE DOMAIN price AS numeric CHECK (value > 0)")
    shop.exec_driver_sql("CREATE TABLE mixed (a price, b jsonb, c bytea, d uuid, e int[], f interval, g boolean)")
    shop.exec_driver_sql("INSERT INTO mixed VALUES (1.5, '{}', '', gen_random_uuid(), '{1}', '1 day', true)")
    shop.commit()
    with tables.opened("connection://pg/mixed") as (_, table):
        assert list(table.columns) == ["a", "d", "g"]
        assert table.unread == {"b": "JSONB", "c": "BYTEA", "e": "ARRAY", "f": "INTERVAL"}
    assert read("connection://pg/mixed", "a", "g").to_pylist() == [{"a": "1.5", "g": True}]
    with pytest.raises(BadBatch, match="column 'b' is of type JSONB, which is not supported"):
        read("connection://pg/mixed", "b")


def test_whole_numbers_of_many_digits_are_not_rounded(shop: sa.Connection) -> None:
    shop.exec_driver_sql("CREATE TABLE parcels (few numeric(9), id numeric(20, 0))")
    shop.exec_driver_sql("INSERT INTO parcels VALUES (1, 9007199254740992), (NULL, 9007199254740993), (3, NULL)")
    shop.commit()
    shop.exec_driver_sql("INSERT INTO parcels VALUES (4, 99999999999999999999)")
    shop.commit()
    found = read("connection://pg/parcels", "few", "id")
    assert found["few"].to_pylist() == [1, None, 3, 4]
    assert found["id"].to_pylist() == ["9007199254740992", "9007199254740993", None, "99999999999999999999"]


def test_a_whole_number_beyond_64_bits_is_unreadable(shop: sa.Connection) -> None:
    shop.exec_driver_sql("CREATE TABLE boxes (at date, id numeric(20, 0))")
    shop.exec_driver_sql("INSERT INTO boxes VALUES ('2023-01-02', 9007199254740993), ('2023-01-03', 1e19)")
    shop.commit()
    source = DatabaseTable("shop", "connection://pg/boxes")
    batch = source.read_batch({"at": "timestamp", "id": "int64"}, Cadence.MONTHLY.partition("2023-01"), "at")
    assert batch.rows["id"].to_pylist() == [2**53 + 1]
    assert "'10000000000000000000' cannot be read as int64" in batch.unreadable["problem"][0].as_py()


def test_moments_that_python_cannot_name_are_unreadable(shop: sa.Connection) -> None:
    shop.exec_driver_sql("CREATE TABLE endless (id int, at timestamptz, ends timestamp, day date, v float8)")
    shop.exec_driver_sql(
        "INSERT INTO endless VALUES"
        " (1, '2023-01-05 12:00:00.123456+02', '1600-01-01', '2023-01-05', 1),"
        "(2, 'infinity', '2023-01-05', NULL, 2), (3, '2023-01-06', '-infinity', '2023-01-06', 3),"
        "(4, '2023-01-07', NULL, 'infinity', 4), (5, '2023-01-08', '12023-01-01', '-infinity', 5),"
        "(6, '-infinity', NULL, NULL, 'NaN'), (7, '2022-01-01', NULL, NULL, 7), (8, NULL, NULL, '0044-03-15 BC', 8)"
    )
    shop.commit()
    schema = {"id": "int64", "at": "timestamp", "ends": "timestamp", "day": "timestamp", "v": "float64"}
    source = DatabaseTable("shop", "connection://pg/endless")
    batch = source.read_batch(schema, Cadence.MONTHLY.partition("2023-01"), "at")
    (row,) = batch.rows.to_pylist()
    assert (row["id"], row["at"]) == (1, datetime(2023, 1, 5, 10, 0, 0, 123456, UTC))
    assert (row["ends"], row["day"]) == (datetime(1600, 1, 1, tzinfo=UTC), datetime(2023, 1, 5, tzinfo=UTC))
    texts = [json.loads(record["text"]) for record in batch.unreadable.to_pylist()]
    assert [text["id"] for text in texts] == [2, 3, 4, 5, 6, 8]
    assert (texts[0]["at"], texts[1]["ends"], texts[3]["day"]) == ("infinity", "-infinity", "-infinity")


@pytest.mark.parametrize("written", ["seconds", "days"])
def test_numbers_that_are_no_moment_are_unreadable(shop: sa.Connection, written: Written) -> None:
    shop.exec_driver_sql("DROP TABLE IF EXISTS odd")
    shop.exec_driver_sql("CREATE TABLE odd (at float8)")
    shop.exec_driver_sql("INSERT INTO odd VALUES ('NaN'), ('Infinity'), ('-Infinity'), (NULL), (-1e15)")
    shop.commit()
    source = DatabaseTable("shop", "connection://pg/odd", written=written)
    at = Column("timestamp", unit="seconds") if written == "seconds" else Column("timestamp", format="%Y%m%d")
    batch = source.read_batch({"at": at}, Cadence.MONTHLY.partition("2023-01"), "at")
    assert (batch.rows.num_rows, batch.unreadable.num_rows) == (0, 4)


def test_views_are_read_like_tables(shop: sa.Connection) -> None:
    shop.exec_driver_sql("CREATE MATERIALIZED VIEW shop.kept AS SELECT id FROM shop.sales")
    shop.exec_driver_sql("CREATE VIEW shop.seen AS SELECT id FROM shop.sales")
    shop.commit()
    for name in ("kept", "seen"):
        assert read(f"connection://pg/shop.{name}", "id").num_rows == len(MOMENTS)


def test_a_table_is_read_in_batches(shop: sa.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BATCH", 4)
    with tables.rows(ADDRESS["pg"], ["id"]) as found:
        sizes = [batch.num_rows for batch in found]
    assert sizes == [4, 4, 4, 1]


def test_nothing_can_be_written_by_it(shop: sa.Connection) -> None:
    for address in ADDRESS.values():
        with pytest.raises(PerennialError, match=r"read-only|readonly"), tables.opened(address) as (connection, table):
            connection.execution_options(stream_results=False).execute(sa.delete(table.clause))


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("address", "said", "fix"),
    [
        ("connection://pg/shop.sale", "has no table or view 'shop.sale'", "Did you mean 'shop.sales'?"),
        ("connection://lite/sale", "has no table or view 'sale'", "Did you mean 'sales'?"),
        ("connection://nosuch/sales", "There is no Airflow connection 'nosuch'", "AIRFLOW_CONN_NOSUCH"),
        ("connection://gone/sales", "there is no file", "sqlite:////absolute/path"),
        ("connection://mysql_one/x", "no installed driver reads", "apache-airflow-providers-mysql"),
        ("connection://web/x", "one to a web server", "connection to a database"),
        ("connection://lost/x", "does not exist", "Correct the connection"),
        ("connection://me:hidden@pg/x", "contains a login", "Name only the connection"),
        ("connection://pg", "does not name a connection and something", "SCHEMA.TABLE"),
    ],
)
def test_what_prevents_reading_is_explained(
    address: str, said: str, fix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GONE", f"sqlite:///{tmp_path}/gone.db")
    monkeypatch.setenv("AIRFLOW_CONN_MYSQL_ONE", "mysql://me:hidden@127.0.0.1/x")
    monkeypatch.setenv("AIRFLOW_CONN_WEB", "http://127.0.0.1")
    lost = json.loads(os.environ["AIRFLOW_CONN_PG"]) | {"schema": "nosuchdatabase", "password": "hidden"}
    monkeypatch.setenv("AIRFLOW_CONN_LOST", json.dumps(lost))
    with pytest.raises(BadBatch) as error:
        read(address, "id")
    assert said in error.value.problem
    assert fix in error.value.fix
    assert "hidden" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("shop")
def test_a_missing_column_is_named() -> None:
    with pytest.raises(BadBatch, match=r"column 'second' is missing(.|\n)*Did you mean 'seconds'"):
        read(ADDRESS["pg"], "second")


@pytest.mark.usefixtures("shop")
def test_a_database_that_does_not_answer_may_be_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_FAR", "postgres://me:hidden@127.0.0.1:9/x")
    with pytest.raises(ServiceUnavailable, match=r"'far' \(postgres\) does not answer") as error:
        read("connection://far/x", "id")
    assert "hidden" not in str(error.value)


@pytest.mark.usefixtures("shop")
def test_a_database_lost_while_reading_is_reported() -> None:
    with (
        tables.opened(ADDRESS["pg"]) as (connection, table),
        pytest.raises(ServiceUnavailable, match="does not answer"),
        tables.reading(connection, table, ["id"]) as found,
    ):
        _read_broken(connection, found)


def _read_broken(connection: sa.Connection, found: pa.RecordBatchReader) -> None:
    import duckdb

    (process,) = connection.exec_driver_sql("SELECT pg_backend_pid()").one()
    with postgres.engine("lake").connect() as other:
        other.execute(sa.text("SELECT pg_terminate_backend(:process)"), {"process": process})
    with duckdb.connect() as engine:
        engine.register("arrived", found)
        engine.sql("SELECT count(*) FROM arrived").fetchall()


@pytest.fixture
def kept_by_airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection `stored` in an Airflow database, `kept` in a secrets backend."""
    from perennial.settings import settings as settings_of

    monkeypatch.setenv("PERENNIAL_AIRFLOW_URI", "http://127.0.0.1:9")
    settings_of.cache_clear()
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", f"sqlite:///{tmp_path}/airflow.db")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "81HqDtbqAywKSOumSha3BhWNOdQ26slT6K0YaZeZyPs=")
    (tmp_path / "vault.json").write_text('{"kept": "postgres://me:other@db.example/kept"}')
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", "airflow.secrets.local_filesystem.LocalFilesystemBackend")
    monkeypatch.setenv(
        "AIRFLOW__SECRETS__BACKEND_KWARGS", json.dumps({"connections_file_path": f"{tmp_path}/vault.json"})
    )
    code = (
        "from airflow import settings; from airflow.models.connection import Connection; import airflow.models.team;"
        "Connection.metadata.create_all(settings.engine); session = settings.Session();"
        "session.add(Connection('stored', uri='postgres://me:hidden@db.example:5433/stored?sslmode=require'));"
        "session.commit()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, capture_output=True)
    yield
    settings_of.cache_clear()


@pytest.mark.usefixtures("home", "kept_by_airflow")
def test_connections_are_found_where_airflow_finds_them() -> None:
    stored = connections.find("stored")
    assert (stored.host, stored.port, stored.schema, stored.login) == ("db.example", 5433, "stored", "me")
    assert (stored.password, stored.extra) == ("hidden", {"sslmode": "require"})
    assert "hidden" not in repr(stored)
    assert connections.find("kept").password == "other"
