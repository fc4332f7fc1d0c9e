// Point estimation: L-BFGS, BFGS and Newton, with or without the Jacobian of constraints.
#include "run.hpp"

#include <stan/services/optimize/bfgs.hpp>
#include <stan/services/optimize/lbfgs.hpp>
#include <stan/services/optimize/newton.hpp>

namespace pyxstan {
namespace {

template <bool jacobian>
int optimize(run& r) {
  namespace services = stan::services::optimize;
  using model = stan::model::model_base;
  const std::string& algorithm = r.set.text("optimize.algorithm");
  const int iterations = r.set.whole("optimize.iter");
  const bool save = r.set.flag("optimize.save_iterations");
  csv_writer inits;
  if (algorithm == "newton") {
    return services::newton<model, jacobian>(r.model, *r.inits[0], r.seed, r.id, r.init_radius,
                                             iterations, save, r.interrupt, r.logger, inits,
                                             r.output[0]);
  }
  const auto set = [&](const char* name) { return r.set.real("optimize." + algorithm + "." + name); };
  if (algorithm == "bfgs") {
    return services::bfgs<model, jacobian>(
        r.model, *r.inits[0], r.seed, r.id, r.init_radius, set("init_alpha"), set("tol_obj"),
        set("tol_rel_obj"), set("tol_grad"), set("tol_rel_grad"), set("tol_param"), iterations, save,
        r.refresh, r.interrupt, r.logger, inits, r.output[0]);
  }
  return services::lbfgs<model, jacobian>(
      r.model, *r.inits[0], r.seed, r.id, r.init_radius, r.set.whole("optimize.lbfgs.history_size"),
      set("init_alpha"), set("tol_obj"), set("tol_rel_obj"), set("tol_grad"), set("tol_rel_grad"),
      set("tol_param"), iterations, save, r.refresh, r.interrupt, r.logger, inits, r.output[0]);
}

int either(run& r) {
  return r.set.flag("optimize.jacobian") ? optimize<true>(r) : optimize<false>(r);
}

const registration registered("optimize", either);

}  // namespace
}  // namespace pyxstan
