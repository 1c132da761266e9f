"""The bar: metrics, baselines, paired comparison, slices and the gate."""
