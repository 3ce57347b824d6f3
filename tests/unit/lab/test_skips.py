"""A skip that blames the kernel is held against the kernel that it names."""

from __future__ import annotations

import pytest

from tests.lab.skips import objection

SK_LOOKUP = "Skipped: kernel older than 5.9: sk_lookup"


@pytest.mark.parametrize("strict", [False, True])
def test_an_old_kernel_may_lack_what_came_later(strict: bool) -> None:
    assert objection(SK_LOOKUP, (5, 8), strict=strict) is None
    assert objection(SK_LOOKUP, (4, 19), strict=strict) is None


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("kernel", [(5, 9), (5, 10), (6, 1)])
def test_on_the_kernel_that_is_named_and_later_ones_the_skip_is_a_failure(
    kernel: tuple[int, int], strict: bool
) -> None:
    told = objection(SK_LOOKUP, kernel, strict=strict)
    assert told is not None
    assert f"this kernel is {kernel[0]}.{kernel[1]}" in told
    assert "5.9: sk_lookup" in told


@pytest.mark.parametrize(
    "reason", ["kernel older than this backend needs", "kernel older than 5: x", "kernel older than 5.9"]
)
def test_a_version_and_a_feature_have_to_be_named(reason: str) -> None:
    assert "MAJOR.MINOR: FEATURE" in str(objection(reason, (4, 19), strict=False))


def test_what_a_backend_cannot_express_may_be_skipped() -> None:
    assert objection("Skipped: cannot express: --drop-invalid under ebpf", (6, 1), strict=True) is None


@pytest.mark.parametrize("reason", ["Skipped: needs root", "cannot express:", "no such program"])
def test_any_other_reason_is_a_failure_where_skips_are(reason: str) -> None:
    assert "TIDEGATE_NO_SKIP" in str(objection(reason, (6, 1), strict=True))
    assert objection(reason, (6, 1), strict=False) is None
