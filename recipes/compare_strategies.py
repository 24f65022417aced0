"""Compare strategies side by side: transfer learning vs fine-tuning on your photos, with cost and noise.

When to use it: before you choose a recipe, or when somebody says "just fine-tune everything". All strategies use the
same splits, the same limits and the same choice on validation photos. Several seeds show how large the noise is.

Data: as for feature extraction, `photos/<class>/…`, a CSV, or tfds:NAME.

Command:

    python recipes/compare_strategies.py                                         # the demo, nothing is downloaded
    python recipes/compare_strategies.py --data photos/ --dry-run                # the plan and its time, no more
    python recipes/compare_strategies.py --data photos/ --fractions 0.1 0.3 1    # how much do more photos bring?
    python recipes/compare_strategies.py --data photos/ --claims                 # do the articles' claims hold here?
    python recipes/compare_strategies.py --data photos/ --backbones MobileNetV2 EfficientNetB0
    python recipes/compare_strategies.py --strategies feature_extraction "hot=feature_extraction --learning-rate 0.1"

Each trial is a run of a recipe in its own process, with its own report. A fraction below 1 leaves out training and
validation photos. The frozen layers are computed once for all trials. `--resume` continues an interrupted comparison
without repeating finished trials. The choice is the cheapest strategy within one standard error of the best one's
validation accuracy.

Expected: on the demo, five strategies with three seeds and short trainings take four to five minutes on two CPU cores.
The four that use pretrained weights have 0.81 to 0.85 and hardly differ; training from scratch is near chance.
"""

from __future__ import annotations

from common import startup  # isort: skip  (first: it imports TensorFlow quietly)

import collections
import dataclasses
import pathlib
import shlex
import sys
import tempfile
import time
from typing import Annotated, Any, Literal

import keras
import tyro
from annotated_types import Ge, Gt

from common import devices, errors, files, flags, streams, words
from common.commands import stress
from common.compare import (
    claims,
    differences,
    experience,
    networks,
    page,
    strategies,
    table,
    time_estimate,
    trial_run,
    trials,
)
from common.compare import plan as plans
from common.data import dataset, sample_list
from common.features import engines, frozen_prefix
from common.media import corruptions, photos
from common.models import backbones, freezing, lora
from common.runs import finished_run, speed
from common.training import fine_tuning, recorder, settings
from recipes import feature_extraction, from_scratch, gradual_unfreezing, linear_probe, partial_unfreezing

RECIPES = (linear_probe, feature_extraction, partial_unfreezing, gradual_unfreezing, from_scratch)
STRATEGIES = {
    name: strategies.Strategy(what, recipe, changes)
    for recipe in RECIPES
    for name, (what, changes) in recipe.STRATEGIES.items()
}
# They train through all layers, which takes most of a comparison's time, so they run only if --strategies names them.
SLOW = ("full_fine_tuning", "layerwise_rates", "l2_sp", "lora", "from_scratch")
# Others that run only if --strategies names them: ridge is seldom told apart from logistic regression.
FURTHER = ("ridge",)
# Names that are usual elsewhere → the strategy here.
ALSO_CALLED = {
    "linear_probe": "logistic_regression", "linear_probing": "logistic_regression", "probe": "logistic_regression",
    "ridge_regression": "ridge", "ncm": "nearest_centroid", "prototypes": "nearest_centroid",
    "frozen": "feature_extraction",
    "head": "feature_extraction", "head_only": "feature_extraction", "transfer_learning": "feature_extraction",
    "last_block": "partial_unfreezing", "last_layers": "partial_unfreezing", "partial": "partial_unfreezing",
    "gradual": "gradual_unfreezing", "ulmfit": "gradual_unfreezing", "full": "full_fine_tuning",
    "fine_tuning": "full_fine_tuning", "finetuning": "full_fine_tuning", "fine_tune": "full_fine_tuning",
    "discriminative_rates": "layerwise_rates", "llrd": "layerwise_rates", "layer_decay": "layerwise_rates",
    "l2sp": "l2_sp", "low_rank": "lora", "peft": "lora", "adapter": "lora", "scratch": "from_scratch",
    "random": "from_scratch", "random_weights": "from_scratch",
}  # fmt: skip
# Flags of the comparison alone: a trial's data already have groups and sides, and its meter is the comparison's.
NOT_PASSED = {"backbone", "resume", "out", "debug", "dry_run", "group_pattern", "find_near_duplicates",
              "keep_near_duplicates_together", "energy"}  # fmt: skip
