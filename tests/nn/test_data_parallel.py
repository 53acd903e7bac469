"""Training on several processes, which share the data, or the weights as well."""

from contextlib import nullcontext

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from skproj.nn import ProximalAdam, ProximalSGD, Sparsifier, register_projection

N_PROCESSES = 2

if not distributed.is_available():
    pytest.skip("this build of PyTorch is not distributed", allow_module_level=True)


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 15), nn.Tanh(), nn.Linear(15, 4))


def make_data():
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(40, 8, generator=generator)
    return X, X[:, :4] - X[:, 2:6]


def in_fsdp(model):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (N_PROCESSES,))
    for layer in (model[0], model[2], model):
        fully_shard(layer, mesh=mesh)
    return model


# Each of them trains a model and what was made of it for the processes.


def with_projection(model, wrapped):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    register_projection(optimizer, model[0].weight, "l1inf", 1.0)
    train(wrapped, optimizer, 12)


def with_l1(model, wrapped):
    groups = [
        {"params": [model[0].weight, model[2].weight], "l1": 0.01},
        {"params": [model[0].bias, model[2].bias]},
    ]
    train(wrapped, ProximalSGD(groups, lr=0.2, momentum=0.9), 12)


def with_l12(model, wrapped):
    groups = [
        {"params": model[0].weight, "l1": 0.15, "penalty": "l12"},
        {"params": [model[0].bias, *model[2].parameters()]},
    ]
    train(wrapped, ProximalAdam(groups, lr=0.02), 12)


def sparsifier(target):
    def sparsify(model, wrapped):
        optimizer = torch.optim.Adam(wrapped.parameters(), lr=0.01)
        options = {"layers": ["0"] if isinstance(target, str) else None, "n_steps": 40}
        sparsifier = Sparsifier(wrapped, optimizer, target, **options)
        train(wrapped, optimizer, 40, sparsifier)
        return sparsifier.sparsity()

    return sparsify


def train(model, optimizer, n_steps, context=None):
    X, y = make_data()
    if distributed.is_initialized():  # a half of the rows
        rank = distributed.get_rank()
        X, y = (part.chunk(N_PROCESSES)[rank] for part in (X, y))
    with context or nullcontext():
        for _ in range(n_steps):
            optimizer.zero_grad()
            (model(X) - y).square().mean().backward()
            optimizer.step()


WRAPPERS = {"DDP": DistributedDataParallel, "FSDP2": in_fsdp}
TARGETS = {"share": 0.9, "parts": {"0": 0.5, "2": 0.8}, "pattern": "2:4"}
TRAININGS = {
    "projection": ("DDP", with_projection),
    "l1": ("DDP", with_l1),
    "l12": ("DDP", with_l12),
} | {
    f"{wrapper} {kind}": (wrapper, sparsifier(target))
    for wrapper in WRAPPERS
    for kind, target in TARGETS.items()
}


def train_one_rank(rank, folder):
    """Train all models on a half of the rows, and save their weights."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=(folder / "rendezvous").as_uri(),
        rank=rank,
        world_size=N_PROCESSES,
    )
    found = {}
    for name, (wrapper, training) in TRAININGS.items():
        model = make_model()
        share = training(model, WRAPPERS[wrapper](model))
        weights = {
            key: W.full_tensor() if hasattr(W, "full_tensor") else W
            for key, W in model.state_dict().items()
        }
        found[name] = share, weights
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """Share of zeros and weights of each process, by the kind of training."""
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(train_one_rank, (folder,), nprocs=N_PROCESSES)
    return [torch.load(folder / f"{rank}.pt") for rank in range(N_PROCESSES)]


@pytest.mark.parametrize("name", TRAININGS)
def test_same_weights_as_in_one_process(name, ranks):
    """Both processes have them, and their zeros are those of one process."""
    model, (_, training) = make_model(), TRAININGS[name]
    share = training(model, model)
    (first_share, first), (second_share, second) = (found[name] for found in ranks)
    assert share == first_share == second_share
    n_zeros = 0
    for key, W in model.state_dict().items():
        assert torch.equal(first[key], second[key])
        torch.testing.assert_close(first[key], W, rtol=1e-4, atol=1e-5)
        assert torch.equal(first[key] == 0, W == 0)
        n_zeros += int((W == 0).sum())
    assert n_zeros > 8
