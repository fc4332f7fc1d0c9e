// Both kernels for concordance_kernels.stan.
#include "../../stan_models/concordance.hpp"
#include "../../stan_models/concordance_t.hpp"
