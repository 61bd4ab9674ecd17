"""What a process that runs code of the user becomes, by its role."""

from __future__ import annotations

from typing import Final

from hocket.broker.roles import APP, DELIVERY, WORKER
from hocket.instance.app_process import AppMember
from hocket.instance.delivery_process import DeliveryMember
from hocket.instance.member import Member, WorkerMember

MEMBERS: Final[dict[str, type[Member]]] = {
    WORKER: WorkerMember,
    APP: AppMember,
    DELIVERY: DeliveryMember,
}
