"""A device loads its base dependencies and nothing of the server's."""

import subprocess
import sys

HEAVY = ("torch", "sklearn", "fastapi", "motor", "store", "PIL", "matplotlib", "workers", "control")

IMPORT_ALL = f"""
import importlib, pkgutil, sys
import edge_agent
names = [module.name for module in pkgutil.iter_modules(edge_agent.__path__, "edge_agent.")]
for name in names:
    importlib.import_module(name)
print(len(names), sorted(set(sys.modules) & set({HEAVY})))
"""


def test_agent_loads_nothing_of_the_server() -> None:
    found = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, timeout=60, check=True
    )

    count, loaded = found.stdout.split(maxsplit=1)
    assert int(count) > 5
    assert loaded == "[]\n"
