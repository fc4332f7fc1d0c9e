// The likelihood of beta.stan.
#include "functions/cluster.hpp"
