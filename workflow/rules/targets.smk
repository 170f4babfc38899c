# What can be asked for by name. One experiment: results/<preset>/<entry>/metrics.json;
# one table: results/<preset>/tables/<table>.md.


rule all:
    default_target: True
    input:
        "results/paper/report.html",


rule demo:
    input:
        "results/demo/report.html",
