"""The rules of the house that a parser can check."""

import ast
import pathlib
import subprocess
import warnings

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / "tfrs_models"
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(
    path
    for folder in ("tfrs_models", "pipelines", "tests")
    for path in (ROOT / folder).rglob("*.py")
)

# From the ground up. A layer may use what is below it; the parts of one layer are
# siblings and know nothing of each other.
LAYERS = [
    {"_advice", "_files"},
    {"_autograph", "_keras_3", "_lazy", "_versions", "feature", "types"},
    {"_keras", "torch_weights"},
    {"_fit_checks", "ops"},
    {"_first_step"},
    {"model"},
    {"layers", "data"},
    {"losses", "metrics"},
    {"towers", "baselines"},
    {"tasks"},
    {"models"},
    {"serving", "training"},
    {"compat"},
]
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
NEVER = {
    ("serving", "models"): "take any tfrs.Model, layer or index as an argument",
    ("training", "models"): "take any tfrs.Model, layer or index as an argument",
}


# Modules above data that take `Interactions` as an argument, and why.
TAKES_DATA = {
    "tfrs_models.serving.baseline_recommender": "a baseline is fitted on them",
    "tfrs_models.training.extend_vocabulary": "a model grows to their vocabularies",
}

# Modules without a test file of their name, by the test file that covers them: paths in
# `tests`, dotted names in `tfrs_models`.
TESTED_IN = {
    "baselines/test_choosing.py": "baselines.grids",
    "baselines/test_leaks.py": "baselines.baseline baselines.rows",
    "data/kuaisar/test_convert.py": (
        "data.kuaisar.samples data.kuaisar.search_and_recommendation"
    ),
    "data/test_attributes.py": "data.several_values",
    "data/test_files.py": "data.table_files",
    "data/test_formats.py": (
        "data.formats.description data.formats.preparing "
        "data.formats.reading data.formats.recognition "
        "data.formats.sessions"
    ),
    "data/test_table.py": "data.columns",
    "data/test_trends.py": "ops.trends",
    "layers/attention/test_auto_correlation.py": ("ops.circular_correlation"),
    "layers/attention/test_auto_correlation_block.py": (
        "layers.attention.series_decomposition"
    ),
    "layers/clickstream/test_features_extractor.py": "layers.clickstream.shared_layers",
    "test_contracts.py": "layers.draws layers.dropout",
    "layers/experts/test_experts.py": (
        "layers.experts.gated layers.experts.multi_gate "
        "layers.experts.progressive_layered"
    ),
    "layers/index/test_brute_force.py": (
        "layers.index.candidate_file layers.index.exact_search"
    ),
    "layers/index/test_ivf.py": "layers.index.block_search layers.index.partitions",
    "layers/index/test_restrictions.py": "layers.index.requests",
    "layers/index/test_updates.py": (
        "layers.index.checks layers.index.slot_index layers.index.slot_table "
        "layers.index.table_index"
    ),
    "layers/interaction/test_factorization_machines.py": (
        "layers.interaction.active_values "
        "layers.interaction.factorization_machine "
        "layers.interaction.field_aware_factorization_machine "
        "layers.interaction.field_embedding"
    ),
    "losses/test_embedding_losses.py": "losses.n_pair losses.triplet",
    "losses/test_list_losses.py": (
        "losses.approx_ndcg losses.distillation losses.list_loss losses.list_mle "
        "losses.listwise_softmax losses.pairwise losses.sampled_pairwise "
        "losses.smooth_ap"
    ),
    "metrics/test_beyond_accuracy.py": "metrics.top_k_lists",
    "metrics/test_factorized_top_k.py": "metrics.answers",
    "metrics/test_rank_tables.py": "metrics.rank_values",
    "metrics/test_ranking.py": (
        "metrics.ranking_means ops.lists.discounts ops.lists.list_shapes "
        "ops.lists.positions"
    ),
    "models/automtn/test_automtn.py": "models.automtn.cross_modal_stack",
    "models/automtn/test_poi_scores.py": ("models.automtn.attention_predictor"),
    "models/fine_tuning/test_fine_tuning.py": "training.step_decay",
    "models/test_field_ranker.py": "models.dcn models.deep_fm",
    "models/test_joint_ranking_ctr.py": "ops.features.list_features",
    "models/test_trends.py": "towers.trends",
    "models/test_two_tower_negatives.py": "training.index_negatives",
    "models/unisar/test_unisar.py": "models.unisar.example models.unisar.network",
    "models/unisar/test_unisar_golden.py": "models.unisar.torch_state",
    "ops/features/test_read_features.py": "ops.features.checks",
    "ops/ranks/test_corpus_ranks.py": "ops.ranks.score_tiles ops.ranks.scores",
    "replicas/test_replicas.py": "ops.replicas",
    "serving/client/test_clients.py": (
        "serving.client.grpc_client serving.client.model_client "
        "serving.client.rest_client"
    ),
    "serving/client/test_rest_faults.py": (
        "serving.client.errors serving.client.http serving.client.retry_policy"
    ),
    "serving/test_catalogue.py": "serving.new_items",
    "serving/test_contract.py": "serving.contract_json serving.vocabularies",
    "serving/test_exporting.py": "_versions serving.versions",
    "serving/test_gate.py": "serving.comparison",
    "serving/test_native_program.py": "serving.signatures",
    "serving/test_similar_items.py": "serving.sample_requests",
    "serving/test_snapshots.py": "serving.snapshot_parts",
    "serving/test_tuning.py": "serving.tuning_measures serving.tuning_result",
    "serving/test_vector_store.py": "serving.vector_collections serving.vector_values",
    "tasks/test_retrieval.py": "tasks.checks",
    "test_model.py": "_keras",
    "test_weights.py": "ops.weights",
    "towers/test_feature.py": "ops.features.declared_features",
    "training/test_fit_resumable.py": (
        "training.callback_states training.deferred_signals training.state_keeper "
        "training.training_states"
    ),
    "training/test_vocabulary_growth.py": "types",
}
# Private attributes that tests read or replace: how many, and why.
PRIVATE = {
    "baselines/test_ease.py": (1, "blocks are made small"),
    "baselines/test_item_knn.py": (1, "blocks are made small"),
    "conftest.py": (
        3,
        "TensorFlow has no public way to let go of graphs, nor defaults for datasets",
    ),
    "data/test_movielens.py": (
        7,
        "whether a network answers and what is installed are faked",
    ),
    "layers/attention/test_auto_correlation_block.py": (
        2,
        "one part of the block is replaced or compared",
    ),
    "layers/index/test_live.py": (3, "a build is made to fail half way"),
    "layers/index/test_scann.py": (2, "a searcher is asked after it was destroyed"),
    "metrics/test_drop_in_metric.py": (1, "upstream's subclasses assign it"),
    "models/automtn/test_automtn.py": (2, "scores of the network before any task"),
    "models/automtn/test_poi_closeness.py": (
        1,
        "functions of TensorFlow's graph are counted",
    ),
    "models/unisar/test_encoders.py": (5, "weights of one projection are set"),
    "models/unisar/test_unisar.py": (2, "tables of an encoder are set"),
    "models/unisar/test_unisar_evaluation.py": (
        4,
        "what is cached has no effect on numbers",
    ),
    "models/unisar/test_unisar_golden.py": (
        4,
        "intermediate arrays of the original are compared",
    ),
    "models/unisar/test_unisar_learns.py": (1, "means of the losses by their part"),
    "models/unisar/test_unisar_pitfalls.py": (
        10,
        "parts of the network are compared with the original",
    ),
    "ops/ranks/test_corpus_ranks.py": (
        5,
        "which code ran depends on the size and the number of cores",
    ),
    "pipelines/test_automtn.py": (1, "a warning without a run"),
    "pipelines/test_clickstream.py": (3, "trials of an interrupted search are read"),
    "pipelines/test_retrieval.py": (1, "upstream's own switch: ScaNN is not installed"),
    "serving/client/test_rest_faults.py": (2, "connections that are open are counted"),
    "serving/test_tuning.py": (1, "rows of an index are read without a query"),
    "towers/sequence/test_auto_correlation_tower.py": (
        4,
        "weights of one layer are set",
    ),
    "towers/sequence/test_sasrec.py": (2, "weights of one layer are set"),
}
# Underscored names that are public: those of named tuples.
NOT_PRIVATE = {"_asdict", "_fields", "_make", "_replace"}


