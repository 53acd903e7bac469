"""`Sparsifier` in the training loops of other libraries."""

import copy
import logging

import pytest
import torch
from sparsify_helpers import make_problem, nonzero_of
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from skproj.nn import Sparsifier

N_EPOCHS = 5
N_STEPS = 30


def make_parts():
    """A network, and a loader with the same batches in each epoch."""
    model, data = make_problem()
    model[1][1].p = 0.0
    loader = DataLoader(TensorDataset(data.X, data.y), batch_size=20)
    return model, torch.optim.Adam(model.parameters(), lr=0.01), loader


@pytest.fixture(scope="module")
def expected():
    """The network after a plain loop."""
    model, optimizer, loader = make_parts()
    with Sparsifier(model, optimizer, 0.9, n_steps=N_STEPS):
        for _ in range(N_EPOCHS):
            for X, y in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(X), y).backward()
                optimizer.step()
    assert nonzero_of(model[0][0], model[1][0], model[1][3]) == 47
    return model.state_dict()


def check_equal(model, expected):
    for name, W in model.state_dict().items():
        torch.testing.assert_close(W, expected[name], msg=name)


def test_accelerate(expected):
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    model, optimizer, loader = accelerator.prepare(*make_parts())
    with Sparsifier(model, optimizer, 0.9, n_steps=N_STEPS) as sparsifier:
        for _ in range(N_EPOCHS):
            for X, y in loader:
                optimizer.zero_grad()
                accelerator.backward(F.cross_entropy(model(X), y))
                optimizer.step()
    assert sparsifier.n_steps_done == N_STEPS
    check_equal(accelerator.unwrap_model(model), expected)


def test_accumulation_of_accelerate():
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=3)
    model, optimizer, loader = accelerator.prepare(*make_parts())
    with Sparsifier(model, optimizer, 0.9, n_steps=N_STEPS // 3) as sparsifier:
        for _ in range(N_EPOCHS):
            for X, y in loader:
                with accelerator.accumulate(model):
                    accelerator.backward(F.cross_entropy(model(X), y))
                    optimizer.step()
                    optimizer.zero_grad()
    assert sparsifier.n_steps_done == N_STEPS // 3
    assert nonzero_of(model[0][0], model[1][0], model[1][3]) == 47


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("manual", [False, True])
def test_lightning(expected, manual, tmp_path):
    """Its automatic optimization passes closures to the optimizer."""
    lightning = pytest.importorskip("lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Training(lightning.LightningModule):
        def __init__(self, network):
            super().__init__()
            self.network = network
            self.automatic_optimization = not manual

        def training_step(self, batch, _):
            X, y = batch
            loss = F.cross_entropy(self.network(X), y)
            if manual:
                optimizer = self.optimizers()
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()
            return loss

        def configure_optimizers(self):
            optimizer = torch.optim.Adam(self.network.parameters(), lr=0.01)
            self.sparsifier = Sparsifier(self.network, optimizer, 0.9, n_steps=N_STEPS)
            return optimizer

        def on_train_end(self):
            self.sparsifier.finalize()

    network, _, loader = make_parts()
    training = Training(copy.deepcopy(network))
    trainer = lightning.Trainer(
        max_epochs=N_EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(training, loader)
    assert training.sparsifier.n_steps_done == N_STEPS
    check_equal(training.network, expected)
