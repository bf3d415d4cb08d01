"""Great Expectations as the judge of raw batches, feature tables and training sets, at DuckDB's speed."""

from perennial.validation.batches import Parted, UnfitBatch, batch_name, insist, insist_on, insist_on_batch, part, split
from perennial.validation.judging import Judgement, judge
from perennial.validation.suites import declared, expectations_of, place

__all__ = [
    "Judgement",
    "Parted",
    "UnfitBatch",
    "batch_name",
    "declared",
    "expectations_of",
    "insist",
    "insist_on",
    "insist_on_batch",
    "judge",
    "part",
    "place",
    "split",
]
