"""Runs alone on a device: follows the releases of one model, checks them, infers, and says what it runs.

model.py      a checked model: samples in, class names out
update.py     which releases may run here
slots.py      what survives a restart: two versions on disk
agent.py      follow, check, keep, swap      reporting.py   what the device says about itself
inputs.py     samples from files             settings.py    names and places
cli.py        `rdg agent`; signals are handled there and nowhere else

Only the base dependencies are imported. Inference never waits for the bus, nor for an update.
"""
