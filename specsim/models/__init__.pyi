from specsim.models.decoding import decode as decode
from specsim.models.loading import (
    LoadedPair as LoadedPair,
    load_pair as load_pair,
)
from specsim.models.measuring import measure as measure
from specsim.models.opt_uno import opt_against_uno as opt_against_uno
from specsim.models.results import (
    Decoded as Decoded,
    Memory as Memory,
    RoundRecord as RoundRecord,
    Times as Times,
)
from specsim.models.rules import torch_rules as torch_rules
from specsim.models.sampling import Sampling as Sampling
from specsim.models.scoring import (
    LogLikelihood as LogLikelihood,
    RewardModel as RewardModel,
    TextScorer as TextScorer,
)
from specsim.models.table_model import (
    TableCausalLM as TableCausalLM,
    TableConfig as TableConfig,
    table_models as table_models,
)
from specsim.models.traces import record_trace as record_trace
from specsim.models.training import (
    Trained as Trained,
    train_pair as train_pair,
)

__all__: list[str]
