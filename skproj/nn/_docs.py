"""Parts of the docstrings of the network estimators, for `shared_docs`."""

_COMMON = {
    "class_weight": """
        class_weight : dict, "balanced" or None, default=None
            Weights of the classes, multiplied into the sample weights.
    """,
    "device": """
        device : str or torch.device, default="auto"
            Where to train; "auto" takes a CUDA device if there is one.
        n_threads : int or None, default=1
            Threads of PyTorch and of the projection during `fit` and prediction; the
            old setting is restored afterwards. None leaves it as it is. More than one
            rarely helps networks of this size.
        random_state : int, RandomState instance or None, default=None
            Seed of the initial weights, the shuffling, the noise and the validation
            split. PyTorch's global generator is not used.
        verbose : bool, default=False
            Whether to print the loss of each epoch. For progress bars use
            ``set_callbacks(sklearn.callback.ProgressBar())``.
    """,
    "target_scaling": """
        target_mean_, target_scale_ : ndarray of shape (n_targets,)
            Means and standard deviations of the targets in training, by which they are
            scaled; a `partial_fit` keeps those of its first call.
    """,
    "features_seen": """
        n_features_in_ : int
            Number of features seen during `fit`.
        feature_names_in_ : ndarray of shape (n_features_in_,)
            Names of the features, if X had string column names.
    """,
    "precision": """
        The network is trained in the precision of X; float32 is faster, the more so the
        more features there are.
    """,
    "merging": """
        Equal samples are merged and their weights added up before training, so an
        integer weight is exactly the same as repeating a sample, and the order of the
        rows does not matter.
    """,
    "fit_sections": """
        {fit_data}
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples; a sample of weight zero counts as absent.

        {fit_results}
    """,
    "fit_data": """
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, float32 or float64. A sparse matrix is used in CSR format,
            and only batches of it become dense.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Class labels, at least two different ones; or the values of a regression.
    """,
    "fit_results": """
        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data is unsuitable, if there is only one class, or
            if the training diverges (then scale X or lower `learning_rate_init`).
    """,
}

