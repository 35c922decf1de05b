"""A run that was killed and restored ends at the weights of one that was not."""

import json

import numpy as np
import pytest
from scripts import result, run

TRAIN = """
import json, os, signal, sys
import keras, numpy as np
import keras_dgm as dgm, scripts

folder, kill_in_epoch, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
keras.utils.set_random_seed(seed)
model = dgm.IWAE(*scripts.small_model(dropout=0.2, batch_norm=True), num_samples=3, seed=None)
model.compile(keras.optimizers.Adam(0.01), steps_per_execution=2)
if seed:  # another process starts elsewhere; what it restores must decide
    keras.utils.set_random_seed(seed + 1)

class Kill(keras.callbacks.Callback):
    epoch = -1
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == kill_in_epoch and batch >= 3:
            os.kill(os.getpid(), signal.SIGKILL)

backup = keras.callbacks.BackupAndRestore(folder)
model.fit(scripts.binary_rows(64), batch_size=8, epochs=4, verbose=0, callbacks=[backup, Kill()],
          validation_data=scripts.binary_rows(8, seed=1))
values = {v.path: keras.ops.convert_to_numpy(v).ravel().tolist() for v in model.variables}
state = [keras.ops.convert_to_numpy(v).ravel().tolist() for v in model.optimizer.variables]
weights = [keras.ops.convert_to_numpy(w).ravel().tolist() for w in model.weights]
print(json.dumps({"weights": weights, "optimizer": state}))
"""


def test_kill_and_restore_equals_an_uninterrupted_run(tmp_path):
    whole = result(run(TRAIN, tmp_path / "a", -1, 0))
    killed = run(TRAIN, tmp_path / "b", 2, 0, check=False)
    assert killed.returncode == -9
    resumed = result(run(TRAIN, tmp_path / "b", -1, 5))
    assert resumed == whole
    # The check can fail: an uninterrupted run from another seed ends elsewhere.
    other = result(run(TRAIN, tmp_path / "c", -1, 5))
    assert other != whole


SAVE = """
import json, sys
import keras, numpy as np
import keras_dgm as dgm, scripts
keras.utils.set_random_seed(0)
model = dgm.IWAE(*scripts.small_model(), num_samples=3, seed=0)
model.compile("adam")
model.fit(scripts.binary_rows(40), batch_size=8, epochs=2, verbose=0)
model.save(sys.argv[1] + "/m.keras")
model.save_weights(sys.argv[1] + "/m.weights.h5")
model.save_to_preset(sys.argv[1] + "/preset")
x = scripts.binary_rows(10, seed=3)
print(json.dumps(model.log_likelihood(x, num_samples=100, seed=1).tolist()))
"""

LOAD = """
import json, sys
import keras
import keras_dgm as dgm, scripts
keras.utils.set_random_seed(9)
whole = keras.saving.load_model(sys.argv[1] + "/m.keras")
weights = dgm.IWAE(*scripts.small_model(), num_samples=3, seed=4)
weights.load_weights(sys.argv[1] + "/m.weights.h5")
preset = dgm.from_preset(sys.argv[1] + "/preset")
x = scripts.binary_rows(10, seed=3)
print(json.dumps([m.log_likelihood(x, num_samples=100, seed=1).tolist()
                  for m in (whole, weights, preset)]))
"""


def test_files_give_the_same_log_likelihood_in_a_new_process(tmp_path):
    before = np.array(result(run(SAVE, tmp_path)))
    after = np.array(result(run(LOAD, tmp_path)))
    assert after.shape == (3, 10)
    np.testing.assert_allclose(after, np.broadcast_to(before, after.shape), rtol=1e-6)


def test_a_preset_holds_no_learning_state(tmp_path):
    import h5py
    import keras
    import scripts

    import keras_dgm as dgm

    model = dgm.VAE(*scripts.small_model(), seed=0)
    model.compile(keras.optimizers.Adam())
    model.fit(scripts.binary_rows(16), batch_size=8, verbose=0)

    def names(path):
        found = []
        with h5py.File(path) as file:
            file.visititems(lambda n, item: found.append(n) if hasattr(item, "shape") else None)
        return found

    model.save_weights(tmp_path / "all.weights.h5")
    model.save_preset_weights(tmp_path / "preset.weights.h5")
    everything = " ".join(names(tmp_path / "all.weights.h5"))
    kept = " ".join(names(tmp_path / "preset.weights.h5"))
    assert "seed_state" in everything and "joint.0" in everything
    assert "optimizer/optimizers" not in everything, "the optimisers' state is stored twice"
    assert "seed_state" not in kept and "joint" not in kept
    assert "inference" in kept and "likelihood" in kept
    with pytest.raises(ValueError, match="no state 'seed_state'"):
        model.load_weights(tmp_path / "preset.weights.h5")
    assert json.dumps(model.get_config(), default=str)
