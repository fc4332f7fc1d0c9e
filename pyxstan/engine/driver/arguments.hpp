// Every argument that the driver understands, as the CmdStan User's Guide describes them.
#ifndef PYXSTAN_DRIVER_ARGUMENTS_HPP
#define PYXSTAN_DRIVER_ARGUMENTS_HPP

#include "grammar.hpp"

#include <stan/version.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace pyxstan {

using arguments = std::vector<argument>;

constexpr double infinite = std::numeric_limits<double>::infinity();

inline argument group(std::string name, std::string help, arguments children = {}) {
  return {kind::group, std::move(name), std::move(help), "", "", 0, 0, true, std::move(children)};
}
inline argument label(std::string name, std::string help) {
  return {kind::label, std::move(name), std::move(help), "", "", 0, 0, true, {}};
}
inline argument choice(std::string name, std::string help, std::string fallback, arguments options) {
  std::string valid;
  for (const auto& option : options) {
    valid += (valid.empty() ? "" : ", ") + option.name;
  }
  return {kind::choice, std::move(name), std::move(help), std::move(fallback), valid, 0, 0, true,
          std::move(options)};
}
// Whole and real numbers above (or from) a bound.
inline argument whole_above(double low, std::string name, std::string help, std::string fallback) {
  const std::string valid = detail::short_number(low) + " < " + name;
  return {kind::whole, std::move(name), std::move(help), std::move(fallback), valid, low,
          2147483647.0, true, {}};
}
inline argument whole_from(double low, std::string name, std::string help, std::string fallback) {
  const std::string valid = detail::short_number(low) + " <= " + name;
  return {kind::whole, std::move(name), std::move(help), std::move(fallback), valid, low,
          2147483647.0, false, {}};
}
inline argument natural(std::string name, std::string help, std::string fallback) {
  const std::string valid = "0 <= " + name;
  return {kind::natural, std::move(name), std::move(help), std::move(fallback), valid, 0,
          4294967295.0, false, {}};
}
inline argument positive(std::string name, std::string help, std::string fallback) {
  const std::string valid = "0 < " + name;
  return {kind::real, std::move(name), std::move(help), std::move(fallback), valid, 0, infinite,
          true, {}};
}
inline argument from_zero(std::string name, std::string help, std::string fallback) {
  const std::string valid = "0 <= " + name;
  return {kind::real, std::move(name), std::move(help), std::move(fallback), valid, 0, infinite,
          false, {}};
}
inline argument flag(std::string name, std::string help, std::string fallback) {
  return {kind::flag, std::move(name), std::move(help), std::move(fallback),
          "[0, 1, false, true]", 0, 0, true, {}};
}
inline argument text(std::string name, std::string help, std::string fallback = "") {
  return {kind::text, std::move(name), std::move(help), std::move(fallback), "All", 0, 0, true, {}};
}

inline arguments line_search() {
  return {positive("init_alpha", "Step size of the first line search", "0.001"),
          from_zero("tol_obj", "Tolerance on changes of the objective", "1e-12"),
          from_zero("tol_rel_obj", "Tolerance on relative changes of the objective", "10000"),
          from_zero("tol_grad", "Tolerance on the norm of the gradient", "1e-08"),
          from_zero("tol_rel_grad", "Tolerance on the relative norm of the gradient", "1e+07"),
          from_zero("tol_param", "Tolerance on changes of the parameters", "1e-08")};
}
inline arguments with(arguments first, const arguments& more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}
inline argument history() {
  return whole_above(0, "history_size", "Updates that L-BFGS remembers", "5");
}

inline argument sample_arguments() {
  argument jitter = from_zero("stepsize_jitter", "Uniform jitter of the step size, as a fraction",
                              "0");
  jitter.high = 1;
  jitter.valid = "0 <= stepsize_jitter <= 1";
  argument delta = positive("delta", "Target acceptance statistic", "0.8");
  delta.high = std::nextafter(1.0, 0.0);
  delta.valid = "0 < delta < 1";
  return group(
      "sample", "Markov chain Monte Carlo",
      {whole_from(0, "num_samples", "Iterations after warmup", "1000"),
       whole_from(0, "num_warmup", "Warmup iterations", "1000"),
       flag("save_warmup", "Write the warmup iterations too?", "false"),
       whole_above(0, "thin", "Write every so many iterations", "1"),
       group("adapt", "Adaptation during warmup",
             {flag("engaged", "Adapt?", "true"),
              positive("gamma", "Regularisation scale", "0.05"), delta,
              positive("kappa", "Relaxation exponent", "0.75"),
              positive("t0", "Iteration offset", "10"),
              natural("init_buffer", "Width of the first fast interval", "75"),
              natural("term_buffer", "Width of the last fast interval", "50"),
              natural("window", "Width of the first slow interval", "25"),
              flag("save_metric", "Write the metric as JSON?", "false")}),
       choice("algorithm", "Sampling algorithm", "hmc",
              {group("hmc", "Hamiltonian Monte Carlo",
                     {choice("engine", "Engine of Hamiltonian Monte Carlo", "nuts",
                             {group("static", "Fixed integration time",
                                    {positive("int_time", "Integration time, of 2 pi by default",
                                              detail::canonical(2 * std::acos(-1.0)))}),
                              group("nuts", "The No-U-Turn Sampler",
                                    {whole_above(0, "max_depth", "Largest tree depth", "10")})}),
                      choice("metric", "Geometry of the base manifold", "diag_e",
                             {label("unit_e", "Euclidean with unit metric"),
                              label("diag_e", "Euclidean with diagonal metric"),
                              label("dense_e", "Euclidean with dense metric")}),
                      text("metric_file", "File of a precomputed metric"),
                      positive("stepsize", "Step size", "1"), jitter}),
               label("fixed_param", "No transitions: generated quantities alone")}),
       whole_above(0, "num_chains", "Number of chains", "1")});
}

