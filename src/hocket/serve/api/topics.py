"""Topics: who is told what. A server decides it, with an API key."""

from __future__ import annotations

from typing import Final

import msgspec

from hocket.serve.api.endpoint import Call, LeftOut, Name, endpoint, given
from hocket.store.base import JoinTopic, LeaveTopic, TopicsOf


class WhoseTopics(msgspec.Struct, frozen=True):
    user: Name | LeftOut = msgspec.UNSET


class TopicList(msgspec.Struct, frozen=True):
    topics: list[str]


@endpoint("PUT", "/v1/topics/{topic}/users/{user}", scopes=("topics",), answers={204: None})
async def join(call: Call) -> None:
    """Put a user into a topic, from the next accepted notification on."""
    await call.do(JoinTopic(call.path["topic"], call.path["user"]))


@endpoint("DELETE", "/v1/topics/{topic}/users/{user}", scopes=("topics",), answers={204: None})
async def leave(call: Call) -> None:
    """Take a user out of a topic; what was accepted before still reaches it."""
    await call.do(LeaveTopic(call.path["topic"], call.path["user"]))


@endpoint(
    "GET",
    "/v1/topics",
    scopes=("topics", "read"),
    users=True,
    query=WhoseTopics,
    answers={200: TopicList},
    problems=("not-yours",),
)
async def topics(call: Call) -> TopicList:
    """List the topics that a user is in."""
    return TopicList(await call.do(TopicsOf(call.own(given(call.query.user)))))


ENDPOINTS: Final = (join, leave, topics)
