"""The one way in which a container can't be described to the runtime."""

from agent.printable import printable


class SpecError(Exception):
    """Definition, image and host don't fit together; the text is for the task's stop reason, and is
    made printable as the image may speak in it."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))
