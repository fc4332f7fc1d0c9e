// The kernel for cluster_kernel.stan.
#include "../../stan_models/functions/cluster.hpp"
