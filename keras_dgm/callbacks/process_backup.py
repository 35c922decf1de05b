"""Backups of a run of one process or several, from which all of them go on together."""

import os
import pathlib
import re
import shutil

import keras
import numpy as np

from keras_dgm import backend


class ProcessBackup(keras.callbacks.Callback):
    """Saves everything at the end of an epoch, and goes on from there when `fit` is called again.

    `keras.callbacks.BackupAndRestore` for several processes (see `backend.join_processes`; one
    alone may use it too). Each process writes its own state, the optimisers', chains and caches
    included, in a folder of its own. A process may die before, during or after a write, so each
    keeps its last two backups, written beside and then renamed, and at the start all agree on the
    last epoch that every one of them has. Nobody is ahead by more than one: an epoch's gradients
    need all.

    Args:
        backup_dir: folder, the same in all processes; process n writes in `backup_dir/n`. It may
            lie on a shared disk, or on one of each machine's own that outlives the process.
        delete_at_end: whether backups are removed when training has ended.

    Raises:
        ValueError: at the start of `fit`, where some process has lost its backups and others have
            not.
    """

    def __init__(self, backup_dir, delete_at_end=True):
        super().__init__()
        self.backup_dir = pathlib.Path(backup_dir)
        self.delete_at_end = bool(delete_at_end)

    @property
    def folder(self):
        """Where this process writes."""
        return self.backup_dir / str(backend.process_number())

    def on_train_begin(self, logs=None):
        """Loads the last backup that all processes have, if there is one."""
        own = sorted(self._epochs())[-2:]
        everyone = self.model.gather_from_processes(np.array([0, 0, *own][-2:], np.int32))
        epoch = max(set.intersection(*[{0, *map(int, row)} for row in everyone]))
        newest = int(everyone.max())
        if newest - epoch > 1:
            raise ValueError(
                f"Some processes have a backup of epoch {newest} and others have none of it or "
                f"the one before; process {backend.process_number()} has {own} in {self.folder}. "
                "Bring the lost folders back, or remove all of them to begin anew."
            )
        if epoch:
            self.model.load_weights(self._path(epoch))
            self.model._initial_epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        """Saves, and removes what is older than the backup before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        scratch = self.folder / "unfinished.weights.h5"
        self.model.save_weights(scratch, overwrite=True)
        os.replace(scratch, self._path(epoch + 1))
        for old in self._epochs():
            if old < epoch:
                self._path(old).unlink()

    def on_train_end(self, logs=None):
        """Removes the backups, once all processes have come to the end."""
        if self.delete_at_end:
            self.model.gather_from_processes(np.zeros(1, np.int32))
            shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, epoch):
        return self.folder / f"epoch-{epoch:06d}.weights.h5"

    def _epochs(self):
        found = [re.fullmatch(r"epoch-(\d+)\.weights\.h5", p.name) for p in self.folder.glob("*")]
        return [int(match[1]) for match in found if match]
