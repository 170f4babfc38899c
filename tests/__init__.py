from rankdet import ops

ops.install()  # tests import mmdet before rankdet.models
