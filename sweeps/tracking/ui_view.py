"""How MLflow's page shows a study: the test trials by objective and scenario, with their scores.

MLflow keeps a view that somebody shared in a tag of the experiment; its page opens it at
`#/experiments/ID/runs?viewStateShareKey=STUDY`. The fields are those of MLflow 3.17's page.
"""

import json

TAG = "mlflow.sharedViewState."
"""Begins the name of an experiment's tag that holds a view; the rest is the view's key."""
COLUMNS = ("objective", "scenario", "localizer", "ratio", "seed", "region", "lr", "key")
SCORES = ("aues", "fs", "rs", "mu", "fq", "mu95")
GROUPS = ("objective", "scenario")


def view(study: str) -> str:
    """The view of one study, as JSON text."""
    columns = [*(f"tags.`{name}`" for name in COLUMNS), *(f"metrics.`{name}`" for name in SCORES)]
    state = {
        "searchFilter": f"tags.study = '{study}' and tags.purpose = 'test'",
        "orderByKey": "tags.`objective`",
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": [*columns, "attributes.`Dataset`"],
        "runsHiddenMode": "SHOW_ALL",
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "tag", "groupByData": name} for name in GROUPS],
        },
        "useGroupedValuesInCharts": True,
        "compareRunSections": [_shown("scores", name="Mean scores by objective and scenario")],
        "compareRunCharts": [_bars(name) for name in SCORES],
        "isAccordionReordered": True,
        "autoRefreshEnabled": False,
    }
    return json.dumps(state)


def _bars(metric: str) -> dict[str, object]:
    """A bar chart of one metric, a bar per group."""
    return {
        **_shown(metric, type="BAR", metricKey=metric, metricSectionId="lacuna-scores"),
        "runsCountToCompare": 100,
    }


def _shown(uuid: str, **more: object) -> dict[str, object]:
    return {"uuid": f"lacuna-{uuid}", "display": True, "deleted": False, **more}
