"""Schedule from dense to sparse with networks side by side, which agree on features."""

import weakref
from dataclasses import InitVar, dataclass, fields, replace

import numpy as np
import torch

from skproj.nn._training._column_projection import ColumnProjection
from skproj.nn._training._compiled import CompiledObjective, compiled
from skproj.nn._training._coordinates import StackedSamples, fit_coordinates
from skproj.nn._training._feature_prior import feature_prior
from skproj.nn._training._network import Autoencoder, mlp_from_layers
from skproj.nn._training._schedule import SparseResult, SparsityTarget, StageResults
from skproj.nn._training._stack import NetworkStack, n_networks_for
from skproj.nn._training._tensors import copy_generator

# Below this many samples, and below this many for each feature, features are ranked
# with all groups of samples, and with what each of them says about the target; networks
# see principal directions, which for more than the last number of samples take longer
# than they save. Below the first number, weights of a classifier say more about the
# samples than about the features: each stage starts with new ones.
FEW_SAMPLES = 450
FEW_SAMPLES_PER_FEATURE = 0.5
MAX_ROTATED_SAMPLES = 1500

# Parts of the samples that also rank the features, each without one of them.
N_PARTS = 5

# Above this many features per sample, a projection keeps at most half of them.
WIDE_FEATURES_PER_SAMPLE = 4
WIDE_KEEP_FRACTION = 0.5


@dataclass(frozen=True)
class ConsensusTraining:
    """Alternation of training stages and projections, with several groups of networks.

    The networks of a group are trained with the same samples: the first group with all
    of them, the others with parts. Each group has features of its own.

    1. Train the networks of all groups side by side for one stage.
    2. The first layers of the networks of a group, one below the other, are a matrix
       whose columns belong to features. Each group ranks its features by the norms of
       the columns. Where samples are few, the rank of the first group is the mean of
       its own norm and that in the other groups which still have the feature.
    3. Scale the columns of the first group to these norms, with a mean of 1, project
       them, and drop the features whose columns are zero. The other groups keep as
       many. Go on with step 1.
    4. Where it is asked for, train the networks of a result for one more stage, with
       less noise on the input: `StageResults.refine`.

    Attributes
    ----------
    projection : ColumnProjection
    keep_fraction : float
        Share of the features that an intermediate projection keeps.
    hidden_sizes : tuple of int
        Widths of the hidden layers, of all networks of a group together.
    activation : str
    """

    projection: ColumnProjection
    keep_fraction: float
    hidden_sizes: tuple
    activation: str

    def run(self, trainer, targets, shares):
        """Train from dense to sparse, and yield the results for each target.

        Parameters
        ----------
        trainer : Trainer
            Of a network of all features. Its weights are not used.
        targets : list of SparsityTarget or None
            From dense to sparse. The result of one does not depend on the others. None
            stands for all the features, and for each projection on the way that is
            sparser than those before it.
        shares : ndarray of shape (n_parts, n_samples)
            How much of the weight of each sample the further groups see.

        Yields
        ------
        results : StageResults
        """
        pending, least_density = list(targets or ()), None
        stage = self._first_stage(trainer, shares)
        while True:
            stop = stage.trainer.train_stage()
            count = 0 if stop else self._next_count(stage)
            if targets is None:
                density = self.projection.density(stage.eta)
                if least_density is None or density < least_density:
                    least_density = density
                    yield stage.results()
                if count == 0:
                    return
            weight, norms = stage.ranked()
            eta = stage.projection(0).eta_for(weight, count)
            while pending and pending[0].is_reached(self.projection, eta, count):
                target = pending.pop(0)
                if self._keeps_everything(target, stage):
                    yield stage.results(stopped=stop)
                else:
                    end = stage.next(
                        weight, norms, target, branch=bool(pending), go_on=stop
                    )
                    yield end.results(stopped=stop or end.trainer.train_stage())
            if not pending and targets is not None:
                return
            stage = stage.next(weight, norms, SparsityTarget(eta, count))

    def _keeps_everything(self, target, stage):
        if target.n_features is None:
            return target.eta == self.projection.densest
        n_free = stage.projection(0).groups.n_free(len(stage.columns[0]))
        return target.n_features == n_free

    def _next_count(self, stage):
        """Return how many features the next intermediate projection keeps."""
        n_kept = len(stage.columns[0])
        fraction = self.keep_fraction
        if n_kept > WIDE_FEATURES_PER_SAMPLE * stage.n_samples:
            fraction = min(fraction, WIDE_KEEP_FRACTION)
        return stage.projection(0).next_count(n_kept, fraction)

    def _first_stage(self, trainer, shares):
        """Return the stage with all features."""
        train = trainer.data.train
        weight = train.weight.cpu().numpy().astype(np.float64)
        weight = np.vstack([weight, weight * shares])
        weight /= weight.mean(axis=1, keepdims=True)
        n_features = train.n_features
        prior = np.ones((len(weight), n_features))
        if has_few_samples(len(train), n_features):
            trainer.data = trainer.data.in_memory()
            prior = feature_prior(trainer.data.train, weight)
        return _Stage(
            schedule=self,
            template=trainer,
            weight=weight,
            prior=self.projection.of(trainer.data.columns).groups.share(prior),
            columns=[np.arange(n_features)] * len(weight),
            eta=self.projection.densest,
            importances=None,
            generator=trainer.generator,
            history=trainer.history,
        )


