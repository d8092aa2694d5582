"""What a study is reported from, and what its report says: rows, comparisons, choices, claims."""

from collections.abc import Mapping
from typing import Literal, NotRequired, final

from typing_extensions import TypedDict

from lacuna.results.localization import LocalizedSummary, LocalizerSummary
from lacuna.results.models import BaseSummary, InjectedSummary, RetainedSummary
from lacuna.results.trials import ControlSummary, SearchSummary, TrialSummary

Kind = Literal["base", "retained", "injected", "localized", "trial", "control"]
"""Of a stage, in the order in which they run."""
Purpose = Literal["search", "test"]
"""Of a trial: to choose a learning rate on the tuning seeds, or to be reported."""

Summary = (
    BaseSummary
    | RetainedSummary
    | InjectedSummary
    | LocalizedSummary
    | SearchSummary
    | TrialSummary
    | ControlSummary
)
"""What a finished stage returns."""


@final
class Failure(TypedDict):
    """What stands in for the summary of a stage that has none."""

    failed: str
    """Why."""
    label: str
    """The stage, for people."""
    tags: dict[str, str]


Result = (
    BaseSummary
    | RetainedSummary
    | InjectedSummary
    | LocalizedSummary
    | SearchSummary
    | TrialSummary
    | ControlSummary
    | Failure
)
"""What became of a stage. Spelt out, as mypy narrows no union inside a union."""


class StageRow(TypedDict):
    """A stage as a report reads it. A finished one has `summary`, another one `failed`."""

    key: str
    """sha256 over all that the result depends on, 64 hex digits."""
    label: str
    """For people: `injected seed=1 ratio=0.1`."""
    tags: dict[str, str]
    """What the stage is, as text: objective, scenario, seed, ratio, lr, ..."""
    failed: NotRequired[str]
    """Why it has no result."""
    run_id: NotRequired[str | None]
    """Of the run that computed it, on the tracking server."""
    seconds: NotRequired[float | None]
    """That it took to compute."""


class BaseRow(StageRow):
    """The base model."""

    kind: Literal["base"]
    summary: NotRequired[BaseSummary]


class RetainedRow(StageRow):
    """A retained model."""

    kind: Literal["retained"]
    summary: NotRequired[RetainedSummary]


class InjectedRow(StageRow):
    """An injected model."""

    kind: Literal["injected"]
    summary: NotRequired[InjectedSummary]


class LocalizedRow(StageRow):
    """One localizer; a stage that ran several has a row for each."""

    kind: Literal["localized"]
    summary: NotRequired[LocalizerSummary]


class SearchRow(StageRow):
    """A trial on a tuning seed: its tag `purpose` is `search`."""

    kind: Literal["trial"]
    summary: NotRequired[SearchSummary]


class TrialRow(StageRow):
    """A trial that is reported: its tag `purpose` is `test`."""

    kind: Literal["trial"]
    summary: NotRequired[TrialSummary]


class ControlRow(StageRow):
    """The attacks on a model that was not unlearned."""

    kind: Literal["control"]
    summary: NotRequired[ControlSummary]


Row = BaseRow | RetainedRow | InjectedRow | LocalizedRow | SearchRow | TrialRow | ControlRow


class Paired(TypedDict):
    """Two sides a and b, paired by seed. None: undefined, as wherever a pair has no value."""

    n_seeds: int
    """Pairs that have both values."""
    seeds: list[int]
    missing: list[str]
    """Each pair without a value, with the reason."""
    values_a: list[float | None]
    values_b: list[float | None]
    mean_a: float | None
    sd_a: float | None
    """Sample standard deviation (n - 1); None for one seed."""
    mean_b: float | None
    sd_b: float | None
    abs_diff_mean: float | None
    """Of |a - b| per seed."""
    abs_diff_sd: float | None
    diff: float | None
    """Mean of a - b."""
    diff_sd: float | None
    interval: list[float] | None
    """95%, of `diff`: low, high."""
    interval_method: Literal["t", "two-way t"]
    """Student's t over seeds, or a t whose variance is that of seeds and people."""
    standard_error: float | None
    """Of `diff`, with `df` degrees of freedom: what the interval is made of."""
    df: float | None
    p_sign_flip: float | None
    """Exact test over seeds; for display."""
    p_min: float | None
    """The lowest p that so many seeds can give there: 2/2^n."""
    p_blocks: float | None
    """Block randomisation: any of a seed's regions could have been the true one; two-sided."""
    p_blocks_min: float | None
    """The lowest p that so many seeds and regions can give there."""


class PairedValues(Paired, closed=True):
    """The same and nothing else."""


class Comparison(Paired):
    """Two scenarios of one objective in one measure, with the paper's tests."""

    metric: Literal["matched", "depth", "aues", "mu95"]
    """AUES to the depth that both reach; RS at that depth; AUES and MU95 as published."""
    interval_bootstrap: NotRequired[list[float] | None]
    """AUES: percentile bootstrap over seeds and people; too short below 16 seeds, for display."""
    p_alpha_permutation: NotRequired[list[float | None]]
    """AUES: permutation over mixing weights, by seed."""
    p_alpha_permutation_mean: NotRequired[float | None]
    p_pool_split: NotRequired[list[float | None]]
    """MU95: pool and split, by seed."""
    p_pool_split_mean: NotRequired[float | None]
    uncrossed_a: NotRequired[list[int]]
    """MU95: seeds whose utility never fell to 95%."""
    uncrossed_b: NotRequired[list[int]]


