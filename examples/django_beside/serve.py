"""Django beside Socket.IO on one port: `pip install django`,
`python examples/django_beside/serve.py`.

Open the printed URL in two browser tabs, and pin a note in one of them.
"""

import os
from pathlib import Path

from django.core.asgi import get_asgi_application
from realtime import app
from starlette.staticfiles import StaticFiles

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

app.mount("/static", StaticFiles(directory=Path(__file__).with_name("static")))
app.mount("/", get_asgi_application())

if __name__ == "__main__":
    app.run()
