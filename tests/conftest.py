"""What all tests rely on."""

import asyncio

# pytest-asyncio 1.x asks for the current loop before each test to put it back afterwards; where
# none was ever set Python 3.11 makes one, which nobody closes. May go with Python 3.14.
asyncio.set_event_loop(None)
