// Hamiltonian Monte Carlo with a fixed integration time, of all metrics: few ask for it.
#include "sample.hpp"

#include <stan/services/sample/hmc_static_dense_e.hpp>
#include <stan/services/sample/hmc_static_dense_e_adapt.hpp>
#include <stan/services/sample/hmc_static_diag_e.hpp>
#include <stan/services/sample/hmc_static_diag_e_adapt.hpp>
#include <stan/services/sample/hmc_static_unit_e.hpp>
#include <stan/services/sample/hmc_static_unit_e_adapt.hpp>

namespace pyxstan {
namespace {

// A service with a metric: the one that the user gave, or the service's own.
template <typename Service>
int with_metric(const run& r, Service service) {
  const auto metrics = given_metrics(r);
  return metrics.empty() ? service() : service(*metrics[0]);
}

int sample(run& r) {
  namespace services = stan::services::sample;
  if (r.chains != 1) {
    throw std::runtime_error("num_chains can only be 1 for engine=static");
  }
  const nuts_settings s(r);
  const double time = r.set.real("sample.hmc.static.int_time");
  const std::string& metric = r.set.text("sample.hmc.metric");
  stan::callbacks::writer inits;
  const auto fixed = [&](auto service) {
    return [&, service](const auto&... given) {
      return service(r.model, *r.inits[0], given..., r.seed, r.id, r.init_radius, s.warmup, s.draws,
                     s.thin, s.save_warmup, r.refresh, s.stepsize, s.jitter, time, r.interrupt,
                     r.logger, inits, r.output[0], r.diagnostics[0]);
    };
  };
  const auto adapted = [&](auto service) {
    return [&, service](const auto&... given) {
      return service(r.model, *r.inits[0], given..., r.seed, r.id, r.init_radius, s.warmup, s.draws,
                     s.thin, s.save_warmup, r.refresh, s.stepsize, s.jitter, time, s.delta, s.gamma,
                     s.kappa, s.t0, s.init_buffer, s.term_buffer, s.window, r.interrupt, r.logger,
                     inits, r.output[0], r.diagnostics[0]);
    };
  };
  if (metric == "unit_e") {
    return s.adapt ? services::hmc_static_unit_e_adapt(
               r.model, *r.inits[0], r.seed, r.id, r.init_radius, s.warmup, s.draws, s.thin,
               s.save_warmup, r.refresh, s.stepsize, s.jitter, time, s.delta, s.gamma, s.kappa,
               s.t0, r.interrupt, r.logger, inits, r.output[0], r.diagnostics[0])
                   : fixed([](auto&... a) { return services::hmc_static_unit_e(a...); })();
  }
  if (metric == "dense_e") {
    return s.adapt ? with_metric(r, adapted([](auto&... a) {
                       return services::hmc_static_dense_e_adapt(a...);
                     }))
                   : with_metric(r, fixed([](auto&... a) {
                       return services::hmc_static_dense_e(a...);
                     }));
  }
  return s.adapt ? with_metric(r, adapted([](auto&... a) {
                     return services::hmc_static_diag_e_adapt(a...);
                   }))
                 : with_metric(r, fixed([](auto&... a) {
                     return services::hmc_static_diag_e(a...);
                   }));
}

const registration registered("sample_static", sample);

}  // namespace
}  // namespace pyxstan
