"""A layer of Keras that is applied once more, in a module of its own: a class that derives from Keras loads it."""

from typing import Any

import keras


class Again(keras.layers.Layer):
    """A layer that its network has applied already, as a layer with one output; never saved."""

    def __init__(self, layer: keras.layers.Layer, described: dict[str, Any]) -> None:
        """Wrap a layer; `described` is its configuration, for the cache's key."""
        super().__init__(name=layer.name)
        self.layer, self.described = layer, described
        self.built = True

    def call(self, x: Any) -> Any:
        """Apply the layer."""
        return self.layer(x)  # Keras hands `training` on

    def get_config(self) -> dict[str, Any]:
        """Return what the cache's key needs."""
        return {"name": self.name} | self.described
