"""Feast's DynamoDB online store, in which the newest row wins whoever writes at the same time.

Feast's own lets the last writer win, and DynamoDB's batches take no conditions. Its transactions do, a hundred rows at
a time and each row with its own. What is there already and newer is named when a transaction is refused, so that the
rest goes through with the next one.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Literal, NoReturn

import mmh3
from botocore.exceptions import ClientError
from feast.feature_view import FeatureView
from feast.infra.online_stores.dynamodb import (
    DynamoDBOnlineStore,
    DynamoDBOnlineStoreConfig,
    _get_table_name,
)
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from pydantic import Field
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

from perennial.feature_store.online.newest import NewestOnlineStore, NewestOnlineStoreConfig
from perennial.feature_store.online.rows import OnlineRows, moment

#: The condition of a write: the row that is there, if any, is not newer. Rows that Feast's own store wrote have no
#: exact times, but their event time in words, all in UTC, which sort as the times do.
_NOT_NEWER = (
    "attribute_not_exists(entity_id)"
    " OR (attribute_not_exists(event_us) AND event_ts <= :words)"
    " OR event_us < :event"
    " OR (event_us = :event AND created_us <= :created)"
)


class NewestDynamoDBOnlineStoreConfig(NewestOnlineStoreConfig, DynamoDBOnlineStoreConfig):
    """`online_store:` in feature_store.yaml."""

    type: Literal["perennial.feature_store.online.dynamodb.NewestDynamoDBOnlineStore"] = (
        "perennial.feature_store.online.dynamodb.NewestDynamoDBOnlineStore"  # type: ignore[assignment]
    )

    transaction_size: int = Field(default=100, ge=1, le=100)
    """Rows a transaction. DynamoDB charges twice for a write in a transaction; 1 writes each row by itself, at half the
    price and in a hundred times as many requests."""

    write_workers: int = Field(default=4, ge=1)
    """Requests under way at once."""


class _Busy(Exception):
    """Another writer is at the same rows, or the table is throttled."""


class NewestDynamoDBOnlineStore(NewestOnlineStore, DynamoDBOnlineStore):
    """DynamoDB in which the newest row wins."""

    def write_rows(self, config: RepoConfig, view: FeatureView, rows: OnlineRows) -> None:
        """Write the rows that are at least as new as what is there. A row is written whole or not at all."""
        options = config.online_store
        client = self._get_dynamodb_client(options.region, options.endpoint_url, options.session_based_auth)
        table = _get_table_name(options, config, view)
        puts = _puts(table, rows)
        chunks = [
            puts[start : start + options.transaction_size] for start in range(0, len(puts), options.transaction_size)
        ]
        with ThreadPoolExecutor(min(options.write_workers, len(chunks) or 1)) as workers:
            try:
                list(workers.map(lambda some: _write(client, some), chunks))
            except client.exceptions.ResourceNotFoundException:
                self.update(config, [], [view], [], [], partial=True)
                list(workers.map(lambda some: _write(client, some), chunks))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """The newest values of each entity. A view that nobody has applied or written yet has none."""
        try:
            return super().online_read(config, table, entity_keys, requested_features)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise
            return [(None, None)] * len(entity_keys)

    def _get_dynamodb_client(self, *where: Any, **options: Any) -> Any:
        self._forget_what_was_forked()
        return super()._get_dynamodb_client(*where, **options)

    def _get_dynamodb_resource(self, *where: Any, **options: Any) -> Any:
        self._forget_what_was_forked()
        return super()._get_dynamodb_resource(*where, **options)

    _owner = 0

    def _forget_what_was_forked(self) -> None:
        """A client's open connections may not be used by two processes."""
        if self._owner != os.getpid():
            self._dynamodb_client = self._dynamodb_resource = None
            self._owner = os.getpid()

    def update_online_store(self, *_: Any, **__: Any) -> NoReturn:
        """Not here: what it appends to a list, when run twice, is in it twice."""
        raise NotImplementedError("This store writes whole rows only: use `write_to_online_store` or `push`.")

    async def update_online_store_async(self, *_: Any, **__: Any) -> NoReturn:
        """Not here, as `update_online_store`."""
        self.update_online_store()


def _puts(table: str, rows: OnlineRows) -> list[dict[str, Any]]:
    """The writes, each with its condition."""
    return [
        {
            "TableName": table,
            "Item": {
                "entity_id": {"S": mmh3.hash_bytes(key).hex()},
                "event_ts": {"S": words},
                "event_us": {"N": str(event)},
                "created_us": {"N": str(created)},
                "values": {"M": {name: {"B": value} for name, value in zip(rows.features, values, strict=True)}},
            },
            "ConditionExpression": _NOT_NEWER,
            "ExpressionAttributeValues": {
                ":words": {"S": words},
                ":event": {"N": str(event)},
                ":created": {"N": str(created)},
            },
        }
        for key, event, created, values in zip(rows.keys, rows.events, rows.created, rows.values(), strict=True)
        for words in [str(moment(event))]
    ]


@retry(
    retry=retry_if_exception_type(_Busy),
    stop=stop_after_delay(60),
    wait=wait_random_exponential(multiplier=0.02, max=2),
    reraise=True,
)
def _write(client: Any, puts: list[dict[str, Any]]) -> None:
    """Write what may be written. What was refused is taken out of `puts`, so that trying again skips it."""
    while puts:
        try:
            if len(puts) == 1:
                client.put_item(**puts[0])
            else:
                client.transact_write_items(TransactItems=[{"Put": put} for put in puts])
            return
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ConditionalCheckFailedException":
                return
            if code in (
                "TransactionConflictException",
                "ThrottlingException",
                "ProvisionedThroughputExceededException",
            ):
                raise _Busy from error
            if code != "TransactionCanceledException":
                raise
            reasons = [reason.get("Code") for reason in error.response["CancellationReasons"]]
            puts[:] = [put for put, why in zip(puts, reasons, strict=True) if why != "ConditionalCheckFailed"]
            if {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"} & set(reasons):
                raise _Busy from error
            if len(puts) == len(reasons):
                raise
