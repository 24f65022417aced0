"""What carries no method: data, backbones, surgery, device, evaluation, report, runs.

TensorFlow is imported here, once and quietly, so a recipe imports `common` before `keras`.
"""

import os

from common import quiet

# TensorFlow reads both while it is imported. oneDNN made VGG16 inference about 15 % faster on an AMD CPU.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

with quiet.start_up_chatter_hidden():
    import tensorflow

    tensorflow.config.list_physical_devices()  # Without a GPU, CUDA complains at the first look.
    tensorflow.get_logger().setLevel("ERROR")  # It warns of retracing, which a run of several models needs.