AUTOENCODER_DOCS = {
    "layers": """
        hidden_layer_sizes : int or array-like of int, default=(100,)
            Widths of the hidden layers of the encoder; the decoder mirrors them. With
            an empty tuple the encoder is linear. With ``schedule="consensus"`` up to
            five networks of equal size share the units: as many as divide all widths.
    """,
    "radius": """
        eta : float, default=None
            Radius of the projection ball; smaller is sparser; not a learning rate.
            Infinity keeps every feature. If None, and `n_features_to_select` is None as
            well, a linear model chooses the number of features, see the notes. With
            ``schedule="consensus"`` the columns of the first layer are scaled to a mean
            norm of 1 before each projection; otherwise, and in `partial_fit`, `eta` is
            in units of weights.
        n_features_to_select : int, default=None
            Number of features to select instead of giving `eta`, which is not used
            then: the schedule ends with the projection whose radius, `eta_`, keeps
            this number. A fit at that `eta` may reach it earlier, with more features.
            If it exceeds the number of all features, all are kept. With
            `feature_groups`, whole groups are selected: as many as fit into this number
            of features, but at least one group. Features of `always_keep` come on top.
    """,
    "ball": """
        projection : str or callable, default="bilevel_l1inf"
            The projection of the first layer: {"l1", "l12", "l1inf", "bilevel_l11",
            "bilevel_l12", "bilevel_l1inf"}, see :mod:`skproj.projection`; "hoyer",
            which gives the norms of the columns, one for each feature, the Hoyer
            sparsity `eta`, between 0 and 1, where larger is sparser; or a function
            ``projection(W, radius, axis=0)`` that returns an array of the shape of
            `W`.
    """,
    "feature_structure": """
        feature_weights : array-like of shape (n_features,), default=None
            Positive weights of the features: the columns of the first layer are divided
            by them before a projection and multiplied by them afterwards. A feature of
            a small weight is selected earlier, and shrunk less. The weight infinity is
            that of `never_keep`.
        always_keep : array-like of int, str or bool, default=None
            Features whose columns are not projected, by index, by name, or as a mask of
            all. They are always selected, and do not count for the radius or for
            `n_features_to_select`.
        never_keep : array-like of int, str or bool, default=None
            Features that the network does not have from the start. It is that of X
            without them, which also means that it does not reconstruct them.
        feature_groups : array-like or dict, default=None
            Groups of features that are selected together: a label, str or int, for each
            feature, or a list of lists of features (indices or names), or a dict of
            such lists; features in none of these are selected on their own. The norm of
            a group is that of the columns of all its features, over the square root of
            its number of features. Features of `always_keep` and `never_keep` are left
            out of their groups. A feature in several groups is selected with any of
            them; for a projection its column is divided among them in equal parts. Not
            for the l1 ball and callables.
    """,
    "standardize": """
        standardize : bool, default=True
            Whether the network is trained with features of mean 0 and variance 1 in the
            training samples, which are weighted, so that units do not matter: `eta`,
            `feature_weights`, the noise and the importances are about these. Sparse
            data stay sparse. The means and deviations become a part of the first layer
            and of the last one, so that all that is fitted takes and returns features
            as they are. Constant features are centred only.
    """,
    "loss": """
        loss : {"squared_error", "huber", "cox"} or callable, default="squared_error"
            Loss of the prediction, summed over the targets; the Huber loss changes from
            square to absolute value at one standard deviation of the target. "cox" is
            for survival times, see the notes. A function ``loss(output, target)`` of
            tensors of shape (n_samples, n_targets), with scaled targets, returns one of
            shape (n_samples,).
    """,
    "classification_loss": """
        loss : {"cross_entropy", "focal"} or callable, default="cross_entropy"
            Loss of the logits. "focal" is the cross-entropy times the square of the
            probability of the other classes: samples that are predicted well count
            less. A function ``loss(logits, labels)`` of tensors of shape (n_samples,
            n_classes) and (n_samples,), with labels from 0, returns one of shape
            (n_samples,).
    """,
    "network": """
        activation : str, default="silu"
            Activation after each hidden layer: {"silu", "relu", "gelu", "tanh",
            "logistic", "identity"}.
    """,
    "schedule": """
        schedule : str or SparsificationSchedule, default="consensus"
            Order of training stages and projections: {"consensus", "double", "single"},
            or a :class:`~skproj.nn.SparsificationSchedule` for other batches, steps or
            noise on the input than the default ones.
    """,
    "steps": """
        max_epochs : int, default=20
            Number of epochs of each training stage.
    """,
    "attributes": """
        eta_ : float
            Radius of the last projection.
        encoder_weights_ : ndarray of shape (n_hidden, n_features)
            First-layer weights of the encoder, for the features as they are; columns of
            removed features are zero.
        feature_importances_ : ndarray of shape (n_features,)
            Norms of the columns of the first layer when it was last projected, in the
            inner norm of the ball; zero for features that were not selected. With
            `feature_weights` they are divided by these; with `feature_groups` they are
            those of the groups. Those of `always_keep` are positive in any case.
        reconstruction_error_ : ndarray of shape (n_features,)
            Mean squared error of the reconstruction of each selected feature in
            training, NaN for the others, in the units of the features. Over the square
            of `feature_scale_` it is the share of the variance that the latent code
            does not explain.
        feature_mean_, feature_scale_ : ndarray of shape (n_features,) or None
            Means and standard deviations by which the features were standardised; a
            `partial_fit` keeps those of its first call.
        n_selected_features_ : int
            Number of features with a nonzero column, and of `always_keep`.
        loss_curve_ : list of float
            Mean training loss of each epoch, through all stages.
        n_iter_ : int
            Number of epochs in `loss_curve_`.
        module_ : torch.nn.Module
            The network, with submodules ``encoder`` and ``decoder``. It takes and
            returns the selected features only.
        {features_seen}
    """,
    "notes": """
        {precision}

        With ``schedule="consensus"``, a fit at one radius is the run at any smaller
        radius, stopped earlier. The weights of the last stage are not bounded by `eta`.

        With ``schedule="consensus"``, distinct samples are few if they are less than
        450, or less than half the number of features and at most 1500. Then five parts
        of the samples, each without a fifth, have networks of their own. Features are
        ranked with all of them, and before the training they are scaled by a power of
        their F statistics, which is 0 where there are as many samples as features. With
        less than 450 samples, the networks of a classifier start each stage with new
        weights. See the :ref:`description <training-schedule>`.
    """,
    "choice": """
        Without `eta` and `n_features_to_select` the network keeps as many features as a
        linear model in the l1,2 ball. Its radius is the smallest that keeps 95 % of
        what the best one gains over a model without features for samples left out, as
        in :class:`~skproj.feature_selection.ProjectionFeatureSelector`. If nothing can
        be learned by a linear model, it is one feature, with a warning: where effects
        are not linear, give `eta`, or search. A `partial_fit` keeps as many features as
        the fit before, and chooses by the first part if there is none. Of data in
        blocks, at most 10,000 samples are read for that, in a pass.
    """,
    "references": """
        {bilevel_reference}
        .. [2] P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and
           composing robust features with denoising autoencoders", ICML 2008,
           :doi:`10.1145/1390156.1390294`.
    """,
    "calibration_reference": """
        .. [3] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern
           neural networks", ICML 2017, :arxiv:`1706.04599`.
    """,
    **_COMMON,
}

