"""What a day of readings must look like."""

import great_expectations.expectations as gxe

from perennial import Partition


def readings(partition: Partition) -> list[gxe.Expectation]:
    return [
        gxe.ExpectColumnToExist(column="kwh", severity="critical"),
        gxe.ExpectColumnValuesToNotBeNull(column="kwh", severity="critical"),
        gxe.ExpectColumnValuesToBeBetween(column="kwh", min_value=-100, max_value=1000, severity="critical"),
    ]
