"""What the doctor says of online stores."""

from __future__ import annotations

from examined import Examine


def test_an_online_store_of_no_known_kind(examine_with: Examine) -> None:
    finding = examine_with("Online store", PERENNIAL_ONLINE_STORE="memcached://127.0.0.1")["Online store"]
    assert finding.state == "failed"
    assert "dynamodb://" in finding.fix
