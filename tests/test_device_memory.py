"""A batch that does not fit into the device's memory is taken in halves, and the user is told."""

import numpy as np
import pytest
import torch

from pipeline.errors import PipelineError
from pipeline.model.device_memory import Gradients, in_halves

pytestmark = pytest.mark.usefixtures("one_thread")


def too_large(rows, room):
    if rows > room:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize(("room", "batches"), [(100, [100]), (30, [100, 50, 25]), (1, None)])
def test_sampling_goes_on_with_half_the_batch(room, batches):
    tried, notes = [], []

    def make(batch):
        tried.append(batch)
        too_large(batch, room)
        return batch

    found = in_halves(make, 100, notes.append)
    assert found == tried[-1] <= room
    assert batches is None or tried == batches
    assert len(notes) == len(tried) - 1
    assert all("out of memory" in note for note in notes)
    assert not notes or f"{found} samples at a time" in notes[-1]


def test_one_that_is_too_large_alone_is_an_error_that_names_the_fix():
    with pytest.raises(PipelineError, match=r"choose a smaller model \(model.width"):
        in_halves(lambda batch: too_large(batch, 0), 8, lambda note: None)


@pytest.mark.parametrize("room", [64, 20, 1])
def test_a_gradient_in_parts_is_that_of_the_whole(room):
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Linear(5, 1)
    rows = torch.randn(33, 5, generator=generator).numpy()
    kept = np.arange(33) % 3 > 0  # rows of different numbers of losses

    def loss_of(batch):
        too_large(len(batch), room)
        taken = kept[np.isin(rows[:, 0], batch[:, 0])]
        losses = model(torch.from_numpy(batch[taken])).square()
        return losses.sum() / max(len(losses), 1), len(losses), len(batch)

    notes: list[str] = []
    found, positions = Gradients(loss_of, model.parameters(), notes.append).of(rows)
    assert positions == 33
    assert bool(notes) == (room < 33)
    ours = [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]

    model.zero_grad()
    whole = model(torch.from_numpy(rows[kept])).square().mean()
    whole.backward()
    assert found == pytest.approx(whole.item(), rel=1e-5)
    for mine, weight in zip(ours, model.parameters(), strict=True):
        torch.testing.assert_close(mine, weight.grad)


def test_later_batches_begin_with_the_parts_that_fitted():
    model, seen, notes = torch.nn.Linear(2, 1), [], []

    def loss_of(batch):
        seen.append(len(batch))
        too_large(len(batch), 4)
        return model(torch.from_numpy(batch)).mean(), len(batch), len(batch)

    gradients = Gradients(loss_of, model.parameters(), notes.append)
    for _ in range(2):
        gradients.of(np.ones((8, 2), np.float32))
    assert seen == [8, 4, 4, 4, 4]
    assert notes == ["out of memory on the device: a step adds up 4 at a time"]


def test_a_batch_that_has_no_parts_is_an_error():
    def loss_of(batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(PipelineError, match="choose a smaller model"):
        Gradients(loss_of, [], lambda note: None).of((1, 2, 3))
