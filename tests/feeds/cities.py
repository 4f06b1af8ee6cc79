"""Another city: its own database, and its feed over real HTTP through the real routes."""

import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from matching_service.api.authentication import WrongKeys
from matching_service.api.problems import add_problem_handlers
from matching_service.api.services import Services
from matching_service.disclosure.mapping import Mapped, Mappings
from matching_service.feeds.routes import router
from matching_service.foundation.settings import Settings
from matching_service.store.database import Database


@contextmanager
def feed_of(database_url: str, mappings: Mapping[str, Mapped] | None = None) -> Iterator[str]:
    """Serves the exchange of a database; gives the address of its feed."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database(database_url)
        app.state.services = Services(
            database, Mappings(mappings or {}), Settings(webhook_allow_private=True), WrongKeys()
        )
        yield
        await database.close()

    app = FastAPI(lifespan=lifespan)
    add_problem_handlers(app)
    app.include_router(router)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 60
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1/feed"
        finally:
            server.should_exit = True
            thread.join(30)
