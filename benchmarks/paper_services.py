"""The services that Vora, Suri and Yeturu (2021) describe, section 2, rebuilt: each a process, Flask and JSON.

`python -m benchmarks.paper_services (data | prediction | workflow) …` runs one of them.

What the paper says and is kept: every message is a POST with a JSON object, arrays as lists (2.3); messages lie in
MongoDB as such objects (2.6); a loop polls for new ones and routes each to its next node (2.1.4); the workflow keeps
its connections open and may route several messages at once (2.3); a culture of 8 images is a conversation of its own
(3); the workflow filters what was labelled (2.5).

Where the paper leaves a choice, the one that costs it least was taken:
- a node answers in the response to the POST, so that a hop is one request and not two;
- the data service remembers its populations, so that only scores travel back, and grey values travel as integers;
- a poll takes all new messages in one query over an index, and writes wait for no journal;
- connections stay open without Nagle's delay; network, generator and model are those of the other design.
"""

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import requests
from flask import Flask, request
from numpy.typing import NDArray
from pymongo import MongoClient
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from learning import generators
from learning.bundle import unpack
from learning.generators.base import Arrays, Batch, Order, Population
from learning.inference import predict

HOST = "127.0.0.1"
PATH = "/messages"
MODEL_FILE = "model.safetensors"
ARCHITECTURE_FILE = "architecture.txt"

Message = dict[str, Any]
"""A JSON object: `to` names the next node, `kind` what it is, `culture` the conversation; the rest is the kind's."""


@dataclass
class DataService:
    """Makes images; for the genetic algorithm it asks for scores, generation after generation."""

    folder: Path
    states: dict[str, Arrays] = field(default_factory=dict)
    searches: dict[int, tuple[Order, Population]] = field(default_factory=dict)

    def answer(self, message: Message) -> Message:
        """Return the first images of a conversation, or those that follow from scores."""
        generator = generators.load(message["generator"])
        if message["kind"] == "start":
            order = self._order(message)
            made = generator.sample(order)
        else:
            order, population = self.searches.pop(message["culture"])
            assert generator.evolve is not None
            made = generator.evolve(order, population, np.array(message["scores"], np.float32))
        if isinstance(made, Population):
            self.searches[message["culture"]] = order, made
        return message | self._images(made, generator.name)

    def _order(self, message: Message) -> Order:
        name = message["generator"]
        if name not in self.states:
            self.states[name] = unpack((self.folder / f"{name}.safetensors").read_bytes())
        asked = (message[key] for key in ("target", "count", "seed", "options"))
        return Order(self.states[name], *asked)

    def _images(self, made: Batch | Population, generator: str) -> Message:
        is_final = isinstance(made, Batch) and generator == "ga"
        return {
            "to": "controller" if is_final else "prediction",
            "kind": "population" if isinstance(made, Population) else "samples",
            "images": made.samples.tolist(),
        }


@dataclass
class PredictionService:
    """Says what the deployed model makes of images: a score for a population, a label for samples."""

    architecture: str
    model: Arrays

    @classmethod
    def of(cls, folder: Path) -> "PredictionService":
        """Load the model."""
        model = unpack((folder / MODEL_FILE).read_bytes())
        return cls((folder / ARCHITECTURE_FILE).read_text(), model)

    def answer(self, message: Message) -> Message:
        """Return the scores or labels, without the images."""
        images: NDArray[np.uint8] = np.array(message.pop("images"), np.uint8)
        probabilities = predict(self.architecture, self.model, images)
        if message["kind"] == "population":
            scores = probabilities[:, message["target"]].tolist()
            return message | {"to": "data", "kind": "scores", "scores": scores}
        labels = probabilities.argmax(axis=1).tolist()
        return message | {"to": "controller", "kind": "labels", "labels": labels}