STRESS_PHOTOS = 500  # most test photos of a trial that are corrupted
# Role in the claims → the strategy in that role.
ROLES = {
    "head": "feature_extraction",
    "gradual": "gradual_unfreezing",
    "full": "full_fine_tuning",
    "scratch": "from_scratch",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(fine_tuning.FineTuningConfig):
    """Compare strategies x backbones x seeds x fractions of the training photos."""

    backbone: tyro.conf.Suppress[str | None] = None  # replaced by --backbones
    # Names, or NAME=STRATEGY with flags of its recipe, "hot=feature_extraction --learning-rate 0.1". The default ones
    # are nearest_centroid, logistic_regression, feature_extraction, partial_unfreezing, gradual_unfreezing. Others:
    # ridge, and those that train through all layers: full_fine_tuning, layerwise_rates, l2_sp, lora, from_scratch
    strategies: tuple[str, ...] = tuple(name for name in STRATEGIES if name not in SLOW + FURTHER)
    # Names in keras.applications, hub:PRESET, FILE.keras or runs; default: MobileNetV2 (demo on demo data). With
    # settings of its own: "NAME=NETWORK --weights FILE --last-layer LAYER --image-size 224 --preprocess tf".
    backbones: tuple[str, ...] = ()
    # Number of seeds, counted from --seed; each has its own split unless --split-seed is given. Default: 3, or 5 with
    # --claims, which judges nothing with fewer.
    seeds: Annotated[int, Gt(0)] | None = None
    # Of the training and validation photos, nested; 0.1 0.3 1 shows the gain from more photos.
    fractions: tuple[float, ...] = (1.0,)
    # File to which what was learnt of the task is added; default: experience.jsonl in --out.
    experience: pathlib.Path | None = None
    no_experience: bool = False  # add nothing
    claims: bool = False  # also check the articles' claims, which needs further trials
    # Also test each model on test photos that are darker, blurred, turned and more, as the command stress does.
    stress: bool = False
    no_baselines: tyro.conf.Suppress[bool] = True  # in a comparison they are strategies
    find_learning_rate: tyro.conf.Suppress[bool] = False
    # Trials to run at the same time on this machine; more than 1 only if one leaves cores or GPUs idle.
    jobs: Annotated[int, Gt(0)] = 1
    ray: str | None = None  # address of a Ray cluster that runs the trials; auto for that of this machine
    # The settings below and those of the head go to every strategy that has them.
    head: Literal["flatten", "gap"] = "gap"  # gap has far fewer weights, which is better with few photos
    unfreeze_from: str | None = None  # for partial_unfreezing: number, name or block; default: the last block
    max_blocks: Annotated[int, Gt(0)] = 3  # for gradual_unfreezing: most blocks to unfreeze
    learning_rate: Annotated[float, Gt(0)] = 1e-3  # of a head; from_scratch tries several and chooses on validation
    # Of a head, or from scratch; an upper limit, since early stopping ends the training.
    epochs: Annotated[int, Gt(0)] = 200
    # Epochs without a lower validation loss before a head stops, 0 for never; from_scratch waits 20 epochs.
    patience: Annotated[int, Ge(0)] = 10

    def __post_init__(self) -> None:
        settings.HeadConfig.__post_init__(self)  # strategies that fine-tune check the settings of fine-tuning
        for name in ("strategies", "fractions"):
            values = getattr(self, name)
            flags.check(0 < len(values) == len(set(values)), name, "must contain at least one value, each only once")
        sound = all(0 < fraction <= 1 for fraction in self.fractions)
        flags.check(sound, "fractions", "must be above 0 and at most 1")
        networks.check([*networks.named(self.backbones).values()], None)
        for strategy in compared(self).values():
            with_settings(self, strategy)  # report a mistake in a setting now, not after the first trials
        for name in flags.changed(self):
            flags.check_used(self, has_effect(self, name), f"on {words.listed(list(compared(self)))}", name)
        told = "onnxruntime is not for --ray, whose machines may lack it; remove one of them"
        flags.check(not (self.ray and self.engine == "onnxruntime"), "engine", told)

    def check_files(self) -> None:
        """Refuse presets, files and runs that cannot be backbones, and a preprocessing that none of them takes."""
        networks.check([*networks.named(self.backbones).values()], self.preprocess, files=True)


def networks_of(config: Config) -> dict[str, networks.Network]:
    """Return name → network for `--backbones`, or for the default network."""
    return networks.named(config.backbones or ("demo" if config.data == "demo" else "MobileNetV2",))


def seeds_of(config: Config) -> range:
    """Return the seeds: as many as `--seeds` says, or 3, or 5 with `--claims`."""
    count = config.seeds or (claims.FEWEST_SEEDS if config.claims else 3)
    return range(config.seed, config.seed + count)


def compared(config: Config) -> dict[str, strategies.Strategy]:
    """Return name → strategy: those in `--strategies` and, with `--claims`, those that the claims are about.

    Raises:
        UserError: a name or flag is unknown or not valid, or a name is listed twice.
    """
    found = strategies.named(config.strategies, STRATEGIES, ALSO_CALLED)
    return found | {name: STRATEGIES[name] for name in ROLES.values() if config.claims and name not in found}


def with_settings(config: Config, strategy: strategies.Strategy, **settings: Any) -> Any:
    """Return the recipe's Config for a trial: our flags that the recipe has too, then the strategy's own settings."""
    passed = {name: getattr(config, name) for name in flags.flag_names(Config) & taken(strategy)}
    return strategy.recipe.Config(**passed | {"no_baselines": True} | strategy.settings | settings)


def taken(strategy: strategies.Strategy) -> set[str]:
    """Return the settings of a comparison that its trials of a strategy take: those with an effect there."""
    its = flags.flag_names(strategy.recipe.Config)
    return its - NOT_PASSED - set(strategy.recipe.Config.UNUSED)


def has_effect(config: Config, name: str) -> bool:
    """Return whether a setting is one of the comparison itself, or has an effect on some of its strategies."""
    of_trials = set().union(*(flags.flag_names(recipe.Config) for recipe in RECIPES)) - NOT_PASSED
    takes = (name in taken(strategy) - set(strategy.settings) for strategy in compared(config).values())
    return name not in of_trials or any(takes)


# The plan -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Planned:
    """A trial and its place in the comparison; `is_row` is False if only a claim needs it."""

    trial: trials.Trial
    name: str
    what: str
    backbone: str
    seed: int
    fraction: float
    is_row: bool

    def work(self, sides: dict[tuple[int, float], dict[str, int]]) -> time_estimate.Work:
        """Return what its time depends on; `sides` has the numbers of photos for each (seed, fraction)."""
        return time_estimate.Work.of(self.trial.config, sides[self.seed, self.fraction])


def plan(config: Config, names: tuple[str, ...], sources: dict[tuple[int, float], pathlib.Path]) -> list[Planned]:
    """Plan all trials on all networks, seed by seed, so that an interruption leaves complete seeds to compare."""
    rows = [(name, strategy, True, config.fractions) for name, strategy in compared(config).items()]
    places = {"smallest": min(config.fractions), "largest": max(config.fractions)}
    for name, (role, changes, place) in claims.variants(config.fine_tuning_rate).items() if config.claims else ():
        base = STRATEGIES[ROLES[role]]
        variant = dataclasses.replace(base, settings=base.settings | changes)
        rows.append((name, variant, False, (places[place],)))
    planned, ours = [], networks_of(config)
    network_settings = {name: network.settings(config) for name, network in ours.items()}
    for (seed, fraction), source in sources.items():
        for backbone in names:
            for name, strategy, is_row, fractions in rows:
                if fraction in fractions and (is_row or backbone == names[0]):  # claims look at the first network only
                    theirs = network_settings[backbone]
                    own = {"data": str(source), "seed": seed} | {key: theirs[key] for key in ("backbone", "preprocess")}
                    place = f"{name}/{ours[backbone].place}/seed{seed}_{fraction:g}"
                    settings = with_settings(config, strategy, **theirs | strategy.settings | own)
                    trial = trials.Trial(place, strategy.recipe.__name__, settings)
                    planned.append(Planned(trial, name, strategy.what, backbone, seed, fraction, is_row))
    return planned


def with_one_engine(config: Config, sources: dict[tuple[int, float], pathlib.Path]) -> Config:
    """Return the settings with the engine that all trials take, also those with a fraction of the photos."""
    items = max(len(sample_list.read_csv(path)) for path in sources.values())
    views = config.views if config.augmentation else 1
    pixels = items * max(1, views) * (config.image_size or 224) ** 2
    if not has_effect(config, "engine"):
        return config
    keras_alone = config.ray or not config.caches
    return dataclasses.replace(config, engine="keras" if keras_alone else engines.chosen(config, pixels))


def network(config: Config, name: str) -> backbones.Backbone:
    """Load a network as the trials do."""
    own = networks_of(config)[name].settings(config)
    return backbones.load(
        own["backbone"], own["weights"], own["image_size"], config.aspect, own["last_layer"], own["preprocess"]
    )


def with_attention(config: Config, planned: list[Planned]) -> list[Planned]:
    """Return the trials without those of LoRA on networks that have no attention layers, and print what is left out.

    Raises:
        UserError: none are left.
    """
    wanted = [each for each in planned if getattr(each.trial.config, "lora_rank", 0)]
    # The networks of keras.applications have convolutions only.
    elsewhere = {each.backbone for each in wanted if backbones.is_elsewhere(each.trial.config.backbone)}
    able = {name for name in elsewhere if trials.call(has_attention, config, name)}
    left_out = [each for each in wanted if each.backbone not in able]
    told = dict.fromkeys(f"{each.name} on {each.backbone}" for each in left_out)
    if len(left_out) == len(planned):
        raise errors.UserError(
            f"--strategies: LoRA changes attention layers, which {planned[0].backbone} has not; give --backbones a "
            "vision transformer, such as hub:vit_base_patch16_224_imagenet, or add another strategy"
        )
    if told:
        print(f"not planned, since there are no attention layers: {', '.join(told)}", file=sys.stderr)
    return [each for each in planned if each not in left_out]


def has_attention(config: Config, name: str) -> bool:
    """Return whether a network has attention layers."""
    return any(map(lora.projections, network(config, name).model.layers))


def stages(base_model: keras.Model, trial: trials.Trial) -> list[tuple[int, int]]:
    """Return, for each stage of a trial, the number of its first trainable layer and its likely number of epochs."""
    return sys.modules[trial.recipe].stages(base_model, trial.config)


def measure(
    config: Config, planned: list[Planned], sides: dict[tuple[int, float], dict], asked: float
) -> time_estimate.Speed:
    """Measure how fast the network of these trials is on this machine; `asked` is the time of the call."""
    starting = time.time() - asked
    devices.set_up(config)
    began = time.perf_counter()
    backbone = network(config, planned[0].backbone)
    build = time.perf_counter() - began
    model = feature_extraction.build_model(backbone.model, 2, with_settings(config, STRATEGIES["feature_extraction"]))
    found = {each.name: stages(backbone.model, each.trial) for each in planned}
    needed = {(first, each.work(sides).live) for each in planned for first, _ in found[each.name]}
    augmentation = next(filter(None, (each.trial.config.augmentation for each in planned)), config.augmentation)
    paths = [sample.path for sample in sample_list.read_csv(pathlib.Path(planned[-1].trial.config.data))]
    how = paths[: 2 * config.batch_size], backbone, photos.PHOTOS, config.batch_size
    reading = speed.of_reading(*how), speed.of_reading(*how, augmentation or None)
    return time_estimate.measure(backbone, starting, build, model, found, needed, reading, config.batch_size)


def shared_features(config: Config) -> bool:
    """Return whether all trials use one cache; nodes do not share the default one."""
    return not config.no_cache and (config.cache is not None or config.ray is None)


def compute_features(config: Config, planned: list[Planned]) -> float:
    """Compute all features that these trials need in one pass, put them into the cache, and return the seconds.

    The largest fraction contains the others. The features furthest from the head come first; the others use them.
    """
    devices.set_up(config)
    name = planned[0].backbone
    backbone = network(config, name)
    same = {
        field: getattr(config, field) for field in ("aspect", "precision", "cache_dtype", "engine", "prefix_precision")
    }
    same |= networks_of(config)[name].settings(config)
    wanted: dict[tuple, settings.PhotoConfig] = {}
    whole = len(backbone.model.layers)
    for each in sorted(planned, key=lambda each: -each.fraction):
        own = each.trial.config
        if any(getattr(own, field) != value for field, value in same.items()):
            continue  # this trial needs other features than the rest, and computes them itself
        for first in {whole, *(first for first, _ in stages(backbone.model, each.trial))} - {1}:
            wanted.setdefault((first, getattr(own, "head", "gap"), each.seed, own.augmentation), own)
    seconds = 0.0
    for (first, head, _, _), own in sorted(wanted.items(), key=lambda each: each[0][:3]):
        with tempfile.TemporaryDirectory() as folder:
            splits = dataset.load(own, pathlib.Path(folder), photos.Photos())
            shape = with_settings(config, STRATEGIES["feature_extraction"], head=head)
            model = feature_extraction.build_model(backbone.model, len(splits.class_names), shape)
            freezing.unfreeze(backbone.model, first, config.batch_norm)
            seconds += frozen_prefix.FrozenPrefix(model, backbone, splits, own).seconds
    return seconds


def is_stressed(config: Config, each: Planned) -> bool:
    """Return whether a trial's model is tested on corrupted photos: with `--stress`, the rows with all photos."""
    return config.stress and each.is_row and each.fraction == max(config.fractions)


def put_under_stress(directories: list[pathlib.Path]) -> None:
    """Write stress/stress.json into run directories that have none; what cannot be measured is printed."""
    for directory in directories:
        folder = directory / "stress"
        if (folder / "stress.json").is_file():
            continue
        try:
            _, results, _ = stress.evaluated(directory, most=STRESS_PHOTOS)
        except errors.UserError as error:  # the trial is finished, and this must not change it
            print(f"stress: {directory} was left out ({error})", file=sys.stderr)
            continue
        folder.mkdir(exist_ok=True)
        files.write_json(folder / "stress.json", results)


def stress_seconds(config: Config, planned: list[Planned], sides: dict, speeds: dict) -> list[float]:
    """Return the estimated seconds of each trial's test on corrupted photos."""
    looks = 1 + len(corruptions.KINDS) * len(corruptions.SEVERITIES)
    return [
        looks
        * min(STRESS_PHOTOS, sides[each.seed, each.fraction]["test"])
        * (speeds[each.backbone].forward + speeds[each.backbone].change)
        for each in planned
        if is_stressed(config, each)
    ]


def names_engine(command: str) -> bool:
    """Return whether a comparison's command says which engine to take."""
    return any(word.partition("=")[0] == "--engine" for word in command.split())


def as_run(each: Planned, outcome: trials.Outcome, says_engine: bool) -> trial_run.Run:
    """Return a planned trial with its outcome; its command says the engine if that of the comparison does."""
    settings = dataclasses.replace(each.trial.config, out=flags.RunConfig.out)
    if settings.engine == "keras" and not says_engine:  # what `auto` takes for a trial alone
        settings = dataclasses.replace(settings, engine="auto")
    command = shlex.join(["python", "-m", each.trial.recipe, *flags.arguments(settings)])
    role = next((role for role, name in ROLES.items() if name == each.name), "")
    uses_features = each.trial.recipe != from_scratch.__name__
    return trial_run.Run(
        each.name, each.backbone, each.seed, each.fraction, each.what, uses_features, command,
        outcome.directory, outcome.error, role,
    )  # fmt: skip


def run(config: Config) -> finished_run.Result:
    """Plan the trials, run those that are not finished, compare them and print advice."""
    record = recorder.Recorder("compare_strategies", config)
    config = record.config  # with --resume, the settings of the interrupted comparison
    names = tuple(networks_of(config))

    # Data: a split for each seed; smaller fractions leave out training photos.
    sources = plans.splits_of_seeds(
        config, photos.Photos(), len(seeds_of(config)), config.fractions, record.directory / "splits"
    )
    config = with_one_engine(config, sources)
    planned = with_attention(config, plan(config, names, sources))
    names = tuple(dict.fromkeys(each.backbone for each in planned))
    of_backbone = {name: [each for each in planned if each.backbone == name] for name in names}

    # The plan and its time, before anything runs.
    print("plan: measuring a few training steps", file=sys.stderr)
    sides = {key: plans.count_sides(sample_list.read_csv(path)) for key, path in sources.items()}
    speeds = {name: trials.call(measure, config, ours, sides, time.time()) for name, ours in of_backbone.items()}
    feature_seconds = {
        name: speeds[name].of_shared_features((each.name, each.work(sides), each.trial.config) for each in ours)
        for name, ours in of_backbone.items()
    }
    seconds = collections.defaultdict(list)
    for each in planned:
        label = f"{each.name}, {each.backbone}" if len(names) > 1 else each.name
        seconds[label].append(speeds[each.backbone].of_trial(each.name, each.work(sides)))
    if config.stress:
        seconds["stress"] = stress_seconds(config, planned, sides, speeds)
    rest = time_estimate.of_the_rest(speeds.values(), shared_features(config))
    expected = sum(feature_seconds.values()) + sum(map(sum, seconds.values())) / config.jobs + rest
    print(time_estimate.table(seconds, sum(feature_seconds.values()), rest, expected, config.price_per_hour))
    if (count := len({(each.name, each.backbone) for each in planned if each.is_row})) > 1:
        print(differences.can_tell(len(seeds_of(config)), sides[config.seed, max(config.fractions)]["test"], count))
    places = {each.trial.config.backbone for each in planned}
    possible = [name for name in SLOW if name != "lora" or any(map(backbones.is_elsewhere, places))]
    if missing := [name for name in possible if name not in compared(config)]:
        told = f"not planned, since they train through all layers: {', '.join(missing)}; add them by --strategies"
        print(told, file=sys.stderr)
    record.say_if_untrained()
    if config.dry_run:
        record.discard()
        sys.exit()
    record.write_config(engine=config.engine, backbones=tuple(str(networks_of(config)[name]) for name in names))

    # The frozen network runs once for all trials; then each trial runs in its own process.
    if shared_features(config):
        for name, ours in of_backbone.items():
            feature_seconds[name] = max(feature_seconds[name], trials.call(compute_features, config, ours))
    outcomes = trials.run_all(
        [each.trial for each in planned], record.directory / "trials", config.jobs, config.ray, preload=[__name__]
    )

    if config.stress:
        ended = [(each, outcomes[each.trial.name].directory) for each in planned]
        trials.call(put_under_stress, [folder for each, folder in ended if folder and is_stressed(config, each)])

    # The results.
    says_engine = names_engine(record.command)
    found = [as_run(each, outcomes[each.trial.name], says_engine) for each in planned]
    rows = [each for each, of in zip(found, planned, strict=True) if of.is_row]
    results = table.compare(rows, record.directory, feature_seconds)
    results["claims"] = claims.check(claims.Trials(found, ROLES)) if config.claims else []
    results["plan"] = {
        "strategies": list(dict.fromkeys(each.strategy for each in rows)), "backbones": list(names),
        "fractions": list(config.fractions), "seeds": list(seeds_of(config)), "jobs": config.jobs,
        "trials": len(planned), "estimated_seconds": round(expected, 1), "untrained": record.has_untrained_network,
        "price_per_hour": config.price_per_hour,
    }  # fmt: skip
    first = sample_list.read_csv(sources[config.seed, max(config.fractions)])
    names_of_classes = sorted({sample.label for sample in first})
    results["data"] = {"source": config.data, "class_names": names_of_classes} | plans.count_sides(first)
    results["data"]["test_overlap"] = plans.overlap_of_tests(sources)
    whole = round(record.progress.seconds(), 1)
    results["cost"] = {
        "seconds": whole, "feature_seconds": round(sum(feature_seconds.values()), 1),
        "device": devices.description(), "peak_memory_bytes": max(
            (row["cost"]["peak_memory_bytes"] for row in results["rows"] if row["cost"]), default=0
        ),
    } | record.price_and_energy(whole)  # fmt: skip
    result = record.write_results(results)
    with streams.appendix("the experience file"):
        experience.keep(config, experience.of_comparison(results["data"], results["rows"]))
    with streams.appendix("the page of the comparison", f"python -m recipes report {record.directory}"):
        page.write(record.directory, result.results)
    record.publish()
    with streams.appendix("the summary"):
        print(table.table(result.results))
        print("\n".join([*result.results["advice"], f"report: {record.directory / 'compare.html'}"]))
        if model := result.results["model"]:
            place = record.directory / pathlib.PurePosixPath(model["report"]).parent
            print(
                f"its model, of seed {model['seed']}, the median on validation, with "
                f"{words.percent(model['accuracy'])} of its test photos right: python -m recipes predict {place} FILE…"
            )
    return result


if __name__ == "__main__":
    # The trials' processes import this file by its name, so its classes must come from that module.
    from recipes import compare_strategies

    startup.main(compare_strategies.Config, compare_strategies.run, __doc__)
