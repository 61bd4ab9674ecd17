"""A board: the page shows its latest notes, and whoever pins one tells all open pages."""

from collections import deque

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST
from realtime import app

notes: deque[str] = deque(maxlen=20)  # in place of a database


def board(request: HttpRequest) -> HttpResponse:
    return render(request, "board.html", {"notes": tuple(notes)})


@require_POST
def pin(request: HttpRequest) -> HttpResponse:
    note = request.POST.get("note", "").strip()[:200]
    if not note:
        return HttpResponse("a note has text", status=400)
    notes.append(note)
    app.to("board").emit("pinned", note)  # from a thread of Django's
    return HttpResponse(status=204)
