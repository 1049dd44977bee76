"""MetaQNN: Q-learning over networks that are built layer by layer.

Baker, Gupta, Naik, Raskar (2017): Designing neural network architectures using reinforcement
learning (arXiv 1611.02167). The reward of a network is its final accuracy (minus the loss), 0 where
it has failed; a run that a stopping rule has ended counts with its predicted end. No network is
proposed twice.
"""

from __future__ import annotations

import math

import ConfigSpace

from curvecast import layers
from curvecast.curves import DataError
from curvecast.studies.evaluation import Config, ConfigId, StudyError
from curvecast.studies.layer_search import epsilon_at
from curvecast.studies.samplers import _base
from curvecast.studies.settings import Settings
from curvecast.studies.spaces.layers import rules_of

# Learning rate, discount and first value of Q; replayed networks after each new one.
_ALPHA, _GAMMA, _START, _N_REPLAYED = 0.01, 1.0, 0.5, 100
_DRAWS_UNTIL_NEW = 10_000


class Sampler(_base.Sampler):
    """The agent: values of actions by state, and the memory that it replays.

    Attributes
    ----------
    values : Q, by state and action; `_START` where nothing was learned.
    memory : networks with their rewards, in the order in which they were learned.

    Raises
    ------
    DataError : the space is none of layers (see `spaces/layers.py`), or the number of networks is
        not known.
    """

    def __init__(self, space: ConfigSpace.ConfigurationSpace, settings: Settings) -> None:
        super().__init__(space, settings)
        rules = rules_of(space)
        if rules is None:
            raise DataError("metaqnn searches a space of layers, such as layers.small")
        if settings.n_brackets is None and settings.total_budget is None:
            raise DataError("metaqnn needs iterations (networks), over which epsilon falls")
        self._rules = rules
        self.values: dict[tuple[object, ...], dict[layers.Layer, float]] = {}
        self.memory: list[tuple[layers.Layers, float]] = []
        self._number = 0

    @property
    def n_networks(self) -> int:
        """Number of networks, over which epsilon falls."""
        total = self.settings.total_budget or 0
        return self.settings.n_brackets or int(total // self.settings.max_budget)

    @property
    def has_model(self) -> bool:
        """Whether the next walk may follow the values."""
        return epsilon_at(self._number, self.n_networks) < 1

    def shape(self, number: int) -> tuple[list[int], list[float]]:
        """One network at the full budget."""
        return [1], self.rungs[-1:]

    def propose(self, config_id: ConfigId, budget: float) -> tuple[Config, bool]:
        """A network that was not proposed before, by an epsilon-greedy walk."""
        epsilon = epsilon_at(config_id[0], self.n_networks)
        for _ in range(_DRAWS_UNTIL_NEW):
            config = layers.config_of(self.walk(epsilon))
            if self.is_new(config) and (self.possible is None or self.possible(config)):
                self.note(config)
                return config, epsilon < 1
        raise StudyError(f"none of {_DRAWS_UNTIL_NEW} walks ended in a new network")

    def learn(self, config_id: ConfigId, config: Config, budget: float, loss: float) -> None:
        """Note the reward, and replay the network and others from the memory."""
        self._number = config_id[0] + 1
        network = layers.of_config(config)
        self.note(config)
        self.memory.append((network, -loss if math.isfinite(loss) else 0.0))
        drawn = self.random.randint(len(self.memory), size=_N_REPLAYED)
        for network, reward in [self.memory[-1], *(self.memory[i] for i in drawn)]:
            self.update(network, reward)

    def walk(self, epsilon: float) -> layers.Layers:
        """A network whose layers are each the best action, or any one with chance epsilon."""
        network: layers.Layers = ()
        while actions := self._rules.actions(network):
            if self.random.rand() >= epsilon:
                known = self.values.get(self._rules.state(network), {})
                best = max(known.get(action, _START) for action in actions)
                actions = [action for action in actions if known.get(action, _START) == best]
            network = (*network, actions[self.random.randint(len(actions))])
        return network

    def update(self, network: layers.Layers, reward: float) -> None:
        """Q(s, u) <- (1 - alpha) Q(s, u) + alpha (r + gamma max_u' Q(s', u')), the end first."""
        target = reward
        for n in range(len(network) - 1, -1, -1):
            state, actions = self._rules.state(network[:n]), self._rules.actions(network[:n])
            known = self.values.setdefault(state, {})
            value = known.get(network[n], _START)
            known[network[n]] = (1 - _ALPHA) * value + _ALPHA * target
            target = _GAMMA * max(known.get(action, _START) for action in actions)
