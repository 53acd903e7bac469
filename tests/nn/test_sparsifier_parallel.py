"""`Sparsifier` on several processes, which share the data or the weights as well."""

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from skproj.nn import Sparsifier

N_PROCESSES = 2
N_STEPS = 40

if not distributed.is_available():
    pytest.skip("this build of PyTorch is not distributed", allow_module_level=True)


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 15), nn.Tanh(), nn.Linear(15, 4))


def make_data():
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(40, 8, generator=generator)
    return X, X[:, :4] - X[:, 2:6]


def in_ddp(model):
    return DistributedDataParallel(model)


def in_fsdp(model):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (N_PROCESSES,))
    for layer in (model[0], model[2], model):
        fully_shard(layer, mesh=mesh)
    return model


WRAPPERS = {"DDP": in_ddp, "FSDP2": in_fsdp}
TARGETS = {"share": 0.9, "parts": {"0": 0.5, "2": 0.8}, "pattern": "2:4"}


def train(model, target, X, y):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    layers = ["0"] if isinstance(target, str) else None
    parts = {"n_steps": N_STEPS, "layers": layers}
    with Sparsifier(model, optimizer, target, **parts) as sparsifier:
        for _ in range(N_STEPS):
            optimizer.zero_grad()
            (model(X) - y).square().mean().backward()
            optimizer.step()
    return sparsifier.sparsity()


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
    found = {}
    for name, wrap in WRAPPERS.items():
        for kind, target in TARGETS.items():
            model = make_model()
            share = train(wrap(model), target, X, y)
            weights = {
                key: W.full_tensor() if hasattr(W, "full_tensor") else W
                for key, W in model.state_dict().items()
            }
            found[f"{name} {kind}"] = share, weights
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """Share of zeros and weights of each process."""
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(train_one_rank, (folder,), nprocs=N_PROCESSES)
    return [torch.load(folder / f"{rank}.pt") for rank in range(N_PROCESSES)]


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("kind", TARGETS)
def test_same_weights_as_in_one_process(wrapper, kind, ranks):
    model = make_model()
    share = train(model, TARGETS[kind], *make_data())
    (first_share, first), (second_share, second) = (
        found[f"{wrapper} {kind}"] for found in ranks
    )
    assert share == first_share == second_share
    for key, W in model.state_dict().items():
        assert torch.equal(first[key], second[key])
        torch.testing.assert_close(first[key], W, rtol=1e-4, atol=1e-5)
        assert torch.equal(first[key] == 0, W == 0)
