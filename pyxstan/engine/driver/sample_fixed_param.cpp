// No transitions: the parameters stay where they start, generated quantities are drawn anew.
#include "sample.hpp"

#include <stan/services/sample/fixed_param.hpp>

namespace pyxstan {
namespace {

int sample(run& r) {
  auto inits = idle_writers(r);
  return stan::services::sample::fixed_param(
      r.model, r.chains, r.inits, r.seed, r.id, r.init_radius, r.set.whole("sample.num_samples"),
      r.set.whole("sample.thin"), r.refresh, r.interrupt, r.logger, inits, r.output, r.diagnostics);
}

const registration registered("sample_fixed_param", sample);

}  // namespace
}  // namespace pyxstan
