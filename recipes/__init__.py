"""Transfer-learning recipes for Keras 3: one scenario, one file. `python -m recipes` lists them."""
