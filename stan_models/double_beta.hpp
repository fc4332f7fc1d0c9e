// The likelihood of double_beta.stan.
#include "functions/cluster.hpp"
