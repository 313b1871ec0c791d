"""Typed publish and subscribe, at least once, with two verbs: work and log.

transport.py   what carries bytes: the protocol, and the topology that every process declares
memory.py      ... inside one process          local.py ... between processes of one machine
rabbit.py      ... over RabbitMQ               connect.py   which of them a URL means
wire.py        message <-> envelope            bus.py       publish and follow, typed
stage.py       a stage, and the loop that settles its messages
"""
