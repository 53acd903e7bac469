"""Operations of a graph that share the memory of their arguments, or change it."""

from torch import fx

from skproj.nn.prune._operations import IN_PLACE_OPERATORS, VIEW_NAMES, VIEWS


def writes(node, modules):
    """Whether a node changes its first argument."""
    if node.op == "call_module":
        return getattr(modules[node.target], "inplace", False)
    if node.target in IN_PLACE_OPERATORS or node.kwargs.get("inplace", False):
        return True
    return getattr(node.target, "__name__", node.target).endswith("_")


def _is_view(node, modules):
    """Whether a node may return the memory of its first argument."""
    if node.op == "call_module":
        is_view = type(modules[node.target]) in VIEWS
    else:
        is_view = getattr(node.target, "__name__", node.target) in VIEW_NAMES
    is_first = node.args and isinstance(node.args[0], fx.Node)
    return is_first and (is_view or writes(node, modules))


def shared_places(node, modules):
    """List the nodes that may share the memory of one, if it has several readers."""
    memory = [node]
    while _is_view(memory[-1], modules):
        memory.append(memory[-1].args[0])
    if all(len(place.users) == 1 for place in memory):
        return []
    places = memory[-1:]
    for place in places:
        places += [user for user in place.users if _is_view(user, modules)]
    return places