@dataclass
class Workflow:
    """Keeps messages in MongoDB, polls for new ones and routes each to the node that it names."""

    database_url: str
    nodes: dict[str, str]
    interval_s: float
    at_once: int
    sessions: threading.local = field(default_factory=threading.local)

    def __post_init__(self) -> None:
        client: MongoClient[Message] = MongoClient(self.database_url, w=1)
        self.messages = client.get_default_database()["workflow"]
        self.messages.create_index([("state", 1), ("_id", 1)])
        threading.Thread(target=self._poll, daemon=True).start()

    def answer(self, message: Message) -> Message:
        """Keep a message for the next poll."""
        self.messages.insert_one({**message, "state": "new"})
        return {}

    def _poll(self) -> None:
        with ThreadPoolExecutor(self.at_once) as threads:
            while True:
                found = list(self.messages.find({"state": "new"}).sort("_id"))
                if found:
                    taken = {"_id": {"$in": [message["_id"] for message in found]}}
                    self.messages.update_many(taken, {"$set": {"state": "routed"}})
                for message in found:
                    # A callback that raises is logged; an error left in a future is not.
                    threads.submit(self._route, message).add_done_callback(Future.result)
                time.sleep(self.interval_s)

    def _route(self, message: Message) -> None:
        if message["kind"] == "labels":
            message = self._filtered(message)
        outgoing = {key: message[key] for key in message if key not in ("_id", "state")}
        answer = _post(self._session(), self.nodes[message["to"]], outgoing)
        if answer:
            self.answer(answer)

    def _filtered(self, labelled: Message) -> Message:
        """Return the images whose label is the target; the message before the labels has them all."""
        asked = {"culture": labelled["culture"], "kind": "samples"}
        kept = cast(Message, self.messages.find_one(asked))
        pairs = zip(kept["images"], labelled["labels"], strict=True)
        images = [image for image, label in pairs if label == labelled["target"]]
        return kept | {"to": "controller", "images": images}

    def _session(self) -> requests.Session:
        if not hasattr(self.sessions, "own"):
            self.sessions.own = requests.Session()
        return cast(requests.Session, self.sessions.own)


class Controller:
    """Asks for data through the workflow and receives it. `receive` is called in a thread of the server's."""

    def __init__(self, port: int, workflow_port: int, receive: Callable[[Message], None]) -> None:
        self._workflow = url(workflow_port)
        self._session = requests.Session()
        self._receive = receive
        self._server = server(port, self._answer)

    def __enter__(self) -> "Controller":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._session.close()

    def ask(self, message: Message) -> None:
        """Start a conversation."""
        _post(self._session, self._workflow, message)

    def _answer(self, message: Message) -> Message:
        self._receive(message)
        return {}


def url(port: int) -> str:
    """Return where a node on this machine takes messages."""
    return f"http://{HOST}:{port}{PATH}"


def server(port: int, answer: Callable[[Message], Message]) -> BaseWSGIServer:
    """Return a threaded Flask server that answers each message."""
    app = Flask(__name__)

    @app.post(PATH)
    def receive() -> Message:
        return answer(request.get_json())

    return make_server(HOST, port, app, threaded=True, request_handler=_Handler)


class _Handler(WSGIRequestHandler):
    disable_nagle_algorithm = True  # head and body of a response are two writes

    def log_request(self, *_: object) -> None:
        return None


def _post(session: requests.Session, address: str, message: Message) -> Message:
    response = session.post(address, json=message, timeout=60)
    response.raise_for_status()
    return cast(Message, response.json())


def _answerer(name: str, arguments: list[str]) -> Callable[[Message], Message]:
    if name == "data":
        return DataService(Path(arguments[0])).answer
    if name == "prediction":
        return PredictionService.of(Path(arguments[0])).answer
    database_url, interval_s, at_once, *ports = arguments
    nodes = ("data", "prediction", "controller")
    addresses = {node: url(int(port)) for node, port in zip(nodes, ports, strict=True)}
    return Workflow(database_url, addresses, float(interval_s), int(at_once)).answer


def main(name: str, port: str, *arguments: str) -> None:
    """Serve until killed."""
    server(int(port), _answerer(name, list(arguments))).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
