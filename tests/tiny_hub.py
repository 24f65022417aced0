"""Networks of KerasHub that are small enough for tests, and presets of them."""

import pathlib

import keras

from common.models import presets

SIZE = 64


def backbone(family: str) -> keras.Model:
    """Return a small network of a family, with random weights, the same at each call."""
    keras.utils.set_random_seed(0)
    return FAMILIES[family](presets.keras_hub("tests need").models)


def preset(family: str, folder: pathlib.Path, **converter: object) -> str:
    """Save a small network as a preset, and return the name of the backbone."""
    network = backbone(family)
    return preset_of(network, folder, type(network).__name__.removesuffix("Backbone"), **converter)


def preset_of(network: keras.Model, folder: pathlib.Path, kind: str, **converter: object) -> str:
    """Save a network as a preset with the image converter of its kind, and return the name of the backbone."""
    package = presets.keras_hub("tests need")
    network.save_to_preset(str(folder))
    settings = {"image_size": (SIZE, SIZE), "scale": 1 / 127.5, "offset": -1.0} | converter
    getattr(package.layers, f"{kind}ImageConverter")(**settings).save_to_preset(str(folder))
    return f"hub:{folder}"


def four_stages() -> keras.Model:
    """Return a small ResNet with the strides 4, 8, 16 and 32."""
    models = presets.keras_hub("tests need").models
    filters, strides = [64, 16, 32, 32], [1, 2, 2, 2]
    return models.ResNetBackbone([64], [7], filters, [1] * 4, strides, "basic_block", image_shape=(None, None, 3))


def retinanet(encoder: keras.Model) -> keras.Model:
    """Return the network of a RetinaNet with the feature pyramid of strides 8, 16 and 32."""
    models = presets.keras_hub("tests need").models
    return models.RetinaNetBackbone(encoder, 3, 5, use_p5=False, image_shape=(SIZE, SIZE, 3))


def d_fine() -> keras.Model:
    """Return the network of a D-FINE on a small HGNetV2."""
    models = presets.keras_hub("tests need").models
    stages = [[8, 8, 16, 1, 1, 3], [16, 8, 32, 1, 1, 3], [32, 8, 32, 1, 1, 3], [32, 8, 32, 1, 1, 3]]
    used, size = ["stage3", "stage4"], (SIZE, SIZE, 3)
    encoder = models.HGNetV2Backbone(
        [1] * 4, 8, [16, 32, 32, 32], [3, 8, 8], "relu", True, stages, [False, True, True, True],
        [False, False, True, True], image_shape=(None, None, 3), out_features=used,
    )  # fmt: skip
    return models.DFineBackbone(
        encoder, decoder_in_channels=[16, 16], encoder_hidden_dim=16, num_denoising=0, num_labels=80, hidden_dim=16,
        learn_initial_query=False, num_queries=20, anchor_image_size=size[:2], feat_strides=[16, 32],
        num_feature_levels=2, encoder_in_channels=[32, 32], encode_proj_layers=[1], num_attention_heads=2,
        encoder_ffn_dim=32, num_encoder_layers=1, hidden_expansion=0.34, depth_multiplier=0.5, eval_idx=-1,
        num_decoder_layers=2, decoder_attention_heads=2, decoder_ffn_dim=32, decoder_n_points=[2, 2], lqe_hidden_dim=8,
        num_lqe_layers=2, out_features=used, image_shape=size, seed=0,
    )  # fmt: skip


def _photos(size: int = SIZE) -> tuple[int, int, int]:
    return (size, size, 3)


def _resnet(m, kind, pre_activation=False, stem=(64,)):
    kernels = [7] if len(stem) == 1 else [3] * len(stem)
    return m.ResNetBackbone(
        list(stem), kernels, [64, 64], [1, 2], [1, 2], kind, use_pre_activation=pre_activation,
        image_shape=(None, None, 3),
    )  # fmt: skip


def _efficientnet(m, types, squeeze, **settings):
    return m.EfficientNetBackbone(
        stackwise_kernel_sizes=[3, 3, 5], stackwise_num_repeats=[1, 2, 2], stackwise_input_filters=[8, 8, 12],
        stackwise_output_filters=[8, 12, 16], stackwise_expansion_ratios=[1, 6, 6], stackwise_strides=[1, 2, 2],
        stackwise_block_types=types, stackwise_squeeze_and_excite_ratios=squeeze, width_coefficient=1.0,
        depth_coefficient=1.0, **settings,
    )  # fmt: skip


def _mobilenet(m):
    return m.MobileNetBackbone(
        [[1], [4, 3.6], [4, 4, 4]], [1, 2, 3], [[8], [8, 8], [16, 16, 16]], [[3], [3, 3], [5, 5, 5]],
        [[2], [2, 1], [2, 1, 1]], [[0.25], [None, None], [0.25, 0.25, 0.25]],
        [["relu"], ["relu", "relu"], ["hard_swish"] * 3], [[1], [1, 1], [2, 2, 2]], output_num_filters=32,
        input_activation="hard_swish", output_activation="hard_swish", input_num_filters=8, image_shape=_photos(),
        depthwise_filters=8, depthwise_stride=1, depthwise_residual=True, squeeze_and_excite=0.5, last_layer_filter=24,
    )  # fmt: skip


