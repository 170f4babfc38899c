"""Small DETR models of transformers with random weights, and a batch."""

import torch
import transformers as hf

CLASSES, QUERIES, DENOISING = 6, 20, 12


def _backbone():
    return hf.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )


def _rt_settings():
    return dict(
        backbone_config=_backbone(),
        num_labels=CLASSES,
        encoder_hidden_dim=32,
        encoder_in_channels=[16, 24, 32],
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        d_model=32,
        num_queries=QUERIES,
        decoder_in_channels=[32, 32, 32],
        decoder_ffn_dim=32,
        decoder_layers=2,
        decoder_attention_heads=2,
        num_denoising=DENOISING,
    )


def rt_detr():
    return hf.RTDetrForObjectDetection(hf.RTDetrConfig(**_rt_settings()))


def rt_detr_v2():
    return hf.RTDetrV2ForObjectDetection(hf.RTDetrV2Config(**_rt_settings()))


def d_fine():
    return hf.DFineForObjectDetection(hf.DFineConfig(**_rt_settings()))


def deformable_detr():
    config = hf.DeformableDetrConfig(
        num_labels=CLASSES,
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=hf.ResNetConfig(
            embedding_size=8,
            hidden_sizes=[8, 16, 24, 32],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        ),
        num_feature_levels=3,
        num_queries=QUERIES,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        auxiliary_loss=True,
    )
    return hf.DeformableDetrForObjectDetection(config)


BUILDERS = {
    "rt_detr": rt_detr,
    "rt_detr_v2": rt_detr_v2,
    "d_fine": d_fine,
    "deformable_detr": deformable_detr,
}
CLASS_KEY = dict.fromkeys(BUILDERS, "loss_vfl") | {"deformable_detr": "loss_ce"}


def new_model(name, seed=0):
    torch.manual_seed(seed)
    return BUILDERS[name]()


def example(index, objects):
    """Image and labels with so many objects."""
    generator = torch.Generator().manual_seed(index)
    center = 0.3 + 0.4 * torch.rand(objects, 2, generator=generator)
    size = 0.2 + 0.3 * torch.rand(objects, 2, generator=generator)
    labels = {
        "class_labels": torch.randint(0, CLASSES, (objects,), generator=generator),
        "boxes": torch.cat((center, size), 1),
    }
    return {"pixel_values": torch.rand(3, 64, 64, generator=generator), "labels": labels}


def collate(examples):
    pixels = torch.stack([each["pixel_values"] for each in examples])
    return {"pixel_values": pixels, "labels": [each["labels"] for each in examples]}


def batch(objects=(2, 1)):
    return collate([example(index, count) for index, count in enumerate(objects)])
