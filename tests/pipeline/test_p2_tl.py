import asyncio, time
from tests.pipeline.test_stopping import *
import pytest
from schemas.flow import Progress
@pytest.mark.rabbit
async def test_tl(amqp_url, mongo_url, bus_prefix, tmp_path):
    told = environment(amqp_url, mongo_url, bus_prefix)
    async with distributed(amqp_url, mongo_url, bus_prefix) as system:
        await add_digits(system.store, "digits", NAMES)
        with workers([PIPELINE], told, tmp_path) as (old,):
            t0=time.time()
            async def watch():
                async with system.bus.follow(Progress, since="first") as progress:
                    async for n in progress: print(f"{time.time()-t0:.2f}", n.job, n.stage, n.state, n.done, n.total, flush=True)
            async with asyncio.TaskGroup() as g:
                w=g.create_task(watch())
                for i in range(2):
                    await system.run(f"j-{i}", FitSpec(model="digits", generator="gmm", data="digits"))
                    print("done", time.time()-t0, await system.store.tallies(f"j-{i}"))
                await system.run("j-t", RehearsalSpec(model="a", new_data="digits", training=QUICK))
                print("done", time.time()-t0, await system.store.tallies(f"j-t"))
                w.cancel()
            print(old.log.read_text())
