// Poisson log likelihood of an image in cells, and its gradient by hand. The formulas and where they
// come from: pyxstan/cluster/cells.py. Plain-Stan twin: cluster_plain.stanfunctions.
//
//   exposed cell:  -E sum_c S_c,                S_c = P + P2 (V + W) / 2 of component c
//   counted cell:  n [ln h - Q / (2 h^2)],      h = sum_c S_c + b + B psi_6 + f psi_7,
//                  Q = g' C g,                  g = (sum_c P1 k, B, f)
//   fine pixel:    n ln h - E sum_c S_c,        S_c = sum over its nodes of w P
//
// P, P1, P2, P3: the brightness (1 + t / rho)^a S0 and its derivatives by t at the mean t of a cell,
// t = k_0 + sum_j k_j psi_j; V = k' C k its variance there; psi: mean features; C: their covariance.
// W = q_0 + sum_j q_j psi_j: variance of t within a pixel, where brightness is averaged over pixels.
#ifndef PYXSTAN_CLUSTER_HPP
#define PYXSTAN_CLUSTER_HPP

#include <stan/model/model_header.hpp>

#include <cmath>
#include <ostream>

namespace pyxstan {

constexpr int place = 5;               // features of where a pixel is
constexpr int features = place + 2;    // and 1 / E, M / E
constexpr int per_component = 4 + place;  // ln S0, ln rc, a, k_0 to k_5

// product = C k for the first n of all features, C's upper triangle stored row by row; returns k' C k.
template <int n>
inline double quadratic(const double* triangle, const double* k, double* product) {
  for (int i = 0; i < n; ++i) {
    product[i] = 0;
  }
  for (int i = 0; i < n; ++i) {
    product[i] += *triangle++ * k[i];
    for (int j = i + 1; j < n; ++j, ++triangle) {
      product[i] += *triangle * k[j];
      product[j] += *triangle * k[i];
    }
  }
  double form = 0;
  for (int i = 0; i < n; ++i) {
    form += product[i] * k[i];
  }
  return form;
}

// One component of the brightness, its value in a cell and the gradient summed over cells.
struct BetaProfile {
  double log_scale, a, rho, log_rho;
  const double* k;
  double P, P1, P2, P3, V, log_x, inverse;
  double Ck[place];
  double gradient[per_component];  // by ln S0, rho, a, k
  double q[place + 1];             // variance of t within a pixel, on (1, psi)
  double by_q[place + 1];          // gradient by q
  double alpha, beta, gamma;       // second derivatives of t by x x, x y, y y

  void set(const double* u) {
    a = u[2];
    log_rho = 2 * u[1];
    rho = std::exp(log_rho);
    log_scale = u[0] - a * log_rho;
    k = u + 3;
    for (double& slope : gradient) {
      slope = 0;
    }
    for (double& slope : by_q) {
      slope = 0;
    }
    alpha = 2 * (k[1] + k[4]);
    beta = 2 * k[5];
    gamma = 2 * (k[1] - k[4]);
    q[0] = (k[2] * k[2] + k[3] * k[3]) / 12 - (alpha * alpha + gamma * gamma) / 180
           - beta * beta / 144;
    q[1] = (alpha * alpha + 2 * beta * beta + gamma * gamma) / 24;
    q[2] = (alpha * k[2] + beta * k[3]) / 6;
    q[3] = (beta * k[2] + gamma * k[3]) / 6;
    q[4] = (alpha * alpha - gamma * gamma) / 24;
    q[5] = beta * (alpha + gamma) / 12;
  }

  // Variance of t within the pixels of a cell.
  double within(const double* psi) const {
    double variance = q[0];
    for (int j = 0; j < place; ++j) {
      variance += q[j + 1] * psi[j];
    }
    return variance;
  }

  // Brightness in a cell with mean features psi.
  double at(const double* psi) {
    double t = k[0];
    for (int j = 0; j < place; ++j) {
      t += k[j + 1] * psi[j];
    }
    inverse = 1 / (t + rho);
    log_x = std::log(t + rho);
    P = std::exp(log_scale + a * log_x);
    P1 = a * inverse * P;
    P2 = (a - 1) * inverse * P1;
    P3 = (a - 2) * inverse * P2;
    V = 0;
    return P;
  }

  // What the spread of t within the cell adds, its variance and C k known.
  double spread(double variance) {
    V = variance;
    return 0.5 * P2 * V;
  }

