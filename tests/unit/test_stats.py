from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from testbed.statistics import (
    Cells,
    Intervals,
    Layout,
    clopper_pearson,
    detectable,
    distribution,
    generalises,
    holm,
    mcnemar,
    mcnemar_power,
    nothing_happened,
    rates,
    sign_flip,
    spread,
    weights,
)


def made(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Values with a random effect of every factor."""
    rng = np.random.default_rng(seed)
    a, q, o = (rng.normal(size=n) for n in shape)
    return a[:, None, None] + q[None, :, None] + o[None, None, :] + rng.normal(size=shape)


def intervals(seed: int = 0) -> Intervals:
    return Intervals(lambda name: np.random.default_rng([seed, len(name)]))


# Exact tests


@pytest.mark.parametrize(
    ("gained", "lost", "p"), [(5, 0, 0.0625), (6, 0, 0.03125), (8, 2, 0.109375), (3, 3, 1.0), (0, 0, 1.0)]
)
def test_mcnemar_by_hand(gained: int, lost: int, p: float) -> None:
    assert mcnemar(gained, lost).p == pytest.approx(p)
    assert mcnemar(lost, gained).p == pytest.approx(p)


def test_six_blocks_cannot_give_less_than_03() -> None:
    result = sign_flip([0.5, 0.4, 0.6, 0.3, 0.2, 0.9], np.random.default_rng(0))
    assert result is not None
    assert result.p == result.p_min == 2 / 64


def test_sign_flip_by_enumeration() -> None:
    effects = [0.5, -0.1, 0.3, 0.2]
    sums = [
        abs(sum(s * e for s, e in zip(signs, effects, strict=True)))
        for signs in itertools.product((-1, 1), repeat=4)
    ]
    expected = np.mean([one >= abs(sum(effects)) - 1e-12 for one in sums])
    result = sign_flip(effects, np.random.default_rng(0))
    assert result is not None
    assert result.p == expected
    assert result.method == "sign-flip, exact"


def test_sign_flip_with_many_blocks_agrees_with_the_normal_approximation() -> None:
    rng = np.random.default_rng(3)
    effects = rng.normal(0.15, 1, 200)
    result = sign_flip(effects.tolist(), rng)
    z = effects.sum() / math.sqrt((effects**2).sum())
    assert result is not None
    assert result.p == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.02)
    assert result.p >= result.p_min > 0


def test_sign_flip_without_evidence() -> None:
    assert sign_flip([], np.random.default_rng(0)) is None
    nothing = sign_flip([0.0, 0.0, 0.0], np.random.default_rng(0))
    assert nothing is not None
    assert nothing.p == 1


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_clopper_pearson() -> None:
    assert clopper_pearson(0, 300) == pytest.approx((0, 0.0122), abs=1e-4)
    assert clopper_pearson(5, 10) == pytest.approx((0.1871, 0.8129), abs=1e-4)
    assert clopper_pearson(10, 10)[1] == 1
    assert clopper_pearson(0, 0) == (0, 1)


def test_nothing_happened_is_clopper_pearson_for_none() -> None:
    assert nothing_happened(0, 300, (0, 1)) == pytest.approx(clopper_pearson(0, 300))
    assert nothing_happened(1, 300, (0, 1)) == pytest.approx(clopper_pearson(300, 300))
    low, high = nothing_happened(0, 300, (-1, 1))
    assert -low == high == pytest.approx(0.0122, abs=1e-4)


# Power


@pytest.mark.parametrize(("n", "independent", "monotone"), [(50, 0.63, 0.95), (100, 0.93, 1.0)])
def test_power_of_exact_mcnemar(n: int, independent: float, monotone: float) -> None:
    assert mcnemar_power(n, *rates(0.1, 0.3)) == pytest.approx(independent, abs=0.005)
    assert mcnemar_power(n, *rates(0.1, 0.3, demotes=False)) == pytest.approx(monotone, abs=0.005)


def test_power_by_simulation() -> None:
    rng = np.random.default_rng(0)
    gains, losses = rates(0.2, 0.5)
    draws = rng.multinomial(30, [gains, losses, 1 - gains - losses], 4000)
    rejected = np.mean([mcnemar(int(gained), int(lost)).p <= 0.05 for gained, lost, _ in draws])
    assert mcnemar_power(30, gains, losses) == pytest.approx(rejected, abs=0.03)


def test_detectable_rise_has_the_power_asked_for() -> None:
    rise = detectable(100, 0.1)
    assert rise is not None
    assert mcnemar_power(100, *rates(0.1, 0.1 + rise)) == pytest.approx(0.8, abs=0.01)
    assert detectable(3, 0.1) is None
    assert detectable(100, 1.0) is None
    assert mcnemar_power(0, 0.5, 0) == mcnemar_power(10, 0, 0) == 0


# Layout and variance


def test_orders_that_belong_to_one_request_each_are_numbered_within_it() -> None:
    nested = Layout.of([("t", 0)], [("a", 10), ("a", 11), ("b", 20), ("b", 21)])
    assert nested.shape == (1, 2, 2)
    crossed = Layout.of([("t", 0)], [("a", 10), ("a", 11), ("b", 10), ("b", 11)])
    assert crossed.shape == (1, 2, 2)
    assert crossed.order_index["b", 11] == 1
    assert Layout.of([], []).shape == (0, 0, 0)


def test_targets_are_numbered_by_block() -> None:
    assert Layout.of([("t", 0), ("u", 0), ("t", 1)], [("a", 0)]).targets == (0, 1, 0)


def test_variance_is_that_of_expected_mean_squares() -> None:
    """Three-way layout by hand: V = (MS_A + MS_Q + MS_O − MS_AQ − MS_AO − MS_QO + MS_e) / N."""
    shape = (4, 5, 6)
    x = made(shape)
    mean = x.mean()
    effect = {
        axes: x.mean(axis=tuple(set(range(3)) - set(axes)), keepdims=True)
        for k in range(4)
        for axes in itertools.combinations(range(3), k)
    }
    total = 0.0
    for axes in effect:
        if not axes:
            continue
        contrast = sum(
            (-1) ** (len(axes) - len(sub)) * effect[sub]
            for k in range(len(axes) + 1)
            for sub in itertools.combinations(axes, k)
        )
        df = math.prod(shape[axis] - 1 for axis in axes)
        square = float((contrast**2).sum()) * x.size / math.prod(shape[axis] for axis in axes) / df
        total += (-1) ** (len(axes) + 1) * square / x.size
    found = spread(Cells(x, (0,) * 4), resample_targets=False)
    assert found.variance == pytest.approx(total)
    assert found.df >= 3
    one_seed_each = spread(Cells(x, (0, 1, 2, 3)), resample_targets=True)
    assert one_seed_each.variance == pytest.approx(total)
    assert mean == pytest.approx(Cells(x, (0,) * 4).estimate)


def test_variance_is_unbiased_with_gaps() -> None:
    rng = np.random.default_rng(5)
    found, means = [], []
    for _ in range(600):
        a, q, o = (rng.normal(size=n) for n in (3, 5, 8))
        x = a[:, None, None] + q[None, :, None] + 0.5 * o[None, None, :] + rng.normal(size=(3, 5, 8))
        x[rng.random(x.shape) < 0.1] = np.nan
        found.append(spread(Cells(x, (0, 0, 0)), resample_targets=False).variance)
        means.append(np.nanmean(x))
    assert np.mean(found) == pytest.approx(np.var(means), rel=0.15)


def test_variance_of_independent_values_is_the_usual_one() -> None:
    x = np.random.default_rng(0).normal(size=(1, 1, 50))
    found = spread(Cells(x, (0,)), resample_targets=False)
    assert found.variance == pytest.approx(x.var(ddof=1) / 50)
    assert found.df == pytest.approx(49)


# Bootstrap and intervals


def test_requests_and_orders_are_drawn_once_for_all_blocks() -> None:
    blocks, requests, orders = weights(
        (0, 0, 1, 1), 5, 7, resample_targets=True, rng=np.random.default_rng(0)
    )
    assert requests.shape == (2000, 5)
    assert orders.shape == (2000, 7)
    assert (requests.sum(axis=1) == 5).all()
    assert (blocks.sum(axis=1) == 4).all()
    both = blocks[:, :2].sum(axis=1)
    assert set(both.tolist()) == {0.0, 2.0, 4.0}


def test_targets_stay_when_they_are_not_resampled() -> None:
    blocks, *_ = weights((0, 0, 1), 2, 2, resample_targets=False, rng=np.random.default_rng(0))
    assert (blocks[:, :2].sum(axis=1) == 2).all()
    assert (blocks[:, 2] == 1).all()


def test_the_bootstrap_is_a_weighted_mean() -> None:
    x = made((2, 3, 4))
    x[0, 1, 2] = np.nan
    draws = weights((0, 0), 3, 4, resample_targets=False, rng=np.random.default_rng(0), resamples=5)
    for place, mean in enumerate(distribution(Cells(x, (0, 0)), draws)):
        w = draws[0][place][:, None, None] * draws[1][place][None, :, None] * draws[2][place][None, None, :]
        known = ~np.isnan(x)
        assert mean == pytest.approx((w * np.nan_to_num(x))[known].sum() / w[known].sum())


def test_factors_that_an_interval_generalises_over() -> None:
    assert generalises(Cells(made((4, 5, 6)), (0, 0, 1, 1))) == ("seeds", "requests", "orders")
    assert generalises(Cells(made((3, 1, 6)), (0, 1, 2))) == ("targets", "orders")
    assert generalises(Cells(made((1, 1, 1)), (0,))) == ()


def test_intervals_repeat_and_bracket() -> None:
    cells = Cells(made((6, 5, 20)), (0, 0, 0, 1, 1, 1))
    first, again = intervals().of(cells), intervals().of(cells)
    assert first == again
    assert first.low is not None
    assert first.high is not None
    assert first.estimate is not None
    assert first.low < first.estimate < first.high
    assert (first.n, first.blocks, first.method) == (600, 6, "hierarchical bootstrap")


def test_one_wild_seed_widens_the_interval() -> None:
    """A naive interval over 300 pairs would be ± .03; two seeds that disagree say little about a third."""
    x = np.zeros((2, 10, 15))
    x[0] = 1
    found = intervals().of(Cells(x, (0, 0)), (-1, 1), binary=True)
    assert (found.low, found.high) == (-1, 1)


def test_intervals_stay_within_bounds() -> None:
    x = (np.random.default_rng(0).random((2, 3, 5)) < 0.9).astype(float)
    found = intervals().of(Cells(x, (0, 0)), (0, 1), binary=True)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.high <= 1


def test_nothing_happened_gives_a_clopper_pearson_interval() -> None:
    found = intervals().of(Cells(np.zeros((3, 10, 30)), (0, 0, 0)), (-1, 1), binary=True)
    assert found.method == "clopper-pearson"
    assert found.high == pytest.approx(0.0122, abs=1e-4)
    assert found.low == -found.high  # type: ignore[operator]


def test_a_rare_event_does_not_collapse_the_interval() -> None:
    x = np.zeros((1, 1, 50))
    x[0, 0, 0] = 1
    found = intervals().of(Cells(x, (0,)), (0, 1), binary=True)
    assert found.high is not None
    assert found.high > 0.06
    assert found.low == 0


def test_no_values_no_interval() -> None:
    found = intervals().of(Cells(np.full((2, 2, 2), np.nan), (0, 0)))
    assert found.estimate is None
    assert found.n == 0
    assert intervals().of(Cells(np.empty((0, 0, 0)), ())).estimate is None


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
def test_a_constant_that_is_no_event_has_no_interval(bounds: tuple[float, float] | None) -> None:
    found = intervals().of(Cells(np.ones((2, 2, 2)), (0, 0)), bounds)
    assert (found.estimate, found.low, found.high, found.method) == (1.0, None, None, "constant")


def test_a_single_value_is_not_called_constant() -> None:
    assert intervals().of(Cells(np.ones((1, 1, 1)), (0,)), (0, 1)).method == ""


def test_cells_refuse_a_wrong_layout() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2, 2\) values for 1 blocks"):
        Cells(np.ones((2, 2, 2)), (0,))


def test_thousands_of_resamples_take_well_under_a_second() -> None:
    import time

    cells, maker = (
        Cells(made((6, 5, 20)), (0, 0, 0, 1, 1, 1)),
        Intervals(lambda _: np.random.default_rng(0), resamples=5000),
    )
    maker.of(cells)
    start = time.perf_counter()
    maker.of(cells)
    assert time.perf_counter() - start < 0.5
