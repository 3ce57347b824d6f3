"""The direct lane on the control channel: what a follower, which may write to the kernel's maps, tells the lane."""

from collections.abc import Mapping
from typing import Any

from proxy.control.channel import ControlConnection, ControlError, Operation
from proxy.core.lower import kernel_reports
from proxy.core.lower.kernel_messages import COUNTED, FOLLOW, PUSHED
from proxy.lanes.direct.lane import DirectLane


def direct_operations(lane: DirectLane, follower: ControlConnection) -> dict[str, Operation]:
    def follow(request: Mapping[str, Any]) -> Any:
        available = request.get("available")
        if not isinstance(available, bool):
            raise ControlError("'available' is true or false")
        lane.followed(follower, available=available)
        return {"ok": True}

    def pushed(request: Mapping[str, Any]) -> Any:
        version, error, refused = (request.get(key) for key in ("version", "error", "refused"))
        if type(version) is not int or not (error is None or isinstance(error, str)):
            raise ControlError("'version' is a number, 'error' a text or null")
        lane.answered(follower, version, error, refused=refused is True)
        return {"ok": True}

    def counted(request: Mapping[str, Any]) -> Any:
        lane.counted(kernel_reports.read(request))
        return {"ok": True}

    return {FOLLOW: follow, PUSHED: pushed, COUNTED: counted}