  // Add to a gradient, given the derivatives of the likelihood by S_c and by P1.
  void add(double* gradient, const double* psi, double by_S, double by_P1, bool second_order,
           bool averaged) {
    const double by_P2 = 0.5 * by_S * V;
    gradient[0] += by_S * P + by_P1 * P1 + by_P2 * P2;
    gradient[1] += (by_S * P * a + by_P1 * P1 * (a - 1) + by_P2 * P2 * (a - 2)) * inverse;
    gradient[2] += by_S * P * log_x + by_P1 * (P1 * log_x + P * inverse)
                   + by_P2 * (P2 * log_x + (2 * a - 1) * inverse * inverse * P);
    const double by_t = by_S * P1 + by_P1 * P2 + by_P2 * P3;
    gradient[3] += by_t;
    for (int j = 0; j < place; ++j) {
      gradient[4 + j] += by_t * psi[j];
    }
    if (second_order) {
      const double by_V = by_S * P2;  // half of it, twice: V = k' C k
      for (int j = 0; j < place; ++j) {
        gradient[4 + j] += by_V * Ck[j];
      }
    }
    if (averaged) {
      const double by_V = 0.5 * by_S * P2;
      by_q[0] += by_V;
      for (int j = 0; j < place; ++j) {
        by_q[j + 1] += by_V * psi[j];
      }
    }
  }

  // Turn the gradient by (ln S0, rho, a) at fixed ln(scale) into that by (ln S0, ln rc, a).
  void finish() {
    const double* b = by_q;
    const double by_alpha = ((b[1] + b[4]) * alpha + b[5] * beta) / 12 + b[2] * k[2] / 6
                            - b[0] * alpha / 90;
    const double by_gamma = ((b[1] - b[4]) * gamma + b[5] * beta) / 12 + b[3] * k[3] / 6
                            - b[0] * gamma / 90;
    const double by_beta = (2 * b[1] * beta + b[5] * (alpha + gamma)) / 12
                           + (b[2] * k[3] + b[3] * k[2]) / 6 - b[0] * beta / 72;
    double* by_k = gradient + 3;
    by_k[1] += 2 * (by_alpha + by_gamma);
    by_k[2] += (b[2] * alpha + b[3] * beta + b[0] * k[2]) / 6;
    by_k[3] += (b[2] * beta + b[3] * gamma + b[0] * k[3]) / 6;
    by_k[4] += 2 * (by_alpha - by_gamma);
    by_k[5] += 2 * by_beta;
    gradient[2] -= gradient[0] * log_rho;
    gradient[1] = 2 * (rho * gradient[1] - a * gradient[0]);
  }
};

}  // namespace pyxstan

template <typename U, typename Exposure, typename ExposureMean, typename ExposureCovariance,
          typename Counts, typename CountsMean, typename CountsCovariance, typename Totals,
          typename FinePixels, typename FineNodes>
