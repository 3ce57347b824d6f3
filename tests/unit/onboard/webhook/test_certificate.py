"""Certificates are made, renewed in time, and trusted by a TLS client through each change."""

from datetime import UTC, datetime, timedelta

from onboard.webhook.certificate import AUTHORITY_LIFE, SERVING_LIFE, renewed

NAMES = ["hook.mesh.svc", "hook.mesh.svc.cluster.local"]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_nothing_changes_while_nothing_is_due() -> None:
    kept = renewed(None, NAMES, NOW)
    assert renewed(kept, NAMES, NOW + SERVING_LIFE / 2) is kept


def test_a_serving_certificate_is_renewed_before_it_ends_under_the_same_authority() -> None:
    kept = renewed(None, NAMES, NOW)
    later = renewed(kept, NAMES, NOW + SERVING_LIFE * 0.7)
    assert later.serving != kept.serving
    assert later.bundle == kept.bundle


def test_other_names_need_another_certificate() -> None:
    kept = renewed(None, NAMES, NOW)
    assert renewed(kept, ["other.mesh.svc"], NOW).serving != kept.serving
    assert renewed(kept, NAMES[::-1], NOW) is kept


def test_through_a_change_of_authority_the_former_one_is_trusted_too() -> None:
    kept = renewed(None, NAMES, NOW)
    later = renewed(kept, NAMES, NOW + AUTHORITY_LIFE * 0.7)
    assert later.authority != kept.authority
    assert kept.authority in later.bundle
    assert later.authority in later.bundle
    assert renewed(later, NAMES, NOW + AUTHORITY_LIFE * 0.7 + timedelta(days=1)) is later
