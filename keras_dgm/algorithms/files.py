"""An algorithm as a preset."""

from keras_dgm.algorithms import saving_mode


class PresetFiles:
    """Saving and loading without the state that belongs to learning."""

    def save_preset_weights(self, path):
        """Writes the weights of the parts, `*.weights.h5`, without optimisers, seeds or caches."""
        with saving_mode.preset():
            self.save_weights(path, overwrite=True)

    def load_preset_weights(self, path):
        """Reads what `save_preset_weights` wrote."""
        with saving_mode.preset():
            self.load_weights(path)

    def save_to_preset(self, directory):
        """Writes a preset: config.json, model.weights.h5, metadata.json and a card."""
        from keras_dgm import presets

        return presets.save_to_preset(self, directory)

    @classmethod
    def from_preset(cls, name, **kwargs):
        """Loads a preset by its name, folder or address; it must hold an instance of this class.

        See `keras_dgm.from_preset`.
        """
        from keras_dgm import presets

        return presets.from_preset(name, expected_class=cls, **kwargs)
