// The kernel for point_source_kernel.stan.
#include "../../stan_models/point_source.hpp"
