"""Training on several processes with `DistributedDataParallel`."""

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from skproj.nn import ProximalAdam, ProximalSGD, register_projection

N_PROCESSES = 2

if not distributed.is_available():
    pytest.skip("this build of PyTorch is not distributed", allow_module_level=True)


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))


def make_data():
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(40, 8, generator=generator)
    return X, X[:, :2] - X[:, 2:4]


def with_projection(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    register_projection(optimizer, model[0].weight, "l1inf", 1.0)
    return optimizer


def with_l1(model):
    groups = [
        {"params": [model[0].weight, model[2].weight], "l1": 0.01},
        {"params": [model[0].bias, model[2].bias]},
    ]
    return ProximalSGD(groups, lr=0.2, momentum=0.9)


def with_l12(model):
    groups = [
        {"params": model[0].weight, "l1": 0.15, "penalty": "l12"},
        {"params": [model[0].bias, *model[2].parameters()]},
    ]
    return ProximalAdam(groups, lr=0.02)


STEPS = {
    "projection": with_projection,
    "l1": with_l1,
    "l12": with_l12,
}


def train(model, optimizer, X, y):
    for _ in range(12):
        optimizer.zero_grad()
        (model(X) - y).square().mean().backward()
        optimizer.step()


def train_one_rank(rank, folder):
    """Train all models on a half of the rows, and save their weights."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=(folder / "rendezvous").as_uri(),
        rank=rank,
        world_size=N_PROCESSES,
    )
    X, y = (part.chunk(N_PROCESSES)[rank] for part in make_data())
    weights = {}
    for name, make_optimizer in STEPS.items():
        model = make_model()
        optimizer = make_optimizer(model)
        train(DistributedDataParallel(model), optimizer, X, y)
        weights[name] = model.state_dict()
    torch.save(weights, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """Weights of each process, by the kind of step."""
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(train_one_rank, (folder,), nprocs=N_PROCESSES)
    return [torch.load(folder / f"{rank}.pt") for rank in range(N_PROCESSES)]


@pytest.mark.parametrize("name", STEPS)
def test_same_weights_as_in_one_process(name, ranks):
    """Both processes have them, and their zeros are those of one process."""
    model = make_model()
    train(model, STEPS[name](model), *make_data())
    first, second = (weights[name] for weights in ranks)
    n_zeros = 0
    for key, W in model.state_dict().items():
        assert torch.equal(first[key], second[key])
        torch.testing.assert_close(first[key], W, rtol=1e-4, atol=1e-5)
        assert torch.equal(first[key] == 0, W == 0)
        n_zeros += int((W == 0).sum())
    assert n_zeros > 8
