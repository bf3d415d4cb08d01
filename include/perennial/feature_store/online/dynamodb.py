"""Feast's DynamoDB online store, in which the newest row wins whoever writes at the same time.

Feast's own lets the last writer win, and DynamoDB's batches take no conditions. Its transactions do, a hundred rows at
a time and each row with its own. When a transaction is rejected, the rows that are stored already and newer are named,
so that the others go through with the next one.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NoReturn

import mmh3
from botocore.exceptions import ClientError
from feast.feature_view import FeatureView
from feast.infra.online_stores.dynamodb import DynamoDBOnlineStore, DynamoDBOnlineStoreConfig
from feast.repo_config import RepoConfig
from pydantic import Field
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

from perennial.feature_store import _compat
from perennial.feature_store.online.base import NewestOnlineStore, NewestOnlineStoreConfig
from perennial.feature_store.online.rows import OnlineRows, to_datetime

#: The condition of a write: the stored row, if any, is not newer. Rows that Feast's own store wrote have no exact times
#: but their event time as text, all in UTC, which sorts as the times do.
_NOT_NEWER = (
    "attribute_not_exists(entity_id)"
    " OR (attribute_not_exists(event_us) AND event_ts <= :text)"
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
    """Another writer is writing the same rows, or the table is throttled."""


class NewestDynamoDBOnlineStore(NewestOnlineStore, _compat.DynamoDBHook, DynamoDBOnlineStore):
    """DynamoDB in which the newest row wins."""

    def write_rows(self, config: RepoConfig, view: FeatureView, rows: OnlineRows) -> None:
        """Write the rows that are at least as new as the stored ones. A row is written whole or not at all.

        Args:
            config: The feature store's configuration.
            view: The rows' view.
            rows: One row a key.
        """
        options = config.online_store
        client = self.client(options)
        puts = put_requests(_compat.dynamodb_table(options, config, view), rows)
        chunks = [
            puts[start : start + options.transaction_size] for start in range(0, len(puts), options.transaction_size)
        ]
        with ThreadPoolExecutor(min(options.write_workers, len(chunks) or 1)) as workers:
            try:
                list(workers.map(lambda some: _write(client, some), chunks))
            except client.exceptions.ResourceNotFoundException:
                self.update(config, [], [view], [], [], partial=True)
                list(workers.map(lambda some: _write(client, some), chunks))

    def is_without_table(self, error: Exception) -> bool:
        """Whether DynamoDB says that the view has no table: it was never applied or written."""
        return isinstance(error, ClientError) and error.response["Error"]["Code"] == "ResourceNotFoundException"

    def update_online_store(self, *_: Any, **__: Any) -> NoReturn:
        """Not supported: what it appends to a list is in it twice when it runs twice.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("This store writes whole rows only: use `write_to_online_store` or `push`.")

    async def update_online_store_async(self, *_: Any, **__: Any) -> NoReturn:
        """Not supported, as `update_online_store`.

        Raises:
            NotImplementedError: always.
        """
        self.update_online_store()


def put_requests(table: str, rows: OnlineRows) -> list[dict[str, Any]]:
    """The requests that write rows, each with its condition.

    Args:
        table: The DynamoDB table.
        rows: n rows.

    Returns:
        n arguments of `put_item`.
    """
    return [
        {
            "TableName": table,
            "Item": {
                "entity_id": {"S": mmh3.hash_bytes(key).hex()},
                "event_ts": {"S": text},
                "event_us": {"N": str(event)},
                "created_us": {"N": str(created)},
                "values": {"M": {name: {"B": value} for name, value in zip(rows.features, values, strict=True)}},
            },
            "ConditionExpression": _NOT_NEWER,
            "ExpressionAttributeValues": {
                ":text": {"S": text},
                ":event": {"N": str(event)},
                ":created": {"N": str(created)},
            },
        }
        for key, event, created, values in zip(rows.keys, rows.events, rows.created, rows.values(), strict=True)
        for text in [str(to_datetime(event))]
    ]


@retry(
    retry=retry_if_exception_type(_Busy),
    stop=stop_after_delay(60),
    wait=wait_random_exponential(multiplier=0.02, max=2),
    reraise=True,
)
def _write(client: Any, puts: list[dict[str, Any]]) -> None:
    """Write the rows whose condition holds. The others are taken out of `puts`, so that another try skips them."""
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
