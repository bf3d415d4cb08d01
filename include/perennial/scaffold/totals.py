"""Finds sums and products of several columns that are the label: parts of a total, price * number * (1 - discount).

A product is a sum of logarithms. Columns are chosen one after the other and those without effect taken out again, so
the cost is linear in their number. A relation that holds in nearly all rows counts, as data has corrections.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Array = np.ndarray

#: Share of the label's variance that a combination explains, on all rows and on those without the extreme labels.
EXPLAINED, _EXPLAINED_INSIDE = 0.999, 0.99
#: In this share of the rows a relation has to hold; there it explains so much.
_NEARLY_ALL, _EXACTLY = 0.9, 0.9999
FEWEST = 50
#: So many columns are chosen at most, so many may be left in the end, and so many sums and products are found.
_STEPS, _PARTS, _TOTALS = 32, 8, 3
#: A column that lacks more of its values is no part.
_FILLED = 0.9


class _Term(NamedTuple):
    """What may be a summand or a factor: a column, or what a discount of it leaves.

    Attributes:
        place: The column's.
        form: How it is written.
        values: (n,) numbers.
    """

    place: int
    form: str
    values: Array


def find(values: Array, truth: Array, free: Array) -> list[tuple[tuple[int, ...], str]]:
    """The sums and products that are the label, no column in more than one.

    Args:
        values: (n, columns) numbers; nan where missing.
        truth: (n,) labels.
        free: (columns,) which of them are looked at.

    Returns:
        The columns' places, and a formula with them: `{0} - {1} - {2}`.
    """
    found, free = [], free.copy()
    for total in (_sum, _product):
        for _ in range(_TOTALS):
            members, form = total(values, truth, free)
            if not members:
                break
            found.append((members, form))
            free[list(members)] = False
    return found


def explains(combined: Array, truth: Array) -> bool:
    """Whether a regression of the label on one number explains nearly all, and not for some extreme labels' sake.

    Args:
        combined: (n,) the number.
        truth: (n,) labels.
    """
    low, high = np.quantile(truth, [0.02, 0.98])
    inside = (truth >= low) & (truth <= high)
    return _share(combined, truth) > EXPLAINED and _share(combined[inside], truth[inside]) > _EXPLAINED_INSIDE


def _share(combined: Array, truth: Array) -> float:
    if len(truth) < FEWEST / 2 or np.ptp(truth) == 0 or np.ptp(combined) == 0:
        return 0.0
    return float(np.corrcoef(combined, truth)[0, 1] ** 2)


def _sum(values: Array, truth: Array, free: Array) -> tuple[tuple[int, ...], str]:
    """A plain sum, with signs; without members: there is none."""
    terms = [_Term(place, "{}", values[:, place]) for place in map(int, np.nonzero(free)[0])]
    chosen, weights = _few(terms, truth)
    if len(chosen) < 2 or not np.allclose(np.abs(weights), np.abs(weights[0]), rtol=0.02):
        return (), ""
    signs = np.sign(weights * weights[np.argmax(weights)])
    if not _holds(np.sum([sign * each.values for sign, each in zip(signs, chosen, strict=True)], axis=0), truth):
        return (), ""
    order = np.argsort(-signs, kind="stable")
    form = " ".join(f"{'+' if signs[each] > 0 else '-'} {{{number}}}" for number, each in enumerate(order))
    return tuple(chosen[each].place for each in order), form.removeprefix("+ ")


def _product(values: Array, truth: Array, free: Array) -> tuple[tuple[int, ...], str]:
    """A product of whole powers; without members: there is none."""
    terms = _factors(values, free)
    logs = [each._replace(values=_log(each.values)) for each in terms]
    chosen, weights = _few(logs, _log(truth))
    powers = np.round(weights)
    if len(chosen) < 2 or not np.allclose(weights, powers, atol=0.02) or not (np.abs(powers) % 4).all():
        return (), ""
    factors = {(each.place, each.form): each.values for each in terms}
    combined = np.prod(
        [factors[each.place, each.form] ** power for each, power in zip(chosen, powers, strict=True)], axis=0
    )
    if not _holds(combined, truth):
        return (), ""
    members = tuple(dict.fromkeys(each.place for each in chosen))
    above: list[str] = []
    below: list[str] = []
    for each, power in zip(chosen, powers, strict=True):
        written = each.form.replace("{}", f"{{{members.index(each.place)}}}")
        (above if power > 0 else below).extend([written] * int(abs(power)))
    return members, " / ".join([" * ".join(above) or "1", *below])


def _factors(values: Array, free: Array) -> list[_Term]:
    """The columns, and of shares and percentages what they leave or add."""
    factors = []
    for place in map(int, np.nonzero(free)[0]):
        column = values[:, place]
        factors.append(_Term(place, "{}", column))
        low, high = np.nanmin(column), np.nanmax(column)
        if low >= 0 and high <= 100:
            share, form = (column, "{}") if high <= 1 else (column / 100, "{} / 100")
            factors += [_Term(place, f"(1 - {form})", 1 - share), _Term(place, f"(1 + {form})", 1 + share)]
    return factors


def _log(values: Array) -> Array:
    """Logarithms of the sizes; nan where there is none."""
    return np.log(np.where(values == 0, np.nan, np.abs(values)))


def _few(terms: Sequence[_Term], truth: Array) -> tuple[list[_Term], Array]:
    """The few terms that a regression needs to explain the label in nearly all rows, and their weights; none: too many.

    Args:
        terms: What may be needed.
        truth: (n,) labels; nan where there is none.
    """
    known = np.isfinite(truth)
    if known.sum() < max(FEWEST, len(truth) / 2):
        return [], np.zeros(0)
    filled = [each for each in terms if np.isfinite(each.values[known]).mean() > _FILLED]
    if len(filled) < 2:
        return [], np.zeros(0)
    matrix = np.stack([each.values[known] for each in filled], 1)
    centred = np.nan_to_num(matrix - np.nanmean(matrix, 0))
    target = truth[known] - truth[known].mean()
    chosen = _without_idle(centred, target, _forward(centred, target))
    if not chosen or len(chosen) > _PARTS:
        return [], np.zeros(0)
    weights = _where_it_holds(matrix[:, chosen], truth[known])
    return [filled[each] for each in chosen], weights


def _forward(centred: Array, target: Array) -> list[int]:
    """Columns, each the one that explains most of what those before it left; empty: they leave too much."""
    lengths = np.sqrt((centred**2).sum(0))
    lengths = np.where(lengths > 0, lengths, np.inf)
    chosen: list[int] = []
    left, total = target, (target**2).sum()
    while len(chosen) < min(_STEPS, centred.shape[1]) and (left**2).sum() > (1 - _EXACTLY) / 100 * total:
        gain = np.abs(centred.T @ left) / lengths
        gain[chosen] = 0.0
        if not gain.max() > 0:
            break
        chosen.append(int(gain.argmax()))
        left = target - centred[:, chosen] @ np.linalg.lstsq(centred[:, chosen], target)[0]
    return chosen if (left**2).sum() < (1 - _NEARLY_ALL) * total else []


def _without_idle(centred: Array, target: Array, chosen: list[int]) -> list[int]:
    """Those of the chosen columns without which more would be left to explain."""
    total = (target**2).sum()
    left = target - centred[:, chosen] @ np.linalg.lstsq(centred[:, chosen], target)[0] if chosen else target
    most = 1.2 * (left**2).sum() + (1 - EXPLAINED) / 4 * total
    while len(chosen) > 1:
        weights = np.linalg.lstsq(centred[:, chosen], target)[0]
        least = int(np.argmin(np.abs(weights) * np.sqrt((centred[:, chosen] ** 2).sum(0))))
        others = chosen[:least] + chosen[least + 1 :]
        left = target - centred[:, others] @ np.linalg.lstsq(centred[:, others], target)[0]
        if (left**2).sum() > most:
            break
        chosen = others
    return chosen


def _where_it_holds(matrix: Array, truth: Array) -> Array:
    """Weights of a regression that leaves out the rows, few, that it fits worst."""
    matrix = np.column_stack([matrix, np.ones(len(matrix))])
    whole = np.isfinite(matrix).all(1)
    matrix, truth = matrix[whole], truth[whole]
    rows = np.ones(len(truth), bool)
    for _ in range(4):
        weights = np.linalg.lstsq(matrix[rows], truth[rows])[0]
        left = np.abs(truth - matrix @ weights)
        rows = left <= np.quantile(left, _NEARLY_ALL)
    return weights[:-1]


def _holds(combined: Array, truth: Array) -> bool:
    """Whether a combination is the label, up to scale and offset: nearly in all rows, or exactly in nearly all."""
    usable = np.isfinite(combined) & np.isfinite(truth)
    combined, truth = combined[usable], truth[usable]
    if len(truth) < FEWEST or np.ptp(combined) == 0:
        return False
    if explains(combined, truth):
        return True
    rows = np.ones(len(truth), bool)
    for _ in range(4):
        slope, offset = np.polyfit(combined[rows], truth[rows], 1)
        left = np.abs(truth - slope * combined - offset)
        rows = left <= np.quantile(left, _NEARLY_ALL)
    low, high = np.quantile(truth, [0.02, 0.98])
    inside = rows & (truth >= low) & (truth <= high)
    return _share(combined[inside], truth[inside]) > _EXACTLY
