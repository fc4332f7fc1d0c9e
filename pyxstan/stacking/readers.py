def read_inputs(a, b): ...


read_covariates = read_selection = read_text = read_inputs
