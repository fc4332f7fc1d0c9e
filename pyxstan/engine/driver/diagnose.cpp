// Gradients against finite differences.
#include "run.hpp"

#include <stan/services/diagnose/diagnose.hpp>

namespace pyxstan {
namespace {

int diagnose(run& r) {
  csv_writer init;
  return stan::services::diagnose::diagnose(
      r.model, *r.inits[0], r.seed, r.id, r.init_radius, r.set.real("diagnose.gradient.epsilon"),
      r.set.real("diagnose.gradient.error"), r.interrupt, r.logger, init, r.output[0]);
}

const registration registered("diagnose", diagnose);

}  // namespace
}  // namespace pyxstan
