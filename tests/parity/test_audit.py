"""The audit finds what it is for: one changed value of a config is a deviation.

Every leaf of a config of each kind is changed, and removed, in turn.
"""

import inspect

import pytest

from rankdet.audit import audit, resolved_settings
from rankdet.audit.classes import DEFAULTS, HEAD_NAMES, LOSS_STEPS, LOSSES, SWITCHES
from rankdet.audit.resolved import NOT_COMPARED, UNREAD_STEPS, VARIABLES, WATCHING
from tests.parity.rows import CATALOGUE, STATED, WITH_CONFIG, by_id, paper

KINDS = (
    *("alrp_ap_r101_800", "ext_ap_r50_500", "alrp_mmdet_alrp_atss_x101_64x4d_dcn_800"),
    *("alrp_mmdet_alrp_fovea_r50_500", "alrp_mmdet_alrp_frcnn_r50_500", "pap_pap_frcnn_r50"),
    *("pap_focal_giou_retinanet_r50", "rs_mask_plus_r101_dcn_3x", "rs_cascade_r50", "rs_atss_r50"),
    *("rs_paa_r50", "rs_yolact_r50", "rs_solov2_r34_light", "rs_mask_r50_lvis"),
    *("ext_br_rs_mask_r50_city", "control_cascade_r50"),
)


def as_lists(value):
    if isinstance(value, dict):
        return {key: as_lists(each) for key, each in value.items()}
    return [as_lists(each) for each in value] if isinstance(value, list | tuple) else value


def config_of(entry_id):
    return as_lists(paper(entry_id).to_dict())


def paths(value, path=()):
    """Yield the path of every leaf; a list of plain values is one."""
    if isinstance(value, dict) and value:
        children = value.items()
    elif isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        children = enumerate(value)
    else:
        yield path, value
        return
    for name, each in children:
        yield from paths(each, (*path, name))


def node_at(config, path):
    for name in path:
        config = config[name]
    return config


def other(value):
    """Return another value of the same kind."""
    if isinstance(value, list):
        return [other(value[0]), *value[1:]] if value else ["x"]
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, int | float):
        return value + 1
    return {"x": 1} if value == {} else "x"


def is_left_out(config, path):
    """Whether a leaf shapes no result, by the lists of the audit."""
    name = ".".join(map(str, path))
    if any(name == each or name.startswith(f"{each}.") for each in (*NOT_COMPARED, *VARIABLES)):
        return True
    if path[0] == "custom_hooks":
        return node_at(config, path[:2])["type"] in WATCHING
    if "pipeline" in path and path[-1] != "type":
        step = node_at(config, path[: path.index("pipeline") + 2])
        if step["type"] in UNREAD_STEPS["train" if path[0].startswith("train") else "test"]:
            return True
    # Registries; where files are stored; what a stage prints.
    return path[-1] in ("_scope_", "backend_args", "debug")


def noticed(entry_id, config):
    return bool(audit(CATALOGUE[entry_id], config, STATED).unexplained)


@pytest.mark.parametrize("entry_id", KINDS)
def test_every_changed_value_is_noticed(entry_id):
    config = config_of(entry_id)
    unnoticed = []
    for path, value in list(paths(config)):
        parent = node_at(config, path[:-1])
        parent[path[-1]] = other(value)
        if not noticed(entry_id, config):
            unnoticed.append(path)
        parent[path[-1]] = value
    if CATALOGUE[entry_id].official.batch.total == "unknown":
        unnoticed.remove(("auto_scale_lr", "base_batch_size"))  # test_rows has it
    assert not [path for path in unnoticed if not is_left_out(config, path)]
    assert not noticed(entry_id, config)


# What the trainer or a class does where a config says nothing.
SAME_WITHOUT = {
    "auto_scale_lr.enable": False,
    "load_from": None,
    "model.backbone.init_cfg": None,
    "model.backbone.norm_eval": True,
    "model.train_cfg": {},
    "param_scheduler.0.begin": 0,
    "param_scheduler.1.begin": 0,
    "param_scheduler.1.by_epoch": True,
    "train_dataloader.dataset.dataset.data_prefix.img": "",
}


