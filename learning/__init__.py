"""The maths: arrays in, arrays out. No bus, store, asyncio, pydantic, clock or environment."""
