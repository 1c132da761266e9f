"""What is said of a training beside its figures."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.config import Fit
from tasks.dataset import Dataset
from tasks.learning.encode import Encoder
from tasks.learning.subwords import SubwordInputs
from tasks.learning.training import Trained
from tasks.learning.words import TextInputs
from tasks.records import Epoch


def remarks(settings: Fit, judged: Trained, kept: Trained) -> tuple[str, ...]:
    """All that there is to say of how it went.

    Args:
        settings: The `fit:` section.
        judged: The training that validation rows judged.
        kept: The one whose weights are kept: the same, or its refit.
    """
    return (
        *gap_warning(judged.history, judged.best_epoch),
        *strain_warning(settings, judged),
        *budget_warning(settings, judged, kept),
    )


def cut_warning(train: Dataset, encoder: Encoder) -> tuple[str, ...]:
    """A sentence about texts that are too long to be read to their end."""
    inputs = encoder.inputs
    if not isinstance(inputs, TextInputs | SubwordInputs) or not (share := inputs.cut_share(train.rows)):
        return ()
    if isinstance(inputs, SubwordInputs):
        return (f"{share:.1%} of the train texts are longer than {inputs.length} subwords (network.length)",)
    return (
        f"{share:.1%} of the train texts are longer than what is read in order, {inputs.length} words of "
        f"{inputs.characters} characters (encode.words.length, encode.words.characters)",
    )


def gap_warning(history: Sequence[Epoch], best: int) -> tuple[str, ...]:
    """A sentence about overfitting where the validation loss has left the train loss behind."""
    chosen, last = history[best - 1], history[-1]
    if last.validation_loss > 1.1 * chosen.validation_loss and last.train_loss < chosen.train_loss:
        return (
            f"overfitting after epoch {best}: validation loss rose from {chosen.validation_loss:.4g} to "
            f"{last.validation_loss:.4g} while train loss fell; the weights of epoch {best} are kept",
        )
    return ()


def strain_warning(settings: Fit, trained: Trained) -> tuple[str, ...]:
    """Sentences about memory that ran out and processes that ended, both of which were overcome."""
    found = []
    if trained.rows_at_once is not None:
        found.append(
            f"memory ran out, so batches of {settings.batch_size} were computed {trained.rows_at_once} rows "
            "at a time and their gradients added up; each step is still made by the whole batch"
        )
    if trained.restarts:
        found.append(
            f"one of {settings.processes} processes of the training ended, and all went on from the last "
            f"checkpoint (restarts: {trained.restarts})"
        )
    return tuple(found)


def budget_warning(settings: Fit, judged: Trained, kept: Trained) -> tuple[str, ...]:
    """A sentence about validation rows that were not learned from, since the time was up before."""
    if settings.refit and kept.weights is judged.weights:
        return (
            f"fit.minutes ({settings.minutes:g}) left no time to train again on train and validation rows; "
            "the weights are those of the train rows alone",
        )
    return ()