@dataclass(eq=False)
class _Stage:
    """One stage of training, with the features that are left.

    Attributes
    ----------
    template : Trainer
        With all features, and with settings, callbacks and data.
    weight : ndarray of shape (n_groups, n_samples)
    prior : ndarray of shape (n_groups, n_features)
    columns : list of ndarray of int
        The features of each group.
    eta : float
        Of the last projection.
    importances : list of ndarray or None
        Norms of the columns of each group after it; None if there was none.
    """

    schedule: ConsensusTraining
    template: object
    weight: np.ndarray
    prior: np.ndarray
    columns: list
    eta: float
    importances: list | None
    generator: InitVar[torch.Generator]
    history: InitVar[object]

    def __post_init__(self, generator, history):
        self.n_samples = int((self.weight > 0).sum(axis=1).max())
        self.has_few_samples = has_few_samples(self.n_samples, self.prior.shape[1])
        is_regression = self.template.data.train.y.is_floating_point()
        self.restarts = self.n_samples < FEW_SAMPLES and not is_regression
        self.trainer = self._make_trainer(generator, history)

    def projection(self, group):
        """Return the projection of the columns that a group has left."""
        return self.schedule.projection.of(self._features(group))

    def _features(self, group):
        """Return which features of X the columns of a group are."""
        return self.template.data.columns[self.columns[group]]

    def results(self, *, stopped=False):
        """Return the results of all groups.

        To `refine` them holds the networks, but not the samples in their coordinates,
        which are the larger part.
        """
        same = self._fields()
        networks = self.trainer.module.state_dict()
        generator = copy_generator(self.trainer.generator)
        history = self.trainer.history.copy()

        def refine(input_noise):
            stage = _Stage(
                **same, generator=copy_generator(generator), history=history.copy()
            )
            trainer = stage.trainer
            trainer.module.load_state_dict(networks)
            trainer.options = replace(trainer.options, input_noise=input_noise)
            trainer.train_stage()
            return stage._results_of_groups()

        return StageResults(self._results_of_groups(), refine, stopped)

    def _fields(self):
        """Return what another stage of this fit is made of."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _results_of_groups(self):
        dtype = self.template.data.train.weight.cpu().numpy().dtype
        norms = self.ranked()[1] if self.importances is None else self.importances
        return [
            SparseResult(self._network_trainer(group), self.eta, of_group.astype(dtype))
            for group, of_group in enumerate(norms)
        ]

    @torch.no_grad()
    def ranked(self):
        """Return the weights to project, and the norms by which all groups rank.

        Those of the first group, of shape (n_hidden, n_kept), have the norms by which
        it ranks its features, up to a factor; the norms have the mean 1.
        """
        weights = [
            self._input_weights(group).cpu().numpy()
            for group in range(len(self.columns))
        ]
        parts = [self.projection(group) for group in range(len(weights))]
        lengths = [p.norms(weight) for p, weight in zip(parts, weights, strict=True)]
        groups = [part.groups for part in parts]
        consensus, *others = norms = list(map(_mean_one, lengths, groups))
        if self.has_few_samples and others:
            consensus = (consensus + self._mean_norm_elsewhere(norms)) / 2.0
            consensus = _mean_one(consensus, groups[0])
        own = lengths[0]
        factors = np.divide(consensus, own, out=np.zeros_like(own), where=own > 0)
        return weights[0] * factors, [consensus, *others]

    def next(self, weight, norms, target, *, branch=False, go_on=False):
        """Return the stage after a projection of what `ranked` returned to a target.

        With `branch` this stage is gone on from once more; with `go_on` the next one
        starts from its weights, even of few samples.
        """
        projection, *others = map(self.projection, range(len(self.columns)))
        eta = target.eta_for(projection, weight)
        _, own_norms = projection.project_and_rank(weight, eta)
        shares = [_ratios(own_norms, projection.norms(weight))]
        norms = [own_norms, *norms[1:]]
        kept = [projection.groups.kept(own_norms, target.n_features)]
        n_free = projection.groups.n_free(len(kept[0]))
        kept += [
            other.groups.kept(norms_there, n_free)
            for other, norms_there in zip(others, norms[1:], strict=True)
        ]
        generator, history = self.trainer.generator, self.trainer.history
        if branch:
            generator = copy_generator(generator)
            history = history.copy()
        changes = {
            "columns": [c[k] for c, k in zip(self.columns, kept, strict=True)],
            "eta": eta,
            "importances": [n[k] for n, k in zip(norms, kept, strict=True)],
        }
        stage = _Stage(**self._fields() | changes, generator=generator, history=history)
        if go_on:
            stage._take_weights(self.trainer)
        elif not self.restarts:
            shares += [
                self._shares_kept(group, n_free) for group in range(1, len(kept))
            ]
            stage._take_weights(
                self.trainer, [s[k] for s, k in zip(shares, kept, strict=True)]
            )
        return stage

    def _shares_kept(self, group, n_free):
        """Return the shares of the norms that a projection to some columns leaves."""
        projection = self.projection(group)
        weight = self._input_weights(group).detach().cpu().numpy()
        eta = projection.eta_for(weight, n_free)
        _, norms = projection.project_and_rank(weight, eta)
        return _ratios(norms, projection.norms(weight))

    def _mean_norm_elsewhere(self, norms):
        """Return the mean of the norms in the groups that have the features."""
        total, count = np.zeros((2, self.prior.shape[1]))
        for columns, norm in zip(self.columns[1:], norms[1:], strict=True):
            total[columns] += norm
            count[columns] += 1.0
        mean = total / np.maximum(count, 1.0)
        return mean[self.columns[0]]

    def _make_trainer(self, generator, history):
        """Return a trainer of new networks."""
        template = self.template
        n_networks = n_networks_for(self.schedule.hidden_sizes)
        samples = template.data.train
        coordinates = [
            fit_coordinates(
                samples,
                np.flatnonzero(weight),
                columns,
                prior,
                rotate=self.has_few_samples,
            )
            for weight, columns, prior in zip(
                self.weight, self.columns, self.prior, strict=True
            )
        ]
        weight = torch.from_numpy(self.weight).to(samples.weight)
        train = StackedSamples(samples, weight, coordinates, n_networks)
        n_outputs = template.module.encoder[-1].out_features
        stack = NetworkStack(
            len(coordinates),
            n_networks,
            (train.width, *self.schedule.hidden_sizes, n_outputs),
            self.schedule.activation,
            dtype=samples.weight.dtype,
            generator=generator,
        )
        objective = compiled(template.objective, stack)
        if isinstance(objective, CompiledObjective):
            train.stay_sparse(stack.encoder[0])
        fitted_state = template.callbacks.fitted_state
        stage = weakref.ref(self)  # no cycle, which would outlive the stage
        return replace(
            template,
            module=stack,
            objective=objective,
            data=replace(
                template.data, train=train, validation=None, columns=self._features(0)
            ),
            generator=generator,
            history=history,
            callbacks=replace(
                template.callbacks,
                fitted_state=lambda _: fitted_state(stage()._network_trainer(0)),
            ),
        )

    @torch.no_grad()
    def _take_weights(self, before, shares=None):
        """Go on from the networks of the trainer before, with some of its features.

        The shares are what the projection has left of the columns of the first layers
        of each group. Without these, the random part of the initial weights would stay
        in all columns, and hide a feature of little effect.
        """
        stack, old = self.trainer.module, before.module
        state, first = old.state_dict(), "encoder.0.weight"
        state[first] = torch.zeros_like(stack.get_parameter(first))
        for group, (new, past) in enumerate(
            zip(
                self.trainer.data.train.coordinates,
                before.data.train.coordinates,
                strict=True,
            )
        ):
            kept = torch.from_numpy(np.searchsorted(past.columns, new.columns))
            weight = old.encoder[0].weight[group, :, : past.size]
            weight = past.features_of_encoder(weight)[:, kept.to(weight.device)]
            if shares is not None:
                weight = weight * torch.from_numpy(shares[group]).to(weight)
            state[first][group, :, : new.size] = new.encoder_of_features(weight)
        stack.load_state_dict(state)

    def _input_weights(self, group):
        """Return the first layers of a group, of shape (n_hidden, n_kept)."""
        coordinates = self.trainer.data.train.coordinates[group]
        weight = self.trainer.module.encoder[0].weight[group]
        return coordinates.features_of_encoder(weight[:, : coordinates.size])

    @torch.no_grad()
    def _network_trainer(self, group):
        """Return a trainer whose network is the mean of those of a group."""
        template, columns = self.template, self.columns[group]
        encoder = self.trainer.module.merged(group)
        encoder[0] = self._input_weights(group), encoder[0][1]
        # The decoder has the random weights of the template, until it is fitted.
        decoder = [(layer.weight, layer.bias) for layer in template.module.decoder[::2]]
        weight, bias = decoder[-1]
        kept = torch.from_numpy(columns).to(weight.device)
        decoder[-1] = weight[kept], bias[kept]
        activation = self.schedule.activation
        module = Autoencoder(
            mlp_from_layers(encoder, activation), mlp_from_layers(decoder, activation)
        )
        validation = template.data.validation
        if validation is not None:
            validation = validation.keep_columns(columns)
        return replace(
            template,
            module=module,
            data=replace(
                template.data, validation=validation, columns=self._features(group)
            ),
            history=self.trainer.history,
        )


def has_few_samples(n_samples, n_features):
    """Return whether the samples are few, for this number of features."""
    if n_samples < FEW_SAMPLES:
        return True
    is_wide = n_samples < FEW_SAMPLES_PER_FEATURE * n_features
    return is_wide and n_samples <= MAX_ROTATED_SAMPLES


def draw_parts(trainer, *, stratify):
    """Leave out each sample once, where the ranking asks for parts of the samples.

    Returns shares of shape (n_parts, n_samples): 0 for a sample that is left out, else
    1. With `stratify` the targets are labels, of which each part has some. There is no
    part without weight.
    """
    train = trainer.data.train
    n_samples = len(train)
    if not has_few_samples(n_samples, train.n_features):
        return np.ones((0, n_samples))
    device = trainer.generator.device
    order = torch.randperm(n_samples, generator=trainer.generator, device=device)
    order = order.cpu().numpy()
    if stratify:
        labels = train.y.cpu().numpy()
        order = order[np.argsort(labels[order], kind="stable")]
    shares = np.ones((min(N_PARTS, n_samples), n_samples))
    shares[np.arange(n_samples) % len(shares), order] = 0.0
    return shares[shares @ train.weight.cpu().numpy() > 0.0]


def _ratios(norms, of):
    """Return norms divided by others; 0 where these are 0."""
    return np.divide(norms, of, out=np.zeros_like(norms), where=of > 0)


def _mean_one(norms, groups):
    """Return norms divided by the mean of those in the ball, in float64."""
    norms = norms.astype(np.float64)
    in_ball = norms[groups.free]
    mean = in_ball.mean() if len(in_ball) else 0.0
    return norms / mean if mean > 0 else norms