def part_of(module):
    """`tfrs_models.ops.masks` is of the part `ops`."""
    return module.split(".")[1] if "." in module else "__init__"


def module_of(path):
    names = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(tree, package=None):
    """Dotted names of everything that is imported, wherever it is.

    Only pipelines, whose package has another name in a wheel, import relatively.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module
            if node.level:
                assert package, "relative imports hide which layer is meant"
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                module = ".".join([*above, *([module] if module else [])])
            yield module
            if module in ("tfrs_models", "pipelines"):
                yield from (f"{module}.{alias.name}" for alias in node.names)


def complaint(importer, imported):
    """Why one module may not import the other; None where it may."""
    part, other = part_of(importer), part_of(imported)
    if part in (other, "__init__") or imported == "tfrs_models":
        return None
    for name in (part, other):
        if name not in LEVEL:
            return (
                f"`{name}` is no part of the house that test_architecture knows: add "
                "it to LAYERS, above everything that it uses."
            )
    where = f"{importer} imports {imported}"
    if (part, other) in NEVER:
        return f"{where}: {part} must not name one; {NEVER[part, other]}."
    if other == "data" and part != "baselines" and importer not in TAKES_DATA:
        return (
            f"{where}: only baselines, pipelines and notebooks import datasets. Pass "
            "the values in, or declare them with tfrs_models.feature.Feature."
        )
    if LEVEL[part] == LEVEL[other]:
        below = sorted(LAYERS[max(LEVEL[part] - 1, 0)])
        return (
            f"{where}: siblings do not know each other. What both need moves down, "
            f"to one of {below} or further."
        )
    if LEVEL[part] < LEVEL[other]:
        return (
            f"{where}: arrows point down. The code belongs into {other} or above, or "
            f"what it needs of {other} moves down, to {part} or below."
        )
    return None


def report(complaints):
    """Fails with one line for each complaint."""
    complaints = [line for line in complaints if line]
    assert not complaints, "\n" + "\n".join(complaints)


def test_imports_point_down_and_siblings_do_not_know_each_other():
    report(
        complaint(module_of(path), name)
        for path in MODULES
        for name in imports(parse(path))
        if name.split(".")[0] == "tfrs_models"
    )


@pytest.mark.parametrize(
    ("importer", "imported", "words"),
    [
        ("tfrs_models.ops.ranks", "tfrs_models.layers.index", "moves down, to ops"),
        ("tfrs_models.layers.mlp", "tfrs_models.data.files", "only baselines"),
        ("tfrs_models.layers.mlp", "tfrs_models.towers.feature", "arrows point down"),
        ("tfrs_models.losses.a", "tfrs_models.metrics.b", "siblings"),
        ("tfrs_models.serving.a", "tfrs_models.models.b", "as an argument"),
        ("tfrs_models.models.a", "tfrs_models.data.files", "only baselines"),
        ("tfrs_models.helpers.a", "tfrs_models.ops.b", "add it to LAYERS"),
        ("tfrs_models.towers.a", "tfrs_models.feature", None),
        ("tfrs_models.metrics.a", "tfrs_models.layers.b", None),
        ("tfrs_models.baselines.a", "tfrs_models.data.b", None),
        ("tfrs_models.baselines.a", "tfrs_models.towers.b", "siblings"),
        ("tfrs_models.tasks.a", "tfrs_models.metrics.b", None),
    ],
)
def test_a_wrong_import_is_told_where_its_code_belongs(importer, imported, words):
    message = complaint(importer, imported)
    assert (message is None) if words is None else (words in message)


def test_the_package_imports_no_pipeline_and_no_flags():
    report(
        f"{module_of(path)} imports {name}: the package knows tensors, never flags. "
        "What reads flags or runs a script belongs into pipelines."
        for path in MODULES
        for name in imports(parse(path))
        if name.split(".")[0] in {"pipelines", "tests", "argparse", "tyro", "absl"}
    )


# Modules that call a random op of TensorFlow with a state that no checkpoint holds.
STATEFUL_DRAWS = {
    "tfrs_models.layers.draws": "the key of the numbered draws",
    "tfrs_models.layers.interaction.active_values": "initial weights",
    "tfrs_models.losses.sampled_pairwise": "the function; its class numbers draws",
}


def test_training_draws_nothing_that_a_checkpoint_does_not_hold():
    def draws(tree):
        calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
        names = ("uniform", "normal", "truncated_normal", "gamma", "shuffle", "poisson")
        random = {f"tf.random.{name}" for name in (*names, "categorical")}
        layers = ("Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout1D")
        random |= {f"tf.keras.layers.{name}" for name in layers}
        random |= {"tf.nn.dropout", "tf.nn.experimental.general_dropout"}
        return random & set(map(ast.unparse, calls))

    report(
        f"{module_of(path)} calls {', '.join(sorted(found))}: a resumed training would "
        "draw other numbers than the uninterrupted one. Use layers.Dropout, or the "
        "seeds of layers.draws.Draws."
        for path in MODULES
        if (found := draws(parse(path))) and module_of(path) not in STATEFUL_DRAWS
    )


def test_data_knows_no_keras_object():
    def names(tree):
        yield from (name.split(".")[0] for name in imports(tree))
        yield from (n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute))

    report(
        f"{module_of(path)} uses {name}: data builds datasets and plain values. What "
        "needs Keras belongs into layers or towers."
        for path in sorted((PACKAGE / "data").rglob("*.py"))
        for name in names(parse(path))
        if name in {"keras", "tf_keras", "tensorflow_recommenders"}
    )


# Of the scripts, from the ground up. A command is a module of `pipelines` itself.
PIPELINE_LAYERS = ["parts", "reporting", "command", "benchmarks"]


def pipeline_level(module):
    """Index in `PIPELINE_LAYERS` of a module of `pipelines`."""
    part = module.partition(".")[2].partition(".")[0]
    return PIPELINE_LAYERS.index(part if part in PIPELINE_LAYERS else "command")


def test_parts_of_pipelines_import_no_command_and_commands_no_benchmark():
    report(
        f"{importer} imports {name}: arrows point down, from benchmarks to commands "
        "to reporting to parts. What both need moves down."
        for path in sorted((ROOT / "pipelines").rglob("*.py"))
        for name in imports(parse(path), module_of(path.parent / "__init__.py"))
        if name.startswith("pipelines.")
        and (importer := module_of(path))
        and pipeline_level(importer) < pipeline_level(name)
    )


def code_lines(source):
    """Lines that are neither blank nor a comment nor part of a docstring."""
    prose = set()
    for node in ast.walk(ast.parse(source)):
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        if isinstance(node, kinds) and ast.get_docstring(node) is not None:
            text = node.body[0]
            prose |= set(range(text.lineno, text.end_lineno + 1))
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in prose
        for number, line in enumerate(source.splitlines(), 1)
    )


def test_lines_of_code_are_counted_without_prose():
    assert code_lines('"""A module.\n\nIt is long."""\n\n# why\nx = """\ny"""\n') == 2


@pytest.mark.filterwarnings("default::UserWarning")
def test_no_file_of_the_package_is_longer_than_five_hundred_lines_of_code():
    lengths = {
        module_of(path): code_lines(path.read_text(encoding="utf-8"))
        for path in MODULES
    }
    for module, lines in lengths.items():
        if 300 < lines <= 500:
            warnings.warn(
                f"{module} has {lines} lines of code: is it two?", stacklevel=1
            )
    report(
        f"{module} has {lines} lines of code: cut it where its second idea begins."
        for module, lines in lengths.items()
        if lines > 500
    )


def test_there_is_one_generation_of_everything():
    report(
        f"{path.relative_to(ROOT)}: {node.name}: replace the old one, and say so in "
        "CHANGELOG.md."
        for path in SCRIPTS
        for node in ast.walk(parse(path))
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
        and node.name.lower().rstrip("0123456789").endswith(("_v", "v"))
        and node.name[-1].isdigit()
    )


def exports(tree):
    """What a module says is public, and what it binds."""
    public, bound = None, set()
    body = list(tree.body)
    for node in body:
        if isinstance(node, ast.If):  # what type checkers see of lazy names
            body += node.body
        if isinstance(node, ast.ImportFrom) and node.module != "typing":
            bound |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
            public = ast.literal_eval(node.value)
    return public, {name for name in bound if not name.startswith("_")}


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.name == "__init__.py"], ids=module_of
)
def test_every_init_says_sorted_what_is_public(path):
    public, bound = exports(parse(path))
    if not bound:
        return
    assert "*" not in bound, "name what you export"
    assert public is not None, "imports without `__all__`"
    assert public == sorted(public)
    assert set(public) == bound


def test_no_default_argument_is_an_object_that_can_change():
    report(
        f"{module_of(path)}, line {node.lineno}: a default is made once and shared by "
        "all calls. Default to None and make it in the body."
        for path in MODULES
        for node in ast.walk(parse(path))
        if isinstance(node, (ast.FunctionDef, ast.Lambda))
        for default in [*node.args.defaults, *node.args.kw_defaults]
        if isinstance(default, (ast.Call, ast.List, ast.Dict, ast.Set))
    )


def test_the_root_holds_nothing_more_than_it_should():
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {name.split("/")[0] for name in files.stdout.splitlines()} <= {
        ".ci",
        ".gitignore",
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "constraints.txt",
        "docs",
        "notebooks",
        "pipelines",
        "pyproject.toml",
        "tests",
        "tfrs_models",
    }


def definitions(tree):
    """Names of the public functions and classes of a module."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    names = (node.name for node in tree.body if isinstance(node, kinds))
    return {name for name in names if not name.startswith("_")}