stan::return_type_t<U> cluster_log_likelihood(
    const U& u_arg, const Exposure& exposure, const ExposureMean& exposure_mean,
    const ExposureCovariance& exposure_covariance, const Counts& counts,
    const CountsMean& counts_mean, const CountsCovariance& counts_covariance, const Totals& totals,
    const int averaged, const FinePixels& fine_pixels, const FineNodes& fine_nodes,
    std::ostream*) {
  using namespace pyxstan;
  const auto& u_ref = stan::math::to_ref(u_arg);
  const Eigen::VectorXd u = stan::math::value_of(u_ref);
  const int components = static_cast<int>(u.size()) / per_component;
  const bool second_order = exposure_covariance.rows() > 0;
  const double* background = u.data() + per_component * components;
  const double B = background[0], b = background[1], f = background[2];
  BetaProfile profile[2];
  for (int c = 0; c < components; ++c) {
    profile[c].set(u.data() + per_component * c);
  }

  double lp = totals.coeff(3) - B * totals.coeff(0) - b * totals.coeff(1) - f * totals.coeff(2);
  double by_B = -totals.coeff(0), by_b = -totals.coeff(1), by_f = -totals.coeff(2);
  for (Eigen::Index i = 0; i < exposure.size(); ++i) {
    const double* psi = exposure_mean.data() + place * i;
    const double* C = exposure_covariance.data() + place * (place + 1) / 2 * i;
    const double E = exposure.coeff(i);
    for (int c = 0; c < components; ++c) {
      BetaProfile& p = profile[c];
      double S = p.at(psi);
      double variance = averaged ? p.within(psi) : 0;
      if (second_order) {
        variance += quadratic<place>(C, p.k + 1, p.Ck);
      }
      S += p.spread(variance);
      lp -= E * S;
      p.add(p.gradient, psi, -E, 0, second_order, averaged);
    }
  }

  double g[features], Cg[features];
  g[place] = B;
  g[place + 1] = f;
  for (Eigen::Index i = 0; i < counts.size(); ++i) {
    const double* psi = counts_mean.data() + features * i;
    const double n = counts.coeff(i);
    double h = b + B * psi[place] + f * psi[place + 1];
    double Q = 0;
    if (second_order) {
      const double* C = counts_covariance.data() + features * (features + 1) / 2 * i;
      // the covariance of the place alone: the same rows but for their last two columns
      double of_place[place * (place + 1) / 2];
      double* entry = of_place;
      const double* row = C;
      for (int j = 0; j < place; row += features - j, ++j) {
        for (int l = 0; l < place - j; ++l) {
          *entry++ = row[l];
        }
        g[j] = 0;
      }
      for (int c = 0; c < components; ++c) {
        BetaProfile& p = profile[c];
        h += p.at(psi);
        h += p.spread((averaged ? p.within(psi) : 0) + quadratic<place>(of_place, p.k + 1, p.Ck));
        for (int j = 0; j < place; ++j) {
          g[j] += p.P1 * p.k[j + 1];
        }
      }
      Q = quadratic<features>(C, g, Cg);
    } else {
      for (int c = 0; c < components; ++c) {
        h += profile[c].at(psi);
        if (averaged) {
          h += profile[c].spread(profile[c].within(psi));
        }
      }
    }
    const double inverse = 1 / h;
    lp += n * (std::log(h) - 0.5 * Q * inverse * inverse);
    const double by_h = n * inverse * (1 + Q * inverse * inverse);
    const double by_g = -n * inverse * inverse;  // times C g
    by_b += by_h;
    by_B += by_h * psi[place];
    by_f += by_h * psi[place + 1];
    if (second_order) {
      by_B += by_g * Cg[place];
      by_f += by_g * Cg[place + 1];
    }
    for (int c = 0; c < components; ++c) {
      BetaProfile& p = profile[c];
      double by_P1 = 0;
      if (second_order) {
        for (int j = 0; j < place; ++j) {
          by_P1 += by_g * Cg[j] * p.k[j + 1];
          p.gradient[4 + j] += by_g * Cg[j] * p.P1;
        }
      }
      p.add(p.gradient, psi, by_h, by_P1, second_order, averaged);
    }
  }

  Eigen::Index l = 0;
  for (Eigen::Index i = 0; i < fine_pixels.rows(); ++i) {
    double pixel[5];  // n, E, 1 / E, M / E, its nodes
    for (int j = 0; j < 5; ++j) {
      pixel[j] = fine_pixels.coeff(i, j);
    }
    const double n = pixel[0], E = pixel[1];
    double by_pixel[2][per_component] = {};
    double S = 0;
    for (const Eigen::Index end = l + static_cast<Eigen::Index>(pixel[4]); l < end; ++l) {
      double node[place + 1];  // features, weight
      for (int j = 0; j <= place; ++j) {
        node[j] = fine_nodes.coeff(l, j);
      }
      for (int c = 0; c < components; ++c) {
        S += node[place] * profile[c].at(node);
        profile[c].add(by_pixel[c], node, node[place], 0, false, false);
      }
    }
    const double h = S + b + B * pixel[2] + f * pixel[3];
    lp -= E * S;
    double by_S = -E;
    if (n > 0) {
      lp += n * std::log(h);
      by_S += n / h;
      by_b += n / h;
      by_B += n / h * pixel[2];
      by_f += n / h * pixel[3];
    }
    for (int c = 0; c < components; ++c) {
      for (int j = 0; j < per_component; ++j) {
        profile[c].gradient[j] += by_S * by_pixel[c][j];
      }
    }
  }

  auto ops = stan::math::make_partials_propagator(u_ref);
  if constexpr (!stan::is_constant_all<U>::value) {
    Eigen::VectorXd gradient(u.size());
    for (int c = 0; c < components; ++c) {
      profile[c].finish();
      gradient.segment(per_component * c, per_component) =
          Eigen::Map<const Eigen::VectorXd>(profile[c].gradient, per_component);
    }
    gradient.tail(3) << by_B, by_b, by_f;
    stan::math::partials<0>(ops) = std::move(gradient);
  }
  return ops.build(lp);
}

#endif
