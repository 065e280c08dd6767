"""All mutations, in the order of the data's way. Each list lies in the file of the stage whose rule it takes out."""

from __future__ import annotations

from tests.mutations import (
    alerts,
    api,
    care,
    config,
    destinations,
    drill,
    edge,
    explore,
    ids,
    kafka,
    live,
    page,
    parking,
    security,
    sink,
    sort,
    tables,
    watch,
)
from tests.mutations.mutation import Mutation

MUTATIONS: tuple[Mutation, ...] = (
    *edge.MUTATIONS,
    *kafka.MUTATIONS,
    *security.MUTATIONS,
    *sort.MUTATIONS,
    *config.MUTATIONS,
    *tables.MUTATIONS,
    *sink.MUTATIONS,
    *parking.MUTATIONS,
    *destinations.MUTATIONS,
    *care.MUTATIONS,
    *ids.MUTATIONS,
    *explore.MUTATIONS,
    *live.MUTATIONS,
    *api.MUTATIONS,
    *page.MUTATIONS,
    *watch.MUTATIONS,
    *alerts.MUTATIONS,
    *drill.MUTATIONS,
)
