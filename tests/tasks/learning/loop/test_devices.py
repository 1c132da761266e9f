from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tasks.config import Fit
from tasks.learning import devices, training
from tasks.learning.augment import shift_images
from tasks.learning.training import Examples, Task, Trained
from tasks.networks import InputSpec, Standardise, build

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")


def stripes(rows: int = 96) -> Examples:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 60, (rows, 20, 20), dtype=torch.uint8, generator=generator)
    labels = torch.arange(rows) % 2
    for i in range(rows):
        lines = pixels[i] if labels[i] else pixels[i].T
        lines[i % 20] = 255
    return Examples((pixels,), labels)


def trained(folder: Path, device: str, precision: str) -> Trained:
    data = stripes()
    torch.manual_seed(0)
    cnn = build({"kind": "cnn", "widths": (4, 8, 8)}, InputSpec(outputs=2, image=(1, 20, 20)))
    network = nn.Sequential(Standardise((40.0,), (50.0,)), cnn)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    task = Task(
        nn.functional.cross_entropy,
        lambda outputs: float((outputs.argmax(1) == data.targets).float().mean()),
        higher_is_better=True,
        augment=lambda inputs: (shift_images(inputs[0], 1),),
    )
    settings = Fit(epochs=8, batch_size=16, learning_rate=0.02, schedule="one_cycle")
    return training.train(
        network, data, data, task, settings, seed=0, device=device, precision=precision, checkpoint=folder
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_images_are_learned_in_either_precision_and_weights_stay_whole(
    tmp_path: Path, precision: str
) -> None:
    result = trained(tmp_path, "cpu", precision)
    assert max(epoch.validation_metric for epoch in result.history) > 0.9
    assert {t.dtype for t in result.weights.values() if t.is_floating_point()} == {torch.float32}


def test_examples_always_fit_but_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    assert devices.fits(2**60, torch.device("cpu"))
    assert devices.fits(500, torch.device("cuda", 0))
    assert not devices.fits(900, torch.device("cuda", 0))


@pytest.mark.gpu
@NO_GPU
@pytest.mark.parametrize("fits", [True, False], ids=["resident", "copied"])
def test_a_gpu_learns_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fits: bool) -> None:
    monkeypatch.setattr(training, "fits", lambda size, device: fits)
    result = trained(tmp_path, "cuda", devices.resolve_precision("auto", "cuda", convolutional=True))
    assert max(epoch.validation_metric for epoch in result.history) > 0.9
    assert {tensor.device.type for tensor in result.weights.values()} == {"cpu"}


@pytest.mark.gpu
@NO_GPU
def test_the_loop_waits_for_a_gpu_at_the_end_of_an_epoch_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the steps torch raises at anything that waits."""
    plain = training._Loop._step

    def strict(
        loop: training._Loop, rows: torch.Tensor, step: int
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        torch.cuda.set_sync_debug_mode("error" if step else "default")
        try:
            return plain(loop, rows, step)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(training._Loop, "_step", strict)
    assert trained(tmp_path, "cuda", "bfloat16").history
