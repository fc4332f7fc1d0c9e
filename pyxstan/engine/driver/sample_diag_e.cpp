// NUTS with a diagonal Euclidean metric.
#include "sample.hpp"

#include <stan/services/sample/hmc_nuts_diag_e.hpp>
#include <stan/services/sample/hmc_nuts_diag_e_adapt.hpp>

namespace pyxstan {
namespace {

int sample(run& r) {
  namespace services = stan::services::sample;
  const nuts_settings s(r);
  auto inits = idle_writers(r);
  auto metrics = given_metrics(r);
  if (metrics.empty()) {
    for (std::size_t i = 0; i < r.chains; ++i) {
      metrics.push_back(std::make_shared<stan::io::array_var_context>(
          stan::services::util::create_unit_e_diag_inv_metric(r.model.num_params_r())));
    }
  }
  if (!s.adapt) {
    return services::hmc_nuts_diag_e(
        r.model, r.chains, r.inits, metrics, r.seed, r.id, r.init_radius, s.warmup, s.draws, s.thin,
        s.save_warmup, r.refresh, s.stepsize, s.jitter, s.depth, r.interrupt, r.logger, inits,
        r.output, r.diagnostics);
  }
  auto adapted = metric_writers(r);
  return services::hmc_nuts_diag_e_adapt(
      r.model, r.chains, r.inits, metrics, r.seed, r.id, r.init_radius, s.warmup, s.draws, s.thin,
      s.save_warmup, r.refresh, s.stepsize, s.jitter, s.depth, s.delta, s.gamma, s.kappa, s.t0,
      s.init_buffer, s.term_buffer, s.window, r.interrupt, r.logger, inits, r.output, r.diagnostics,
      adapted);
}

const registration registered("sample_diag_e", sample);

}  // namespace
}  // namespace pyxstan
