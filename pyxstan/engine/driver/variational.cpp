// Automatic differentiation variational inference: mean field and full rank.
#include "run.hpp"

#include <stan/math/prim/prob/normal_rng.hpp>

#include <stan/services/experimental/advi/fullrank.hpp>
#include <stan/services/experimental/advi/meanfield.hpp>

namespace pyxstan {
namespace {

int variational(run& r) {
  namespace services = stan::services::experimental::advi;
  const auto whole = [&](const char* name) {
    return r.set.whole(std::string("variational.") + name);
  };
  csv_writer init;
  const auto call = [&](auto service) {
    return service(r.model, *r.inits[0], r.seed, r.id, r.init_radius, whole("grad_samples"),
                   whole("elbo_samples"), whole("iter"), r.set.real("variational.tol_rel_obj"),
                   r.set.real("variational.eta"), r.set.flag("variational.adapt.engaged"),
                   whole("adapt.iter"), whole("eval_elbo"), whole("output_samples"), r.interrupt,
                   r.logger, init, r.output[0], r.diagnostics[0]);
  };
  return r.set.text("variational.algorithm") == "fullrank"
             ? call([](auto&&... a) { return services::fullrank(a...); })
             : call([](auto&&... a) { return services::meanfield(a...); });
}

const registration registered("variational", variational);

}  // namespace
}  // namespace pyxstan
