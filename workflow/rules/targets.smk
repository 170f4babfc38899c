# What can be asked for by name. One experiment: results/<preset>/<entry>/metrics.json;
# one table: results/<preset>/tables/<table>.md.


rule all:
    default_target: True
    input:
        everything("paper"),


rule demo:
    input:
        everything("demo"),


rule smoke:
    input:
        everything("smoke"),
