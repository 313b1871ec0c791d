"""Typed publish and subscribe, at least once, with two verbs: work and log.

- `bus.py`: publish and follow, typed. `stage.py`: a stage, and the loop that settles its messages.
- `wire.py`: message <-> envelope. `transport.py`: what carries envelopes, and the topology. `connect.py`: by URL.
- `memory.py`: the transport inside one process.
- `local.py`: between processes of a machine; `link.py` and `frames.py` are its connections and its protocol.
- `rabbit.py`: over RabbitMQ; with `rabbit_link.py`, `rabbit_consumer.py`, `rabbit_topology.py`.
"""
