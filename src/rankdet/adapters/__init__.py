"""The losses in the detectors of other packages, in one line; a module imports its package only.

    from rankdet.adapters.torchvision import use_rank_sort    # pip install 'rankdet[torchvision]'
    from rankdet.adapters.transformers import use_rank_sort   # pip install 'rankdet[transformers]'

    model = use_rank_sort(model)

Each module has `use_rank_sort`, `use_alrp` and `use_ap_loss`. They change what a model computes as
its loss. Weights, keys of the state dict, keys of the loss dictionary and the way to call the model
stay. `rankdet.adapters` itself imports neither package.
"""
