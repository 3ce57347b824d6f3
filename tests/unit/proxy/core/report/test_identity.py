"""Who the workload is: each value from the first of its sources, and nothing unknown that is known."""

import pytest

from proxy.core.report.identity import Identity, identity, labels_of, workload_of_pod

LABELS_FILE = 'app="shop"\npod-template-hash="7d9f8c5b6d"\nversion="v2"\nnote="say \\"hi\\""\nnonsense\n'


def test_a_pod_with_the_downward_apis_file_is_known() -> None:
    environment = {"POD_NAME": "shop-web-7d9f8c5b6d-x2x7q", "POD_NAMESPACE": "store", "ISTIO_META_CLUSTER_ID": "east"}
    assert identity(environment, LABELS_FILE) == Identity("shop-web", "store", "shop", "v2", "shop", "v2", "east")


def test_istios_own_variables_are_enough() -> None:
    environment = {
        "ISTIO_META_WORKLOAD_NAME": "reviews-v3",
        "POD_NAMESPACE": "bookinfo",
        "ISTIO_METAJSON_LABELS": '{"app":"reviews","version":"v3","service.istio.io/canonical-name":"reviews-all"}',
    }
    found = identity(environment)
    assert (found.workload, found.canonical_service, found.canonical_revision) == ("reviews-v3", "reviews-all", "v3")


def test_a_plain_host_says_it_by_our_variables() -> None:
    found = identity({"TIDEGATE_WORKLOAD": "billing", "TIDEGATE_NAMESPACE": "hosts", "TIDEGATE_VERSION": "7"})
    assert found == Identity("billing", "hosts", "unknown", "7", "billing", "7", "unknown")


def test_nothing_known_is_said_as_istio_says_it() -> None:
    assert identity({}) == Identity()
    assert identity({"ISTIO_METAJSON_LABELS": "[broken"}) == Identity()


@pytest.mark.parametrize(
    ("pod", "labels", "workload"),
    [
        ("db-0", {"statefulset.kubernetes.io/pod-name": "db-0"}, "db"),
        ("agent-x2x7q", {"controller-revision-hash": "abc"}, "agent"),
        ("import-28391-zzz2b", {"job-name": "import-28391"}, "import-28391"),
        ("lonely-pod", {}, "lonely-pod"),
        ("", {}, None),
    ],
)
def test_a_pods_maker(pod: str, labels: dict[str, str], workload: str | None) -> None:
    assert workload_of_pod(pod, labels) == workload


def test_values_are_unquoted() -> None:
    assert labels_of(LABELS_FILE)["note"] == 'say "hi"'
    assert "nonsense" not in labels_of(LABELS_FILE)