def is_default(config, path):
    """Whether a value is what its class, or the trainer, has without it."""
    parent, name = node_at(config, path[:-1]), ".".join(map(str, path))
    own = DEFAULTS.get(parent.get("type"), {}).get(path[-1], "nothing")
    return parent[path[-1]] in (own, SAME_WITHOUT.get(name, "nothing"))


@pytest.mark.parametrize("entry_id", KINDS)
def test_every_removed_value_is_noticed(entry_id):
    config = config_of(entry_id)
    unnoticed = []
    for path, value in list(paths(config)):
        parent = node_at(config, path[:-1])
        if isinstance(parent, dict):
            del parent[path[-1]]
            if not noticed(entry_id, config):
                unnoticed.append(path)
            parent[path[-1]] = value
    if CATALOGUE[entry_id].official.batch.total == "unknown":
        unnoticed.remove(("auto_scale_lr", "base_batch_size"))
    left_out = (is_left_out, is_default)
    assert not [path for path in unnoticed if not any(each(config, path) for each in left_out)]


@pytest.mark.parametrize("entry_id", KINDS)
def test_an_unknown_setting_is_noticed_wherever_it_stands(entry_id):
    config = config_of(entry_id)
    places = {path[:-1] for path, _ in paths(config)}
    for place in sorted(places, key=str):
        node = node_at(config, place)
        if not isinstance(node, dict) or is_left_out(config, (*place, "new")):
            continue
        node["new"] = 1
        assert noticed(entry_id, config), place
        del node["new"]


@pytest.mark.parametrize("entry", WITH_CONFIG, ids=by_id)
def test_another_head_or_step_is_noticed(entry):
    config = config_of(entry.entry_id)
    types = [path for path, _ in paths(config["model"], ("model",)) if path[-1] == "type"]
    heads = {node_at(config, path) for path in types if "head" in str(path[-2:-4:-1])}
    for path in types:
        known = HEAD_NAMES if path[-2] == "loss_step" else heads
        node, value = node_at(config, path[:-1]), node_at(config, path)
        for name in known if value in known else ():
            node["type"] = name
            assert name == value or noticed(entry.entry_id, config), (path, name)
        node["type"] = value


def test_a_head_takes_its_loss_by_the_step_of_that_loss():
    assert set(LOSS_STEPS) == set(LOSSES)
    assert {step for steps in LOSS_STEPS.values() for step in steps} == set(HEAD_NAMES)
    config = config_of("rs_mask_r50")
    del config["model"]["rpn_head"]["loss_step"]
    assert noticed("rs_mask_r50", config)


def test_defaults_are_those_of_the_classes():
    """What the audit fills in where a config says nothing, against the constructors."""
    from mmdet.models import losses as stock
    from mmdet.models.backbones import ResNet, ResNeXt
    from mmdet.models.task_modules import MaxIoUAssigner, RandomSampler

    from rankdet import losses
    from rankdet.models.steps.alrp import AlrpStep

    kinds = (ResNet, ResNeXt, MaxIoUAssigner, RandomSampler, AlrpStep)
    classes = {each.__name__: each for each in kinds}
    for name, defaults in DEFAULTS.items():
        kind = classes.get(name) or getattr(losses, name, None) or getattr(stock, name)
        kinds = [each for each in kind.__mro__ if "__init__" in vars(each)]
        signature = {
            key: value.default
            for each in reversed(kinds)
            for key, value in inspect.signature(each.__init__).parameters.items()
        }
        assert defaults.items() <= signature.items(), name


def test_switches_are_settings_of_their_heads():
    from mmdet.registry import MODELS

    import rankdet.models  # noqa: F401 - registers the heads

    for name, switches in SWITCHES.items():
        assert set(switches) <= set(inspect.signature(MODELS.get(name).__init__).parameters)


def test_what_cannot_be_read_differs():
    config = config_of("rs_atss_r50")
    for name in ("train_dataloader", "optim_wrapper", "param_scheduler", "model", "auto_scale_lr"):
        changed = {key: value for key, value in config.items() if key != name}
        assert noticed("rs_atss_r50", changed), name
    assert resolved_settings({})
