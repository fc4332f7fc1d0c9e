// NUTS with the unit metric.
#include "sample.hpp"

#include <stan/services/sample/hmc_nuts_unit_e.hpp>
#include <stan/services/sample/hmc_nuts_unit_e_adapt.hpp>

namespace pyxstan {
namespace {

int sample(run& r) {
  namespace services = stan::services::sample;
  const nuts_settings s(r);
  auto inits = idle_writers(r);
  if (!s.adapt) {
    return services::hmc_nuts_unit_e(r.model, r.chains, r.inits, r.seed, r.id, r.init_radius,
                                     s.warmup, s.draws, s.thin, s.save_warmup, r.refresh,
                                     s.stepsize, s.jitter, s.depth, r.interrupt, r.logger, inits,
                                     r.output, r.diagnostics);
  }
  auto adapted = metric_writers(r);
  return services::hmc_nuts_unit_e_adapt(
      r.model, r.chains, r.inits, r.seed, r.id, r.init_radius, s.warmup, s.draws, s.thin,
      s.save_warmup, r.refresh, s.stepsize, s.jitter, s.depth, s.delta, s.gamma, s.kappa, s.t0,
      r.interrupt, r.logger, inits, r.output, r.diagnostics, adapted);
}

const registration registered("sample_unit_e", sample);

}  // namespace
}  // namespace pyxstan
