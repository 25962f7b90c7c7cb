def read_state(path, averaged=True):
    import torch

    s = torch.load(path, map_location="cpu", weights_only=True)
    for k in ("state_dict", "model"):
        if k in s:
            s = s[k]
    return s
