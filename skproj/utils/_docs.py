"""Docstrings that several classes or functions share."""

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

from skproj._typing import Result

# Works that several docstrings cite first.
_WORKS = {
    "bilevel_reference": """\
M. Barlaud, G. Perez, J.-P. Marmorat, "A new linear time bi-level l1,inf
projection; application to the sparsification of auto-encoders neural
networks", :arxiv:`2407.16293`.""",
    "gradual_reference": """\
M. Zhu, S. Gupta, "To prune, or not to prune: exploring the efficacy of
pruning for model compression", :arxiv:`1710.01878`.""",
    "group_lasso_reference": """\
M. Yuan, Y. Lin, "Model selection and estimation in regression with
grouped variables", J. R. Stat. Soc. B 68 (2006),
:doi:`10.1111/j.1467-9868.2005.00532.x`.""",
    "hoyer_reference": """\
P. O. Hoyer, "Non-negative matrix factorization with sparseness
constraints", J. Mach. Learn. Res. 5 (2004), :arxiv:`cs/0408058`.""",
    "group_sparse_reference": """\
R. Ohib, N. Gillis, N. Dalmasso, S. Shah, V. K. Potluru, S. Plis, "Explicit
group sparse projection with applications to deep learning and NMF", Transactions
on Machine Learning Research (2022), :arxiv:`1912.03896`.""",
    "kaplan_meier_reference": """\
E. L. Kaplan, P. Meier, "Nonparametric estimation from incomplete
observations", Journal of the American Statistical Association 53(282), 1958,
:doi:`10.1080/01621459.1958.10501452`.""",
    "l1_training_reference": """\
L. Shen, R. Wang, Y. Xu, M. Yan, "Sparse deep learning models with the l1
regularization", :arxiv:`2408.02801`.""",
    "l1inf_reference": """\
G. Perez, L. Condat, M. Barlaud, "Near-linear time projection onto the
l1,inf ball; application to sparse autoencoders", :arxiv:`2307.09836`.""",
    "multilevel_reference": """\
G. Perez, M. Barlaud, "Multi-level projection with exponential parallel
speedup; application to sparse auto-encoders neural networks",
:arxiv:`2405.02086`.""",
    "negative_binomial_reference": """\
M. D. Robinson and G. K. Smyth, "Small-sample estimation of negative binomial
dispersion, with applications to SAGE data", Biostatistics 9 (2008),
:doi:`10.1093/biostatistics/kxm030`.""",
    "proximal_reference": """\
N. Parikh, S. Boyd, "Proximal algorithms", Foundations and Trends in
Optimization 1 (2014), :doi:`10.1561/2400000003`.""",
    "simplex_reference": """\
L. Condat, "Fast projection onto the simplex and the l1 ball",
Mathematical Programming 158 (2016), :doi:`10.1007/s10107-015-0946-6`.""",
    "skops_reference": """\
skops, "Secure persistence of scikit-learn models",
https://skops.readthedocs.io/en/stable/persistence.html""",
    "stability_reference": """\
N. Meinshausen, P. Bühlmann, "Stability selection", Journal of the Royal
Statistical Society B 72 (2010), :doi:`10.1111/j.1467-9868.2010.00740.x`.""",
    "weighted_reference": """\
G. Perez, S. Ament, C. Gomes, M. Barlaud, "Efficient projection algorithms
onto the weighted l1 ball", Artificial Intelligence 306 (2022),
:arxiv:`2009.02980`.""",
}
# The lines that stand for a section with one of them, to which others can be added.
REFERENCES = {
    name: "References\n----------\n.. [1] " + work.replace("\n", "\n   ")
    for name, work in _WORKS.items()
}


# Many docstrings have the same parts, and cleaning them takes longest.
_clean_part = functools.cache(inspect.cleandoc)
# A line that is the name of a part.
_PLACE = re.compile(r"(?m)^\{(\w+)\}$")


def shared_docs(**parts: Any) -> Callable[[Result], Result]:
    """Make a decorator that puts shared parts into a docstring.

    A part replaces the line ``{name}`` of the docstring of a function, of a class and
    its own methods, or of another part; those of `REFERENCES` are known already.
    """
    known = parts | REFERENCES

    def part_at(place):
        if place[1] not in known:
            return place[0]
        return _PLACE.sub(part_at, _clean_part(known[place[1]]))

    def fill(documented):
        if inspect.isclass(documented):
            for member in vars(documented).values():
                if inspect.isfunction(member) or isinstance(member, classmethod):
                    fill(getattr(member, "__func__", member))
        if documented.__doc__ is not None:  # python -OO
            doc = inspect.cleandoc(documented.__doc__)
            documented.__doc__ = f"{_PLACE.sub(part_at, doc)}\n"
        return documented

    return fill
