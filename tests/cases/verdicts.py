"""What is right for each case."""

import json
import re

AP = 0.925247524752475  # of the evaluation cases' detections


def refused(*words, codes=(2,)):
    """Return a judge: one line with these words, these exit codes, no traceback."""

    def judge(run):
        return (
            run.is_clean
            and tuple(run.codes) == codes
            and len(run.errors) == 1
            and all(word in run.errors[0] for word in words)
        )

    return judge


def accepted(run):
    return run.is_clean and run.codes == [0] and not run.errors


def refused_before_training(*words):
    """Return a judge: prepare refuses, or accepts and the training refuses at its start."""

    def judge(run):
        text = run.text + run.read("train.log")
        trained = (run.folder / "work" / "training.jsonl").exists()
        return (
            run.is_clean
            and run.codes[1] == 2
            and not trained
            and all(word in text for word in words)
        )

    return judge


def trained_and_measured(run):
    losses = [json.loads(line)["loss"] for line in run.read("work/training.jsonl").splitlines()]
    return run.is_clean and set(run.codes) == {0} and losses and min(losses) > 0


def metrics(run, name="m.json"):
    return json.loads(run.read(name))["bbox"]


def out_device_node(run):
    return "null: still a device" in run.text and "pipe: still a pipe" in run.text and run.is_clean


def out_not_writable(run):
    return (
        run.is_clean
        and run.codes == [2, 2, 2]
        and len(run.errors) == 4
        and not list(run.folder.rglob("*.part"))
    )


def nothing_counts(run):
    lines = [line for line in run.lines if "rankdet: warning:" in line]
    return run.is_clean and run.codes == [0, 0, 0] and len(lines) >= 3 and "crowd" in run.text


def order_of_labels(run):
    return "learnt as label 0, 1: ['a', 'b']  written by predict as: ['a', 'b']" in run.text


def edited(run):
    recorded, file = re.search(r"recorded (\w+) file (\w+)", run.text).groups()
    sums = [line.split()[0] for line in run.lines if line.endswith("out/checkpoint.pth")]
    refuses = run.codes[2] == 2 and "as it was prepared" in run.text and sums[0] == sums[1]
    return run.is_clean and run.codes[:2] == [0, 0] and (refuses or recorded == file)


def two_at_once(run):
    own = [line for line in run.lines if re.match(r"[123] rc=", line)]
    codes = sorted(re.findall(r"rc=(\d+)", " ".join(own)))
    return run.is_clean and codes == ["0", "2", "2"] and run.text.count("no other training") == 2


def ctrl_c(run):
    return run.is_clean and "saved at iteration" in run.text and "stopped_" in run.text


def work_dir_moved(run):
    rows = [json.loads(line)["iteration"] for line in run.read("out/training.jsonl").splitlines()]
    resumed = json.loads(run.read("out/run.json"))["resumed"]
    return run.is_clean and run.codes[-1] == 0 and resumed and rows == list(range(1, 9))


def out_is_a_folder(run):
    return run.is_clean and "train rc=2" in run.text and not run.read("work/training.jsonl")


def own_data_beside_published(run):
    return "not comparable" in run.text and "52.6" not in run.text and run.is_clean


def self_balance(run):
    found = [float(line.split()[0]) for line in run.lines if "expected" in line]
    return len(found) == 3 and all(abs(value - 1.4 / 0.6) < 0.01 for value in found)


def numpy_delta(run):
    values = [line.split()[-1] for line in run.lines]
    return "FAIL" not in run.text and len(values) == 4 and values[0] == values[1] == values[2]


def terminal(run):
    return run.is_clean and run.text.count("rc=0") == 4


def own_folder_survives(run):
    before = int(next(line for line in run.lines if line.strip().isdigit()))
    there = sum(path.is_file() for path in (run.folder / "data").rglob("*"))
    return run.is_clean and run.codes == [2] and there == before


def half_text_crowd(run):
    refuses = run.codes == [2] and "iscrowd" in run.text
    return run.is_clean and (refuses or metrics(run)["AP"] == AP)


def ids_of_files(run):
    fix = run.errors[0] if run.errors else ""
    return run.is_clean and run.codes == [2] and "image" in fix and "JSON number" not in fix


VERDICTS = {
    "01-out-device-node": out_device_node,
    "03-umask": lambda run: "600 private.json" in run.text and "664 shared.json" in run.text,
    "04-out-not-writable": out_not_writable,
    "05-folder-for-manifest": lambda run: run.is_clean and run.codes in ([0, 0], [2, 0]),
    "07-iscrowd-text": half_text_crowd,
    "08-nothing-counts": nothing_counts,
    "10-size-null": lambda run: run.is_clean and run.codes in ([0], [2]),
    "11-size-text": refused("width of every image as a number", "'96'"),
    "12-dot-slash-name": accepted,
    "14-backslash-name": lambda run: accepted(run) or refused("\\")(run),
    "15-absolute-name": lambda run: accepted(run) or refused("absolute")(run),
    "16-name-null": refused("images[0]", "file_name"),
    "18-bom": lambda run: accepted(run) or refused("UTF-8 without BOM")(run),
    "19-no-annotations-in-val": refused("empty"),
    "20-fewer-categories-in-val": refused("'b'", "train only"),
    "21-roboflow-layout": accepted,
    "22-results-of-other-tools": ids_of_files,
    "23-own-data-beside-published": own_data_beside_published,
    "24-self-balance-half": self_balance,
    "26-numpy-delta": numpy_delta,
    "27-terminal-without-unicode": terminal,
    "28-prepare-digits-deletes-own-data": own_folder_survives,
    "30-annotation-ids-from-0": trained_and_measured,
    "31-area-missing": trained_and_measured,
    "32-string-image-ids": refused_before_training('"id" of every image'),
    "35-masks-missing": refused_before_training("mask", "8 of 8"),
    "37-polygons-of-two-points": refused_before_training("three points"),
    "38-float32-tiff": refused_before_training("OpenCV"),
    "40-lvis-frequency-word": lambda run: run.is_clean and run.codes[0] == 2,
    "42-area-0": refused_before_training("8 with area 0"),
    "43-only-crowds": refused_before_training("8 crowds"),
    "44-normalised-boxes": refused_before_training("between 0 and 1"),
    "47-size-swapped": refused("80 x 200", "200 x 80"),
    "48-exif-turn-boxes": lambda run: "white inside: 1.0" in run.text,
    "50-category-order-val": order_of_labels,
    "52-annotations-edited-after-prepare": edited,
    "54-resume-after-data-moved": lambda run: run.is_clean and "resumed True" in run.text,
    "56-work-dir-moved": work_dir_moved,
    "57-two-at-once": two_at_once,
    "58-ctrl-c": ctrl_c,
    "59-rank-in-the-environment": lambda run: run.is_clean and run.codes == [0, 0],
    "60-out-is-a-folder": out_is_a_folder,
    "61-report-of-a-set-without-annotations": lambda run: run.is_clean and not run.errors,
    "62-huge-image": lambda run: run.is_clean and run.codes in ([0], [2]),
    "63-losses-only-install": lambda run: run.is_clean and "rankdet[pipeline]" in run.text,
    "68-broken-image-beyond-the-sample": refused("026.jpg"),
}
