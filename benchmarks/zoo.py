"""Remove half of the work of networks of torchvision and timm, and compare outputs.

    pip install torchvision timm            # torchvision of the same build as torch
    python benchmarks/zoo.py
    python benchmarks/zoo.py --networks torchvision/resnet18 timm/regnetx_002

Networks have random weights. The output has to depend on the units: heads and scales
that a new network has near zero get other values, and batch normalisations the
statistics of random images, without which the signal of a deep network vanishes.
As at the end of `sparsify_units`, units are set to zero; then `shrink` removes them.
The columns are the largest share of the multiplications that can go, the share of the
operations that are left, and the largest difference of the outputs for one image,
relative to the largest output.
"""

import argparse

import numpy as np
import torch
from _tables import as_markdown
from torch import nn

from skproj.nn._sparsify._unit_work import UnitWork
from skproj.nn.prune import shrink

TORCHVISION = """
    resnet18 resnet50 resnext50_32x4d vgg11_bn mobilenet_v2 mobilenet_v3_small
    densenet121 efficientnet_b0 shufflenet_v2_x1_0 regnet_y_400mf convnext_tiny vit_b_16
    swin_t googlenet squeezenet1_1 mnasnet1_0 inception_v3
"""
TIMM = """
    resnet26d efficientnet_lite0 mobilenetv3_small_100 convnext_atto
    vit_tiny_patch16_224 deit_tiny_patch16_224 regnetx_002 mixer_s32_224 resmlp_12_224
    dla34 hrnet_w18_small
"""
NETWORKS = [f"torchvision/{name}" for name in TORCHVISION.split()]
NETWORKS += [f"timm/{name}" for name in TIMM.split()]


def make(network):
    """Build a network with random weights, and an image for it."""
    library, name = network.split("/")
    if library == "timm":
        import timm

        model = timm.create_model(name, pretrained=False)
    else:
        import torchvision

        options = {"weights": None}
        if name in ("googlenet", "inception_v3"):
            options |= {"aux_logits": False, "init_weights": True}
        model = torchvision.models.get_model(name, **options)
    with torch.no_grad():
        for path, W in model.named_parameters():
            if W.abs().max() < 1e-3 and not path.endswith("bias"):
                W.fill_(1.0) if W.numel() == max(W.shape) else W.normal_(std=0.02)
        for layer in model.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.momentum = 1.0
        size = 299 if name == "inception_v3" else 224
        model.train()(torch.randn(4, 3, size, size))
    return model.eval(), torch.randn(1, 3, size, size)


@torch.no_grad()
def run(network):
    """Return the cells of a row."""
    torch.manual_seed(0)
    model, X = make(network)
    work = UnitWork(model, (X,), set(model.modules()))
    everything = np.ones(len(work.is_free), bool)
    largest = 1.0 - work.count(work.keep(0.0, everything)) / work.count(everything)
    work.erase(torch.from_numpy(work.keep(0.5, everything)))
    expected = model(X)
    smaller, report = shrink(model, X)
    difference = (smaller(X) - expected).abs().max() / expected.abs().max()
    left = report.after.flops / report.before.flops
    return f"{largest:.2f}", f"{left:.3f}", f"{float(difference):.0e}"


def main():
    """Shrink all networks, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [["network", "can go", "left", "difference"]]
    for network in options.networks:
        try:
            rows.append([network, *run(network)])
        except Exception as error:
            rows.append([network, type(error).__name__, "", ""])
            print(error)
        print(*rows[-1], flush=True)
    print(as_markdown(rows))


if __name__ == "__main__":
    main()
