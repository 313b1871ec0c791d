"""Typed publish and subscribe, at least once, with two verbs: work and log.

    bus.py         publish and follow, typed            stage.py       a stage, and the loop that settles its messages
    wire.py        message <-> envelope                 transport.py   what carries bytes: the protocol, the topology
    memory.py      ... inside one process               connect.py     which transport a URL means
    local.py       ... between processes of a machine   (link.py, frames.py: its connections and its protocol)
    rabbit.py      ... over RabbitMQ                    (rabbit_link.py, rabbit_consumer.py, rabbit_topology.py)
"""
