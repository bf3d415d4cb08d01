"""When a stage of a rollout ends, and how: from what is known of it, without reading anything.

A stage is decided on once, at the first look at which it has lasted long enough and there is enough evidence; looking
more often would promote by chance. What speaks against the challenger ends the rollout at any look, but has to be far
surer then, because there are many.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from scipy import stats

from perennial.errors import PerennialError
from perennial.evaluation import bootstrap
from perennial.evaluation.bootstrap import Interval
from perennial.gate import rules
from perennial.gate.challenger import RuleResults, apply_rules
from perennial.gate.decision import INCONCLUSIVE, PROMOTE, REJECT, GateDecision, Outcome, Rule
from perennial.gate.rollout_evidence import LiveEvidence
from perennial.lake import prediction_columns
from perennial.registry import rollouts
from perennial.registry.rollouts import RolloutState, Stage
from perennial.use_case import Rollout, UseCase

#: Confidence from which on harm ends a stage before its time.
SURE_EARLY = 0.999

Step = Literal["wait", "next", "end"]


@dataclass(frozen=True)
class Assessment:
    """What is to be done with a rollout.

    Attributes:
        step: Wait, begin `next_stage`, or end the rollout with `outcome`.
        reason: One sentence for people.
        results: The gate's rules on the pairs, where they decided.
        rules: The rules about requests.
        with_holdout: The improvement measured on the holdout and the live requests together, where that decided; then
            `results` has the same, and all its other numbers are of the live requests.
    """

    step: Step
    reason: str
    outcome: Outcome | None = None
    next_stage: Stage | None = None
    results: RuleResults | None = None
    rules: tuple[Rule, ...] = ()
    with_holdout: Interval | None = None

    @property
    def all_rules(self) -> list[Rule]:
        """All rules that were decided on, marked as those of live requests."""
        every = [*self.rules, *(self.results.rules if self.results else ())]
        return [rule.model_copy(update={"name": f"live: {rule.name}"}) for rule in every]


def assess(
    use_case: UseCase, policy: Rollout, state: RolloutState, evidence: LiveEvidence, now: datetime
) -> Assessment:
    """What the rules say.

    Args:
        use_case: Whose gate.
        policy: Its rollout policy.
        state: The rollout.
        evidence: What is known of it.
        now: Processing time.
    """
    pair, problem = pair_of(use_case, evidence)
    harm = _early_harm(policy, pair, evidence)
    if harm is not None:
        name = f"v{state.version} ends in stage {state.stage.name}"
        return Assessment(
            "end", f"{name}: {harm.name} {harm.value:.4g} against {harm.threshold:.4g}", REJECT, rules=(harm,)
        )
    enough = [_requests(policy, evidence), *rules.sufficiency(pair)]
    missing = [rule for rule in enough if not rule.passed]
    if now >= state.stage_ends and not missing:
        return _at_the_end(use_case, policy, state, evidence, pair)
    counts = [f"{rule.name} {rule.value:.4g} of {rule.threshold:.4g}" for rule in missing]
    lacking = "; ".join([f"{use_case.gate.metric} cannot be measured: {problem}", *counts] if problem else counts)
    if now >= state.began + policy.longest:
        why = f"v{state.version} is undecided after {policy.longest}, in stage {state.stage.name}: {lacking}"
        return Assessment("end", why, INCONCLUSIVE, rules=(enough[0],), results=RuleResults(enough[1:], []))
    until = f"stage {state.stage.name} of v{state.version} lasts until {state.stage_ends:%Y-%m-%d %H:%M} UTC at least"
    return Assessment("wait", f"{until}; {lacking}" if lacking else until)


def _at_the_end(
    use_case: UseCase, policy: Rollout, state: RolloutState, evidence: LiveEvidence, pair: rules.Pair
) -> Assessment:
    """The decision on a stage that has lasted long enough and has enough evidence."""
    results = apply_rules(pair, evidence.pairs)
    about_requests = (
        _requests(policy, evidence),
        _errors(policy, evidence),
        _not_worse(pair, use_case.gate.confidence),
    )
    next_stage = rollouts.following(policy, state.stage.share)
    name = f"v{state.version} in stage {state.stage.name}, on {pair.rows} labelled requests"
    against = [rule for rule in (*about_requests, *results.safety) if not rule.passed]
    if against:
        failed = "; ".join(f"{rule.name} {rule.value:.4g} against {rule.threshold:.4g}" for rule in against)
        return Assessment("end", f"{name}: {failed}", REJECT, None, results, about_requests)
    if next_stage is not None:
        why = f"{name}: nothing speaks against it; {next_stage.name} begins"
        return Assessment("next", why, None, next_stage, results, about_requests)
    if policy.after == "holdout":
        return Assessment("end", f"{name}: nothing speaks against it", PROMOTE, None, results, about_requests)
    together = _with_holdout(use_case, results, state) if policy.after == "with-holdout" else None
    results = together or results
    outcome = results.outcome(use_case.gate.margin)
    words = {PROMOTE: "it is better", REJECT: "it is not better", INCONCLUSIVE: "whether it is better is inconclusive"}
    why = f"{name}: {words[outcome]}{_numbers(use_case, results)}"
    with_holdout = together.improvement if together else None
    return Assessment("end", why, outcome, None, results, about_requests, with_holdout)


def _with_holdout(use_case: UseCase, results: RuleResults, state: RolloutState) -> RuleResults | None:
    """The results with superiority measured on the holdout and the live requests together; None: they cannot be.

    Both are of the same two recipes: with `gate.refit` the holdout compared the versions as they were evaluated, and
    live requests compare their refits. There is one test, at the end; that the holdout alone rejects some before makes
    promotions by chance only rarer.
    Where the holdout has no interval, or one of another metric or confidence, live requests decide alone.
    """
    gate, decision = use_case.gate, GateDecision(**state.decision)
    same = (decision.metric, decision.confidence) == (gate.metric, gate.confidence)
    live, held_out = results.improvement, decision.interval
    if not same or live is None or held_out is None or decision.improvement is None:
        return None
    both = bootstrap.combined(Interval(decision.improvement, *held_out), live)
    name = f"{gate.metric} improvement with the holdout, {rules.percent(gate.confidence)} lower bound"
    note = f"{both.estimate:+.4g}; {decision.improvement:+.4g} on the holdout, {live.estimate:+.4g} on live requests"
    together = rules.rule(name, both.low, gate.margin, both.low > gate.margin, note)
    return replace(results, superiority=[together], improvement=both)


def _early_harm(policy: Rollout, pair: rules.Pair, evidence: LiveEvidence) -> Rule | None:
    """The rule by which a stage ends before its time; None: nothing is that sure."""
    fewest = _least_share(evidence.errors, evidence.tried)
    if fewest > policy.max_errors:
        name = f"share of failed predictions, {rules.percent(SURE_EARLY)} lower bound"
        return rules.rule(name, fewest, policy.max_errors, False, f"{evidence.errors} of {evidence.tried}")
    if all(rule.passed for rule in rules.sufficiency(pair)):
        worse = _not_worse(pair, SURE_EARLY)
        return None if worse.passed else worse
    return None


def _least_share(count: int, among: int) -> float:
    """The lower bound of a share by Clopper and Pearson, with the confidence `SURE_EARLY`."""
    return float(stats.beta.ppf(1 - SURE_EARLY, count, among - count + 1)) if count else 0.0


def _requests(policy: Rollout, evidence: LiveEvidence) -> Rule:
    name = "predictions of the challenger in this stage"
    return rules.rule(name, evidence.predicted, policy.min_requests, evidence.predicted >= policy.min_requests)


def _errors(policy: Rollout, evidence: LiveEvidence) -> Rule:
    share = evidence.errors / evidence.tried if evidence.tried else 0.0
    note = f"{evidence.errors} of {evidence.tried}"
    return rules.rule("share of failed predictions", share, policy.max_errors, share <= policy.max_errors, note)


def _not_worse(pair: rules.Pair, confidence: float) -> Rule:
    """Whether the challenger is not significantly worse."""
    change, error = bootstrap.jackknife(pair.improvement(), pair.blocks, confidence)
    name = f"{pair.use_case.gate.metric} improvement, {rules.percent(confidence)} upper bound"
    return rules.rule(name, change + error, 0, change + error >= 0, f"{change:+.4g}")


def pair_of(use_case: UseCase, evidence: LiveEvidence) -> tuple[rules.Pair, str]:
    """Both versions' predictions of the labelled requests; of none, and why, where they cannot be measured.

    Whatever fails, `Rollout.longest` has to end the rollout.

    Args:
        use_case: Whose gate.
        evidence: What is known.
    """
    frame = evidence.pairs
    both = prediction_columns.array(frame["challenger"]), prediction_columns.array(frame["champion"])
    try:
        return rules.Pair.of_served(use_case, frame, *both, evidence.thresholds), ""
    except PerennialError as error:
        unvalued = use_case.model_copy(update={"value": None})
        return rules.Pair.of(unvalued, frame[:0], both[0][:0], both[1][:0]), error.problem


def _numbers(use_case: UseCase, results: RuleResults) -> str:
    gained = results.improvement
    return f" ({use_case.gate.metric} improvement {gained.low:+.4f} to {gained.high:+.4f})" if gained else ""
