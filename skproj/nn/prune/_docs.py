"""Parts of the docstrings of the pruning functions, for `shared_docs`."""

DOCS = {
    "mask": """
        Parameters
        ----------
        t : torch.Tensor
            The weight, or scores of its entries.
        default_mask : torch.Tensor of the shape of `t`
            Zero where weights have been pruned already.

        Returns
        -------
        mask : torch.Tensor of the shape of `t`
    """,
    "target": """
        target : {"hoyer", "zeros"}, default="hoyer"
            Whether `sparsity` is the average Hoyer sparsity of the filters, or the
            fraction of weights that are zero.
    """,
    "projection": """
        projection : str, default="l1inf"
            A key of `skproj.projection.BALLS` whose ball has groups.
    """,
    "same_module": """
        Returns
        -------
        module : torch.nn.Module
            The same module.

        {raises}
    """,
    "raises": """
        Raises
        ------
        TypeError
            If an argument has the wrong type.
        ValueError
    """,
    "hoyer_sparsity": """
        **A Hoyer sparsity is not a fraction of zeros**: 0.9 prunes 98 % of weights with
        a normal distribution.
    """,
    "normalize": """
        normalize : bool, default=False
            Whether the vectors are given norm 1 for the projection. Otherwise the
            larger ones of a group are kept denser.
    """,
    "permanent": """
        permanent : bool, default=False
            Whether the zeros are written into the weights at once, as
            `torch.nn.utils.prune.remove` does later. That takes no memory for masks,
            which training on would need.
    """,
    "grouping": """
        grouping : str, default="layer/filters"
            ``"layer/filters"``: each layer is a group, and its vectors are the filters
            (outputs), as in [1]_; ``"layer/inputs"``: the same with inputs;
            ``"model/filters"``: all filters of all layers are one group;
            ``"model/layers"``: each layer is a vector.
    """,
    "joint_target": """
        target : {"hoyer", "zeros"}, default="hoyer"
            Whether `sparsity` is the average Hoyer sparsity of each group, or the
            fraction of all weights that are zero. In the second case, groups still have
            one common Hoyer level, which is searched for.
    """,
    "joint_warning": """
        UserWarning
            If less than 1 % of a layer is kept, or less than a weight for each output.
    """,
}