class ScenarioPair(TypedDict):
    """Which two scenarios; differences are a minus b."""

    ratio: float
    objective: str
    scenario_a: str
    scenario_b: str


class ScenarioComparison(Comparison, ScenarioPair):
    """A comparison, and what it compares."""


class ChoiceRecord(TypedDict):
    """The learning rate that one cell is tested with."""

    ratio: float
    objective: str
    scenario: str
    lr: float | None
    """None: no candidate survived."""
    in_window: bool
    """Whether forget strength ended inside the window on every tuning seed."""
    reason: str


class FamilyPlan(TypedDict):
    """Claims of one form, as planned."""

    sentence: str
    estimand: str
    """What is judged: mean over seeds of one number minus another."""
    rule: str
    margin: float
    role: str
    """primary or secondary."""


class StudyPlan(TypedDict):
    """What a study will claim, by which tests and margins, on how many seeds and regions."""

    subject: dict[str, str]
    """Digests of data and model, and the protocol: another subject has a plan of its own."""
    claims: dict[str, FamilyPlan]
    """By family."""
    test: str
    """How all of them are tested."""
    seeds: list[int]
    regions: int
    """Random regions of every seed."""
    settings: dict[str, object]
    """All others that a number depends on, by dotted key."""


class Registration(TypedDict):
    """A plan that was put down before the study's test trials."""

    sha256: str
    """Of the plan's canonical JSON."""
    registered: str
    """When, in UTC."""
    known: int
    """Test trials that had a result in the store already."""
    plan: StudyPlan


class Questions(TypedDict):
    """What the questions of one split are about, in the order of a trial's strengths."""

    field: list[str]
    words: list[int | None]
    """Of the answer; None where the data at hand do not have the question."""


class Asked(TypedDict):
    """The questions of one test seed."""

    seed: int
    forget: Questions
    retain: Questions


class ResultsFile(TypedDict):
    """results.json of a finished study: all that its report is made from."""

    study: str
    config: Mapping[str, object]
    """Resolved configuration."""
    stages: list[Row]
    comparisons: list[ScenarioComparison]
    choices: list[ChoiceRecord]
    counts: dict[str, dict[str, int]]
    """Kind of stage -> how many this run planned, found in the store, trained."""
    tracking_uri: str | None
    margins: dict[str, float]
    """Measure -> difference too small to matter."""
    start: NotRequired[float | None]
    """Forget level of the matched start that decides claims on attacks; None: the own start."""
    registration: NotRequired[Registration | None]
    """The plan that claims are held to."""
    floor: float
    """Forget extraction strength above which a gold standard is said to know the facts."""
    asked: NotRequired[list[Asked]]
    """What was asked on each test seed."""
    named: NotRequired[bool]
    """Whether tables name people even where they may be persons."""


class Claim(TypedDict):
    """One published claim, judged by a rule fixed beforehand: a row of verdict.json."""

    claim: str
    """Family and cell: `region-aues: npo at 0.1`."""
    family: str
    about: str
    """The cell that it is about."""
    statement: str
    source: str
    """The paper that makes it."""
    effect: float | None
    """Mean paired difference over seeds."""
    interval: list[float] | None
    """95%, of the effect: low, high."""
    role: Literal["primary", "secondary"]
    """Primary: the one outcome of its family and objective that the question was asked for."""
    p: float | None
    """One-sided, of what the verdict says, by the t of the interval; two-sided where it is open."""
    p_holm: float | None
    """The same for the family's claims of this role together (Holm); at most .025 decides."""
    p_bh: float | None
    """The same by Benjamini and Hochberg, for display."""
    p_blocks: float | None
    """Block randomisation over regions, two-sided; for display."""
    p_sign_flip: float | None
    """Exact sign-flip test over seeds, two-sided; for display."""
    n: int
    seeds: list[int]
    test: str
    """How p and interval are made, and the lowest that the exact tests can give."""
    margin: float
    """Differences within it are too small to matter."""
    verdict: Literal["holds", "fails", "undetermined"]
    reason: str
    exploratory: str | None
    """What of it changed since the study's plan was registered; None: nothing."""
    keys: list[str]
    """Of the stages that it rests on."""


TableValue = str | float | bool | None | list[str] | list[float | None]
"""What a table's cell may hold; a list has a member for each seed, or each key."""


class TableFile(TypedDict):
    """A table of tables/NAME.json; every row has every column."""

    name: str
    title: str
    note: str
    """What a reader must know."""
    columns: list[str]
    rows: list[dict[str, TableValue]]


class Hardware(TypedDict):
    """The machine a result was made on."""

    machine: str
    """Processor architecture."""
    cpus: int | None
    gpu: str | None


class Seeds(TypedDict):
    """Of a study."""

    test: list[int]
    """Reported."""
    search: list[int]
    """For choosing learning rates."""


class StudyManifest(TypedDict):
    """manifest.json of a finished study; written last, so its presence means that all is there."""

    study: str
    config: Mapping[str, object]
    """Resolved configuration."""
    registration: Registration
    """The plan that claims are held to, put down before the first test trial."""
    corpus: str
    """Digest of the data."""
    preflight: Mapping[str, Mapping[str, object]]
    """What was checked before anything ran: of the `model`, and of an adopted `checkpoint`."""
    versions: dict[str, str]
    """Package -> version."""
    hardware: Hardware
    seeds: Seeds
    stages: dict[str, str]
    """Key -> label."""
    seconds: dict[str, float | None]
    """Key -> seconds that the stage took to compute."""
    duration_seconds: float
    """Of the whole run, which found some results in the store."""