def named(tree):
    """Everything that a test imports, by its dotted name, and all names that it has."""
    found = set(imports(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names}
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files_by_rule():
    """Modules that define something -> their test file by the rule, whether it is."""
    trees = {path: parse(path) for path in MODULES if path.name != "__init__.py"}
    return {
        module_of(path): ROOT.joinpath(
            "tests",
            *path.relative_to(PACKAGE).parts[:-1],
            f"test_{path.name.removeprefix('_')}",
        )
        for path, tree in trees.items()
        if definitions(tree)
    }


def covered_names():
    """Module -> its dotted name, what it defines and what is built on it defines.

    Built on a module are its importers and the importers of those.
    """
    trees = {module_of(path): parse(path) for path in MODULES}
    reached = {name: {name, *definitions(tree)} for name, tree in trees.items()}
    for _ in range(2):
        before = {name: set(names) for name, names in reached.items()}
        for importer, tree in trees.items():
            for name in set(imports(tree)) & trees.keys():
                reached[name] |= before[importer] - {importer}
    return reached


def test_the_tests_of_a_module_are_found_by_its_name_or_in_the_table():
    by_name = files_by_rule()
    rows = [
        (f"tfrs_models.{module}", ROOT / "tests" / test)
        for test, modules in TESTED_IN.items()
        for module in modules.split()
    ]
    in_table = dict(rows)
    assert len(in_table) == len(rows), "a module has one row"
    report(
        f"{module} has no test {path.relative_to(ROOT)}: add it, or a row of TESTED_IN."
        for module, path in by_name.items()
        if not path.exists() and module not in in_table
    )
    reached = covered_names()
    for module, path in rows:
        where = f"TESTED_IN, {module}: "
        assert module in by_name, f"{where}there is no such module, or nothing in it"
        assert not by_name[module].exists(), f"{where}it has a test of its name"
        assert path.exists(), f"{where}there is no {path.relative_to(ROOT)}"
        assert named(parse(path)) & reached[module], (
            f"{where}{path.relative_to(ROOT)} neither imports it nor uses what it, or "
            "what is built on it, defines"
        )


def test_no_test_imports_another_test():
    report(
        f"{path.relative_to(ROOT)} imports {name}: what two tests need belongs into a "
        "module without `test_`, or into conftest.py."
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for name in imports(parse(path))
        if name.split(".")[0] == "tests"
        and any(part.startswith("test_") for part in name.split("."))
    )


def private_attributes(tree):
    """Underscored attributes of other objects that a test reads or replaces."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name, owner = node.attr, ast.unparse(node.value)
        elif isinstance(node, ast.Call) and len(node.args) > 1:
            called = ast.unparse(node.func).split(".")[-1]
            name = node.args[1].value if isinstance(node.args[1], ast.Constant) else ""
            owner = ast.unparse(node.args[0])
            if called not in ("setattr", "getattr", "delattr"):
                continue
        else:
            continue
        is_private = str(name).startswith("_") and not str(name).startswith("__")
        is_own = owner.split(".")[0] in ("self", "cls", "super()")
        if is_private and not is_own and name not in NOT_PRIVATE:
            yield f"{owner}.{name}"


def test_private_attributes_are_not_touched_from_tests():
    for path in sorted((ROOT / "tests").rglob("*.py")):
        name = path.relative_to(ROOT / "tests").as_posix()
        found = sorted(private_attributes(parse(path)))
        count, _ = PRIVATE.get(name, (0, ""))
        assert len(found) == count, (
            f"{name} touches {found}, {count} are counted: use a public way, or count "
            "them in PRIVATE with the reason."
        )
    missing = [name for name in PRIVATE if not (ROOT / "tests" / name).exists()]
    assert not missing, f"rows of PRIVATE without a file: {missing}"


def test_the_package_is_typed_for_those_who_use_it():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert (PACKAGE / "py.typed").is_file()
    assert 'tfrs_models = ["py.typed"]' in project
    assert '"Typing :: Typed"' in project