inline argument optimize_arguments() {
  return group("optimize", "Point estimation",
               {choice("algorithm", "Optimisation algorithm", "lbfgs",
                       {group("bfgs", "BFGS with line search", line_search()),
                        group("lbfgs", "L-BFGS with line search", with(line_search(), {history()})),
                        group("newton", "Newton's method")}),
                flag("jacobian", "Include the Jacobian of constraining transforms?", "false"),
                whole_above(0, "iter", "Largest number of iterations", "2000"),
                flag("save_iterations", "Write every iteration?", "false")});
}

inline argument variational_arguments() {
  return group(
      "variational", "Automatic differentiation variational inference",
      {choice("algorithm", "Family of the approximation", "meanfield",
              {group("meanfield", "Diagonal covariance"),
               group("fullrank", "Full covariance")}),
       whole_above(0, "iter", "Largest number of iterations", "10000"),
       whole_above(0, "grad_samples", "Draws for a gradient", "1"),
       whole_above(0, "elbo_samples", "Draws for an ELBO", "100"),
       positive("eta", "Step size scale", "1"),
       group("adapt", "Adaptation of eta",
             {flag("engaged", "Adapt?", "true"),
              whole_above(0, "iter", "Iterations of adaptation", "50")}),
       positive("tol_rel_obj", "Relative tolerance of convergence", "0.01"),
       whole_above(0, "eval_elbo", "Iterations between ELBOs", "100"),
       whole_above(0, "output_samples", "Draws to write", "1000")});
}

inline argument pathfinder_arguments() {
  return group(
      "pathfinder", "Pathfinder variational inference",
      with(line_search(),
           {history(), whole_above(0, "num_psis_draws", "Draws after resampling", "1000"),
            whole_above(0, "num_paths", "Number of paths", "4"),
            flag("save_single_paths", "Write each path's draws?", "false"),
            flag("psis_resample", "Resample the paths' draws by Pareto-smoothed importance?", "true"),
            flag("calculate_lp", "Evaluate the log density of every draw?", "true"),
            whole_above(0, "max_lbfgs_iters", "Largest number of L-BFGS iterations", "1000"),
            whole_above(0, "num_draws", "Draws of a path", "1000"),
            whole_above(0, "num_elbo_draws", "Draws for an ELBO", "25")}));
}

inline argument root_arguments() {
#if STAN_MAJOR == 2 && STAN_MINOR < 37
  const std::string digits = "-1";
#else
  const std::string digits = "8";
#endif
  argument figures = whole_from(-1, "sig_figs", "Significant digits of CSV output", digits);
  figures.high = 18;
  figures.valid = "0 <= integer <= 18 or -1 to use the default number of significant figures";
  argument seed{kind::seed, "seed", "Seed of the random number generator", "-1",
                "non-negative integer < 4294967296  or -1 to generate seed from system time", -1,
                4294967295.0, false, {}};
  argument threads = whole_from(-1, "num_threads", "Threads, -1 for all", "1");
  threads.valid = "num_threads > 0 || num_threads == -1";
  return group(
      "", "",
      {choice("method", "Analysis method (method= is optional)", "sample",
              {sample_arguments(), optimize_arguments(), variational_arguments(),
               group("diagnose", "Model diagnostics",
                     {choice("test", "Diagnostic test", "gradient",
                             {group("gradient", "Compare gradients with finite differences",
                                    {positive("epsilon", "Step of the differences", "1e-06"),
                                     positive("error", "Largest error", "1e-06")})})}),
               group("generate_quantities", "Generated quantities of fitted parameters",
                     {text("fitted_params", "CSV file of draws"),
                      whole_above(0, "num_chains", "Number of chains", "1")}),
               pathfinder_arguments(),
               group("log_prob", "Log density and its gradient at given parameters",
                     {text("unconstrained_params", "File of unconstrained parameters"),
                      text("constrained_params", "File of constrained parameters"),
                      flag("jacobian", "Include the Jacobian of constraining transforms?",
                           "true")}),
               group("laplace", "Draws from a Laplace approximation",
                     {text("mode", "JSON or CSV file of the mode"),
                      flag("jacobian", "Include the Jacobian of constraining transforms?", "true"),
                      whole_from(0, "draws", "Number of draws", "1000"),
                      flag("calculate_lp", "Evaluate the log density of every draw?", "true")})}),
       natural("id", "Identifier of the process", "1"),
       group("data", "Input data", {text("file", "Data file (JSON or R dump)")}),
       text("init", "Half width of the random interval, 0 for zero, or file(s) of initial values",
            "2"),
       group("random", "Random numbers", {seed}),
       group("output", "Output",
             {text("file", "Output file(s)", "output.csv"),
              text("diagnostic_file", "File(s) of diagnostic output"),
              whole_from(0, "refresh", "Iterations between progress lines", "100"), figures,
              text("profile_file", "File of profiling output", "profile.csv"),
              flag("save_cmdstan_config", "Write the configuration as JSON?", "false")}),
       threads});
}

// A number too large for a double is no value, though C's conversion makes it infinite.
inline void refuse_infinite(const argument& node) {
  if (node.what == kind::real && !std::isfinite(std::strtod(node.value.c_str(), nullptr))) {
    throw usage_error(node.value + " is not a valid value for \"" + node.name
                      + "\"\n  Valid values: " + node.valid);
  }
  for (const argument& child : node.children) {
    refuse_infinite(child);
  }
}

}  // namespace pyxstan

#endif