def _clip(m):
    vision = m.CLIPVisionEncoder(16, 16, 3, 2, 32, image_shape=_photos())
    return m.CLIPBackbone(vision, m.CLIPTextEncoder(50, 16, 16, 2, 2, 32, "quick_gelu", max_sequence_length=8), 16)


def _siglip(m):
    vision = m.SigLIPVisionEncoder(16, 16, 3, 2, 32, image_shape=_photos())
    return m.SigLIPBackbone(vision, m.SigLIPTextEncoder(50, 16, 16, 2, 2, 32, max_sequence_length=8))


def _mit(m):
    return m.MiTBackbone([1, 2], 2, [1, 2], [2, 1], 0.1, [7, 3], [4, 2], _photos(), [8, 16])


def _segformer(m):
    encoder = m.MiTBackbone([1] * 4, 4, [1] * 4, [4, 2, 2, 1], 0.1, [7, 3, 3, 3], [4, 2, 2, 2], _photos(),
                            [8, 12, 16, 20])  # fmt: skip
    return m.SegFormerBackbone(encoder, 16)


def _hgnet(m):
    stages = [[8, 8, 8, 1, 1, 3], [8, 8, 8, 1, 1, 3], [8, 8, 16, 2, 1, 3]]
    return m.HGNetV2Backbone(
        [1, 1, 2], 8, [8, 8, 16], [3, 8, 8], "relu", False, stages, [False, True, True], [False, False, True],
        image_shape=_photos(),
    )  # fmt: skip


FAMILIES = {
    "ResNet": lambda m: _resnet(m, "basic_block"),
    "ResNetV2": lambda m: _resnet(m, "bottleneck_block", pre_activation=True),
    "ResNetVD": lambda m: _resnet(m, "bottleneck_block_vd", stem=(8, 8, 8)),
    "VGG": lambda m: m.VGGBackbone([1, 1, 2], [4, 8, 8], image_shape=(None, None, 3)),
    "DenseNet": lambda m: m.DenseNetBackbone([2, 2, 2], image_shape=(None, None, 3), growth_rate=8),
    "CSPNet": lambda m: m.CSPNetBackbone(
        8, 3, 1, [1, 2], [1, 2], [8, 16], block_type="dark_block", stage_type="dark", bottle_ratio=(0.5,),
        image_shape=_photos(),
    ),
    "Xception": lambda m: m.XceptionBackbone(
        [[4, 8], [16, 16], [16, 16], [16, 24], [32, 32]], [False, True, False, True, False], image_shape=(None, None, 3)
    ),
    "EfficientNet": lambda m: _efficientnet(m, ["v1"] * 3, [0.25] * 3, dropout=0.2),
    "EfficientNetLite": lambda m: _efficientnet(m, ["v1"] * 3, [0] * 3, activation="relu6"),
    "EfficientNetV2": lambda m: _efficientnet(m, ["fused", "fused", "unfused"], [0, 0, 0.25]),
    "MobileNet": _mobilenet,
    "ViT": lambda m: m.ViTBackbone(_photos(), 16, 3, 2, 16, 32),
    "ViTWithoutClass": lambda m: m.ViTBackbone(
        _photos(), 16, 2, 2, 16, 32, use_class_token=False, use_mha_bias=False, use_patch_bias=False, dropout_rate=0.1,
        attention_dropout=0.1,
    ),
    "DeiT": lambda m: m.DeiTBackbone(_photos(), 16, 3, 2, 16, 32, dropout_rate=0.1),
    "DINOV2": lambda m: m.DINOV2Backbone(
        16, 3, 16, 2, 32, image_shape=_photos(), position_embedding_shape=_photos()[:2], num_register_tokens=2,
        drop_path_rate=0.1,
    ),
    "DINOV3": lambda m: m.DINOV3Backbone(16, 3, 16, 2, 32, image_shape=_photos(), num_register_tokens=2),
    "CLIP": _clip,
    "MetaCLIP2Vision": lambda m: m.MetaCLIP2VisionEncoder(16, 16, 3, 2, 32, image_shape=_photos()),
    "SigLIP": _siglip,
    "MiT": _mit,
    "SegFormer": _segformer,
    "SwinTransformer": lambda m: m.SwinTransformerBackbone(_photos(), 8, [2, 2], [2, 2], 4),
    "HGNetV2": _hgnet,
    "ViTDet": lambda m: m.ViTDetBackbone(
        16, 2, 32, 2, [1], image_shape=_photos(), patch_size=16, num_output_channels=8, window_size=2
    ),
}  # fmt: skip
