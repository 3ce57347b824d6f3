"""What a new pod gets from the webhook is what `inject` writes into its manifest; everything else passes untouched."""

import io
import json
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from onboard.kubernetes.containers import INIT, PROXY, Options, Sidecar
from onboard.kubernetes.inject import inject
from onboard.text.nodes import Source
from onboard.webhook.pod import change
from onboard.webhook.review import NoReview, OnError, Settings, answer
from tests.unit.onboard import manifests
from tests.unit.onboard.webhook.reviews import UID, answer_of, patched, pod, review

OPTIONS = Options("tidegate:1", Sidecar.NATIVE, "mesh")
SETTINGS = Settings(OPTIONS)
KEYS = ["metadata", "spec", "annotations", "labels", "containers", "initContainers", "volumes", "name", "ports"]
KEYS += ["containerPort", "securityContext", "runAsUser", "hostNetwork", "tidegate.dev/inject"]


def answered(body: bytes, settings: Settings = SETTINGS) -> dict[str, Any]:
    return answer_of(answer(body, settings))


def annotated(**annotations: str) -> dict[str, Any]:
    made = pod()
    made["metadata"]["annotations"] = {
        f"tidegate.dev/{name.replace('_', '-')}": text for name, text in annotations.items()
    }
    return made


def test_a_new_pod_gets_the_proxy_first() -> None:
    before = pod()
    response = answered(review(before))
    assert (response["uid"], response["allowed"]) == (UID, True)
    after = patched(before, response["operations"])
    assert [one["name"] for one in after["spec"]["initContainers"]] == [INIT, PROXY]
    assert after["spec"]["containers"] == before["spec"]["containers"]
    del after["metadata"]["creationTimestamp"], after["status"]
    kubernetes_validate.validate(after, "1.34", strict=True)


@pytest.mark.parametrize("mode", ["auto", "ebpf"])
@pytest.mark.parametrize("sidecar", list(Sidecar))
@given(layout=st.data())
def test_it_says_what_inject_says(mode: str, sidecar: Sidecar, layout: st.DataObject) -> None:
    before = {"apiVersion": "v1", "kind": "Pod", **manifests.pod(layout)}
    options = Options("tidegate:1", sidecar, layout.draw(st.sampled_from([None, "mesh"])))
    text = inject(Source("f.yaml", json.dumps(before)), {"--mode": mode}, options).text
    # Through JSON once more: YAML takes an escaped pair of surrogates for two characters.
    wanted = json.loads(json.dumps(YAML(typ="safe", pure=True).load(io.StringIO(text))))
    after = patched(before, change(before, {"--mode": mode}, options).patch)
    note = "tidegate.dev/injected"
    # What was empty before counts as there in a file, and as missing in a pod.
    assert after["metadata"]["annotations"].pop(note) is not None
    assert wanted["metadata"]["annotations"].pop(note) is not None
    assert after == wanted


def test_what_was_injected_already_is_not_touched() -> None:
    once = patched(pod(), answered(review(pod()))["operations"])
    response = answered(review(once))
    assert response == {"uid": UID, "allowed": True}


@pytest.mark.parametrize(
    "changed",
    [
        {"operation": "UPDATE"},
        {"operation": "DELETE", "object": None},
        {"subResource": "ephemeralcontainers"},
        {"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}},
        {"kind": None},
    ],
    ids=str,
)
def test_anything_but_a_new_pod_passes(changed: dict[str, Any]) -> None:
    assert answered(review(pod(), **changed)) == {"uid": UID, "allowed": True}


def test_a_pod_that_says_no_is_left_alone_and_the_user_is_told() -> None:
    response = answered(review(annotated(inject="false")))
    assert "operations" not in response
    assert response["warnings"] == ["left as it is: tidegate.dev/inject says so"]


def test_annotations_reach_init_as_flags() -> None:
    after = patched(
        annotated(exclude_outbound_ports="3306 ,22"),
        answered(review(annotated(exclude_outbound_ports="3306 ,22")))["operations"],
    )
    assert "--exclude-outbound-ports=22,3306" in after["spec"]["initContainers"][0]["args"]


@pytest.mark.parametrize("text", ["80 --mode=ebpf", "80\n- privileged", "x" * 100_000])
def test_a_hostile_annotation_denies_or_warns_as_set(text: str) -> None:
    body = review(annotated(exclude_outbound_ports=text))
    denied = answered(body)
    assert denied["allowed"] is False
    assert "tidegate.dev/exclude-outbound-ports" in denied["status"]["message"]
    assert "operations" not in denied
    allowed = answered(body, Settings(OPTIONS, on_error=OnError.ALLOW))
    assert allowed["allowed"] is True
    assert "operations" not in allowed
    assert "tidegate.dev/exclude-outbound-ports" in allowed["warnings"][0]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"kind": "AdmissionReview"}', b"[" * 100_000, b"\xff", review(pod(), uid=None)],
    ids=lambda body: body[:20].decode("latin-1"),
)
def test_what_is_no_review_is_said(body: bytes) -> None:
    with pytest.raises(NoReview):
        answer(body, SETTINGS)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 70000) | st.text(max_size=6),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(KEYS),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_any_object_is_answered(thing: Any) -> None:
    response = answered(review(thing))
    assert response["allowed"] is True or response["status"]["message"].startswith("tidegate: ")
