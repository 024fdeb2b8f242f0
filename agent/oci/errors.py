"""The one way in which a container can't be described to the runtime."""


class SpecError(Exception):
    """Definition, image and host don't fit together; the text is for the task's stop reason."""
