"""An app with the real fal-client, unmodified. One scenario per run:

    python app.py SCENARIO '{"model": ..., "input": ...}'

prints as JSON what the app saw, or the error that it caught. FAL_RUN_HOST says
where fal is, FAL_KEY what it is shown; both are the client's own.
"""

import asyncio
import dataclasses
import json
import socket
import sys

import fal_client

resolve = socket.getaddrinfo


def resolve_localhost(host, *args, **kwargs):
    """RFC 6761: what ends in .localhost is this machine. Not every resolver
    knows, and `queue.` stands before any host that the client is given."""
    name = host.decode() if isinstance(host, bytes) else host
    return resolve("localhost" if name.endswith(".localhost") else host, *args, **kwargs)


socket.getaddrinfo = resolve_localhost


def told(status):
    return {"is": type(status).__name__, **dataclasses.asdict(status)}


def handle_of(handle):
    return {
        "request_id": handle.request_id,
        "response_url": handle.response_url,
        "status_url": handle.status_url,
        "cancel_url": handle.cancel_url,
    }


def input_of(given):
    arguments = dict(given.get("input", {}))
    if "file_mb" in given:
        arguments["image_url"] = "data:image/png;base64," + "A" * (given["file_mb"] << 20)
    return arguments


class Sync:
    def __init__(self, given):
        self.fal = fal_client.SyncClient()
        self.model, self.given, self.headers = given["model"], given, given.get("headers", {})

    def subscribe(self):
        seen = []
        data = self.fal.subscribe(
            self.model,
            input_of(self.given),
            with_logs=True,
            interval=0.02,
            on_queue_update=lambda status: seen.append(told(status)),
            headers=self.headers,
        )
        return {"data": data, "seen": seen}

    def queue(self):
        handle = self.fal.submit(
            self.model, input_of(self.given), hint="here", priority="low", start_timeout=30, headers=self.headers
        )
        first = told(handle.status(with_logs=True))
        events = [told(status) for status in handle.iter_events(with_logs=True, interval=0.02)]
        by_id = told(self.fal.status(self.model, handle.request_id, with_logs=False))
        return {
            "handle": handle_of(handle),
            "first": first,
            "events": events,
            "by_id": by_id,
            "get": handle.get(),
            "result": self.fal.result(self.model, handle.request_id),
        }

    def submit(self):
        return handle_of(self.fal.submit(self.model, input_of(self.given), headers=self.headers))

    def result(self):
        return self.fal.result(self.model, self.given["request_id"])

    def cancel(self):
        handle = self.fal.submit(self.model, input_of(self.given), headers=self.headers)
        handle.cancel()
        return {"handle": handle_of(handle), "last": [told(status) for status in handle.iter_events()][-1]}

    def run(self):
        return self.fal.run(self.model, input_of(self.given), headers=self.headers)

    def stream(self):
        return list(self.fal.stream(self.model, input_of(self.given), headers=self.headers))


class Async:
    def __init__(self, given):
        self.fal = fal_client.AsyncClient()
        self.model, self.given, self.headers = given["model"], given, given.get("headers", {})

    async def subscribe(self):
        seen = []
        data = await self.fal.subscribe(
            self.model,
            input_of(self.given),
            with_logs=True,
            interval=0.02,
            on_queue_update=lambda status: seen.append(told(status)),
            headers=self.headers,
        )
        return {"data": data, "seen": seen}

    async def queue(self):
        handle = await self.fal.submit(self.model, input_of(self.given), headers=self.headers)
        events = [told(status) async for status in handle.iter_events(with_logs=True, interval=0.02)]
        return {"handle": handle_of(handle), "events": events, "get": await handle.get()}

    async def cancel(self):
        handle = await self.fal.submit(self.model, input_of(self.given), headers=self.headers)
        await handle.cancel()
        return {"handle": handle_of(handle), "last": [told(status) async for status in handle.iter_events()][-1]}

    async def run(self):
        return await self.fal.run(self.model, input_of(self.given), headers=self.headers)

    async def stream(self):
        return [event async for event in self.fal.stream(self.model, input_of(self.given), headers=self.headers)]


def main():
    scenario, given = sys.argv[1], json.loads(sys.argv[2])
    try:
        if given.get("async"):

            async def run():
                return await getattr(Async(given), scenario)()

            seen = asyncio.run(run())
        else:
            seen = getattr(Sync(given), scenario)()
    except fal_client.FalClientHTTPError as error:
        seen = {
            "error": {
                "message": error.message,
                "status": error.status_code,
                "error_type": error.error_type,
                "headers": error.response_headers,
            }
        }
    print(json.dumps(seen))


main()