MLP_DOCS = {
    "sparsity": """
        hidden_layer_sizes : int or array-like of int, default=(100,)
            Widths of the hidden layers; an empty tuple makes the model linear.
        target_sparsity : float or array-like of shape (n_layers,), default=0.9
            Share of the weights that are zero, between 0 and 1: of the whole network,
            or one for each layer, the output layer being the last. Biases do not
            count.
        method : {"l1", "projected"}, default="l1"
            How the zeros are made: by an l1 penalty, whose weight a search of several
            trainings finds, or in one training after the dense one, which removes the
            smallest weights little by little, as :class:`~skproj.nn.Sparsifier` does,
            to exactly the number wanted. "projected" takes less than half of the time.
            Its networks are as good on some data; where few weights are left, those
            of the search can be much better.
        alpha : float or array-like of shape (n_layers,), default=None
            A fixed l1 weight, or one for each layer, instead of `target_sparsity`,
            which is not used then. Only used with `method` "l1".
        penalty : {"l1", "l12"}, default="l1"
            The norm that `alpha` multiplies: the l1 norm of the weights, or the sum of
            the l2 norms of groups. The group of an input feature or of a hidden neuron
            is the weights of all that it feeds; if they are zero, it is removed. With
            "l12" all sparsities are shares of groups. "l12" is an error with
            "projected".
        sparsity_tol : float, default=0.01
            Largest difference between the number of nonzero weights and the one
            wanted, relative to that. Only used with `method` "l1".
        max_search_iter : int, default=20
            Largest number of values of `alpha` that the search tries. Only used with
            `method` "l1".
        trim : bool, default=True
            Whether to set the smallest weights to zero where the search leaves more
            than are wanted. The search then ends with up to 10 % too many, or 2 where
            that is more. Only used with `method` "l1".
        debias : bool, default=True
            Whether to train the weights that are left for another `max_epochs` epochs
            without penalty, which had made them too small. Only used with `method`
            "l1".
    """,
    "loss": """
        loss : {"squared_error", "huber"}, default="squared_error"
            Loss of the prediction, summed over the targets; the Huber loss changes from
            square to absolute value at one standard deviation of the target.
    """,
    "steps": """
        activation : {"silu", "relu", "gelu", "tanh", "logistic", "identity"}, \
default="relu"
            Activation after each hidden layer.
        solver : {"adam", "sgd"}, default="adam"
            AdamW, or gradient descent with a momentum of 0.9 whose steps are means of
            gradients. Each step of an l1 penalty ends with a soft threshold.
        max_epochs : int, default=100
            Number of epochs of each training stage: the dense training, each step of
            the search, and the debiasing, or the training that removes weights.
        batch_size : int or "auto", default="auto"
            Samples per optimizer step; "auto" is a sixth of the samples, but at least
            8 and at most 128, or 2048 for very many sparse samples in blocks.
        learning_rate_init : float or "auto", default="auto"
            Learning rate at the beginning of each training stage; it falls to 0 like
            half a cosine. "auto" is 0.004 for "adam" and 0.1 for "sgd". A stage that
            diverges is repeated with half of it, up to three times. A `partial_fit`
            does not lower it.
        weight_decay : float, default=0.0
            Decoupled weight decay.
        early_stopping : bool, default=False
            Whether to hold back validation data and stop the dense training and the
            debiasing when their loss does not fall any more; they then end with their
            best weights. The steps of the search are never cut short: the number of
            weights falls during a stage, and is only right at its end. A training with
            "projected" can stop in its last fifth, in which the zeros are fixed.
        validation_fraction : float, default=0.1
            Share of the distinct samples held back, stratified by class.
        n_iter_no_change : int, default=10
            Epochs without progress that end a stage if `early_stopping`.
        tol : float, default=1e-4
            A smaller improvement of the validation loss is no progress.
    """,
    "running": """
        warm_start : bool, default=False
            Whether the dense training starts from the weights of the previous fit.
            Neurons that have lost all their weights stay lost then.
        {device}
    """,
    "attributes": """
        alpha_ : float or ndarray of shape (n_layers,)
            The l1 weight of the network; a fit with this `alpha` gives the same
            network, except for trimmed weights. It is infinite for a sparsity of 1.
            Not there with `method` "projected".
        sparsity_ : float
            Share of the weights, or groups, that are zero.
        layer_sparsities_ : ndarray of shape (n_layers,)
            The same for each layer.
        search_history_ : dict of ndarray
            One entry for each step of the search, or for the only one with a fixed
            `alpha`; not there with "projected":

            - "alpha", of shape (n_steps,) or (n_steps, n_layers): the l1 weight;
            - "n_nonzero", of the same shape: number of nonzero weights or groups, in
              each layer if the l1 weight belongs to one;
            - "loss": mean training loss, without the penalty;
            - "violation": largest violation of the condition of optimality below, in
              units of the gradient; to be compared with "alpha";
            - "mean_violation": the same on average.
        n_search_iter_ : int
            Number of steps of the search; not there with "projected".
        coefs_ : list of ndarray of shape (n_inputs, n_outputs)
            Weights of each layer.
        intercepts_ : list of ndarray of shape (n_outputs,)
            Biases of each layer.
        n_layers_ : int
            Number of layers, input and output included.
        n_outputs_ : int
            Number of outputs of the network.
        out_activation_ : str
            Function that turns the outputs into predictions.
        loss_curve_ : list of float
            Mean training loss of each epoch: of the dense training, the training with
            `alpha_`, and the debiasing, or the training that removes weights.
        validation_scores_ : list of float or None
            Minus the validation loss of each epoch with `early_stopping`; None without.
        best_validation_score_ : float or None
            The best validation score of the last stage with `early_stopping`.
        n_iter_ : int
            Number of epochs in `loss_curve_`.
        module_ : torch.nn.Sequential
            The network, with all its units.
        {features_seen}
    """,
    "notes": """
        A fit trains the dense network first. From its weights it trains again, with
        the same random numbers, for one :math:`\\alpha` after the other, until the
        number of nonzero weights is the one wanted [1]_; see
        :func:`~skproj.nn.find_l1_weight`. The best of these networks is debiased.

        With `method` "projected" there is no penalty. The second training has the
        schedule of :class:`~skproj.nn.Sparsifier`: the share of zeros grows to the
        target in 30 % of the steps, removed weights can return, and after 50 % the
        zeros are fixed. Weights that lead into units that feed nothing, or come from
        units that nothing feeds, give their places to others, as long as there are
        such.

        Where the penalised training has converged without `weight_decay`, the gradient
        :math:`g` of the mean loss fulfils :math:`g = -\\alpha \\, \\text{sign}(w)` for
        the weights that are not zero, and :math:`|g| \\le \\alpha` for the others;
        `search_history_` tells how nearly. The debiased weights do not fulfil it, and
        are not meant to.

        Features should have unit variance: put a
        :class:`~sklearn.preprocessing.StandardScaler` before this estimator in a
        :class:`~sklearn.pipeline.Pipeline`.
        {precision}

        Predictions leave out features and neurons without effect, and multiply
        with sparse matrices where that is faster.

        {merging}
    """,
    **_COMMON,
}

PARTIAL_FIT_DOCS = {
    "effect_and_data": """
        An autoencoder then projects its first layer. This is not the end of a feature:
        the next call trains all of them again. For a path from dense to sparse, lower
        `eta` from call to call with `set_params`. A SparseMLP needs a fixed `alpha`,
        and is not debiased. Nothing is held back, and no samples are merged.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Some samples.
    """,
    "weight_and_returns": """
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        self : object
            The estimator, ready to predict.
    """,
}

PREDICTION_DOCS = {
    "data_and_returns": """
        Parameters
        ----------
        X : {array-like, sparse matrix, RowBlocks} of shape (n_samples, n_features)
            Data. Of :class:`~skproj.blocks.RowBlocks` the selected features are read,
            in a pass.

        Returns
        -------
    """,
}
