"""The configuration of a run: its keys, and how it is read, checked and written."""

from pipeline.config.earlier import earlier
from pipeline.config.files import (
    as_dict,
    config_from,
    differences,
    parse_toml,
    read_toml,
    resolved,
    to_toml,
    with_budget,
    with_setting,
)
from pipeline.config.identity import identity_of
from pipeline.config.sections import (
    DEVICES,
    EXECUTORS,
    FEEDBACKS,
    GENERATORS,
    MEASURES,
    MODELS,
    PLACES,
    SEEDINGS,
    TABLE_BYTES,
    TOKENS,
    BudgetConfig,
    Config,
    FeedbackConfig,
    SampleConfig,
    TrainConfig,
)
from pipeline.errors import short

__all__ = [
    "DEVICES",
    "EXECUTORS",
    "FEEDBACKS",
    "GENERATORS",
    "MEASURES",
    "MODELS",
    "PLACES",
    "SEEDINGS",
    "TABLE_BYTES",
    "TOKENS",
    "BudgetConfig",
    "Config",
    "FeedbackConfig",
    "SampleConfig",
    "TrainConfig",
    "as_dict",
    "config_from",
    "differences",
    "earlier",
    "identity_of",
    "parse_toml",
    "read_toml",
    "resolved",
    "short",
    "to_toml",
    "with_budget",
    "with_setting",
]
