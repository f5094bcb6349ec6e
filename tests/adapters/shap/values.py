"""Run in shap's own environment: `python values.py MODEL ROWS OUT`.

MODEL is a pickled estimator of the test's own making, ROWS a matrix as .npy. Leaves `values`
[rows, features(, classes)] and `base` in OUT, an .npz file.
"""

import pickle
import sys
from pathlib import Path

import numpy as np
import shap

model = pickle.loads(Path(sys.argv[1]).read_bytes())
explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
values = explainer.shap_values(np.load(sys.argv[2]))
np.savez(sys.argv[3], values=np.asarray(values), base=np.ravel(explainer.expected_value))
