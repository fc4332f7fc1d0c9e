// The part of Stan Math that the driver and Stan's services use, in place of all of it, which takes
// longer to read than the rest of many a unit. Stan's own headers ask for everything, by the names of
// headers that are marked as read here; what a unit uses besides, it includes itself. What is missing
// is an error of the compiler; then the unit is compiled with PYXSTAN_ALL_OF_STAN_MATH.
#ifndef PYXSTAN_DRIVER_STAN_MATH_HPP
#define PYXSTAN_DRIVER_STAN_MATH_HPP

#ifndef PYXSTAN_ALL_OF_STAN_MATH
#define STAN_MATH_HPP
#define STAN_MATH_MIX_HPP
#define STAN_MATH_REV_HPP
#define STAN_MATH_PRIM_HPP
#endif

#include <stan/math/rev/core.hpp>
#include <stan/math/rev/fun/grad.hpp>
#include <stan/math/rev/functor/gradient.hpp>
#include <stan/math/rev/meta.hpp>
#include <stan/math/prim/meta.hpp>
#include <stan/math/prim/err.hpp>

#include <iomanip>

#endif
