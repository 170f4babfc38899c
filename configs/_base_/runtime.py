# What every entry shares. The heads and losses of rankdet are registered by this import.
custom_imports = dict(imports=['rankdet.models'], allow_failed_imports=False)
